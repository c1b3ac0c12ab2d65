"""Tokens tell a shape whatever the order of its points; what is decoded is a distance field."""

import pytest
import torch
import trimesh

from core.generators.object_autoencoder import (
    FIELD,
    TOKENS,
    WIDTH,
    ObjectAutoencoder,
    ObjectDecoder,
    sinusoids,
    unwarped,
    warped,
)
from core.grasps.heading_frame import LOCAL_RADIUS


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(0)
    return ObjectAutoencoder().eval().requires_grad_(False)


def ball_batch(count=4, queries=256):
    """Balls of several sizes about the origin."""
    rng = torch.Generator().manual_seed(1)
    radius = torch.linspace(0.02, 0.08, count)[:, None]
    normals = torch.nn.functional.normalize(torch.randn(count, 512, 3, generator=rng), dim=-1)
    wide = torch.tensor([0.05, 0.2]).repeat(queries // 2)[:, None]
    query = wide * torch.randn(count, queries, 3, generator=rng)
    return {"shape": torch.cat([radius[..., None] * normals / LOCAL_RADIUS, normals], -1), "query": query,
            "distance": query.norm(dim=-1) - radius}


def test_the_warp_is_undone_and_finest_in_the_middle():
    points = torch.linspace(-FIELD.reach, FIELD.reach, 101)
    assert torch.allclose(unwarped(warped(points)), points, atol=1e-6)
    steps = warped(points).diff()
    assert float(steps[50]) > 3 * float(steps[0]) > 0
    assert warped(torch.tensor(2 * FIELD.reach)) == 1


def test_sinusoids_by_hand():
    found = sinusoids(torch.tensor([[0.5, 0.0, 0.25]]), 2)
    assert found.shape == (1, 3 + 12)
    assert torch.allclose(found[0, 3:9], torch.tensor([1.0, 0.0, 0.70711, 0.0, 0.0, 1.0]), atol=1e-4)


def test_tokens_are_of_unit_size_and_need_no_order(autoencoder):
    cloud = ball_batch()["shape"]
    tokens = autoencoder.encoder(cloud)
    assert tokens.shape == (4, TOKENS, WIDTH)
    assert torch.allclose(tokens.square().mean(-1), torch.ones(4, TOKENS), atol=1e-3)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(autoencoder.encoder(cloud[:, order]), tokens, atol=1e-4)
    assert not torch.allclose(autoencoder.encoder(cloud.flip(0)), tokens, atol=1e-2)


def test_standardised_tokens_draw_the_same_planes(autoencoder):
    tokens = autoencoder.encoder(ball_batch()["shape"])
    autoencoder.mean.copy_(tokens.mean(0))
    autoencoder.square.copy_(tokens.square().mean(0))
    z = autoencoder.encode(ball_batch()["shape"])
    assert float(z.mean(0).abs().max()) < 1e-3
    assert torch.allclose(autoencoder.planes(z), autoencoder.decoder.drawn(tokens), atol=1e-3)


def test_the_loss_cuts_distances_and_counts_signs(autoencoder, monkeypatch):
    batch = ball_batch() | {"distance": torch.tensor([[0.5, 0.001, -0.002, -0.5]]).expand(4, -1)}

    def terms(*metres):
        monkeypatch.setattr(ObjectDecoder, "read", lambda self, planes, points: (
            torch.tensor([metres]).expand(4, -1) / FIELD.unit))
        return autoencoder.loss(batch, torch.Generator().manual_seed(0))
    right = terms(0.03, 0.001, -0.002, -0.3)
    assert float(right["amount"]) == 0
    assert float(right["wrong"]) == 0
    off = terms(0.03, 0.003, -0.002, -0.3)
    assert float(off["amount"]) == pytest.approx(0.25 * 0.002 / FIELD.unit, rel=1e-3)
    inside_out = terms(0.03, -0.001, -0.002, -0.3)
    assert float(inside_out["wrong"]) == 0.25
    assert float(inside_out["sign"]) > float(right["sign"])
    assert float(off["loss"]) == pytest.approx(float(off["amount"] + off["sign"]))


def test_it_learns_balls():
    torch.manual_seed(0)
    made, batch = ObjectAutoencoder().train(), ball_batch(2, 512)
    adam = torch.optim.AdamW(made.parameters(), 2e-3)
    for step in range(100):
        terms = made.loss(batch, torch.Generator().manual_seed(step))
        adam.zero_grad()
        terms["loss"].backward()
        adam.step()
    made.eval()
    with torch.no_grad():
        planes = made.decoder.drawn(made.encoder(batch["shape"]))
        found = FIELD.unit * made.decoder.read(planes, batch["query"])
    near = batch["distance"].abs() < 0.01
    assert float((found - batch["distance"])[near].abs().mean()) < 0.0025
    assert float(made.mean.abs().max()) > 0  # what the diffusion's units come from
    vertices, faces = made.decoder.mesh(planes[1])
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * torch.pi * 0.08**3, rel=0.3)
