"""The strict protocol's measures against shapes and libraries whose values are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.batch import Grasps
from core.metrics.strict import common_volume, near_surface, strict_measures
from core.objects import prepare_object
from core.objects.mesh_query import ExactSurface
from core.quality.bones import BONES, bones_crossing


def surface_of(mesh):
    return ExactSurface(mesh.vertices, mesh.faces)


def lens(first, second, apart):
    """Common volume of two balls."""
    return np.pi * (first + second - apart) ** 2 * (
        apart**2 + 2 * apart * (first + second) - 3 * (first - second) ** 2) / (12 * apart)


@pytest.mark.parametrize("apart", [0.020, 0.028, 0.033])
def test_volume_of_two_balls(apart):
    mesh = trimesh.creation.icosphere(4, 0.020)
    obj = prepare_object(mesh.vertices, mesh.faces)
    other = trimesh.creation.icosphere(4, 0.015)
    other.apply_translation([apart, 0, 0])
    assert common_volume(obj, surface_of(other)) == pytest.approx(lens(0.020, 0.015, apart), rel=0.02, abs=4e-9)


def test_volume_is_nothing_without_overlap_and_all_when_inside(ball):
    small = trimesh.creation.box((0.010, 0.012, 0.014))
    assert common_volume(ball, surface_of(small)) == pytest.approx(0.010 * 0.012 * 0.014, rel=0.01)
    small.apply_translation([0.1, 0, 0])
    assert common_volume(ball, surface_of(small)) == 0


def test_volume_in_a_thin_wall(bowl):
    """A rod through a wall of one millimetre: what the wall cuts out of it, and nothing of the cavity."""
    rod = trimesh.creation.cylinder(0.008, 0.03)
    rod.apply_translation(np.array([0, 0, -0.0395]) - bowl.centroid)
    assert common_volume(bowl, surface_of(rod)) == pytest.approx(np.pi * 0.008**2 * 0.001, rel=0.12)


def test_volume_agrees_with_rays(ball, hand, ball_grasp):
    """Another library's inside (trimesh's rays), on random points, of a hand pushed deep into the ball."""
    deep = replace(ball_grasp, transl=ball_grasp.transl + torch.tensor([[0.0, -0.012, 0.0]]))
    with torch.no_grad():
        skin = hand(**deep.parameters()).vertices[0].double().numpy()
    measured = common_volume(ball, ExactSurface(skin, hand.faces.numpy()))
    low, high = np.maximum(skin.min(0), -0.033), np.minimum(skin.max(0), 0.033)
    points = np.random.default_rng(0).uniform(low, high, (100_000, 3))
    both = np.linalg.norm(points, axis=1) < 0.033
    both[both] = trimesh.Trimesh(skin, hand.faces.numpy(), process=False).contains(points[both])
    assert both.sum() > 2000
    assert measured == pytest.approx(both.mean() * (high - low).prod(), rel=0.05)


def test_depth_of_known_offsets():
    box = trimesh.creation.box((0.04, 0.04, 0.04))
    obj = prepare_object(box.vertices, box.faces)
    points = np.array([[0.017, 0, 0], [0, -0.0195, 0.001], [0.021, 0, 0], [0.05, 0, 0]])
    distance = near_surface(obj, points)
    assert distance[:3] == pytest.approx([-0.003, -0.0005, 0.001], abs=1e-6)
    assert distance[3] > 0.002


def test_measures_of_a_grasped_ball(ball, hand, ball_grasp):
    measures = strict_measures(ball, hand, ball_grasp, hold=False)
    with torch.no_grad():
        distance = hand(**ball_grasp.parameters()).vertices[0].norm(dim=1) - 0.033
    assert float(measures["depth_mm"][0]) == pytest.approx(-1000 * float(distance.min()), abs=0.1)
    clear = [part for part in range(6) if abs(float(distance[hand.parts == part].min()) - 0.002) > 1e-4]
    touching = [bool((distance[hand.parts == part] <= 0.002).any()) for part in clear]
    assert measures["parts"][0, clear].tolist() == touching
    assert measures["contact"].tolist() == [True]
    assert measures["bones_crossing"].tolist() == [0]
    assert 0 < float(measures["volume_cm3"][0]) < 0.2
    assert "held" not in measures


def test_measures_of_a_hand_far_away_and_of_none(ball, hand, ball_grasp):
    far = replace(ball_grasp, transl=ball_grasp.transl + 1.0)
    measures = strict_measures(ball, hand, far, hold=False)
    for name in ("volume_cm3", "depth_mm", "bones_crossing"):
        assert measures[name].tolist() == [0]
    assert not measures["parts"].any()
    assert not measures["contact"].any()
    assert len(strict_measures(ball, hand, Grasps.empty(), hold=False)["depth_mm"]) == 0


def hand_with_bone(start, end, bone=0):
    """Joints far away, but for one bone."""
    joints = torch.full((1, 21, 3), 1.0) + torch.arange(21)[None, :, None] * 0.01
    first, last = BONES[bone]
    joints[0, first], joints[0, last] = torch.tensor(start).float(), torch.tensor(end).float()
    for other in {joint for pair in BONES[3 * (bone // 3):3 * (bone // 3) + 3] for joint in pair} - {first, last}:
        joints[0, other] = joints[0, last] if other > last or other >= 16 else joints[0, first]
    return joints


def test_a_bone_through_a_thin_bowl(bowl):
    down = np.array([0, 0, -0.0395]) - bowl.centroid
    across = hand_with_bone(down - [0, 0, 0.01], down + [0, 0, 0.01])
    assert bones_crossing(bowl, across).tolist() == [1]
    inside = hand_with_bone(down + [0, 0, 0.005], down + [0, 0, 0.025])
    assert bones_crossing(bowl, inside).tolist() == [0]


def test_a_palm_through_a_wall_counts_where_it_is_asked_for(bowl):
    down = torch.tensor([0, 0, -0.0395]) - torch.from_numpy(bowl.centroid).float()
    joints = down + torch.tensor([0, 0, 0.02]) + 0.002 * torch.arange(21)[None, :, None] / 21  # in the bowl, all of it
    assert bones_crossing(bowl, joints, palm=True).tolist() == [0]
    joints[0, 0] = down - torch.tensor([0, 0, 0.02])  # but for the wrist
    assert bones_crossing(bowl, joints).tolist() == [0]
    assert bones_crossing(bowl, joints, palm=True).tolist() == [5]


def test_bones_in_a_solid(ball):
    ending = hand_with_bone([0, 0, 0.05], [0.001, 0.001, 0.0])
    assert bones_crossing(ball, ending).tolist()[0] >= 1
    wholly = hand_with_bone([0, 0, 0.005], [0, 0, -0.005])
    assert bones_crossing(ball, wholly).tolist()[0] >= 1
    beside = hand_with_bone([0.04, 0, 0.02], [0.04, 0, -0.02])
    assert bones_crossing(ball, beside).tolist() == [0]


def test_a_pressing_fingertip_is_no_crossing_but_one_far_in_is(ball):
    pressing = hand_with_bone([0, 0, 0.06], [0, 0, 0.0320], bone=2)
    assert bones_crossing(ball, pressing).tolist() == [0]
    through = hand_with_bone([0, 0, 0.06], [0, 0, 0.0290], bone=2)
    assert bones_crossing(ball, through).tolist() == [1]


# --- other libraries ---


def solid(mesh, scale=1000):
    """A mesh as manifold3d's solid, in millimetres: it passes over what is very small."""
    manifold3d = pytest.importorskip("manifold3d")
    return manifold3d.Manifold(manifold3d.Mesh(np.asarray(scale * mesh.vertices, np.float32),
                                               np.asarray(mesh.faces, np.uint32)))


