"""The ablations' tables: rows share what they have in common, are measured as all others are, and go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from core.objects import prepare_object


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A file of training grasps of an object to train on and one that is held out."""
    from core.dataset.training_grasps import load_training, merge

    data = load_training(Path(__file__).resolve().parents[3] / "weights" / "training" / "grasps.npz")
    path = tmp_path_factory.mktemp("training") / "two.npz"
    merge([data[data.object == data.objects.index(name)][:8] for name in ("can/0", "can/5")]).save(path)
    return path


def test_rows_share_and_go_on(training, tmp_path, script):
    common = ("--out", tmp_path / "out", "--training", training, "--cache", tmp_path / "cache", "--scale", 1e-6,
              "--limit", 1, "--count", 2, "--batch", 2)
    rows = ("--rows", "diffusion", "whole", "vertices_physical", "object_frame")
    script("benchmarks/ablate.py", *common, *rows, "--minutes", 1e-6, fails=True)  # no time, no row
    script("benchmarks/ablate.py", *common, *rows)
    home = tmp_path / "out" / "scale_1e-06_2"
    found = {row["name"]: row for row in json.loads((tmp_path / "out" / "ablations.json").read_text())["rows"]}
    assert list(found) == ["diffusion", "whole", "vertices_physical", "object_frame"]
    for row in found.values():
        assert 1 < row["joint_mm"] < 500
        assert row["grasps"] == 2
        assert row["paper_displacement_cm"] >= 0
    assert found["whole"]["steps"] == "reconstruction 1, autoencoder 1, diffusion 1, adaptation 1"
    assert found["diffusion"]["steps"] == "reconstruction 1, autoencoder 1, diffusion 1"
    # One auto-encoder and one diffusion for both; hands differ by the adaptation alone.
    logs = [(home / "trained" / name / "diffusion.jsonl").read_text() for name in ("diffusion", "whole")]
    assert logs[0] == logs[1]
    hands = [np.load(home / "grasps" / name / "can" / "5.npz")["transl"] for name in ("diffusion", "whole")]
    assert np.abs(hands[0] - hands[1]).max() > 0
    text = (tmp_path / "out" / "ablations.md").read_text()
    assert "**FastGrasp, Table 1**" in text
    assert "| whole pipeline |" in text
    assert text.startswith("Short runs: 1e-06 of the steps")
    assert str(tmp_path) not in text
    kept = {path: path.stat().st_mtime_ns for path in (home / "grasps").rglob("*.npz")}
    script("benchmarks/ablate.py", *common, *rows)
    assert kept == {path: path.stat().st_mtime_ns for path in (home / "grasps").rglob("*.npz")}


def test_dvqvaes_rows_share_codes_hide_points_and_place_grasps_anew(training, tmp_path, script):
    names = ["dvq_dual", "dvq_code", "masked_90", "off", "placed"]
    script("benchmarks/ablate.py", "--out", tmp_path / "out", "--training", training, "--cache", tmp_path / "cache",
           "--scale", 1e-6, "--limit", 1, "--count", 2, "--batch", 2, "--rows", *names)
    rows = json.loads((tmp_path / "out" / "ablations.json").read_text())["rows"]
    assert [row["name"] for row in rows] == names
    assert all(row["grasps"] == 2 for row in rows)
    home = tmp_path / "out" / "scale_1e-06_2"
    logs = [(home / "trained" / name / "codes.jsonl").read_text() for name in ("dvq_dual", "dvq_code", "placed")]
    assert logs[0] == logs[1] == logs[2]
    hands = {name: np.load(home / "grasps" / name / "can" / "5.npz") for name in names}
    assert np.abs(hands["dvq_dual"]["transl"] - hands["masked_90"]["transl"]).max() > 0
    assert np.abs(hands["off"]["hand_pose"] - hands["placed"]["hand_pose"]).max() < 1e-5  # the postures are kept
    assert np.abs(hands["off"]["transl"] - hands["placed"]["transl"]).max() > 1e-3


def test_a_masked_object_is_seen_from_one_side():
    from scripts.benchmarks.ablate import masked

    mesh = trimesh.creation.box((0.03, 0.05, 0.16)).subdivide_to_size(0.01)
    block = prepare_object(mesh.vertices, mesh.faces)
    seen = masked(block, 0.9, torch.Generator().manual_seed(0))
    assert seen.points.shape == block.points.shape
    known = seen.points.unique(dim=0)
    assert len(known) == pytest.approx(0.1 * len(block.points), abs=2)
    assert (known - known.mean(0)).norm(dim=1).max() < (block.points - block.points.mean(0)).norm(dim=1).max()
    rows = torch.cdist(seen.points[:50], block.points).argmin(1)
    assert torch.equal(seen.normals[:50], block.normals[rows])


