"""The newest candidate is drawn at the object, wherever that is by then; nothing is drawn where it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from fake_engine import tube_hand

from grasp_addon.engine.mesh_export import selected_object
from grasp_addon.operators import preview
from grasp_addon.transforms import transform_points

Drawn = Callable[[], np.ndarray | None]


@pytest.fixture
def drawn(mug: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Draws a hand as a view does, and tells where its vertices are then; what draws is not in a bpy without window."""
    callbacks: list[Callable[[], None]] = []
    matrices: list[np.ndarray] = []
    placed: list[np.ndarray] = []

    def batch(_shader: object, _kind: str, content: dict, indices: np.ndarray) -> SimpleNamespace:
        assert indices.max() < len(content["pos"]) == len(content["color"])
        return SimpleNamespace(draw=lambda _: placed.append(transform_points(matrices.pop(), content["pos"])))

    space = SimpleNamespace(draw_handler_add=lambda draw, *_: callbacks.append(draw) or draw)
    monkeypatch.setattr(preview, "bpy", SimpleNamespace(data=bpy.data, types=SimpleNamespace(SpaceView3D=space)))
    monkeypatch.setattr(preview, "batch_for_shader", batch)
    monkeypatch.setattr(preview, "gpu", SimpleNamespace(
        shader=SimpleNamespace(from_builtin=lambda name: name), state=SimpleNamespace(depth_test_set=lambda _: None),
        matrix=SimpleNamespace(push_pop=contextlib.nullcontext,
                               multiply_matrix=lambda matrix: matrices.append(np.array(matrix)))))
    shape = tube_hand()
    made = preview.Preview(shape.polygons, selected_object(bpy.context))
    made.show(shape.vertices)

    def draw() -> np.ndarray | None:
        placed.clear()
        for one in callbacks:
            one()
        return placed[-1] if placed else None

    return draw


def at(mug: bpy.types.Object) -> np.ndarray:
    """(V, 3) where the hand belongs."""
    bpy.context.view_layer.update()
    turn, place = np.array(mug.matrix_world.to_quaternion().to_matrix()), np.array(mug.matrix_world.translation)
    return tube_hand().vertices @ turn.T + place


def test_it_is_drawn_where_the_object_is_now(drawn: Drawn, mug: bpy.types.Object) -> None:
    assert np.abs(drawn() - at(mug)).max() < 1e-6
    mug.location, mug.rotation_euler = (1.0, 2.0, -0.5), (0.1, -1.0, 2.0)
    where = at(mug)
    assert np.abs(drawn() - where).max() < 1e-6
    mug.name = "Cup"
    bpy.data.objects.new("Mug", None)
    mug.location.x += 3.0
    where = at(mug)
    assert np.abs(drawn() - where).max() < 1e-6


def test_scaled_to_nothing_it_stays_and_deleted_it_goes(drawn: Drawn, mug: bpy.types.Object) -> None:
    where = at(mug)
    mug.scale = (0, 1, 1)
    bpy.context.view_layer.update()
    assert np.abs(drawn() - where).max() < 1e-6
    bpy.data.objects.remove(mug)
    assert drawn() is None
