"""What is offered before an engine was asked."""

from __future__ import annotations

import ast

from grasp_addon.engine.folders import ROOT
from grasp_addon.properties import TYPES


def test_the_types_offered_before_an_engine_answers_are_the_taxonomys():
    """Both lists are read as text: Blender's Python need not have torch."""
    tree = ast.parse(next((ROOT / "core").rglob("taxonomy.py")).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "GraspType"]
    made = {c.args[0].value: c.args[1].value for c in sorted(calls, key=lambda c: c.lineno)}
    assert len(made) >= 12
    assert list(TYPES.items()) == list(made.items())
