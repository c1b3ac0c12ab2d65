"""Each loss against a case worked out by hand: a plate at z = 0, skin above or in it."""

import math

import pytest
import torch

from core.generators.contact_losses import (
    contact_map,
    hand_centric,
    nearest_plane,
    nearest_point,
    object_centric,
    penetration,
    prior_distance,
    prior_map,
    surface_distance,
)
from core.generators.hand_parameters import HandNormalizer
from core.generators.local_cloud import local_cloud
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand import load_hand
from core.hand.skin import Skin, SkinSample
from core.rotations import axis_angle_to_matrix


def plate(step=0.004, size=0.04):
    line = torch.arange(-size, size, step)
    x, y = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, 0 * x], -1).reshape(1, -1, 3)


def skin_at(height, up=-1.0):
    """Skin over the plate's middle, facing it."""
    points = torch.zeros(1, 3, 3)
    points[0, :, 0] = torch.tensor([-0.008, 0.0, 0.008])
    points[..., 2] = height
    return Skin(points, torch.tensor([0.0, 0.0, up]).expand(1, 3, 3), torch.tensor([1]))


def test_the_contact_map_of_contact_and_of_a_centimetre():
    assert float(contact_map(torch.tensor(0.0))) == pytest.approx(1)
    assert float(contact_map(torch.tensor(0.01))) == pytest.approx(2 - 2 / (1 + math.exp(-2)), abs=1e-6)


def test_the_nearest_point_by_hand():
    distance, rows = nearest_point(torch.tensor([[[0.009, 0.0, 0.0]]]), skin_at(0.003).points)
    assert rows.item() == 2
    assert float(distance) == pytest.approx(math.hypot(0.001, 0.003), abs=1e-6)


def test_only_what_is_inside_the_hand_counts_as_penetration():
    one, up = torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]])
    assert float(penetration(one, up, skin_at(0.002))) == 0  # skin above, facing down: the point is outside
    assert float(penetration(one, up, skin_at(-0.002))) == pytest.approx(0.002**2, rel=1e-3)


def test_what_the_palm_touches_is_not_behind_the_back_of_the_hand():
    one, up = torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]])
    points = skin_at(0.012).points.requires_grad_()  # of the palm between nothing is seen
    back = Skin(points, skin_at(0.0, up=1.0).normals, torch.tensor([1]))
    lost = penetration(one, up, back)
    assert lost.item() == 0
    lost.sum().backward()
    assert (points.grad == 0).all()  # it would be drawn into the plate


def test_priors_are_drawn_to_what_is_near():
    near, far = skin_at(0.005), skin_at(0.02)
    value = float(hand_centric(prior_distance(torch.tensor([[[0.0, 0.0, 0.0]]]), near)))
    assert value == pytest.approx(0.005**2, rel=1e-3)
    assert float(hand_centric(prior_distance(plate(), far))) == 0  # a centimetre away nothing is drawn any more


def test_maps_of_the_true_hand_agree():
    truth = prior_map(plate(), skin_at(0.001))
    assert float(object_centric(prior_distance(plate(), skin_at(0.001)), truth)) == 0
    assert float(object_centric(prior_distance(plate(), skin_at(0.006)), truth)) > 1e-3


def test_distance_to_the_local_plane_has_a_sign_and_an_edge():
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(plate())
    assert torch.allclose(nearest_plane(plate(), up, skin_at(0.005).points)[0], torch.tensor(0.005), atol=1e-6)
    assert torch.allclose(nearest_plane(plate(), up, skin_at(-0.004).points)[0], torch.tensor(-0.004), atol=1e-6)
    beside = torch.tensor([[[0.08, 0.0, -0.001]]])
    assert float(nearest_plane(plate(), up, beside)[0]) > 0.04  # past the rim nothing is inside


def test_too_deep_costs_more_than_too_high():
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(plate())
    truth = skin_at(0.0).points
    high = float(surface_distance(plate(), up, skin_at(0.004).points, truth))
    deep = float(surface_distance(plate(), up, skin_at(-0.004).points, truth))
    assert high == pytest.approx(0.004, rel=1e-2)
    assert deep == pytest.approx(5 * high, rel=1e-2)


def test_skin_on_the_wrong_side_of_a_thin_wall_is_behind_it():
    """Near the other side's surface, and outside of it, and yet through the wall."""
    wall = torch.cat([plate(), plate() - torch.tensor([0.0, 0.0, 0.003])], 1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(plate())
    normals, truth = torch.cat([up, -up], 1), skin_at(0.001).points
    beyond = skin_at(-0.005).points.requires_grad_()
    lost = surface_distance(wall, normals, beyond, truth, depth_weight=0)
    assert float(lost.detach()) == pytest.approx(0.006, rel=1e-2)
    lost.sum().backward()
    assert (beyond.grad[..., 2] < 0).all()  # downhill is back through the wall
    before = float(surface_distance(wall, normals, skin_at(0.002).points, truth, depth_weight=0))
    assert before == pytest.approx(0.001, rel=1e-2)  # on its own side nothing is different
    # A hand that lies elsewhere may as well be on the other side: there it is a millimetre too high.
    elsewhere = float(surface_distance(wall, normals, beyond.detach(), truth, depth_weight=0, sides=False))
    assert elsewhere == pytest.approx(0.001, rel=1e-2)


def test_gradients_pull_the_skin_out():
    points = skin_at(-0.004).points.requires_grad_()
    skin = Skin(points, skin_at(0.0).normals, torch.tensor([1]))
    penetration(torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]), skin).sum().backward()
    assert points.grad[0, 1, 2] < 0  # downhill is up


def test_a_true_grasp_hardly_penetrates(mug_grasps, hand):
    """Points beside the hand are not inside it, however few points of skin there are."""
    obj, grasps, frames = mug_grasps
    normalizer = HandNormalizer()
    normalizer.fit(hand, grasps, frames)
    skin = normalizer.skin(SkinSample(hand), normalizer.encode(hand, grasps, frames))
    cloud = local_cloud(obj.points, obj.normals, frames, 256, torch.Generator().manual_seed(0))
    value = penetration(cloud[..., :3] * LOCAL_RADIUS, cloud[..., 3:], skin)
    assert float(value.mean().sqrt()) < 0.0025


def test_anchors_of_some_of_the_skin_are_the_hands():
    hand = load_hand()
    rng = torch.Generator().manual_seed(0)
    pose = hand.pose_from_dofs(0.5 * torch.rand(3, 21, generator=rng))
    turn, transl, betas = (torch.randn(3, size, generator=rng) for size in (3, 3, 10))
    sample = SkinSample(hand, anchored=True)
    skin = sample(axis_angle_to_matrix(turn), pose, transl, betas)
    assert torch.allclose(sample.anchors(skin), hand.anchors(hand(turn, pose, transl, betas).vertices), atol=1e-5)
    with pytest.raises(ValueError, match="without the anchors"):
        SkinSample(hand).anchors(skin)
