"""The comparison of two trees notices one bit, asks as a worker understands, and takes what it is told to take."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts" / "benchmarks"))
import four_objects
import same_grasps
import worker_client

ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import json, sys
asked = json.loads(sys.stdin.buffer.readline())
sent = sys.stdin.buffer.read(sum(head["bytes"] for head in asked["arrays"]))
def say(kind, number, **more):
    print(json.dumps({"id": number, "type": kind, **more}), flush=True)
say("progress", asked["id"], fraction=0.5)
say("result", asked["id"] + 7)
say("candidate", asked["id"], score=0.25, arrays=asked["arrays"])
sys.stdout.buffer.write(sent)
sys.stdout.buffer.flush()
say("result", asked["id"], count=1)
sys.exit("enough for today")
"""


def test_a_client_reads_candidates_and_the_result(tmp_path):
    points = np.arange(6, dtype=np.float64).reshape(2, 3)
    log = tmp_path / "log"
    with worker_client.Client([sys.executable, "-c", WORKER], tmp_path, dict(os.environ), log) as client:
        replies = client.ask({"type": "generate"}, {"points": points, "none": np.zeros((0, 3), np.int32)})
        assert [message["type"] for message, _ in replies] == ["candidate", "result"]
        assert replies[0][0]["score"] == 0.25
        np.testing.assert_array_equal(replies[0][1]["points"], points)
        assert replies[0][1]["none"].shape == (0, 3)
        with pytest.raises(worker_client.EngineError, match="enough for today"):
            client.ask({"type": "generate"})


def test_a_message_cut_off_is_none_and_other_words_are_an_error(tmp_path):
    cut = tmp_path / "cut"
    with cut.open("wb") as stream:
        worker_client.send(stream, {"id": 1}, {"points": np.zeros(4)})
    cut.write_bytes(cut.read_bytes()[:-1])
    with cut.open("rb") as stream:
        assert worker_client.receive(stream) is None
    cut.write_bytes(b"hello there\n")
    with cut.open("rb") as stream, pytest.raises(worker_client.EngineError, match="hello there"):
        worker_client.receive(stream)


def test_one_bit_another_type_or_another_shape_is_another_hash():
    points = np.linspace(0, 1, 12, dtype=np.float32)
    other = points.copy()
    other.view(np.uint8)[5] ^= 1
    found = [same_grasps.hash_of(array) for array in (points, other, points.reshape(3, 4), points.view(np.int32))]
    assert len(set(found)) == 4
    assert same_grasps.hash_of(points.copy()) == found[0]
    assert same_grasps.hash_of(points.reshape(3, 4).T.copy().T) == found[2]  # however it lies in memory


def test_a_replys_floats_count_to_the_last_bit_and_its_number_does_not():
    def fields(score, number):
        return same_grasps.fields_of({"id": number, "type": "candidate", "measures": {"depth_mm": score}}, {})

    assert fields(0.1, 1) == fields(0.1, 2)
    assert list(fields(0.1, 1)) == ["measures.depth_mm"]
    assert fields(0.1, 1) != fields(float(np.nextafter(0.1, 1)), 1)


def test_differences_name_the_case_and_the_fields():
    before = {"raw/a": {"score": "1", "old": "2"}, "raw/b": {"score": "1"}, "raw/c": {"score": "1"}}
    now = {"raw/a": {"score": "3", "renamed": "2"}, "raw/b": {"score": "1"}, "raw/d": {"score": "1"}}
    assert same_grasps.differences(now, before) == [
        "differs  raw/a: old (gone), renamed (new), score", "gone     raw/c", "new     raw/d"]
    assert same_grasps.differences(now, now) == []


