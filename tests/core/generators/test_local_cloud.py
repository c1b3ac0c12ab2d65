"""A local cloud is the surface near its place, and its features turn with the object."""

import torch

from core.generators.conditioning import drop_conditions
from core.generators.local_cloud import LocalPointCloud, local_cloud, place_features
from core.grasps.heading_frame import LOCAL_RADIUS, Frames, random_frames


def test_local_clouds_hold_the_surface_near_the_place(block, rng):
    frames = random_frames(block, 3, 2, rng)
    cloud = local_cloud(block.points, block.normals, frames, 128, rng)
    assert cloud.shape == (6, 128, 6)
    assert cloud[..., :3].norm(dim=-1).max() < 1
    back = frames.to_object(cloud[..., :3] * LOCAL_RADIUS)
    assert block.grid.query(back.reshape(-1, 3))[0].abs().max() < 1e-3
    normals = (cloud[..., 3:] @ frames.axes.transpose(1, 2)).reshape(-1, 3)
    at = torch.cdist(back.reshape(-1, 3), block.points).argmin(1)
    assert torch.allclose(normals, block.normals[at], atol=1e-4)


def test_few_points_are_repeated_and_many_are_not(rng):
    points = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [0.5, 0, 0]])
    frames = Frames(torch.zeros(1, 3), torch.eye(3)[None])
    cloud = local_cloud(points, torch.ones(3, 3), frames, 3, rng) * LOCAL_RADIUS
    assert cloud[0, :, 0].max() < 0.02
    many = torch.rand(500, 3, generator=rng) * 0.05
    cloud = local_cloud(many, many, frames, 200, rng)
    assert len(cloud[0].unique(dim=0)) == 200


def test_an_offset_cloud_lies_outside_the_surface_by_so_much(block, rng):
    frames = random_frames(block, 3, 1, rng)
    cloud = LocalPointCloud.around(block, frames, 128, rng)
    out = cloud.offset(torch.tensor([0.002, 0.002, 0.0]))
    assert torch.equal(out.normals, cloud.normals)
    distance = block.grid.query(frames.to_object(out.points).reshape(-1, 3))[0].reshape(3, -1)
    assert torch.allclose(distance[:2].median(), torch.tensor(0.002), atol=2e-4)
    assert torch.allclose(out.scaled[2], cloud.scaled[2])
    assert torch.allclose(cloud.offset(0.002).scaled[:2], out.scaled[:2])
    assert cloud.first(5)[1:].scaled.shape == (2, 5, 6)


def test_the_area_that_is_seen_is_the_objects_where_all_of_it_is_near(block, rng):
    frames = random_frames(block, 3, 1, rng)
    whole = LocalPointCloud.around(block, frames, 16, rng, radius=1.0).area
    assert torch.allclose(whole, torch.tensor(1e4 * block.area, dtype=torch.float32), rtol=1e-3)
    assert (LocalPointCloud.around(block, frames, 16, rng).area < whole).any()


def test_the_objects_middle_as_seen_from_a_frame(block, rng):
    frames = random_frames(block, 4, 1, rng)
    assert frames.to_object(frames.object_origin()[:, None]).abs().max() < 1e-6


def test_features_turn_with_the_object(block, rng):
    """The same place on the turned object is the same place."""
    frames = random_frames(block, 4, 1, rng)
    half = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))  # the block is the same after half a turn about z
    turned = Frames(frames.origin @ half, half @ frames.axes)
    assert (place_features(block, frames) - place_features(block, turned)).abs().max() < 0.1


def test_a_share_of_conditions_is_dropped(rng):
    kept = drop_conditions(torch.full((2000,), 3), rng, 0.4)
    assert set(kept.tolist()) == {0, 3}
    assert 0.35 < float((kept == 0).float().mean()) < 0.45
