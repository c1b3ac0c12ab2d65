"""A hand goes with all that was made for it, and nothing else."""

from __future__ import annotations

import bpy
import pytest
from fake_engine import FakeEngine
from scene import generate, names


@pytest.mark.parametrize("bake", [False, True])
def test_remove_leaves_nothing_and_takes_nothing_else(engine: FakeEngine, mug: bpy.types.Object, bake: bool) -> None:
    before = names()
    rig = generate(count=20)
    ring = bpy.data.objects.new("Ring", None)
    rig.grasp.collection.objects.link(ring)
    ring.parent = rig
    if bake:
        bpy.ops.grasp.bake()
    bpy.ops.grasp.remove()
    assert names() == before | {"objects/Ring"}
    assert ring.name in bpy.context.scene.objects
