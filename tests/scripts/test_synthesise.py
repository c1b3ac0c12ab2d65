"""Making training grasps: it goes on where it was, and a Ray cluster makes the same slices."""

from __future__ import annotations

import numpy as np
import pytest

from core.dataset.training_grasps import COLUMNS, load_training
from core.synthesis import production
from scripts import synthesise


@pytest.fixture(scope="module")
def first(tmp_path_factory, script):
    out = tmp_path_factory.mktemp("slices")
    common = ("--out", str(out), "--jobs", "1", "--shapes", "1", "--families", "bead")
    log = script("synthesise.py", *common, "--seconds", "0.1")
    return out, common, log


def test_it_stops_when_the_time_is_up_and_goes_on_later(first, script):
    out, common, log = first
    assert len(log.splitlines()) == 1
    slices = {path.name: path.stat().st_mtime_ns for path in (out / "slices").glob("*.npz")}
    assert set(slices) == {"bead_0_any_0.npz"}
    rest = script("synthesise.py", *common, "--merge", str(out / "all.npz"))
    assert "bead_0_any_1" in rest
    assert "bead_0_any_0 " not in rest
    assert (out / "slices" / "bead_0_any_0.npz").stat().st_mtime_ns == slices["bead_0_any_0.npz"]
    merged = load_training(out / "all.npz")
    assert merged.objects == ("bead/0",)
    assert len(merged) > 0
    assert set(merged.slices) == {"bead_0_any_0", "bead_0_any_1"}
    again = out / "elsewhere"  # another machine, with the file alone: nothing is made twice, and nothing is lost
    log = script("synthesise.py", "--out", str(again), *common[2:], "--merge", str(out / "all.npz"))
    assert "bead_0_any_0 " not in log
    assert len(load_training(out / "all.npz")) == len(merged)


def test_a_ray_cluster_makes_the_same_slice(first, tmp_path, command):
    pytest.importorskip("ray")
    out, _, _ = first
    command("synthesise.py", "--out", str(tmp_path), "--jobs", "1", "--shapes", "1", "--families", "bead",
            "--seconds", "0.1", "--ray")
    here = load_training(out / "slices" / "bead_0_any_0.npz")
    there = load_training(tmp_path / "slices" / "bead_0_any_0.npz")
    for name in COLUMNS:
        assert np.array_equal(getattr(here, name), getattr(there, name)), name


def test_a_slice_that_breaks_does_not_end_the_run(tmp_path, monkeypatch):
    def broken(*given, **named):
        raise TypeError("no such cast")

    monkeypatch.setattr(production, "produce", broken)
    record = synthesise.work({"task": ("bead/0", "any", 0, ""), "out": str(tmp_path), "cache": None, "meshes": None,
                          "seed": 0, "seeds": None, "device": "cpu"})
    assert record["count"] == 0
    assert "no such cast" in record["error"]
    assert "Traceback" in (tmp_path / "bead_0_any_0.failed").read_text()