def test_only_what_was_selected_is_compared(capsys):
    def run(cases, version="1"):
        return {"environment": {"torch": version}, "cases": cases}

    before = run({"raw/fastgrasp/mug/right/0": {"score": "1"}, "raw/fastgrasp/mug/right/1": {"score": "2"}})
    some = same_grasps.Selection(("raw",), seeds=(0,))
    assert same_grasps.compare(run({"raw/fastgrasp/mug/right/0": {"score": "1"}}), before, some) == 0
    assert "All 1 cases are the same" in capsys.readouterr().out
    assert same_grasps.compare(run({"raw/fastgrasp/mug/right/0": {"score": "7"}}, "2"), before, some) == 1
    said = capsys.readouterr().out
    assert "differs  raw/fastgrasp/mug/right/0: score" in said
    assert "another  torch: 2, before 1" in said
    assert same_grasps.compare(run({}), before, some) == 1
    assert same_grasps.compare(before, before, same_grasps.Selection()) == 0


def test_what_fails_is_a_case_and_the_rest_goes_on(tmp_path, capsys):
    def fails():
        raise worker_client.EngineError("no weights")

    run = same_grasps.Run(ROOT, tmp_path, same_grasps.Selection(("raw", "shell"), ("mug",)))
    run.timed("raw", "mug", fails)
    run.timed("shell", "", lambda: {"shell/raw/mug": {"score": "1"}, "shell/raw/box": {"score": "2"}})
    assert run.cases == {"raw/failed/mug": {"error": "no weights"}, "shell/raw/mug": {"score": "1"}}
    assert "raw mug: no weights" in capsys.readouterr().err


def test_a_selection_takes_parts_objects_and_seeds():
    some = same_grasps.Selection(("raw", "hand"), ("mug", "box"), (0, 2))
    assert some.takes("raw/fastgrasp/mug/right/2")
    assert some.takes("hand/right")
    assert not some.takes("fitted/fit/fastgrasp/mug/right/2")
    assert not some.takes("raw/fastgrasp/bowl/right/2")
    assert not some.takes("raw/fastgrasp/mug/right/1")
    assert same_grasps.Selection().takes("blender/baked/mug/right")


@pytest.mark.parametrize("wrong", [("--only", "raw,cooked"), ("--objects", "teapot"), ("--seeds", "9")])
def test_a_word_that_is_not_known_is_a_sentence(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        same_grasps.main([*wrong])
    assert stopped.value.code == 2
    assert f"{wrong[1].split(',')[-1]} is none of" in capsys.readouterr().err


def test_a_folder_that_is_no_tree_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"no mug\.obj"):
        same_grasps.main(["--tree", str(tmp_path)])


def test_the_objects_are_closed_and_look_outward(tmp_path):
    objects = four_objects.objects_of(ROOT)
    assert tuple(objects) == four_objects.OBJECTS
    for mesh in objects.values():
        edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        assert {tuple(edge) for edge in edges.tolist()} == {tuple(edge[::-1]) for edge in edges.tolist()}
        assert len(np.unique(edges, axis=0)) == len(edges)
        a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
        assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0
    hammer = objects["hammer"]
    assert np.ptp(hammer.vertices[hammer.faces[hammer.part == 0]][..., 2]) == pytest.approx(0.268)
    again = four_objects.read_obj(four_objects.write_obj(tmp_path / "hammer.obj", hammer))
    np.testing.assert_array_equal(again.vertices, hammer.vertices)
    np.testing.assert_array_equal(again.faces, hammer.faces)


def test_a_file_of_grasps_holds_the_hands_that_were_sent():
    turn = np.zeros((16, 4))
    turn[:, 0] = 1
    turn[3] = [np.cos(0.3), 0, np.sin(0.3), 0]
    hand = {"score": 0.5, "grasp_type": "tripod"}, {"rotations": turn, "translation": np.array([1.0, 2.0, 3.0])}
    stored = same_grasps.grasps_file([hand, hand], np.array([1.0, 1.0, 1.0]), "left")
    assert stored["hand_pose"].shape == (2, 45)
    np.testing.assert_allclose(stored["hand_pose"][1, 6:9], [0, 0.6, 0], atol=1e-6)
    assert np.count_nonzero(stored["hand_pose"][0]) == 1
    np.testing.assert_array_equal(stored["transl"], [[0, 1, 2]] * 2)
    assert stored["type"].tolist() == ["tripod"] * 2
    assert str(stored["hand"]) == "left"
