"""Against a given truth, and the Frechet distances: by hand and by another library."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from core.metrics import frechet
from core.metrics.frechet import (
    angle_features,
    contact_features,
    frechet_distance,
    frechet_distances,
    grasp_features,
    held_out_features,
)
from core.metrics.truth import contact_scores, joint_error_mm, touching, truth_measures, upsampled
from core.objects import prepare_object
from core.objects.mesh_query import ExactSurface

# --- against truth ---


def test_joint_errors_are_those_of_another_library():
    from scipy.spatial.distance import cdist

    mine, truth = torch.randn(3, 21, 3), torch.randn(3, 21, 3)
    plain, relative = joint_error_mm(mine, truth)
    for row in range(3):
        assert float(plain[row]) == pytest.approx(1000 * np.diag(cdist(mine[row], truth[row])).mean(), rel=1e-5)
        wrist = cdist(mine[row] - mine[row, 0], truth[row] - truth[row, 0])
        assert float(relative[row]) == pytest.approx(1000 * np.diag(wrist).mean(), rel=1e-5)


def test_joint_errors():
    truth = torch.randn(2, 21, 3)
    moved = truth + torch.tensor([0.003, 0.004, 0.0])
    plain, relative = joint_error_mm(moved, truth)
    assert torch.allclose(plain, torch.full((2,), 5.0), atol=1e-3)
    assert torch.allclose(relative, torch.zeros(2), atol=1e-3)


def test_upsampling_halves_edges():
    box = trimesh.creation.box((1, 1, 1))
    once = box.subdivide()
    assert len(upsampled(np.asarray(box.vertices), np.asarray(box.faces), 1)) == len(once.vertices)
    twice = once.subdivide()
    mine = upsampled(np.asarray(box.vertices), np.asarray(box.faces), 2)
    assert len(mine) == len(twice.vertices)
    assert np.allclose(np.sort(mine, 0), np.sort(twice.vertices, 0))


def test_contact_of_a_grasp_with_itself_is_perfect(ball, hand):
    tip = hand.v_template[hand.tip_vertices[2]]
    skin = (hand.v_template - tip + torch.tensor([0.033, 0, 0]))[None]
    same = contact_scores(ball, hand, skin, skin)
    assert float(same["f1"]) == float(same["object_f1"]) == pytest.approx(1)
    away = contact_scores(ball, hand, skin + 0.5, skin)
    assert float(away["f1"]) == 0
    assert float(away["recall"]) == 0


def test_touching_is_within_two_millimetres():
    skin = upsampled(np.array([[0.0, 0, 0], [0.004, 0, 0], [0, 0.004, 0]]), np.array([[0, 1, 2]]))
    points = np.array([[0.001, 0.001, 0.0015], [0.001, 0.001, 0.0025]])
    assert touching(points, skin).tolist() == [True, False]


def test_touching_is_that_of_another_library(ball, hand, ball_grasp):
    """libigl's exact distance to the skin: upsampled vertices err by what lies between them."""
    with torch.no_grad():
        skin = hand(**ball_grasp.parameters()).vertices[0].double().numpy()
    points = ball.points.double().numpy()
    exact = ExactSurface(skin, hand.faces.numpy()).closest(points)[0]
    mine = touching(points, upsampled(skin, hand.faces.numpy()))
    assert mine.sum() > 100
    assert not mine[exact > 0.00201].any()
    assert mine[exact < 0.0017].all()


def plate_and_strip(wide: float):
    """A plate of 10 x 10 cm, and the skin of something `wide` long: (object, "hand", skin for where and what lies)."""
    plate = trimesh.creation.box((0.10, 0.10, 0.01))
    obj = prepare_object(plate.vertices, plate.faces)
    x, y = np.meshgrid(np.linspace(0, 1, 61), np.linspace(-0.051, 0.051, 61), indexing="ij")
    corner = (np.arange(60)[:, None] * 61 + np.arange(60)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 61, 1], corner + [1, 61, 62]])

    def skin(begin, low=0.0, high=1.0, wide=wide):
        """Half a millimetre over the plate between the shares `low` and `high` of it, 2 cm over it elsewhere."""
        lies = (x >= low) & (x <= high)
        height = np.where(lies, 0.0055, 0.025)
        return torch.from_numpy(np.stack([begin - 0.05 + x * wide, y, height], -1).reshape(1, -1, 3))

    return obj, SimpleNamespace(faces=torch.from_numpy(faces)), skin


def test_contact_scores_are_of_the_hand():
    """As CHOIR has it: the same part of the hand touches, on another part of the object."""
    obj, hand, skin = plate_and_strip(0.06)
    scores = contact_scores(obj, hand, skin(0.0, 0.0, 0.5), skin(0.03, 0.0, 0.5))
    assert float(scores["f1"]) > 0.85  # 5,000 points leave gaps
    assert float(scores["object_f1"]) < 0.15


def test_contact_scores_of_a_hand_that_touches_with_another_part_too():
    """Of the skin .4 to .8 lies there, .2 to .6 in truth: half of it is right, half of that found."""
    obj, hand, skin = plate_and_strip(0.08)
    scores = contact_scores(obj, hand, skin(0.01, 0.4, 0.8), skin(0.01, 0.2, 0.6))
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(
        {"precision": 0.5, "recall": 0.5, "f1": 0.5, "object_f1": 0.5}, abs=0.06)


