"""The tables of the fit."""

from __future__ import annotations

import json


def test_tables_of_held_out_grasps(tmp_path, script):
    script("benchmarks/check_fit.py", "--out", tmp_path, "--parts", "representation", "benchmark",
           "--limit", 1, "--count", 3)
    found = json.loads((tmp_path / "check_fit.json").read_text())
    row = found["representation"][0]
    assert row["grasps"] == 3
    assert row["joint error mm"] < 1
    assert row["contact F1"] > 0.7
    rough, fitted, refined, both = found["benchmark"]
    assert [row["method"] for row in found["benchmark"]] == [
        "perturbed input", "fit alone", "JointDiffusion", "JointDiffusion with fit"]
    assert refined["MPJPE mm"] < 0.7 * rough["MPJPE mm"]
    assert both["overlap cm3"] < min(refined["overlap cm3"], 0.5)
    assert 30 < rough["MPJPE mm"] < 160
    assert fitted["overlap cm3"] <= rough["overlap cm3"] + 0.3
    text = (tmp_path / "check_fit.md").read_text()
    assert "| perturbed input | 3 |" in text


def test_what_foretells_a_hold(tmp_path, script):
    common = ("--out", tmp_path, "--parts", "grip", "--limit", 1, "--count", 8)
    assert "--methods" in script("benchmarks/check_fit.py", *common, fails=True)
    script("benchmarks/check_fit.py", *common, "--methods", "fastgrasp")
    row, = json.loads((tmp_path / "check_fit.json").read_text())["grip"]
    assert row["method"] == "fastgrasp"
    assert row["grasps"] == 8
    for name in ("held", "held of the firmest quarter", "palm in the object"):
        assert 0 <= row[name] <= 1


def test_how_long_it_takes_with_and_without_holds_kept(tmp_path, script):
    script("benchmarks/check_fit.py", "--out", tmp_path, "--parts", "time", "--limit", 1, "--count", 3,
           "--methods", "fastgrasp")
    rows = json.loads((tmp_path / "check_fit.json").read_text())["time"]
    assert [(row["hands"], row["way"]) for row in rows] == [
        (hands, way) for hands in ("thrown", "fastgrasp") for way in ("fit", "fit, holds kept")]
    for row in rows:
        assert (row["candidates"], row["objects"]) == (3, 1)
        assert 0.01 < row["seconds, median"] <= row["largest"] < 120
