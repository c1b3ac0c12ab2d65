"""The table of methods: rows, pictures, going on, and files from elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate")
    (path / "objects").mkdir()
    (path / "mine").mkdir()
    trimesh.creation.box((0.03, 0.05, 0.1)).export(path / "objects" / "block.ply")
    np.savez(path / "mine" / "block.npz", global_orient=np.zeros((3, 3)), hand_pose=np.zeros((3, 45)),
             transl=np.full((3, 3), 1.0), betas=np.zeros((3, 10)))
    return path


def test_rows_and_pictures_of_methods_and_of_files(folder, script):
    out = folder / "out"
    arguments = ("--out", str(out), "--objects", str(folder / "objects"), "--count", "3", "--turn",
                 "--methods", "control_random", "control_random+fit", f"npz:far={folder / 'mine'}")
    script("evaluate.py", *arguments)
    table = json.loads((out / "table.json").read_text())
    rows = {row["method"]: row for row in table["rows"]}
    assert set(rows) == {"control_random", "control_random+fit", "far"}
    assert rows["control_random+fit"]["strict_volume_cm3"] < 0.5 * rows["control_random"]["strict_volume_cm3"]
    assert 1 < rows["control_random+fit"]["fit_moved_mm"] < 100
    assert "fit_moved_mm" not in rows["control_random"]
    assert rows["far"]["grasps"] == 3
    assert rows["far"]["paper_contact"] == 0
    assert rows["far"]["strict_held"] == 0
    assert rows["far"]["paper_displacement_cm"] == pytest.approx(10.7, abs=0.2)
    assert rows["control_random"]["paper_contact"] > 0
    assert (out / "table.md").read_text().count("\n") == 5
    assert (out / "sheet.png").stat().st_size > 10_000
    kept = {path: path.stat().st_mtime_ns for path in (out / "kept").iterdir()}
    script("evaluate.py", *arguments, "--no-sheet")  # goes on: nothing is made or measured again
    assert kept == {path: path.stat().st_mtime_ns for path in (out / "kept").iterdir()}


def test_a_folder_of_other_settings_is_not_passed_off(folder, script):
    common = ("--out", str(folder / "settings"), "--objects", str(folder / "objects"), "--no-sheet",
              "--methods", f"npz:far={folder / 'mine'}", "--protocol", "paper")
    script("evaluate.py", *common, "--count", "2")
    assert "another seed" in script("evaluate.py", *common, "--count", "2", "--seed", "7", fails=True)
    assert "another count" in script("evaluate.py", *common, "--count", "3", fails=True)
    assert "another turn" in script("evaluate.py", *common, "--count", "2", "--turn", fails=True)


def test_the_control_of_another_object_needs_one(folder, script):
    assert "another object" in script(
        "evaluate.py", "--out", folder / "alone", "--objects", folder / "objects", "--no-sheet",
        "--methods", "control_other", "--count", "1", fails=True)


def test_benchmark_tells_seconds_and_m(tmp_path, script):
    script("benchmark.py", "--counts", 1, "--repeats", 1, "--json", tmp_path / "speed.json")
    speed = json.loads((tmp_path / "speed.json").read_text())
    rows = {(row["what"], row["count"]): row for row in speed["rows"]}
    row = rows["synthesis", 1]
    assert row["M"] == pytest.approx(row["seconds"] / speed["M_seconds"])
    assert 0 < row["first"] <= row["seconds"]
