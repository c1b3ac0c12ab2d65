"""Verdicts by the pieces near a hand against those by all pieces, on one small mesh."""

from __future__ import annotations

import json

import trimesh


def test_a_can_of_one_piece_holds_alike_by_both(tmp_path, script):
    path = tmp_path / "can.obj"
    trimesh.creation.cylinder(0.03, 0.12, sections=24).export(path)
    row = json.loads(script("benchmarks/check_pieces.py", "--meshes", path, "--hands", 2, "--method", "fastgrasp"))
    assert row["object"] == "can"
    assert row["hands"] == row["alike"] == 2
    assert row["held_near"] == row["held_whole"]
    assert row["first_near"] >= 0