def surface_mesh(obj):
    return trimesh.Trimesh(obj.surface.vertices, obj.surface.faces, process=False)


@pytest.fixture(scope="module")
def ring():
    mesh = trimesh.creation.torus(0.03, 0.012, major_sections=64, minor_sections=32)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.mark.parametrize("place", [(0.03, 0, 0), (0.028, 0.008, 0.006), (0, 0.02, -0.01)])
def test_volume_is_that_of_the_boolean(ring, place):
    """manifold3d intersects the two meshes; cells of a millimetre are counted here."""
    turn = trimesh.transformations.euler_matrix(0.4, 1.1, -0.3)
    block = trimesh.creation.box((0.02, 0.03, 0.016), transform=turn).apply_translation(place)
    exact = (solid(surface_mesh(ring)) ^ solid(block)).volume() * 1e-9
    assert exact > 5e-7
    assert common_volume(ring, surface_of(block)) == pytest.approx(exact, rel=0.02)


def test_volume_of_a_hand_in_a_bowl_is_that_of_the_boolean(bowl, hand):
    skin = hand.v_template.double().numpy()  # flat: a fist's skin runs through itself, which is no boolean's solid
    wall = solid(surface_mesh(bowl))
    counted, exact = [], []
    for down in np.linspace(0.043, 0.048, 6):  # a wall of one cell's width: right on average
        through = skin - skin[hand.tip_vertices[2]] + np.array([0, 0, -down]) - bowl.centroid
        exact.append((wall ^ solid(trimesh.Trimesh(through, hand.faces, process=False))).volume() * 1e-9)
        counted.append(common_volume(bowl, ExactSurface(through, hand.faces.numpy())))
    assert min(exact) > 5e-8
    assert counted == pytest.approx(exact, rel=0.1)
    assert np.mean(counted) == pytest.approx(np.mean(exact), rel=0.03)


