"""Hand parameters keep the grasps, are of unit size, and mirror a left hand."""

import pytest
import torch

from core.generators.hand_parameters import BETAS, POSITION, ROTATION, SIZE, HandNormalizer
from core.grasps.heading_frame import Frames, mirrored
from core.hand import load_hand
from core.hand.skin import SkinSample


@pytest.fixture(scope="module")
def normalizer(mug_grasps, hand):
    _, grasps, frames = mug_grasps
    normalizer = HandNormalizer()
    normalizer.fit(hand, grasps, frames)
    return normalizer


def test_grasps_come_back_from_their_parameters(normalizer, mug_grasps, hand):
    _, grasps, frames = mug_grasps
    params = normalizer.encode(hand, grasps, frames)
    assert params.shape == (len(grasps), SIZE)
    back = normalizer.grasps(hand, params, frames, "test", grasps.betas[0])
    one, two = hand(**grasps.parameters()), hand(**back.parameters())
    same = (grasps.betas == grasps.betas[0]).all(1)
    assert same.any()
    assert (one.vertices - two.vertices)[same].norm(dim=-1).max() < 2e-4  # half precision fingers, fitted to joints


def test_parameters_are_of_unit_size(normalizer, mug_grasps, hand):
    _, grasps, frames = mug_grasps
    params = normalizer.encode(hand, grasps, frames)
    assert float(params[:, ROTATION].square().mean()) == pytest.approx(1, abs=0.1)
    assert float(params[:, POSITION].square().mean()) == pytest.approx(1, abs=0.1)


def test_the_animators_shape_is_put_in(normalizer, mug_grasps, hand):
    _, grasps, frames = mug_grasps
    params = normalizer.encode(hand, grasps, frames)
    params[:, BETAS] = 3.0
    assert (normalizer.grasps(hand, params, frames, "test").betas == 0).all()


def test_skin_is_the_hands_skin(normalizer, mug_grasps, hand):
    _, grasps, frames = mug_grasps
    sample = SkinSample(hand)
    skin = normalizer.skin(sample, normalizer.encode(hand, grasps, frames))
    whole = hand(**grasps.parameters()).vertices[:, sample.rows]
    assert (frames.to_object(skin.points) - whole).norm(dim=-1).max() < 1e-5
    assert torch.isin(sample.rows[skin.priors], torch.cat(list(hand.contact_regions))).all()
    corners = hand(**grasps.parameters()).vertices[:, hand.faces]
    across = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normal = torch.zeros(len(grasps), len(hand.v_template), 3).index_add_(
        1, hand.faces.reshape(-1), across.repeat_interleave(3, 1))
    normal = torch.nn.functional.normalize(normal[:, sample.rows], dim=-1)
    assert float(((skin.normals @ frames.axes.transpose(1, 2)) * normal).sum(-1).mean()) > 0.97


def test_a_left_hand_is_the_mirror_image(normalizer, mug_grasps, hand):
    """The same parameters in mirrored frames, for a left hand, is the right hand mirrored across the object's x."""
    _, grasps, frames = mug_grasps
    left = load_hand(side="left")
    params = normalizer.encode(hand, grasps, frames)
    over = torch.tensor([-1.0, 1.0, 1.0])
    there = Frames(frames.origin * over, over[:, None] * frames.axes)  # improper, as `mirrored` makes them
    assert (torch.linalg.det(there.axes) < 0).all()
    assert (torch.linalg.det(mirrored(frames).axes) < 0).all()
    one = hand(**normalizer.grasps(hand, params, frames, "test").parameters()).joints
    two = left(**normalizer.grasps(left, params, there, "test").parameters()).joints
    assert (one * over - two).norm(dim=-1).max() < 1e-4
    found = normalizer.encode(left, normalizer.grasps(left, params, there, "test", torch.zeros(10)), there)
    again = normalizer.encode(hand, normalizer.grasps(hand, params, frames, "test", torch.zeros(10)), frames)
    assert torch.allclose(found, again, atol=1e-3)
