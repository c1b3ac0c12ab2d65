"""PointNet knows no order of points, and tiles give the same as the whole."""

import torch

from core.generators import pointnet
from core.generators.pointnet import PointNet


def clouds(count=3, points=50, channels=6):
    return torch.randn(count, points, channels, generator=torch.Generator().manual_seed(1))


def test_the_order_of_points_does_not_matter():
    net, cloud = PointNet(6, (8, 16, 32)), clouds()
    shuffled = cloud[:, torch.randperm(50, generator=torch.Generator().manual_seed(2))]
    assert net(cloud).shape == (3, 32)
    assert torch.allclose(net(cloud), net(shuffled), atol=1e-6)


def test_tiles_and_clouds_apart_give_the_same(monkeypatch):
    net, cloud = PointNet(6, (8, 16, 32)), clouds()
    whole = net(cloud)
    for tile in (7, 60):
        monkeypatch.setattr(pointnet, "TILE", tile)
        with torch.no_grad():
            assert torch.allclose(net(cloud), whole, atol=1e-6)


def test_the_mean_is_linear_in_the_features_and_tiles_give_the_same(monkeypatch):
    net, cloud = PointNet(6, (8, 16, 32), mean=True), clouds()
    whole = net(cloud)
    assert whole.shape == (3, net.width) == (3, 64)
    twice = net(torch.cat([cloud, cloud], 1))
    assert torch.allclose(twice, whole, atol=1e-6)
    assert torch.allclose(whole[:, 32:], net.last(net.middle(net.per_point(cloud))).mean(1), atol=1e-6)
    for tile in (7, 60):
        monkeypatch.setattr(pointnet, "TILE", tile)
        with torch.no_grad():
            assert torch.allclose(net(cloud), whole, atol=1e-6)


def test_transforms_are_the_identity_at_first_and_learn():
    net, cloud = PointNet(6, (8, 16, 32), align=True, align_features=True), clouds()
    assert torch.allclose(net.align(cloud), torch.eye(3).expand(3, 3, 3))
    plain = PointNet(6, (8, 16, 32))
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if "align" not in key})
    assert torch.allclose(net(cloud), plain(cloud), atol=1e-6)
    net(cloud).sum().backward()
    assert net.align.head[-1].weight.grad.abs().sum() > 0
    assert net.align_features.head[-1].weight.grad.abs().sum() > 0
