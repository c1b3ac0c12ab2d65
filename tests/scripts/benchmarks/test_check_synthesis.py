"""The table of targets: what passes, what fails, and going on."""

from __future__ import annotations

import json

import pytest

from scripts.benchmarks.check_synthesis import read_done, summary, table


def record(**changes):
    good = {
        "object": "mug", "key": "mug|16", "grasps": 2, "prepare_s": 1.0, "total_s": 10.0, "first_s": 3.0,
        "different": 8, "types": 3, "volume_cm3": [0.1, 0.15], "depth_mm": [1.0, 1.1], "bones_crossing": [0, 0],
        "parts": [4, 3], "power": [True, False], "symmetry": "none", "held_0.6": [True, True],
        "held_0.5": [True, False], "held_0.7": [True, True],
    }
    return good | changes


def failed(*records):
    return {name for name, target in summary(list(records))["targets"].items() if not target["passed"]}


def test_a_good_object_passes_everything():
    assert failed(record()) == set()


@pytest.mark.parametrize("changes, names", [
    ({"different": 7}, {"different"}),
    ({"types": 2}, {"types"}),
    ({"volume_cm3": [0.2, 0.2]}, {"volume_cm3"}),
    ({"depth_mm": [2.0, 2.0]}, {"depth_mm"}),
    ({"bones_crossing": [0, 1]}, {"bones_crossing"}),
    ({"parts": [3, 3]}, {"power_parts"}),
    ({"held_0.6": [True, False]}, {"held_0.6"}),
    ({"held_0.6": []}, {"held_0.6"}),
    ({"total_s": 21.0}, {"total_s"}),
    ({"first_s": 5.0}, {"first_s"}),
])
def test_each_target_can_fail(changes, names):
    assert failed(record(**changes)) == names


def test_an_object_that_fails_is_seen():
    broken = {"object": "plate", "key": "plate|16", "error": "ObjectError: flat"}
    assert failed(record(), broken) == {"different", "types", "errors"}
    assert "ObjectError: flat" in table([record(), broken])


def test_the_means_are_over_grasps():
    values = summary([record(), record(object="bowl", volume_cm3=[0.4])])["values"]
    assert values["volume_cm3"] == pytest.approx(0.65 / 3)
    assert values["total_s"] == 10.0


def test_a_run_goes_on_where_it_was_stopped(tmp_path):
    path = tmp_path / "records.jsonl"
    lines = [record(), record(key="bowl|16", error="x"), record(key="other")]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"object": "cut o')
    assert set(read_done(path, {"mug|16", "bowl|16"})) == {"mug|16"}
