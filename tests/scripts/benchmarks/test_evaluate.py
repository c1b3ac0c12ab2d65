"""The table of methods: rows, pictures, going on, and files from elsewhere."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from scripts.benchmarks.evaluate import VIEW


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A file of training grasps of two objects that are held out by shape, and one of a family."""
    from core.dataset.training_grasps import load_training, merge

    data = load_training(Path(__file__).resolve().parents[3] / "weights" / "training" / "grasps.npz")
    parts = []
    for split, wanted in (("shape", 2), ("family", 1)):
        held = data.split(split)
        most = np.argsort(-np.bincount(held.object))[:wanted]
        parts.append(held[np.isin(held.object, most)])
    path = tmp_path_factory.mktemp("training") / "few.npz"
    merge(parts).save(path)
    return path


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
                 "--methods", "control_random", "control_random+fit", f"npz:far={folder / 'mine'}", "--no-frechet")
    script("benchmarks/evaluate.py", *arguments)
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
    text = (out / "table.md").read_text()
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines[:5]] == [
        "method", "---", "control_random", "control_random+fit", "far"]
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert "entropy" not in lines[0]  # three grasps have none
    assert "nan" not in text
    assert not {"paper_entropy_whitened_joints", "frechet_angles_shape"} & set(rows["far"])
    made = table["made"]
    assert "--count 3 --turn --methods control_random control_random+fit npz:far=mine" in made["Command"]
    assert str(folder) not in text + json.dumps(table)
    assert f"{os.cpu_count()} cores" in made["Machine"]
    assert all(f"{name}: {value}" in text for name, value in made.items())
    assert set(made) == {"Command", "Machine", "Commit", "Date", "Training grasps"}
    assert all(0 < row["evaluation_seconds"] < 90 for row in rows.values())
    with Image.open(out / "sheet.png") as sheet:  # a row a method, of two views of the object
        assert sheet.size == (2 * VIEW, 3 * VIEW)
        first, *others = (np.asarray(sheet)[row * VIEW : (row + 1) * VIEW] for row in range(3))
        assert all((other != first).any() for other in others)
    kept = {path: path.stat().st_mtime_ns for path in (out / "kept").iterdir()}
    script("benchmarks/evaluate.py", *arguments, "--no-sheet")  # goes on: nothing is made or measured again
    assert kept == {path: path.stat().st_mtime_ns for path in (out / "kept").iterdir()}
    mine = dict(np.load(folder / "mine" / "block.npz"))
    np.savez(folder / "mine" / "block.npz", **{**mine, "hand": "left"})
    # another file: what was measured of the one before is not shown
    script("benchmarks/evaluate.py", *arguments, "--no-sheet")
    (record,) = [one for one in json.loads((out / "table.json").read_text())["records"] if one["method"] == "far"]
    assert "of a left hand" in record["error"]
    np.savez(folder / "mine" / "block.npz", **mine)


def test_training_grasps_of_held_out_objects(few, tmp_path, script):
    """Object and grasps turned together: they lie as they did."""
    script("benchmarks/evaluate.py", "--out", tmp_path, "--objects", "training:family", "--training", few, "--count", 2,
           "--protocol", "both", "--no-sheet", "--no-frechet", "--methods", "training", "--turn", "--jobs", 2)
    (row,) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert (row["method"], row["objects"], row["grasps"]) == ("training", 1, 2)
    assert row["strict_contact"] == 1
    assert row["strict_bones_crossing"] == 0
    assert row["paper_good"] == 1
    assert 0 <= row["paper_depth_median_mm"] < 2


def test_frechet_distances_stand_in_the_table(few, tmp_path, monkeypatch):
    """Half of what is held out against the whole; random postures are farther from it."""
    import torch

    from core.dataset.training_grasps import load_training, training_object
    from core.hand import load_hand
    from core.metrics.frechet import grasp_features, held_out_features
    from scripts.benchmarks.results import result_path, table

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hand, held = load_hand(), load_training(few).split("shape")
    options = Namespace(out=tmp_path, training=few, cache=None, no_frechet=False, protocol="strict",
                        methods=["training", "npz:random=somewhere", "few"])
    (tmp_path / "kept").mkdir()
    records = []
    for number in np.unique(held.object):
        name = held.objects[number]
        obj, grasps = training_object(name), held[held.object == number].grasps(hand)[::2]
        low, high = hand.dof_limits.T
        share = torch.rand(len(grasps), 21, generator=torch.Generator().manual_seed(int(number)))
        anyhow = replace(grasps, hand_pose=hand.pose_from_dofs(low + (high - low) * share))
        for method, some in (("training", grasps), ("npz:random=somewhere", anyhow), ("few", grasps[:5])):
            np.savez(result_path(method, name, options).with_suffix(".features.npz"), **grasp_features(obj, hand, some))
            records.append({"method": method.partition("=")[0].removeprefix("npz:"), "object": name, "count": len(some),
                            "paper": {}, "strict": {}, "seconds": 0.0, "evaluation_seconds": 0.0})
    text, (mine, random, small) = table(records, options, hand)
    for space in ("angles", "contact"):
        assert 0 < mine[f"frechet_{space}_shape"] < 0.5 * random[f"frechet_{space}_shape"]
        assert mine[f"frechet_{space}_shape"] < mine[f"frechet_{space}_family"]
    assert not [name for name in small if name.startswith("frechet")]  # 10 grasps are too few
    assert "Frechet: angles rad2, shapes" in text
    assert "It\nis no FID" in text
    assert held_out_features(few, "shape", hand)["angles"].shape == (len(held), 21)