def test_contact_scores_on_the_object_of_two_patches_that_share_a_part():
    """Columns 0 to 4 cm touched, 2 to 8 cm in truth; 2 of 4 right, 2 of 6 found; its border touches 1.9 mm beside."""
    obj, hand, skin = plate_and_strip(0.0)
    scores = contact_scores(obj, hand, skin(0.0019, wide=0.0362), skin(0.0219, wide=0.0562))
    assert float(scores["object_f1"]) == pytest.approx(2 / 5, abs=0.04)
    assert float(scores["f1"]) > 0.85  # 5,000 points leave gaps


def test_measures_against_a_truth(ball, hand, ball_grasp):
    from core.grasps.batch import Grasps

    moved = Grasps(**{**ball_grasp.parameters(), "transl": ball_grasp.transl + torch.tensor([[0.03, 0.04, 0.0]])},
                   score=torch.zeros(1))
    both = Grasps.cat([ball_grasp, moved])
    found = truth_measures(ball, hand, both, Grasps.cat([ball_grasp, ball_grasp]))
    assert found["mpjpe_mm"].tolist() == pytest.approx([0, 50], abs=1e-3)
    assert found["r_mpjpe_mm"].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert float(found["contact_f1"][0]) == 1
    assert float(found["contact_f1"][1]) < 0.3


# --- Frechet ---


def test_frechet_of_two_gaussians_is_its_formula():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(200_000, 2)) * [1, 2]
    second = rng.normal(size=(200_000, 2)) * [3, 2] + [1, 0]
    assert frechet_distance(first, second) == pytest.approx(1 + (3 - 1) ** 2, rel=0.02)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-3)


def test_frechet_is_that_of_another_library():
    """SciPy's root of the product of covariances, as FID's own code takes it."""
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=(400, 7)) @ rng.normal(size=(7, 7)) + rng.normal(size=7) for _ in range(2))
    one, two = np.cov(first.T), np.cov(second.T)
    other = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert frechet_distance(first, second) == pytest.approx(other, rel=1e-6)


def test_frechet_of_features_that_do_not_vary():
    still, spread = np.tile([1.0, 2.0], (50, 1)), np.random.default_rng(0).normal(size=(50, 2))
    spread = (spread - spread.mean(0)) / spread.std(0, ddof=1)
    assert frechet_distance(still, spread) == pytest.approx(5 + 2)  # the means' distance and the whole spread
    assert frechet_distance(still, still) == 0


def test_frechet_is_left_out_for_few_grasps():
    few, many = ({space: np.random.default_rng(0).normal(size=(count, 21)) for space in frechet.SPACES}
                 for count in (21, 22))
    assert frechet_distances(few, many) == frechet_distances(many, few) == {}
    assert set(frechet_distances(many, many)) == {"angles", "contact"}


def test_angle_features_are_the_fingers_angles_of_either_hand(hand):
    from core.hand import load_hand

    low, high = hand.dof_limits.T
    dofs = low + (high - low) * torch.rand(5, 21, generator=torch.Generator().manual_seed(0))
    left = load_hand(None, "left")
    for one in (hand, left):
        assert np.allclose(angle_features(one, one.pose_from_dofs(dofs)), dofs.numpy(), atol=2e-3)


def test_contact_features_are_centimetres_to_the_surface(ball, hand, ball_grasp):
    with torch.no_grad():
        vertices = hand(**ball_grasp.parameters()).vertices
    exact = 100 * (hand.anchors(vertices)[0].norm(dim=1) - 0.033)
    mine = contact_features(ball, hand, vertices)
    assert mine.shape == (1, 32)
    assert mine[0] == pytest.approx(exact.clamp(-3, 3).numpy(), abs=0.05)
    assert exact.max() > 3
    assert mine[0].min() < 0.5
    assert contact_features(ball, hand, vertices + 1.0) == pytest.approx(np.full((1, 32), 3.0))
    both = grasp_features(ball, hand, ball_grasp)
    assert np.array_equal(both["contact"], mine)
    assert both["angles"].shape == (1, 21)


def test_held_out_features_are_kept_by_the_files_content(hand, tmp_path, monkeypatch):
    from pathlib import Path

    from core.dataset import training_grasps

    shipped = Path(__file__).resolve().parents[3] / "weights" / "training" / "grasps.npz"
    held = training_grasps.load_training(shipped).split("shape")
    number = np.bincount(held.object).argmax()
    held[held.object == number].save(tmp_path / "a.npz")
    held[held.object == number][1:].save(tmp_path / "b.npz")
    features = held_out_features(tmp_path / "a.npz", "shape", hand, tmp_path / "kept")
    assert len(features["angles"]) == len(features["contact"]) == (held.object == number).sum()
    assert np.allclose(features["angles"], held[held.object == number].dofs, atol=0.02)
    assert (features["contact"].min(1) < 0.5).all()  # every grasp touches
    assert frechet_distances(features, features)["angles"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="held out by family"):
        held_out_features(tmp_path / "a.npz", "family", hand, tmp_path / "kept")
    made = []
    monkeypatch.setattr(training_grasps, "training_object", lambda *_: made.append(1) or pytest.fail("made again"))
    again = held_out_features(tmp_path / "a.npz", "shape", hand, tmp_path / "kept")
    assert np.array_equal(again["contact"], features["contact"])
    with pytest.raises(pytest.fail.Exception):
        held_out_features(tmp_path / "b.npz", "shape", hand, tmp_path / "kept")
