"""Which hand is meant: that on the active object, a part of it or what it is a part of, or the one it hangs on."""

from __future__ import annotations

import bpy
import pytest
from fake_engine import FakeEngine
from scene import generate, select

from grasp_addon.operators.refine import hand_to_refine
from grasp_addon.rig.hands import rig_of, rigs


@pytest.fixture
def imported(engine: FakeEngine) -> dict[str, bpy.types.Object]:
    """A root with a body, a handle on it and a knob on that; a hand on the body, and a later one on something else."""
    found = {"Root": bpy.data.objects.new("Root", None)}
    bpy.context.scene.collection.objects.link(found["Root"])
    for name, place, above in (("Body", 0.0, "Root"), ("Handle", 0.06, "Body"), ("Knob", 0.08, "Handle"),
                               ("Other", 3.0, None)):
        bpy.ops.mesh.primitive_cylinder_add(radius=0.03, depth=0.05, location=(place, 0, 0))
        found[name] = bpy.context.object
        found[name].name, found[name].parent = name, found.get(above)
    bpy.context.view_layer.update()
    for name in ("Body", "Other"):
        select(found[name])
        generate(count=2)
    ring = bpy.data.objects.new("Ring", None)
    bpy.context.scene.collection.objects.link(ring)
    ring.parent = next(r for r in rigs() if r.grasp.target == found["Body"])
    return found | {"Ring": ring}


@pytest.mark.parametrize("active, target", [
    ("Body", "Body"), ("Handle", "Body"), ("Knob", "Body"), ("Root", "Body"), ("Ring", "Body"), ("Other", "Other")])
def test_the_hand_is_that_of_the_whole(imported: dict[str, bpy.types.Object], active: str, target: str) -> None:
    select(imported[active])
    rig = rig_of(bpy.context)
    assert rig.grasp.target.name == target
    assert hand_to_refine(bpy.context) == rig
    assert bpy.ops.grasp.show(candidate=2) == {"FINISHED"}
    assert rig.grasp.mesh.data.shape_keys.key_blocks[2].value == 1
    assert bpy.ops.grasp.bake() == {"FINISHED"}
    assert rig.animation_data.action


def test_what_has_no_hand_means_the_last_one_and_refines_none(imported: dict[str, bpy.types.Object]) -> None:
    bpy.ops.mesh.primitive_cube_add(size=0.05, location=(0, 5, 0))
    select(bpy.context.object)
    assert rig_of(bpy.context).grasp.target.name == "Other"
    assert hand_to_refine(bpy.context) is None


@pytest.mark.parametrize("selected", ["Handle", "Knob"])
def test_a_part_alone_is_refined_as_the_whole(imported: dict[str, bpy.types.Object], engine: FakeEngine,
                                              selected: str) -> None:
    rig = next(r for r in rigs() if r.grasp.target == imported["Body"])
    bpy.ops.grasp.show(candidate=0)
    select(imported[selected])
    bpy.context.view_layer.update()
    bpy.ops.grasp.refine()
    message, arrays = engine.sent[-1]
    assert message["type"] == "fit"
    assert len(arrays["vertices"]) == sum(len(imported[n].data.vertices) for n in ("Body", "Handle", "Knob"))
    assert rig.grasp.target == imported["Body"]
