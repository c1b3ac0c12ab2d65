"""The rotational symmetry of primitives, however they lie."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from core.objects import prepare_object
from core.quality.symmetry import find_symmetry

TURN = Rotation.from_rotvec([0.4, 1.1, -0.7]).as_matrix()


def mug():
    handle = trimesh.creation.torus(0.03, 0.006)
    handle.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    handle.apply_translation([0.05, 0, 0.012])
    return trimesh.util.concatenate([trimesh.creation.cylinder(0.04, 0.1), handle])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("mesh, kind, count", [
    (trimesh.creation.cylinder(0.03, 0.1), "axis", 72),
    (trimesh.creation.cone(0.03, 0.1), "axis", 36),
    (trimesh.creation.icosphere(4, 0.03), "sphere", 1),
    (trimesh.creation.box((0.03, 0.06, 0.1)), "discrete", 4),
    (trimesh.creation.box((0.05, 0.05, 0.12)), "discrete", 8),
    (trimesh.creation.box((0.06, 0.06, 0.06)), "discrete", 24),
    (mug(), "none", 1),
])
def test_symmetry_of_primitives(mesh, kind, count, turned):
    vertices = mesh.vertices @ TURN.T if turned else mesh.vertices
    symmetry = find_symmetry(prepare_object(vertices, mesh.faces))
    assert (symmetry.kind, len(symmetry.rotations)) == (kind, count)
    assert np.allclose(symmetry.rotations[0], np.eye(3))


@pytest.mark.parametrize("mesh, kind", [
    (trimesh.creation.cylinder(0.03, 0.1), "radial"), (trimesh.creation.icosphere(4, 0.03), "spherical"),
    (trimesh.creation.box((0.03, 0.06, 0.1)), None)])
def test_trimesh_sees_the_same_round_objects(mesh, kind):
    assert mesh.symmetry == kind
    assert find_symmetry(prepare_object(mesh.vertices, mesh.faces)).kind == {
        "radial": "axis", "spherical": "sphere", None: "discrete"}[kind]
