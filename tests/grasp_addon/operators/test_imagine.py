"""Imagine Object and Grasp: a row of new objects, each with its hand, in one step that is undone as one."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine, random_candidates, tube_hand
from scene import TOLERANCE, evaluated, names
from window import TICK, Clicked, Window

from grasp_addon.engine.replies import NonsenseError, check_reply
from grasp_addon.operators import imagine, request_operator
from grasp_addon.rig.hands import rigs


def imagined() -> list[bpy.types.Object]:
    return sorted((o for o in bpy.data.objects if o.name.startswith("Imagined") and o.type == "MESH"
                   and not o.grasp.role), key=lambda o: o.name)


def test_each_object_has_its_hand_and_they_stand_in_a_row_at_the_cursor(engine: FakeEngine) -> None:
    bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)
    bpy.ops.grasp.imagine(count=3)
    items = imagined()
    assert len(items) == 3
    assert {rig.grasp.target for rig in rigs()} == set(items)
    for place, item in enumerate(items):
        corners = np.array([item.matrix_world @ v.co for v in item.data.vertices])
        assert (corners.min(0) + corners.max(0)) / 2 == pytest.approx([1 + 0.38 * place, 2, 3], abs=1e-5)
        rig = next(rig for rig in rigs() if rig.grasp.target == item)
        hand = random_candidates(tube_hand(), 3)[place].vertices + np.array(item.matrix_world.translation)
        assert np.abs(evaluated(rig) - hand).max() < TOLERANCE
        assert rig.parent == item
        assert all(len(polygon.vertices) == 3 for polygon in item.data.polygons)
    assert bpy.context.selected_objects == items
    assert bpy.context.view_layer.objects.active == items[0]


def test_eight_are_made_by_default_with_the_panels_settings(engine: FakeEngine, mug: bpy.types.Object) -> None:
    settings = bpy.context.scene.grasp
    settings.side, settings.seed, settings.hand_length, settings.intent = "left", 4, 1.9, "hold"
    bpy.ops.grasp.imagine()
    message = engine.sent[-1][0]
    assert (message["type"], message["count"], message["side"], message["seed"]) == ("imagine", 8, "left", 4)
    assert (message["hand_length"], message["intent"]) == (pytest.approx(1.9), "hold")
    assert len(imagined()) == 8
    assert not any(rig.grasp.target == mug for rig in rigs())


def test_it_is_one_step_to_undo(engine: FakeEngine) -> None:
    assert imagine.GRASP_OT_imagine.bl_options == {"UNDO"}
    before = names()
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.grasp.imagine(count=2)
    bpy.ops.ed.undo_push(message="imagined")
    assert len(imagined()) == 2
    bpy.ops.ed.undo()
    assert names() == before


def test_an_engine_that_cannot_is_a_sentence_and_nothing_is_changed(engine: FakeEngine) -> None:
    engine.imagining = ()
    before = names()
    with pytest.raises(RuntimeError, match="cannot imagine objects"):
        bpy.ops.grasp.imagine()
    assert names() == before


def test_faces_of_vertices_that_are_not_there_are_nonsense(engine: FakeEngine) -> None:
    shape = tube_hand()
    one = random_candidates(shape, 1)[0]
    arrays = {"rest_vertices": one.rest_vertices, "rotations": one.rotations, "translation": one.translation,
              "vertices": one.vertices, "object_vertices": np.zeros((3, 3), np.float32),
              "object_faces": np.array([[0, 1, 2]], np.int32)}
    check_reply("imagine", {"type": "imagined"}, arrays)
    with pytest.raises(NonsenseError, match="object_faces of vertices that are not there"):
        check_reply("imagine", {"type": "imagined"}, arrays | {"object_faces": np.array([[0, 1, 3]], np.int32)})
    with pytest.raises(NonsenseError, match="object_faces that are none"):
        check_reply("imagine", {"type": "imagined"}, arrays | {"object_faces": np.zeros((0, 4), np.int32)})
    with pytest.raises(NonsenseError, match="in answer to 'generate'"):
        check_reply("generate", {"type": "imagined"}, arrays)


def test_a_tick_makes_one_object_and_meanwhile_nothing_else_is_done(
        engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once would hold the window for a quarter of a second."""
    monkeypatch.setattr(request_operator, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    window, clicked = Window(), Clicked(lambda context: imagine.begin(context, 3))
    assert clicked.invoke(window, None) == {"RUNNING_MODAL"}
    assert clicked.modal(window, SimpleNamespace(type="Z", value="PRESS")) == {"PASS_THROUGH"}
    made = [len(imagined())]
    while clicked.modal(window, TICK) != {"FINISHED"}:
        made.append(len(imagined()))
        if 0 < made[-1] < 3:
            assert clicked.modal(window, SimpleNamespace(type="Z", value="PRESS")) == {"RUNNING_MODAL"}
    assert {1, 2} <= set(made)
    assert np.diff(made).max() == 1
    assert bpy.context.selected_objects == imagined()
    assert clicked.reports == [("INFO", "3 objects with a hand on each")]
