"""DVQ-VAE's losses, each equation against numbers worked out by hand."""

import pytest
import torch

from core.generators.dvqvae import DvqVae
from core.generators.dvqvae_loss import (
    DvqvaeLoss,
    agreement,
    depth_loss,
    judged,
    position_of,
    posture_of,
    put_together,
    touch_loss,
    unseen_loss,
    with_sum,
)
from core.generators.hand_parameters import BETAS, POSE, POSITION, ROTATION

#: an upright plane through the origin, its normal along x
PLANE = torch.tensor([[[0.0, 0.01 * y, 0.01 * z] for y in range(-5, 6) for z in range(-5, 6)]])
NORMALS = torch.tensor([1.0, 0.0, 0.0]).expand_as(PLANE)


@pytest.fixture(scope="module")
def setting(mug_batch):
    network = DvqVae(count=8)
    skin, batch, _ = mug_batch(network)
    return skin, network.code, batch


def test_posture_and_position_are_the_parameters_taken_apart():
    params = torch.arange(61.0)[None]
    assert torch.equal(put_together(posture_of(params), position_of(params)), params)
    assert position_of(params)[0].tolist() == [10.0, 11.0, 12.0, 58.0, 59.0, 60.0]


def test_posture_and_position_are_judged_apart(setting):
    """Eq. 6 and 10: an error of 1 in one of 45 pose numbers; of 2 in one of 6 numbers of the position."""
    skin, code, batch = setting
    found = judged(skin, code, batch["params"], batch, DvqvaeLoss())
    assert float(found["posture"]) == float(found["position"]) == 0.0
    off = batch["params"].clone()
    off[:, POSE.start] += 1.0
    off[:, BETAS.start] += 1.0
    off[:, POSITION.start] += 2.0
    found = judged(skin, code, off, batch, DvqvaeLoss())
    assert float(found["posture"]) == pytest.approx(1 / 45 + 0.1 / 10, rel=1e-4)
    assert float(found["position"]) == pytest.approx(4 / 6, rel=1e-4)


def test_vertices_are_compared_in_square_centimetres(setting):
    """Eq. 11: a hand 2 cm off in one direction has 4 cm2, whatever betas are predicted."""
    skin, code, batch = setting
    off = batch["params"].clone()
    off[:, POSITION.start] += 0.02 / code.scale[POSITION.start]
    off[:, BETAS] += 1.0
    found = judged(skin, code, off, batch, DvqvaeLoss())
    assert float(found["vertices"]) == pytest.approx(4.0, rel=1e-3)


def test_the_true_hand_loses_nothing(setting):
    skin, code, batch = setting
    found = judged(skin, code, batch["params"], batch, DvqvaeLoss())
    assert float(found["surface"]) == pytest.approx(0, abs=1e-4)
    assert float(found["vertices"]) == pytest.approx(0, abs=1e-6)
    turned = batch["params"].clone()
    turned[:, ROTATION] += 0.5
    assert float(judged(skin, code, turned, batch, DvqvaeLoss())["surface"]) > 0.05


def test_what_the_true_hand_touches_is_to_be_near():
    """Eq. 13: of four points two are touched; the predicted hand is 1 and 3 mm from them."""
    truth = torch.tensor([[0.001, 0.004, 0.006, 0.5], [0.1, 0.1, 0.1, 0.1]])
    distance = torch.tensor([[0.001, 0.003, 0.9, 0.9], [0.2, 0.2, 0.2, 0.2]])
    assert touch_loss(distance, truth).tolist() == pytest.approx([0.002, 0.0], abs=1e-7)


def test_how_many_points_both_hands_touch():
    """Eq. 14: of four touched points the predicted hand touches three; what it touches besides does not count."""
    truth = torch.tensor([[0.0, 0.001, 0.002, 0.003, 0.1]])
    distance = torch.tensor([[0.0, 0.0, 0.0, 0.05, 0.0]]).requires_grad_()
    found = agreement(distance, truth)
    assert float(found) == pytest.approx(0.75, abs=0.01)
    distance = torch.tensor([[0.004, 0.004, 0.004, 0.007, 0.0]]).requires_grad_()
    agreement(distance, truth).sum().backward()
    assert distance.grad[0, 3] < 0  # a point that is nearly touched draws the hand
    assert distance.grad[0, 4] == 0


def test_hand_points_inside_are_judged_by_their_depth():
    """Eq. 15 and 16: 2 and 4 mm inside, 3 mm outside: (4 + 16) / 3 mm2."""
    hand = torch.tensor([[[-0.002, 0.0, 0.0], [-0.004, 0.02, 0.0], [0.003, 0.0, 0.01]]])
    assert float(depth_loss(PLANE, NORMALS, hand)) == pytest.approx(20e-6 / 3, rel=1e-3)
    assert float(depth_loss(PLANE, NORMALS, hand.abs())) == 0.0


def test_the_loss_is_the_weighted_sum():
    """Eq. 3, 12, 17 and 18."""
    weights = DvqvaeLoss(codes=2.0, posture=3.0, unseen=0.5)
    terms = {"codes": torch.tensor(1.0), "posture": torch.tensor(0.1), "unseen": torch.tensor(4.0)}
    assert float(with_sum(terms, weights)["loss"]) == pytest.approx(2.0 + 0.3 + 2.0)


def test_drawn_hands_are_judged_by_depth_and_distance_alone(setting):
    """Other fingers than the true hand's cost nothing, a hand pushed into the object much."""
    skin, code, batch = setting
    here = unseen_loss(skin, code, batch["params"], batch, DvqvaeLoss())
    deeper = batch["params"].clone()
    deeper[:, POSITION.stop - 1] -= 0.02 / code.scale[POSITION.stop - 1]
    assert float(unseen_loss(skin, code, deeper, batch, DvqvaeLoss())) > float(here) + 0.5
    twice = unseen_loss(skin, code, deeper, batch, DvqvaeLoss(surface=2.0, penetration=0.0))
    once = unseen_loss(skin, code, deeper, batch, DvqvaeLoss(surface=1.0, penetration=0.0))
    assert float(twice) == pytest.approx(2 * float(once), rel=1e-4)
