"""What is offered before an engine was asked, and what it is called after."""

from __future__ import annotations

import ast

from grasp_addon.engine import session
from grasp_addon.engine.folders import ROOT
from grasp_addon.properties import TYPES, type_label


def test_the_types_offered_before_an_engine_answers_are_the_taxonomys():
    """Both lists are read as text: Blender's Python need not have torch."""
    tree = ast.parse(next((ROOT / "core").rglob("taxonomy.py")).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "GraspType"]
    made = [c.args[0].value for c in sorted(calls, key=lambda c: c.lineno)]
    assert len(made) >= 12
    assert list(TYPES) == made


def test_the_engine_says_what_a_type_is_called(monkeypatch):
    monkeypatch.setattr(session, "info", session.EngineInfo)
    assert type_label("prismatic_four") == "Prismatic Four"
    told = session.EngineInfo(type_labels={"prismatic_four": "Prismatic 4 Finger"})
    monkeypatch.setattr(session, "info", lambda: told)
    assert type_label("prismatic_four") == "Prismatic 4 Finger"
    assert type_label("of_tomorrow") == "Of Tomorrow"
    assert type_label("") == ""
