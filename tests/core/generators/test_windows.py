import torch

from core.generators.heading import WINDOW, Frames, random_frames
from core.generators.windows import dropped, place_features, window_cloud


def test_windows_hold_the_surface_near_the_place(block, rng):
    frames = random_frames(block, 3, 2, rng)
    cloud = window_cloud(block.points, block.normals, frames, 128, rng)
    assert cloud.shape == (6, 128, 6)
    assert cloud[..., :3].norm(dim=-1).max() < 1
    back = frames.outward(cloud[..., :3] * WINDOW)
    assert block.grid.query(back.reshape(-1, 3))[0].abs().max() < 1e-3
    facing = (cloud[..., 3:] @ frames.axes.transpose(1, 2)).reshape(-1, 3)
    at = torch.cdist(back.reshape(-1, 3), block.points).argmin(1)
    assert torch.allclose(facing, block.normals[at], atol=1e-4)


def test_few_points_are_repeated_and_many_are_not(rng):
    points = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [0.5, 0, 0]])
    frames = Frames(torch.zeros(1, 3), torch.eye(3)[None])
    cloud = window_cloud(points, torch.ones(3, 3), frames, 3, rng) * WINDOW
    assert cloud[0, :, 0].max() < 0.02
    many = torch.rand(500, 3, generator=rng) * 0.05
    cloud = window_cloud(many, many, frames, 200, rng)
    assert len(cloud[0].unique(dim=0)) == 200


def test_features_turn_with_the_object(block, rng):
    """The same place on the turned object is the same place."""
    frames = random_frames(block, 4, 1, rng)
    half = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))  # the block is the same after half a turn about z
    turned = Frames(frames.origin @ half, half @ frames.axes)
    assert (place_features(block, frames) - place_features(block, turned)).abs().max() < 0.1


def test_a_share_of_wishes_is_dropped(rng):
    kept = dropped(torch.full((2000,), 3), rng, 0.4)
    assert set(kept.tolist()) == {0, 3}
    assert 0.35 < float((kept == 0).float().mean()) < 0.45
