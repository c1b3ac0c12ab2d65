"""The papers' measures, on bodies whose answer can be worked out by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
import trimesh

from core.metrics import paper, simulation
from core.metrics.controls import of_another, random_wrists
from core.metrics.diversity import canonical, clustered, features, nearest_neighbour_degrees
from core.metrics.evaluate import diversity, evaluate
from core.objects import prepare_object
from core.objects.mesh_query import ExactSurface
from core.progress import Progress, Stopped
from core.rotations import axis_angle_to_matrix


def prepared(mesh):
    return prepare_object(np.asarray(mesh.vertices), np.asarray(mesh.faces), any_size=True)


@pytest.fixture(scope="module")
def ball():
    return prepared(trimesh.creation.icosphere(subdivisions=4, radius=0.04))


# --- penetration ---


def test_voxels_are_of_the_surface_only(ball):
    """reference: a 4 cm sphere of 268 cm3 gives 140 cm3 by its surface voxels of 5 mm."""
    assert len(paper.surface_voxels(ball)) * 0.125 == pytest.approx(140, rel=0.05)


def test_the_enclosed_volume_of_two_spheres_is_the_shell_in_their_lens(ball):
    """Voxels of one sphere's surface inside another: the share of its surface, times its voxel volume."""
    other = trimesh.creation.icosphere(subdivisions=4, radius=0.04).apply_translation((0.04, 0, 0))
    voxels = paper.surface_voxels(ball)
    share = 0.25  # a cap of height r/2 of a sphere of radius r, seen by an equal sphere through its middle
    counted = paper.enclosed(voxels, np.asarray(other.vertices), np.asarray(other.faces))
    assert counted / len(voxels) == pytest.approx(share, abs=0.02)
    inside = np.linalg.norm(voxels - [0.04, 0, 0], axis=1) < 0.04
    assert counted == pytest.approx(inside.sum(), rel=0.02)


def test_the_volume_in_a_hand_is_that_of_another_library(ball, hand):
    """libigl's winding number of the sealed hand, the middle finger 3 cm deep in the ball; the wrist is far from it."""
    tip = hand.v_template[hand.tip_vertices[2]]
    inward = torch.nn.functional.normalize(tip - hand.v_template.mean(0), dim=0)
    skin = (hand.v_template - tip - 0.01 * inward).double().numpy()
    voxels = paper.surface_voxels(ball)
    counted = paper.enclosed(voxels, skin, paper.open_faces(hand))
    assert counted > 20
    assert counted == pytest.approx(int(ExactSurface(skin, hand.faces.numpy()).inside(voxels).sum()), abs=1)


def test_the_wrist_is_open(hand):
    faces = paper.open_faces(hand)
    assert len(faces) == len(hand.faces) - len(hand.cap_faces)
    mesh = trimesh.Trimesh(hand.v_template.numpy(), faces, process=False)
    assert not mesh.is_watertight


def test_far_away_nothing_is_measured(ball, hand):
    from core.grasps.batch import Grasps

    far = Grasps(torch.zeros(1, 3), torch.zeros(1, 45), torch.full((1, 3), 1.0), torch.zeros(1, 10), torch.zeros(1))
    measures = paper.paper_measures(ball, hand, far)
    assert float(measures["volume_cm3"]) == 0
    assert float(measures["depth_cm"]) == 0
    assert not bool(measures["contact"])
    assert float(measures["displacement_cm"]) == pytest.approx(10.68, abs=0.02)
    assert float(measures["quality"]) == pytest.approx(0.699 * 10.68, abs=0.02)


def test_depth_and_contact_of_a_hand_pushed_in(ball, hand):
    """The middle fingertip is put 7 mm under the surface of the ball, along a radius."""
    from core.grasps.batch import Grasps

    tip = hand.v_template[hand.tip_vertices[2]]
    inward = torch.nn.functional.normalize(tip - hand.v_template.mean(0), dim=0)
    place = (-tip - 0.033 * inward)[None]
    one = Grasps(torch.zeros(1, 3), torch.zeros(1, 45), place, torch.zeros(1, 10), torch.zeros(1))
    measures = paper.paper_measures(ball, hand, one, simulate=False)
    assert float(measures["depth_cm"]) == pytest.approx(0.7, abs=0.08)
    assert bool(measures["contact"])


def test_quality_index():
    assert float(paper.quality_index(torch.tensor(2.0), torch.tensor(3.0))) == pytest.approx(0.602 + 2.097)


def far_hands(**changes):
    from core.grasps.batch import Grasps

    numbers = {"global_orient": torch.zeros(2, 3), "hand_pose": torch.zeros(2, 45), "transl": torch.full((2, 3), 1e4),
               "betas": torch.zeros(2, 10), "score": torch.zeros(2)}
    return Grasps(**{**numbers, **changes})


