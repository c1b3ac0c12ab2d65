"""Hands posed in NumPy are the model's, left and right and of any shape; points move as their Jacobian says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.fitting.fit_hand import fit_hand
from core.fitting.posing import ANGLES, Chain, HandPoses, SkinnedPoints, moved_by, rotations, slopes_along
from core.grasps.batch import Grasps
from core.hand import load_hand


@pytest.fixture(scope="module", params=["right", "left"])
def shaped(request):
    """A hand of a shape of its own, as arrays."""
    betas = torch.linspace(-1.5, 1.5, 10)
    return fit_hand(load_hand(side=request.param), betas)


@pytest.fixture(scope="module")
def poses(shaped):
    """Five hands turned, shifted and bent at random."""
    draw = np.random.default_rng(0)
    share = draw.uniform(0, 1, (5, 21))
    dofs = shaped.low + share * (shaped.high - shaped.low)
    return HandPoses(rotations(draw.normal(size=(5, 3))), draw.normal(size=(5, 3)).astype(np.float32) * 0.1,
                     dofs.astype(np.float32))


def as_grasps(shaped, poses: HandPoses) -> Grasps:
    none = torch.zeros(len(poses))
    like = Grasps(none[:, None].expand(-1, 3), none[:, None].expand(-1, 45), none[:, None].expand(-1, 3),
                  none[:, None].expand(-1, 10), none, ("",) * len(poses), "", 0, shaped.hand.side)
    return shaped.grasps(poses, like)


def test_skin_and_joints_are_the_models_within_a_micrometre(shaped, poses):
    posed = shaped.hand(**as_grasps(shaped, poses).parameters())
    moves = shaped.chain.posed(poses).moves
    skin = shaped.skin.posed(moves)
    assert np.abs(skin - posed.vertices.numpy()).max() < 1e-6
    assert np.abs(shaped.chain.joints_under(moves) - posed.joints[:, :16].numpy()).max() < 1e-6
    assert np.abs(shaped.spheres.posed(moves) - shaped.hand.spheres(posed).numpy()).max() < 1e-6


def test_sample_points_and_normals_are_those_of_the_tensors(shaped, poses):
    rotation = torch.from_numpy(poses.rotation)
    turns = shaped.hand.rotations_from_dofs(torch.from_numpy(poses.dofs))
    transforms = shaped.hand.chain(torch.cat([rotation[:, None], turns], 1), torch.from_numpy(poses.wrist),
                                   shaped.points.joints.expand(5, -1, -1))
    points, normals = shaped.points.posed(transforms).numpy(), shaped.points.posed_normals(transforms).numpy()
    moves = shaped.chain.posed(poses).moves
    found = np.concatenate([some.posed(moves) for some in (shaped.candidates, shaped.spheres, shaped.rough_skin)], 1)
    assert np.abs(found - points).max() < 1e-6
    turned = np.concatenate([some.normals(moves) for some in (shaped.candidates, shaped.rough_skin)], 1)
    assert np.abs(turned - normals).max() < 1e-5


def test_chosen_skin_is_the_whole_skins(shaped, poses):
    moves = shaped.chain.posed(poses).moves
    rows = np.random.default_rng(1).permuted(np.tile(np.arange(len(shaped.skin)), (5, 1)), axis=1)[:, :40]
    points, normals = shaped.skin.chosen(rows, moves).posed(moves)
    each = np.arange(5)[:, None]
    assert np.abs(points - shaped.skin.posed(moves)[each, rows]).max() < 1e-6
    whole = shaped.skin.normals(moves)[each, rows]
    assert ((normals * whole).sum(-1) / np.linalg.norm(normals, axis=-1) > 0.9999).all()


def test_points_move_as_their_jacobian_says(shaped, poses):
    """To the last digit where one bone carries a point; nearly so where several do."""
    links = shaped.chain.posed(poses)
    centre = poses.rotation @ shaped.pivot + poses.wrist
    points = shaped.spheres.posed(links.moves).astype(np.float64)
    direction = np.random.default_rng(2).normal(size=points.shape)
    found = slopes_along(points, direction, shaped.spheres.carried, links, centre)
    for unknown in range(27):
        by = 1e-2
        step = np.zeros((5, 27), np.float32)
        step[:, unknown] = by
        ends = [shaped.spheres.posed(shaped.chain.posed(moved_by(poses, sign * step, shaped.pivot)).moves)
                for sign in (1, -1)]
        numeric = 100 * ((ends[0].astype(np.float64) - ends[1]) * direction).sum(-1) / (2 * by)
        mine = found[..., unknown]
        whole = np.isin(shaped.spheres.carried[:, max(unknown - 6, 0)], (0.0, 1.0)) | (unknown < ANGLES.start)
        assert np.abs(numeric - mine)[:, whole].max() < 2e-3 * max(1.0, np.abs(numeric).max())
        assert (numeric * mine).sum() > 0.985 * np.linalg.norm(numeric) * np.linalg.norm(mine)


def test_any_chain_of_joints_is_posed():
    """A tail of four bones with one angle each, a bone without an angle among them, and a side branch with two."""
    x, y, z = np.eye(3, dtype=np.float32)
    joints = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [1, 1, 0]], np.float32)
    chain = Chain((-1, 0, 1, 2, 1), joints, np.stack([z, z, x, y]), (1, 3, 4, 4))
    poses = HandPoses(np.eye(3, dtype=np.float32)[None], np.array([[0, 0, 5]], np.float32),
                      np.array([[np.pi / 2, np.pi / 2, np.pi / 2, 0.0]], np.float32))
    links = chain.posed(poses)
    bones = [[0, 0, 5], [1, 0, 5], [1, 1, 5], [1, 2, 5], [0, 0, 5]]
    assert np.abs(chain.joints_under(links.moves)[0] - bones).max() < 1e-6
    tip = SkinnedPoints(chain, np.array([[4, 0, 0], [1, 2, 0]]), np.eye(5)[[3, 4]])
    assert np.abs(tip.posed(links.moves)[0] - [[0, 2, 5], [0, 0, 6]]).max() < 1e-6
    assert chain.moved.tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
