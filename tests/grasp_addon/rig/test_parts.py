"""Hands that an animator edited: all goes on, or a sentence says what is missing; never a Python error."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate, select

from grasp_addon.rig.hands import rigs, shown_candidate
from grasp_addon.rig.parts import candidate_blocks, fault, pose_bones_of


def in_edit_mode(item: bpy.types.Object, edit: Callable[[], object]) -> None:
    select(item)
    bpy.ops.object.mode_set(mode="EDIT")
    edit()
    bpy.ops.object.mode_set(mode="OBJECT")


def delete_bones(rig: bpy.types.Object, *names: str) -> None:
    bones = rig.data.edit_bones
    in_edit_mode(rig, lambda: [bones.remove(rig.data.edit_bones[name]) for name in names])


def delete_vertices(rig: bpy.types.Object) -> None:
    mesh = rig.grasp.mesh

    def edit() -> None:
        bpy.ops.mesh.select_all(action="DESELECT")
        bpy.ops.object.mode_set(mode="OBJECT")
        for vertex in mesh.data.vertices[:40]:
            vertex.select = True
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.delete(type="VERT")

    in_edit_mode(mesh, edit)


def delete_mesh(rig: bpy.types.Object) -> None:
    select(rig.grasp.mesh)
    bpy.ops.object.delete()


def delete_key(rig: bpy.types.Object) -> None:
    mesh = rig.grasp.mesh
    select(mesh)
    mesh.active_shape_key_index = 2
    bpy.ops.object.shape_key_remove()


def rename_bones(rig: bpy.types.Object) -> None:
    for bone in rig.data.bones:
        bone.name = f"mine_{bone.name}"


def rename_keys(rig: bpy.types.Object) -> None:
    for block in rig.grasp.mesh.data.shape_keys.key_blocks[1:]:
        block.name = f"mine {block.name}"


EDITS: dict[str, Callable[[bpy.types.Object], object]] = {
    "bones renamed": rename_bones,
    "keys renamed": rename_keys,
    "objects renamed": lambda rig: [setattr(o, "name", f"Mine {n}") for n, o in enumerate((rig, rig.grasp.mesh))],
    "a fingertip's bone deleted": lambda rig: delete_bones(rig, "f_pinky.03.R"),
    "the wrist's bone deleted": lambda rig: delete_bones(rig, "hand.R"),
    "all bones deleted": lambda rig: delete_bones(rig, *[b.name for b in rig.data.bones]),
    "all keys cleared": lambda rig: rig.grasp.mesh.shape_key_clear(),
    "one key deleted": delete_key,
    "vertices deleted": delete_vertices,
    "all vertices deleted at once": lambda rig: rig.grasp.mesh.data.clear_geometry(),
    "the mesh deleted": delete_mesh,
    "the skin's modifier deleted": lambda rig: rig.grasp.mesh.modifiers.clear(),
    "the groups deleted": lambda rig: rig.grasp.mesh.vertex_groups.clear(),
    "the drivers deleted": lambda rig: [rig.animation_data.drivers.remove(d) for d in list(rig.animation_data.drivers)],
    "all animation cleared": lambda rig: rig.animation_data_clear(),
    "the mesh unparented": lambda rig: setattr(rig.grasp.mesh, "parent", None),
    "the collection unlinked": lambda rig: bpy.context.scene.collection.children.unlink(rig.grasp.collection),
    "the materials deleted": lambda rig: rig.grasp.mesh.data.materials.clear(),
    "a bone added": lambda rig: in_edit_mode(rig, lambda: setattr(rig.data.edit_bones.new("mine"), "tail", (0, 0, 1))),
    "bones scaled in rest": lambda rig: setattr(rig, "scale", (2, 2, 2)),
    "the object deleted": lambda rig: bpy.data.objects.remove(rig.grasp.target),
}


@pytest.mark.parametrize("baked", [False, True], ids=["", "baked"])
@pytest.mark.parametrize("edit", EDITS)
def test_every_button_works_or_says_why_not(engine: FakeEngine, mug: bpy.types.Object, edit: str, baked: bool,
                                            capfd: pytest.CaptureFixture) -> None:
    rig, scene = generate(), bpy.context.scene
    if baked:
        bake_at({1: 1, 9: 3})
    EDITS[edit](rig)
    bpy.context.view_layer.update()
    select(rig if rig.name in bpy.context.view_layer.objects else mug)
    mine = next((o for o in bpy.data.objects if o.name == "Mug"), None)
    buttons = (
        lambda: bpy.ops.grasp.show(candidate=2),
        lambda: setattr(rig.grasp.sliders, "of_4", 3),
        lambda: rig.grasp.sliders.of_4,
        lambda: scene.frame_set(5),
        lambda: bpy.ops.grasp.bake(),
        lambda: bpy.ops.grasp.show(candidate=1),
        lambda: bpy.ops.grasp.end_look(),
        lambda: bpy.ops.grasp.pose(),
        lambda: bpy.ops.object.mode_set(mode="OBJECT"),
        lambda: setattr(scene.grasp, "show_contact", True),
        lambda: bpy.ops.grasp.refine(),
        lambda: setattr(scene.grasp, "show_contact", False),
        lambda: bpy.context.view_layer.update(),
        lambda: mine and select(mine),
        lambda: bpy.ops.grasp.generate(),
        lambda: bpy.ops.grasp.remove(everything=True),
    )
    for number, press in enumerate(buttons):
        said = ""
        try:
            press()
        except RuntimeError as error:  # what an operator reports as an error, or that it cannot be pressed
            said = str(error)
        told = capfd.readouterr()
        assert "Traceback" not in said + told.out + told.err, (number, said, told)
    assert not rigs()


def test_renamed_bones_and_keys_are_shown_and_baked(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    bpy.ops.grasp.show(candidate=1)
    rename_bones(rig)
    rename_keys(rig)
    assert not fault(rig)
    assert pose_bones_of(rig)[0].name == "mine_hand.R"
    assert [b.name[:7] for b in candidate_blocks(rig)] == ["mine 01", "mine 02", "mine 03", "mine 04"]
    assert shown_candidate(rig) == 1
    bake_at({1: 2, 9: 3})
    rename_keys(rig)
    for frame, number in ((1, 2), (9, 3)):
        scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number)).max() < TOLERANCE
    scene.frame_set(5)
    bpy.ops.grasp.show(candidate=4)
    assert np.abs(evaluated(rig) - expected(mug, 4)).max() < TOLERANCE


@pytest.mark.parametrize("edit, sentence", [
    ("a fingertip's bone deleted", "no bone f_pinky.03.R any more"),
    ("all keys cleared", "shape keys of .* were cleared"),
    ("the mesh deleted", "The mesh of .* was deleted"),
    ("one key deleted", "was deleted, and with it this grasp"),
])
def test_what_is_missing_is_told(engine: FakeEngine, mug: bpy.types.Object, edit: str, sentence: str) -> None:
    rig = generate()
    EDITS[edit](rig)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.grasp.show(candidate=2)


def test_a_shape_key_of_the_animators_own_stays_as_it_is(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    mesh = rig.grasp.mesh
    mine = mesh.shape_key_add(name="My Fix", from_mix=False)
    mine.value = 0.25
    bake_at({1: 1, 9: 3})
    bpy.ops.grasp.show(candidate=2)
    bpy.ops.grasp.end_look()
    assert mine.value == 0.25
    mine.keyframe_insert("value", frame=1)
    action = mesh.data.shape_keys.animation_data.action.name
    bake_at({20: 2})
    assert mine.value == 0.25
    bpy.ops.grasp.remove()
    assert [a.name for a in bpy.data.actions] == [action]


def test_deleted_drivers_come_back(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    EDITS["the drivers deleted"](rig)
    bpy.ops.grasp.show(candidate=2)
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE


def test_a_linked_hand_says_where_to_bake_it(engine: FakeEngine, mug: bpy.types.Object, tmp_path: object) -> None:
    path, collection = str(tmp_path / "library.blend"), generate().grasp.collection.name
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.collections = [collection]
    scene = bpy.context.scene
    scene.collection.children.link(wanted.collections[0])
    wanted.collections[0].override_hierarchy_create(scene, bpy.context.view_layer)
    rig = next(o for o in scene.objects if o.type == "ARMATURE" and o.override_library)
    select(rig)
    scene.frame_set(30)
    for press in (lambda: bpy.ops.grasp.show(candidate=2), bpy.ops.grasp.bake, bpy.ops.grasp.pose,
                  bpy.ops.grasp.remove):
        with pytest.raises(RuntimeError, match="is linked from another file"):
            press()
    assert not bpy.data.actions
    assert rig.grasp.mesh
