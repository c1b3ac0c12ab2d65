"""What an animator changed on a hand that is not baked is there after Generate Grasps; what was not, makes room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, evaluated, expected, generate, select

from grasp_addon.operators.mixins import status
from grasp_addon.rig.edits import edited_candidates, what_was_edited
from grasp_addon.rig.hands import rigs, shown_candidate


def in_edit_mode(item: bpy.types.Object, edit: Callable[[], object] = lambda: None) -> None:
    select(item)
    bpy.ops.object.mode_set(mode="EDIT")
    edit()
    bpy.ops.object.mode_set(mode="OBJECT")


def longer_bone(rig: bpy.types.Object) -> None:
    in_edit_mode(rig, lambda: setattr(rig.data.edit_bones["f_index.03.R"], "length", 0.05))


def another_bone(rig: bpy.types.Object) -> None:
    in_edit_mode(rig, lambda: setattr(rig.data.edit_bones.new("mine"), "tail", (0, 0, 0.1)))


def cut_vertices(rig: bpy.types.Object) -> None:
    import bmesh

    made = bmesh.new()
    made.from_mesh(rig.grasp.mesh.data)
    made.verts.ensure_lookup_table()
    bmesh.ops.delete(made, geom=made.verts[:20], context="VERTS")
    made.to_mesh(rig.grasp.mesh.data)
    made.free()


def sculpted_key(rig: bpy.types.Object) -> None:
    rig.grasp.mesh.data.shape_keys.key_blocks[2].data[5].co.x += 0.004


def another_material(rig: bpy.types.Object) -> None:
    rig.grasp.mesh.material_slots[0].material = bpy.data.materials.new("Glove")


def own_key(rig: bpy.types.Object) -> None:
    rig.grasp.mesh.shape_key_add(name="My Fix", from_mix=False)


#: each with what is said to have changed
KEPT: dict[str, tuple[Callable[[bpy.types.Object], object], list[str]]] = {
    "a bone made longer": (longer_bone, ["bones"]),
    "a bone added": (another_bone, ["bones"]),
    "a bone renamed": (lambda rig: setattr(rig.data.bones[3], "name", "Mine"), ["bones", "weights"]),
    "painted weights": (lambda rig: rig.grasp.mesh.vertex_groups[2].add([3], 0.2, "REPLACE"), ["weights"]),
    "a modifier": (lambda rig: rig.grasp.mesh.modifiers.new("Smooth", "SUBSURF"), ["modifiers"]),
    "a material": (another_material, ["materials"]),
    "a constraint": (lambda rig: rig.pose.bones[4].constraints.new("LIMIT_ROTATION"), ["constraints"]),
    "Euler bones": (lambda rig: setattr(rig.pose.bones[4], "rotation_mode", "XYZ"), ["rotation modes"]),
    "a shape key": (own_key, ["shape keys"]),
    "animation": (lambda rig: rig.keyframe_insert("location", frame=3), ["animation"]),
}


@pytest.mark.parametrize("edit", KEPT)
def test_an_edited_hand_gets_the_new_candidates(engine: FakeEngine, mug: bpy.types.Object, edit: str) -> None:
    rig = generate()
    change, words = KEPT[edit]
    change(rig)
    bpy.ops.grasp.show(candidate=3)
    assert what_was_edited(rig) == words
    for seed in (5, 6):
        select(mug)
        assert generate(seed=seed) == rig
        assert rigs() == [rig]
        assert what_was_edited(rig) == words
        assert [c.number for c in rig.grasp.candidates] == [1, 2, 3, 4]
    if edit not in ("a bone made longer", "painted weights", "a modifier", "a constraint"):
        assert np.abs(evaluated(rig) - expected(mug, 1, seed=6)).max() < TOLERANCE


def test_a_hand_that_candidates_do_not_fit_stays_beside_and_is_named(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    cut_vertices(rig)
    count = len(rig.grasp.mesh.data.vertices)
    select(mug)
    other = generate(seed=5)
    assert set(rigs()) == {rig, other}
    assert len(rig.grasp.mesh.data.vertices) == count
    assert f"{rig.name} stays as well, for you changed its mesh" in status.message
    select(mug)
    third = generate(seed=6)
    assert len(rigs()) == 2
    assert rig in rigs()
    assert np.abs(evaluated(third) - expected(mug, 1, seed=6)).max() < TOLERANCE


@pytest.mark.parametrize("edit", [
    sculpted_key, lambda rig: setattr(rig.grasp.mesh.data.shape_keys.key_blocks[2], "name", "The Good One")],
    ids=["sculpted", "renamed"])
def test_an_edited_candidate_is_kept_as_the_animators(engine: FakeEngine, mug: bpy.types.Object,
                                                      edit: Callable[[bpy.types.Object], object]) -> None:
    rig = generate()
    edit(rig)
    key = rig.grasp.mesh.data.shape_keys.key_blocks[2]
    name, points = key.name, [tuple(point.co) for point in key.data]
    bpy.ops.grasp.show(candidate=1)
    assert [entry.number for entry in edited_candidates(rig)] == [2]
    select(mug)
    assert generate(seed=5) == rig
    assert [(c.number, c.own) for c in rig.grasp.candidates] == [(2, True), (1, False), (3, False), (4, False),
                                                                 (5, False)]
    key = rig.grasp.mesh.data.shape_keys.key_blocks[name]
    assert [tuple(point.co) for point in key.data] == points
    assert shown_candidate(rig) == 2


@pytest.mark.parametrize("parent", [True, False], ids=["following", "free"])
def test_a_moved_hand_keeps_the_grasp_it_was_moved_with(engine: FakeEngine, mug: bpy.types.Object,
                                                        parent: bool) -> None:
    rig = generate(parent=parent)
    bpy.ops.grasp.show(candidate=2)
    rig.location.x += 0.1
    rig.rotation_euler.z += 0.4
    theirs = evaluated(rig)
    assert what_was_edited(rig) == ["place"]
    select(mug)
    assert generate(seed=5) == rig
    assert [(c.number, c.own) for c in rig.grasp.candidates] == [(2, True), (1, False), (3, False), (4, False),
                                                                 (5, False)]
    assert f"{rig.name} keeps 02 Medium Wrap, the grasp that you moved with it" in status.message
    assert np.abs(evaluated(rig) - expected(mug, 1, seed=5)).max() < TOLERANCE, "the new one is on the object"
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - theirs).max() < TOLERANCE
    bpy.ops.grasp.show(candidate=3)
    select(mug)
    assert generate(seed=6) == rig
    assert [c.number for c in rig.grasp.candidates] == [2, 1, 3, 4, 5], "it was not moved again"
    assert "moved" not in status.message


def test_an_open_hand_that_was_moved_stays_where_it_is(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bpy.ops.grasp.show(candidate=0)
    rig.location.x += 0.1
    select(mug)
    assert generate(seed=5) == rig
    assert rig.location.x == pytest.approx(0.1)
    assert [c.own for c in rig.grasp.candidates] == [False] * 4
    assert np.abs(evaluated(rig) - expected(mug, 1, seed=5)).max() < TOLERANCE


@pytest.mark.parametrize("move", [
    lambda rig: setattr(rig, "scale", (1.5, 1.5, 1.5)), lambda rig: setattr(rig.grasp.mesh, "location", (0.1, 0, 0))],
    ids=["scaled", "the mesh alone"])
def test_where_no_candidates_lie_right_a_moved_hand_stays_beside(engine: FakeEngine, mug: bpy.types.Object,
                                                                 move: Callable[[bpy.types.Object], object]) -> None:
    rig = generate()
    move(rig)
    theirs = evaluated(rig)
    select(mug)
    other = generate(seed=5)
    assert set(rigs()) == {rig, other}
    assert np.array_equal(evaluated(rig), theirs)
    assert f"{rig.name} stays as well, for you changed its place" in status.message
    assert np.abs(evaluated(other) - expected(mug, 1, seed=5)).max() < TOLERANCE


def test_a_hand_that_was_refined_is_moved_from_where_it_stands_then(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    rig.location.x += 0.02
    bpy.context.view_layer.update()
    select(rig, mug)
    bpy.ops.grasp.refine()
    assert what_was_edited(rig) == []


def looked_at(rig: bpy.types.Object) -> None:
    bpy.context.scene.grasp.show_contact = True
    for number in (2, 0, 4, 1):
        bpy.ops.grasp.show(candidate=number)
    bpy.context.scene.grasp.show_contact = False


def saved_and_opened(rig: bpy.types.Object) -> None:
    path = str(Path(bpy.app.tempdir) / "hand.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)


def deleted_mesh(rig: bpy.types.Object) -> None:
    select(rig.grasp.mesh)
    bpy.ops.object.delete()


def both_in_edit_mode(rig: bpy.types.Object) -> None:
    for item in (rig, rig.grasp.mesh):
        in_edit_mode(item)


def moved_with_the_mug(rig: bpy.types.Object) -> None:
    bpy.data.objects["Mug"].location.z += 1.0


@pytest.mark.parametrize("change", [
    looked_at, saved_and_opened, both_in_edit_mode, moved_with_the_mug,
    lambda rig: rig.grasp.mesh.shape_key_clear(),
    lambda rig: rig.grasp.mesh.modifiers.clear(),
    lambda rig: in_edit_mode(rig, lambda: rig.data.edit_bones.remove(rig.data.edit_bones["f_index.03.R"])),
    deleted_mesh,
], ids=["looked at", "saved", "Edit Mode", "the object moved",
        "keys cleared", "modifiers cleared", "a bone deleted", "the mesh deleted"])
def test_a_hand_in_which_nothing_is_theirs_is_made_anew(engine: FakeEngine, mug: bpy.types.Object,
                                                        change: Callable[[bpy.types.Object], object]) -> None:
    change(generate())
    bpy.context.view_layer.update()
    for rig in rigs():
        assert what_was_edited(rig) == []
        assert edited_candidates(rig) == []
    mug = bpy.data.objects["Mug"]
    select(mug)
    rig = generate(seed=5)
    assert [o for o in bpy.data.objects if o.grasp.role == "ARMATURE"] == [rig]
    assert np.abs(evaluated(rig) - expected(mug, 1, seed=5)).max() < TOLERANCE
