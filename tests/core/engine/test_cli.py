"""The shell commands, as a person starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core import cli

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.mark.parametrize("arguments, sentence", [
    (["no.obj", "--out", "a.npz"], "There is no file no.obj"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.txt"], "ends in .npz"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "no/where/a.npz"], "no folder"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--method", "magic"], "no method 'magic'"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--count", "0"], "whole number"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--type", "claw"], "no grasp type"),
    ([ROOT / "scripts/samples/mug.obj", "--out", "a.npz", "--unit", "mm"], "too small"),
])
def test_a_mistake_is_one_sentence(arguments, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["generate", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grasps.npz"
    path.write_bytes(b"before")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        cli.write_whole(path, {"a": np.zeros(3)})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
