"""The commands of the command line, as a person starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core import cli

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def can(tmp_path_factory):
    path = tmp_path_factory.mktemp("can") / "can.ply"
    trimesh.creation.cylinder(33, 100, sections=48).apply_translation((200, 0, 0)).export(path)
    return path


def test_methods_are_listed():
    done = run("methods")
    assert done.returncode == 0
    assert done.stdout.startswith("synthesis")


def test_generate_writes_the_file_that_was_promised(can, tmp_path):
    out = tmp_path / "grasps.npz"
    done = run("generate", can, "--unit", "mm", "--count", 3, "--seed", 5, "--hand", "left", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    with np.load(out, allow_pickle=False) as file:
        grasps = dict(file)
    shapes = {"global_orient": (3, 3), "hand_pose": (3, 45), "transl": (3, 3), "betas": (3, 10), "score": (3,),
              "joints": (3, 21, 3)}
    assert {name: grasps[name].shape for name in shapes} == shapes
    assert {name: str(grasps[name]) for name in ("method", "seed", "hand", "unit")} == {
        "method": "synthesis", "seed": "5", "hand": "left", "unit": "mm"}
    assert all(grasps["type"])
    hand = trimesh.Trimesh(grasps["vertices"][0], grasps["faces"], process=False)
    assert hand.is_watertight
    assert hand.volume > 0
    local = grasps["vertices"] - [200, 0, 0]
    outside = np.maximum(np.linalg.norm(local[..., :2], axis=-1) - 33, np.abs(local[..., 2]) - 50).min(1)
    assert (np.abs(outside) < 5).all()  # mm


@pytest.mark.parametrize(("intent", "told"), [("use", "which part of this object is held when it is used"),
                                              ("lift", "1 of 1 do all that 'lift' asks")])
def test_what_becomes_of_an_intent_is_said(can, tmp_path, capsys, intent, told):
    """A can from a file has no parts: it is held; it is lifted as anything is."""
    out = tmp_path / "grasps.npz"
    assert cli.main(["generate", str(can), "--unit", "mm", "--count", "1", "--method", "fastgrasp", "--intent", intent,
                     "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("can.ply: ")
    assert told in said.err
    assert ("'hold'" in said.err) == (intent == "use")
    assert said.err.count("\n") == 1
    assert out.exists()


@pytest.mark.parametrize("arguments, sentence", [
    (["no.obj", "--out", "a.npz"], "There is no file no.obj"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.txt"], "ends in .npz"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "no/where/a.npz"], "no folder"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--method", "magic"], "no method 'magic'"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--count", "0"], "whole number"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--type", "claw"], "no grasp type"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--seed", "-1"], "whole number from 0"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--seed", str(2**63)], "whole number from 0"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--unit", "mm"], "Check --unit"),
])
def test_a_mistake_is_one_sentence(arguments, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["generate", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def grasps_file(can, tmp_path_factory):
    """A hand far from the can and the same hand pushed into it, as another tool writes them."""
    path = tmp_path_factory.mktemp("grasps") / "grasps.npz"
    pose = np.zeros((2, 45), np.float32)
    np.savez(path, global_orient=np.zeros((2, 3), np.float32), hand_pose=pose,
             transl=np.array([[1.2, 0, 0], [0.29, 0, 0]], np.float32), betas=np.zeros((2, 10), np.float32),
             method=np.array("mine"), seed=np.array("4"), hand=np.array("right"), unit=np.array("mm"))
    return path


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried "
                                                               "to allocate 8000000000 bytes.")])
def test_memory_that_has_run_out_is_one_sentence(error, capsys, monkeypatch):
    def methods():
        raise error

    monkeypatch.setattr(cli, "methods", methods)
    assert cli.main(["methods"]) == 1
    assert capsys.readouterr().err == "The engine ran out of memory: use a lighter mesh or fewer candidates.\n"


def test_a_folder_for_the_figures_is_told_before_they_are_measured(grasps_file, tmp_path, capsys):
    mesh = ROOT / "scripts/samples/mug.obj"
    assert cli.main(["evaluate", str(mesh), str(grasps_file), "--json", str(tmp_path)]) == 1
    assert "is a folder: name a file in it" in capsys.readouterr().err


def test_a_python_without_the_packages_is_told_which(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError(name='numpy')")
    code = f"import sys, runpy; sys.path[:0] = [{str(tmp_path)!r}]; runpy.run_module('core', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("This Python has no package 'numpy'")


def test_a_fault_of_its_own_is_not_hidden(monkeypatch):
    def methods():
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(cli, "methods", methods)
    with pytest.raises(RuntimeError, match="shapes differ"):
        cli.main(["methods"])


def test_evaluate_measures_by_both_protocols(can, grasps_file, tmp_path):
    done = run("evaluate", can, grasps_file, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["method"], found["seed"], found["count"]) == ("mine", 4, 2)
    assert found["paper"]["contact"] == 0.5
    assert found["paper"]["volume_cm3"] > 1
    assert found["strict"]["volume_cm3"] > found["paper"]["volume_cm3"] / 4
    assert found["strict"]["bones_crossing"] > 0
    assert found["strict"]["held"] <= 0.5
    assert found["paper"]["quality"] == pytest.approx(
        0.301 * found["paper"]["volume_cm3"] + 0.699 * found["paper"]["displacement_cm"], rel=1e-4)
    assert not [name for name in found["paper"] if name.startswith("entropy")]  # two grasps have none
    assert "truth" not in found
    shown = run("evaluate", can, grasps_file, "--protocol", "paper")
    assert "2 grasps of mine" in shown.stdout
    assert "strict" not in shown.stdout


def changed(path, to, **arrays):
    """The grasps' file with other arrays in it, as `to`."""
    with np.load(path, allow_pickle=False) as stored:
        np.savez(to, **{**stored, **arrays})
    return to


