"""Nearest neighbours, against plain distances in double precision."""

import pytest
import torch

from core.generators import nearest
from core.generators.nearest import NearestNeighbours, closest
from core.hand.skin import Skin


@pytest.fixture(scope="module")
def clouds():
    rng = torch.Generator().manual_seed(0)
    return 0.05 * torch.randn(3, 700, 3, generator=rng), 0.05 * torch.randn(3, 130, 3, generator=rng)


def plain(points, others):
    return torch.cdist(points.double(), others.double())


def test_the_nearest_is_found_and_how_far_it_is(clouds):
    points, others = clouds
    metres, rows = closest(points, others)
    apart = plain(points, others)
    assert torch.equal(rows, apart.argmin(2))
    assert (metres - apart.amin(2)).abs().max() < 5e-5


def test_what_lies_on_a_point_is_nearest_to_it(clouds):
    metres, rows = closest(clouds[0], clouds[0])
    assert torch.equal(rows, torch.arange(700).expand(3, -1))
    assert metres.max() < 2e-4


@pytest.mark.parametrize("count", [1, 2, 3, 256, 257])
def test_rows_of_any_number(clouds, count):
    points = clouds[0][:, :count]
    one = closest(points, clouds[1][:, :1])
    assert not one[1].any()
    assert torch.equal(closest(clouds[1], points)[1], plain(clouds[1], points).argmin(2))


def test_how_many_at_once_does_not_matter(clouds, monkeypatch):
    whole = closest(*clouds)
    for entries in (1, 2 * 700 * 130, 10**9):
        monkeypatch.setattr(nearest, "TABLE", entries)
        assert all(torch.equal(one, other) for one, other in zip(closest(*clouds), whole, strict=True))


def test_one_table_tells_all_neighbours_of_hand_and_object(clouds):
    points, others = clouds
    priors = torch.arange(5, 130, 3)
    found = NearestNeighbours.between(points, Skin(others, others, priors))
    apart = plain(points, others)
    assert torch.equal(found.hand, apart.argmin(2))
    assert torch.isin(found.prior, priors).all()
    nearest_prior = apart.gather(2, found.prior[..., None])[..., 0]  # of two as near either is right
    assert torch.allclose(nearest_prior, apart[:, :, priors].amin(2), rtol=1e-3)
    assert torch.equal(found.object, apart.argmin(1))
    assert (found.distance - apart.amin(1)).abs().max() < 5e-5


def test_no_hands_are_no_trouble(clouds):
    metres, rows = closest(clouds[0][:0], clouds[1][:0])
    assert metres.shape == rows.shape == (0, 700)