@pytest.mark.parametrize("methods, sentence", [
    (["magic"], "no method 'magic'"),
    (["npz:far"], "is not npz:NAME=FOLDER"),
    (["npz:far=nowhere"], "is not npz:NAME=FOLDER"),
    (["npz:a/b={mine}"], "is not npz:NAME=FOLDER"),
    (["npz:far={mine}", "npz:far={objects}"], "Two methods are called far"),
    (["control_random", "control_random"], "Two methods are called control_random"),
    (["npz:synthesis={mine}"], "the name of another method"),
    (["npz:control_random={mine}"], "the name of another method"),
])
def test_methods_that_would_be_one_row_are_a_sentence(folder, methods, sentence):
    from scripts.benchmarks.evaluate import check_methods

    names = [name.format(mine=folder / "mine", objects=folder / "objects") for name in methods]
    with pytest.raises(SystemExit, match=sentence):
        check_methods(Namespace(methods=names))
    check_methods(Namespace(methods=["synthesis", "synthesis_chosen", "training", f"npz:far={folder / 'mine'}"]))


def test_what_a_fit_lays_on_the_surface_was_proposed_for_a_fit(folder, monkeypatch):
    from scripts.benchmarks import evaluate

    assert [evaluate.before_fit(f"{name}+fit") for name in ("fastgrasp", "retrieval", "synthesis")] == [
        "fastgrasp_to_fit", "retrieval", "synthesis"]
    asked = []
    monkeypatch.setattr("core.pipeline.generate.propose", lambda request, method, *rest, raw: asked.append(
        (method, request.fitted, raw)))
    options = evaluate.arguments(["--out", str(folder / "none"), "--count", "2"])
    for method in ("fastgrasp", "fastgrasp_to_fit", "fastgrasp_chosen"):
        evaluate.propose(method, "block", None, None, options)
    assert asked == [("fastgrasp", False, True), ("fastgrasp", True, True), ("fastgrasp", False, False)]


def test_a_folder_of_other_settings_is_not_passed_off(folder, script):
    common = ("--out", str(folder / "settings"), "--objects", str(folder / "objects"), "--no-sheet", "--no-frechet",
              "--methods", f"npz:far={folder / 'mine'}", "--protocol", "paper")
    script("benchmarks/evaluate.py", *common, "--count", "2")
    assert "another seed" in script("benchmarks/evaluate.py", *common, "--count", "2", "--seed", "7", fails=True)
    assert "another count" in script("benchmarks/evaluate.py", *common, "--count", "3", fails=True)
    assert "another turn" in script("benchmarks/evaluate.py", *common, "--count", "2", "--turn", fails=True)


def test_another_training_file_or_hand_is_another_setting(few, tmp_path):
    from core.hand import load_hand
    from scripts.benchmarks.evaluate import same_settings

    other = tmp_path / "other.npz"
    other.write_bytes(few.read_bytes()[:-1] + b"x")  # of the same size
    options = Namespace(out=tmp_path, count=1, seed=0, turn=False, objects=None, loaders={}, training=few)
    same_settings(options, load_hand())
    same_settings(options, load_hand())
    with pytest.raises(SystemExit, match="another hand"):
        same_settings(options, load_hand(None, "left"))
    options.training = other
    with pytest.raises(SystemExit, match="another training"):
        same_settings(options, load_hand())


def test_the_control_of_another_object_needs_one(folder, script):
    assert "another object" in script(
        "benchmarks/evaluate.py", "--out", folder / "alone", "--objects", folder / "objects", "--no-sheet",
        "--methods", "control_other", "--count", "1", fails=True)
