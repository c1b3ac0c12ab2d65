"""What is offered before an engine was asked, and what it is called after."""

from __future__ import annotations

import ast

import bpy
from scene import generate

from grasp_addon.engine import session
from grasp_addon.engine.folders import ROOT
from grasp_addon.properties import DEFAULT_METHOD, METHODS, TYPES, good_for, type_label


def test_the_types_offered_before_an_engine_answers_are_the_taxonomys():
    """Both lists are read as text: Blender's Python need not have torch."""
    tree = ast.parse(next((ROOT / "core").rglob("taxonomy.py")).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "GraspType"]
    made = [c.args[0].value for c in sorted(calls, key=lambda c: c.lineno)]
    assert len(made) >= 12
    assert list(TYPES) == made


def test_the_methods_offered_before_an_engine_answers_are_the_registrys():
    """In its order, with its words."""
    tree = ast.parse((ROOT / "core" / "registry.py").read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Method"]
    made = {}
    for call in sorted(calls, key=lambda one: one.lineno):
        name, label, _, sentence = (argument.value for argument in call.args[:4])
        made[name] = label, sentence
    assert len(made) == 6
    assert list(METHODS.items()) == list(made.items())


def test_the_method_is_the_quickest_until_another_is_chosen():
    settings = bpy.data.scenes.new("Fresh").grasp
    assert settings.method == DEFAULT_METHOD == "dvqvae"
    settings.method = "synthesis"
    assert settings["method"] == 0  # as files of 0.1.0 have it


def test_a_click_writes_the_method_into_the_file(engine, mug):
    settings = bpy.context.scene.grasp
    assert not settings.is_property_set("method")
    generate(2)
    assert settings.is_property_set("method")
    assert settings.method == DEFAULT_METHOD


def test_what_a_method_is_good_for_is_the_engines_word_where_it_has_one(monkeypatch):
    monkeypatch.setattr(session, "info", session.EngineInfo)
    assert good_for("fastgrasp") == METHODS["fastgrasp"][1]
    assert good_for("of_tomorrow") == ""
    told = session.EngineInfo(good_for={"fastgrasp": "Quicker than ever."})
    monkeypatch.setattr(session, "info", lambda: told)
    assert good_for("fastgrasp") == "Quicker than ever."
    assert good_for("synthesis") == METHODS["synthesis"][1]


def test_the_engine_says_what_a_type_is_called(monkeypatch):
    monkeypatch.setattr(session, "info", session.EngineInfo)
    assert type_label("prismatic_four") == "Prismatic Four"
    told = session.EngineInfo(type_labels={"prismatic_four": "Prismatic 4 Finger"})
    monkeypatch.setattr(session, "info", lambda: told)
    assert type_label("prismatic_four") == "Prismatic 4 Finger"
    assert type_label("of_tomorrow") == "Of Tomorrow"
    assert type_label("") == ""