def test_depth_is_that_of_another_library(ring):
    """PyBullet's distance from a small ball to the ring's triangles, and manifold3d's inside."""
    pybullet = pytest.importorskip("pybullet")
    points = np.random.default_rng(0).uniform(-1, 1, (400, 3)) * [0.045, 0.045, 0.014]
    client = pybullet.connect(pybullet.DIRECT)
    try:
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_MESH, vertices=ring.surface.vertices.tolist(), indices=ring.surface.faces.ravel().tolist(),
            flags=pybullet.GEOM_FORCE_CONCAVE_TRIMESH, physicsClientId=client)
        body = pybullet.createMultiBody(0, shape, physicsClientId=client)
        pybullet.changeDynamics(body, -1, collisionMargin=0.0, physicsClientId=client)
        speck = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=1e-5, physicsClientId=client)
        far = np.array([min((found[8] for found in pybullet.getClosestPoints(
            body, -1, 0.05, collisionShapeB=speck, collisionShapePositionB=point, physicsClientId=client)),
            default=np.nan) for point in points.tolist()]) + 1e-5
    finally:
        pybullet.disconnect(client)
    inside = surface_mesh(ring).contains(points)
    assert inside.sum() > 50
    mine = near_surface(ring, points)
    assert np.array_equal(mine < 0, inside)
    near = np.isfinite(mine) & (np.abs(mine) > 1e-4) & np.isfinite(far)
    assert near.sum() > 50
    assert np.abs(mine[near]) == pytest.approx(np.abs(far[near]), abs=2e-5)


def test_bones_that_cross_are_those_of_the_boolean(bowl):
    """manifold3d: a needle along the bone shares volume with the wall, or it does not."""
    rng = np.random.default_rng(1)
    wall = solid(surface_mesh(bowl))
    agreed = []
    for _ in range(60):
        start, end = rng.uniform(-0.045, 0.045, (2, 3))
        end = start + (end - start) * 0.03 / np.linalg.norm(end - start)
        needle = solid(trimesh.creation.cylinder(0.02, segment=[1000 * start, 1000 * end], sections=6), 1)
        assert needle.volume() > 0
        crossing = (wall ^ needle).volume() > 0
        agreed.append((int(bones_crossing(bowl, hand_with_bone(start, end))) > 0) == crossing)
    assert sum(agreed) >= 59  # a needle has a thickness


# --- left hands ---


def test_the_mirrored_grasp_of_the_mirrored_object_measures_the_same(hand, ball_grasp):
    from core.hand import load_hand

    def lump(sign):
        mesh = trimesh.creation.icosphere(4, 0.03)
        vertices = mesh.vertices * [1.2 * sign, 1.0, 0.9] + [0.004 * sign, 0, 0] * (mesh.vertices[:, 1:2] > 0)
        return prepare_object(vertices, mesh.faces[:, ::sign])

    deep = replace(ball_grasp, transl=ball_grasp.transl + torch.tensor([[0.003, -0.01, 0.002]]))
    turned = deep.global_orient.clone()
    flip = torch.tensor([-1.0, 1.0, 1.0])
    other = replace(deep, global_orient=turned * -flip, transl=deep.transl * flip, hand="left",
                    hand_pose=(deep.hand_pose.reshape(-1, 15, 3) * -flip).reshape(-1, 45))
    right, left = lump(1), lump(-1)
    one = strict_measures(right, hand, deep, hold=False)
    two = strict_measures(left, load_hand(None, "left"), other, hold=False)
    assert float(one["volume_cm3"]) > 1
    for name, value in one.items():
        assert two[name].float().tolist()[0] == pytest.approx(value.float().tolist()[0], rel=0.01, abs=0.02), name
