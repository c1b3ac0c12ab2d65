"""Differences that are more than chance are told from those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks import compare_methods


def evaluation(folder: Path, method: str, held: list[float], also: list[dict] | None = None) -> list[dict]:
    """An evaluation's table with a method's records; contact is the same for all."""
    records = [{"method": method, "object": f"thing {number}", "count": 20,
                "strict": {"held": value, "contact": 1.0, "volume_cm3": 0.1 * number, "depth_mm": 1.0,
                           "bones_crossing": 0.0},
                "paper": {"displacement_cm": 1 - value, "volume_cm3": 3.0}} for number, value in enumerate(held)]
    records += also or []
    folder.mkdir(exist_ok=True)
    (folder / "table.json").write_text(json.dumps({"records": records}))
    return records


def test_a_steady_difference_is_sure_and_a_wavering_one_is_not(tmp_path, capsys):
    rng = np.random.default_rng(0)
    base = evaluation(tmp_path / "one", "retrieval", [0.5] * 12)
    base += evaluation(tmp_path / "one", "steady", list(0.7 + 0.02 * rng.normal(size=12)), base)
    evaluation(tmp_path / "one", "wavering", [0.5 + 0.2 * (-1) ** number for number in range(12)], base)
    assert compare_methods.main([str(tmp_path / "one"), "--methods", "steady", "wavering"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {(line.split("`")[1], line.split("|")[3].strip()): line for line in lines[2:]}
    assert "**+0.2" in told["steady", "strict held"]
    assert "12 / 0" in told["steady", "strict held"]
    assert "**-0.2" in told["steady", "paper displacement_cm"]
    assert "**" not in told["wavering", "strict held"]
    assert "| +0.000 | +0.000 to +0.000 | 0 / 0 |" in told["steady", "strict contact"]


def test_folders_are_taken_together_and_the_fit_is_compared_with_the_fit(tmp_path):
    for name, value in (("one", 0.5), ("two", 0.9)):
        base = evaluation(tmp_path / name, "retrieval+fit", [0.4, 0.4])
        evaluation(tmp_path / name, "mine+fit", [value, value], base)
    found = compare_methods.records_of([tmp_path / "one", tmp_path / "two"])
    rows = {row["figure"]: row for row in compare_methods.compare(found, "mine+fit", "retrieval+fit")}
    assert rows["strict held"]["objects"] == 4
    assert rows["strict held"]["difference"] == pytest.approx(0.3)
    assert rows["strict held"]["low"] == pytest.approx(0.1)


def test_entropy_is_of_the_grasps_of_all_folders_together(tmp_path, capsys):
    def kept(folder, method, name, count=6):
        rng = np.random.default_rng([*f"{folder.name} {method} {name}".encode()])
        (folder / "kept").mkdir(exist_ok=True)
        np.savez(folder / "kept" / f"{method}__{name}.npz", global_orient=rng.normal(size=(count, 3)),
                 hand_pose=0.2 * rng.normal(size=(count, 45)), transl=0.1 * rng.normal(size=(count, 3)),
                 betas=np.zeros((count, 10)), score=np.zeros(count), type=np.array([""] * count), unit=np.array("m"),
                 hand=np.array("right"), method=np.array(method), seed=np.array("0"))

    for name in ("one", "two"):
        base = evaluation(tmp_path / name, "retrieval", [0.5, 0.5])
        evaluation(tmp_path / name, "mine", [0.6, 0.6], base)
        for thing in ("thing 0", "thing 1"):
            kept(tmp_path / name, "mine", thing)
    folders = [tmp_path / "one", tmp_path / "two"]
    [(method, objects, entropy)] = compare_methods.entropies(folders, ["retrieval", "mine"])  # one has none kept
    assert (method, objects) == ("mine", 4)
    assert 2.5 < entropy <= np.log(20)  # 24 unlike hands in 20 clusters
    assert compare_methods.entropies(folders[:1], ["mine"]) == []  # of 12 grasps there is none
    assert compare_methods.main([*map(str, folders), "--methods", "mine"]) == 0
    assert f"| `mine` | 4 | {entropy:.3f} |" in capsys.readouterr().out


def test_what_cannot_be_compared_is_a_sentence(tmp_path):
    evaluation(tmp_path / "one", "retrieval", [0.5, 0.5])
    with pytest.raises(SystemExit, match="holds no table"):
        compare_methods.main([str(tmp_path / "two"), "--methods", "mine"])
    with pytest.raises(SystemExit, match="Fewer than two objects"):
        compare_methods.main([str(tmp_path / "one"), "--methods", "mine"])