def test_evaluate_against_a_truth(can, grasps_file, tmp_path, capsys):
    """The first hand is where it should be, the second 3 and 4 cm off."""
    truth = changed(grasps_file, tmp_path / "truth.npz", transl=np.array([[1.2, 0, 0], [0.29, 0.03, 0.04]], np.float32))
    asked = ["evaluate", str(can), str(grasps_file), "--protocol", "paper", "--truth", str(truth)]
    assert cli.main([*asked, "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())["truth"]
    assert found["mpjpe_mm"] == pytest.approx(25, abs=1e-3)
    assert found["r_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert 0 < found["contact_f1"] < 0.5
    assert set(found) == {"mpjpe_mm", "r_mpjpe_mm", "contact_precision", "contact_recall", "contact_f1",
                          "contact_object_f1"}
    capsys.readouterr()
    assert cli.main(asked) == 0
    shown = capsys.readouterr().out
    assert all(f"truth   {name} " in shown for name in found)


@pytest.mark.parametrize("change, sentence", [
    ({name: np.zeros((3, width)) for name, width in
      (("global_orient", 3), ("hand_pose", 45), ("transl", 3), ("betas", 10))}, "2 grasps and 3 true ones"),
    ({"hand": np.array("left")}, "true grasps are of a left hand"),
    ({"transl": np.full((2, 3), np.inf)}, "truth.npz holds numbers that are none"),
])
def test_a_truth_that_does_not_fit_is_one_sentence(change, sentence, can, grasps_file, tmp_path, capsys):
    truth = changed(grasps_file, tmp_path / "truth.npz", **change)
    assert cli.main(["evaluate", str(can), str(grasps_file), "--truth", str(truth)]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("change, sentence", [
    ({"unit": np.array("furlong")}, "furlong"),
    ({"hand": np.array("upper")}, "one of right, left"),
    ({"score": np.zeros(7)}, "score"),
    ({"type": np.array(["a", "b", "c"])}, "2 grasps, but its score, type or centroid"),
    ({"type": np.zeros(2)}, "type holds no text"),
    ({"centroid": np.zeros(2)}, "2 grasps, but its score, type or centroid"),
    ({"hand_pose": np.array([["a"] * 45] * 2)}, "hand_pose holds no numbers"),
    ({"transl": np.array(1.0)}, "transl is (), not (2, 3)"),
    ({"hand_pose": np.zeros((2, 12))}, "use_pca=False"),
    ({"unit": np.array("m")}, "the unit of its mesh"),
    ({"hand_pose": np.zeros((2, 30))}, "hand_pose"),
])
def test_what_does_not_fit_in_a_grasps_file_is_one_sentence(change, sentence, can, grasps_file, tmp_path, capsys):
    path = changed(grasps_file, tmp_path / "grasps.npz", **change)
    assert cli.main(["evaluate", str(can), str(path), "--protocol", "paper"]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda p: p.write_bytes(b"no"), "not a file of grasps, or it is damaged"),
    (lambda p: [np.save(p.with_suffix(".npy"), np.zeros((4, 45))), p.with_suffix(".npy").rename(p)],
     "not a file of grasps, or it is damaged"),
    (lambda p: p.mkdir(), "is a folder"),
    (lambda p: np.savez(p, hand_pose=np.zeros((1, 45))), "holds no global_orient and no transl and no betas"),
    (lambda p: p.unlink(missing_ok=True), "There is no file"),
    (lambda p: np.savez(p, global_orient=np.full((1, 3), np.nan), hand_pose=np.zeros((1, 45)), transl=np.zeros((1, 3)),
                        betas=np.zeros((1, 10))), "holds numbers that are none"),
])
def test_a_file_that_is_none_is_one_sentence(change, sentence, can, tmp_path, capsys):
    path = tmp_path / "grasps.npz"
    change(path)
    assert cli.main(["evaluate", str(can), str(path)]) == 1
    assert sentence in capsys.readouterr().err
