"""How near a surface is, seen from either side of a wall."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from grasp_addon.rig.proximity import closeness


def test_behind_a_thin_wall_nothing_is_touched() -> None:
    """A block 1 mm above a wall of 2 mm: the wall's upper side is near it, the lower one has the wall between."""
    bpy.ops.mesh.primitive_cube_add(size=0.02, location=(0, 0, 0.011))
    block = bpy.context.object.data
    block.calc_loop_triangles()
    tree = BVHTree.FromPolygons([v.co + Vector((0, 0, 0.011)) for v in block.vertices],
                                [tuple(t.vertices) for t in block.loop_triangles])
    points, normals = np.array([[0, 0, 0], [0, 0, -0.002]]), np.array([[0, 0, 1.0], [0, 0, -1]])
    assert closeness(points, tree, 1.0, 0.005, normals) == pytest.approx([0.8, 0.0])
    assert closeness(points, tree, 1.0, 0.005) == pytest.approx([0.8, 0.4])