def test_both_rulers_of_hands_ten_kilometres_off(ball, hand):
    told = []
    found = evaluate(ball, hand, far_hands(), progress=Progress(lambda fraction, stage: told.append(fraction)))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 8
    assert found.paper["displacement_cm"] == pytest.approx(10.68, abs=0.02)
    assert found.strict["held"] == found.strict["held_0.5"] == found.strict["volume_cm3"] == 0
    assert 2 <= found.strict["slip_cm"] < 4
    assert found.each["paper"]["displacement_cm"].shape == (2,)
    assert found.each["strict"]["parts"].shape == (2, 6)
    assert all(math.isfinite(value) for value in (*found.paper.values(), *found.strict.values()))


def test_an_evaluation_ends_where_it_is_stopped(ball, hand):
    told = []

    def report(fraction, stage):
        told.append(fraction)
        return fraction < 0.1

    with pytest.raises(Stopped):
        evaluate(ball, hand, far_hands(), progress=Progress(report))
    assert [fraction >= 0.1 for fraction in told] == [False] * (len(told) - 1) + [True]


@pytest.mark.parametrize("changes, sentence", [
    ({"hand": "left"}, "of a left hand, and the hand is a right one"),
    ({"transl": torch.full((2, 3), math.nan)}, "numbers that are none"),
    ({"hand_pose": torch.full((2, 45), 1e30)}, "turns that no hand has"),
    ({"betas": torch.full((2, 10), 1e4)}, "turns that no hand has"),
])
def test_grasps_that_cannot_be_measured_are_a_sentence(ball, hand, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(ball, hand, far_hands(**changes))
    with pytest.raises(ValueError, match=f"true grasps .*{sentence[-12:]}"):
        evaluate(ball, hand, far_hands(), truth=far_hands(**changes))


def test_no_grasps_and_no_fitting_truth_are_a_sentence(ball, hand):
    with pytest.raises(ValueError, match="no grasps to evaluate"):
        evaluate(ball, hand, far_hands()[[]])
    with pytest.raises(ValueError, match="2 grasps and 1 true"):
        evaluate(ball, hand, far_hands(), truth=far_hands()[0])


def test_a_ball_in_millimetres_taken_for_metres_is_a_sentence(hand):
    giant = prepared(trimesh.creation.icosphere(subdivisions=3, radius=40.0))
    with pytest.raises(ValueError, match="the unit of its mesh"):
        evaluate(giant, hand, far_hands(), "paper")


# --- simulation ---


def test_free_fall_is_what_35_steps_give(ball):
    # semi-implicit Euler: g dt^2 (1 + ... + 35)
    by_hand = 9.8 / 240**2 * sum(range(1, 36))
    assert by_hand == pytest.approx(0.1072, abs=2e-4)
    assert simulation.displacement(ball, None, None) == pytest.approx(by_hand, rel=0.01)


def test_a_cube_between_two_plates_stays(tmp_path):
    cube = prepared(trimesh.creation.box((0.05, 0.05, 0.05)))

    def plates(gap):
        sides = [trimesh.creation.box((0.01, 0.08, 0.08)).apply_translation((s * (0.03 - gap), 0, 0)) for s in (1, -1)]
        both = trimesh.util.concatenate(sides)
        return np.asarray(both.vertices), np.asarray(both.faces)

    held = simulation.displacement(cube, *plates(0.001), cache=tmp_path)
    let_go = simulation.displacement(cube, *plates(-0.005), cache=tmp_path)
    assert held < 0.02
    assert let_go > 0.1
    (kept,) = tmp_path.glob("*.npz")  # the hulls are kept
    kept.write_bytes(kept.read_bytes()[:200])
    assert simulation.displacement(cube, *plates(0.001), cache=tmp_path) == held  # and made again where damaged


# --- diversity ---


def test_identical_grasps_have_no_entropy_and_even_clusters_have_all():
    same = np.ones((60, 4))
    assert clustered(same) == (0.0, 0.0)
    centres = 100.0 * np.eye(20)
    even = np.repeat(centres, 5, axis=0)
    entropy, size = clustered(even)
    assert entropy == pytest.approx(math.log(20))
    assert size == pytest.approx(0)
    rng = np.random.default_rng(0)
    entropy, size = clustered(even + rng.normal(size=even.shape) * 0.01)
    assert 2.6 < entropy <= math.log(20) + 1e-9


def test_cluster_size_is_the_mean_distance_to_the_centre():
    centres = 1000.0 * np.arange(20)[:, None]
    pairs = np.concatenate([centres - 1, centres + 1])
    entropy, size = clustered(pairs)
    # k-means may share centres badly, never better than this
    assert size >= 1 - 1e-6 or entropy > 2.99
    values = np.concatenate([np.zeros((30, 1)), np.full((30, 1), 5.0)])
    assert clustered(values)[0] == pytest.approx(math.log(2))


def test_another_clustering_finds_the_same():
    """Ward's tree, cut into twenty, and SciPy's entropy, of clusters of unlike size that lie far apart."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.stats import entropy

    rng = np.random.default_rng(3)
    sizes = rng.integers(2, 9, 20)
    values = np.repeat(rng.normal(size=(20, 6)) * 50, sizes, axis=0) + rng.normal(size=(sizes.sum(), 6)) * 0.1
    label = fcluster(linkage(values, "ward"), 20, "maxclust")
    apart = [np.linalg.norm(values[label == k] - values[label == k].mean(0), axis=1) for k in range(1, 21)]
    mine, size = max(clustered(values, seed) for seed in range(8))  # k-means of some seeds shares centres badly
    assert mine == pytest.approx(entropy(np.bincount(label)[1:]), abs=1e-9)
    assert size == pytest.approx(np.concatenate(apart).mean(), rel=1e-6)


def test_entropy_is_the_mean_of_several_starts():
    """In whichever order the grasps come it says the same to a hundredth or so, as one start of k-means does not."""
    joints, parameters = torch.randn(150, 21, 3, generator=torch.Generator().manual_seed(0)), torch.randn(150, 61)
    orders = [torch.randperm(150, generator=torch.Generator().manual_seed(seed)) for seed in range(6)]
    mean = [diversity([joints[rows]], [parameters])["entropy_whitened_joints"] for rows in orders]
    one = [clustered(features("whitened_joints", joints[rows]))[0] for rows in orders]
    assert np.std(mean) < 0.5 * np.std(one)
    assert abs(np.mean(mean) - np.mean(one)) < 0.1


def test_no_entropy_of_as_many_grasps_as_clusters():
    with pytest.raises(ValueError, match="more than 20 grasps, not 20"):
        clustered(np.random.default_rng(0).normal(size=(20, 3)))
    joints, parameters = torch.randn(20, 21, 3), torch.randn(20, 61)
    assert diversity([joints], [parameters]) == {}
    both = diversity([joints, joints[:1] + 1], [parameters, parameters[:1] + 1])  # of two objects there are enough
    assert both["entropy_whitened_joints"] > 2.5
    assert all(math.isfinite(value) for value in both.values())


def test_canonical_joints_forget_where_the_hand_is(hand):
    joints = hand(torch.zeros(1, 3), torch.randn(1, 45, generator=torch.Generator().manual_seed(0)) * 0.2,
                  torch.zeros(1, 3), torch.zeros(1, 10)).joints
    turn = axis_angle_to_matrix(torch.tensor([[0.3, -1.0, 2.0]]))
    moved = joints @ turn.transpose(1, 2) + torch.tensor([0.1, 0.2, 0.3])
    assert torch.allclose(canonical(joints), canonical(moved), atol=1e-5)


def test_whitened_joints_have_unit_deviation():
    from scipy.cluster.vq import whiten

    joints = torch.randn(50, 21, 3) * torch.rand(21, 3)
    values = features("whitened_joints", joints)
    assert np.allclose(values.std(0), 1)
    assert np.allclose(values, whiten(joints.reshape(50, 63).double().numpy()))


def test_the_nearest_posture_is_found():
    dofs = torch.zeros(3, 21)
    dofs[1] += math.radians(4)
    dofs[2] += math.radians(30)
    assert nearest_neighbour_degrees(dofs).tolist() == pytest.approx([4, 4, 26], abs=0.01)
    from scipy.spatial import cKDTree

    many = torch.rand(60, 21, generator=torch.Generator().manual_seed(0))
    apart = np.degrees(cKDTree(many.numpy()).query(many.numpy(), k=2)[0][:, 1] / math.sqrt(21))
    assert nearest_neighbour_degrees(many).tolist() == pytest.approx(apart.tolist(), rel=1e-3)


# --- controls ---


def test_without_pybullet_there_is_a_sentence(ball, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(ImportError, match="--protocol strict"):
        simulation.displacement(ball, None, None)


def test_random_wrists_are_near_the_surface_and_seeded(ball, hand):
    pose = torch.zeros(45)
    one = random_wrists(ball, hand, 8, torch.Generator().manual_seed(0), pose)
    again = random_wrists(ball, hand, 8, torch.Generator().manual_seed(0), pose)
    assert torch.equal(one.transl, again.transl)
    joints = hand(**one.parameters()).joints
    palm = 0.5 * (joints[:, 0] + joints[:, 4])
    assert torch.allclose(palm.norm(dim=1), torch.full((8,), 0.06), atol=0.002)
    spread = (one.global_orient[:, None] - one.global_orient[None]).norm(dim=-1)
    assert (spread + 9 * torch.eye(8)).min() > 0.05
    assert len(of_another(one, 20)) == 20