def test_jhods_rows_share_the_encoders_and_differ_by_the_diffusion(training, tmp_path, script):
    from core.files import save_arrays
    from core.progress import Progress
    from core.training.shapes import make_columns

    save_arrays(tmp_path / "shapes.npz", make_columns([("can", 0), ("can", 5)], Progress()))
    names = ["jhod_asynchronous", "jhod_synchronous", "jhod_grasped"]
    script("benchmarks/ablate.py", "--out", tmp_path / "out", "--training", training, "--cache", tmp_path / "cache",
           "--shapes", tmp_path / "shapes.npz", "--scale", 1e-6, "--limit", 1, "--count", 2, "--batch", 2, "--rows",
           *names)
    rows = json.loads((tmp_path / "out" / "ablations.json").read_text())["rows"]
    assert [row["name"] for row in rows] == names
    assert {row["steps"] for row in rows} == {"object 1, hand 1, diffusion 1"}
    home = tmp_path / "out" / "scale_1e-06_2" / "trained"
    logs = {name: [(home / name / f"{stage}.jsonl").read_text() for stage in ("object", "diffusion")]
            for name in names}
    assert len({log[0] for log in logs.values()}) == 1
    assert len({log[1] for log in logs.values()}) == 3
    assert '"alone"' not in logs["jhod_grasped"][1]


def test_choirs_rows_refine_noisy_hands(training, tmp_path, script):
    names = ["perturbed", "keypoints", "bps", "bps_contacts", "oriented", "keypoints_fit", "bps_fit"]
    script("benchmarks/ablate.py", "--out", tmp_path / "out", "--training", training, "--cache", tmp_path / "cache",
           "--scale", 1e-6, "--limit", 1, "--count", 2, "--batch", 2, "--rows", *names)
    rows = json.loads((tmp_path / "out" / "ablations.json").read_text())["rows"]
    assert [row["name"] for row in rows] == names
    found = {row["name"]: row for row in rows}
    assert all(row["grasps"] == 2 for row in rows)
    assert [found[name]["steps"] for name in names] == ["", *["joint 1"] * 6]
    assert len({row["MPJPE mm"] for row in rows}) == 7  # every row does something else to the same hands
    home = tmp_path / "out" / "scale_1e-06_2" / "trained"
    for one, other in (("keypoints", "keypoints_fit"), ("bps", "bps_fit")):
        assert (home / one / "joint.jsonl").read_text() == (home / other / "joint.jsonl").read_text()
    assert found["bps_fit"]["overlap cm3"] <= found["bps"]["overlap cm3"]
    assert "| + BPS + contacts |" in (tmp_path / "out" / "ablations.md").read_text()


@pytest.mark.parametrize("options, sentence", [
    (["--rows", "magic"], "There is no row magic"),
    (["--rows", "whole"], "whole shares stages with diffusion"),
    (["--count", "0"], "whole numbers from 1"),
    (["--training", "no.npz"], "There is no file of training grasps no.npz"),
])
def test_what_cannot_be_is_a_sentence(training, tmp_path, options, sentence, monkeypatch):
    import sys

    from scripts.benchmarks import ablate

    given = ["ablate.py", "--out", str(tmp_path), "--training", str(training), "--scale", "1e-6", "--limit", "1",
             "--count", "2", "--cache", str(training.parent / "cache"), "--windows",
             str(training.parent / "windows.npz"), *options]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit, match=sentence):
        ablate.main()


def test_a_step_of_adaptation_costs_what_making_the_hands_took_and_not_reading_them(monkeypatch):
    from scripts.benchmarks import ablate

    class Bench:
        home = Path("out")

        def measure(self, names, protocol):
            return {name: {"seconds": 0.001, "strict_held": 0.5} for name in names}

    monkeypatch.setattr(ablate, "write_grasps", lambda folder, bench, proposed: float(folder.name.split("_")[1]))
    rows = ablate.adaptation_curve(Bench())
    assert [row["seconds"] for row in rows] == list(ablate.STEPS)
    assert [row["strict_held"] for row in rows] == [0.5] * len(ablate.STEPS)
    assert [row["label"] for row in rows if "default" in row["label"]] == ["30 steps (the default)"]
