"""The codebooks of a hand's parts: the equations in numbers, and that their rows come to be used."""

import pytest
import torch

from core.generators.part_codebooks import (
    PALM,
    Codebooks,
    PartEncoder,
    codebook_loss,
    part_points,
    straight_through,
    used_codes,
)
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import SkinSample
from core.hand.tables import PARTS


@pytest.fixture
def books():
    books = Codebooks(2, 3, 2)
    with torch.no_grad():
        books.rows.copy_(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], [[5.0, 5.0], [0.0, 1.0], [-1.0, 0.0]]]))
    return books


Z = torch.tensor([[[0.9, 0.2], [0.1, 0.9]], [[0.0, 2.0], [4.0, 4.0]]])


def test_the_nearest_row_of_each_parts_own_book(books):
    """Eq. 4 and 5."""
    index = books.nearest(Z)
    assert index.tolist() == [[1, 1], [2, 0]]
    assert torch.equal(books.look_up(index)[0], torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_the_loss_of_the_codebooks_in_numbers(books):
    """Eq. 1 to 3: (0.01 + 0.04 + 0.01 + 0.01) and (1 + 1 + 1) squared, once for the encoders and 0.25 for the rows."""
    z = Z.clone().requires_grad_()
    nearest = books.look_up(books.nearest(z))
    loss = codebook_loss(z, nearest)
    assert loss.tolist() == pytest.approx([1.25 * 0.07, 1.25 * 3.0], rel=1e-5)
    loss.sum().backward()
    assert z.grad[0, 0].tolist() == pytest.approx([-0.2, 0.4], abs=1e-6)  # 2 (z - e)
    assert books.rows.grad[0, 1].tolist() == pytest.approx([0.05, -0.1], abs=1e-6)  # 0.25 times 2 (e - z)
    assert books.rows.grad[0, 0].tolist() == [0.0, 0.0]  # nothing is nearest to it


def test_the_nearest_rows_hand_their_gradient_to_the_encoders(books):
    z = Z.clone().requires_grad_()
    nearest = books.look_up(books.nearest(z))
    given = straight_through(z, nearest)
    assert torch.allclose(given, nearest)
    (3 * given).sum().backward()
    assert torch.equal(z.grad, torch.full_like(Z, 3.0))
    assert books.rows.grad is None


def test_rows_that_nothing_is_near_are_put_where_something_is():
    rng = torch.Generator().manual_seed(0)
    books = Codebooks(2, 16, 3)
    with torch.no_grad():
        books.rows[:, 1:] = 100.0  # one row has everything
        books.use.fill_(1.0)
    for _ in range(500):
        z = torch.randn(64, 2, 3, generator=rng)
        books.revive(z, books.nearest(z), rng)
    used, _ = used_codes(books.nearest(torch.randn(2000, 2, 3, generator=rng)), 16)
    assert min(used) >= 14
    assert books.rows.abs().max() < 10


def test_rows_begin_where_parts_are():
    books = Codebooks(2, 16, 3)
    z = torch.randn(64, 2, 3, generator=torch.Generator().manual_seed(0)) + 40
    books.revive(z, books.nearest(z), torch.Generator().manual_seed(0))
    used, _ = used_codes(books.nearest(z), 16)
    assert min(used) >= 10
    assert ((books.rows > 30).all(2).sum(1) >= 12).all()


def test_rows_in_use_stay_and_draws_are_the_given_ones():
    def after(seed):
        rng, draws = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
        books = Codebooks(1, 4, 2)
        with torch.no_grad():
            books.rows.copy_(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [50.0, 50.0]]]))
            books.use.fill_(1.0)
        for _ in range(400):
            z = torch.rand(32, 1, 2, generator=rng)
            books.revive(z, books.nearest(z), draws)
        return books.rows.detach()

    first = after(1)
    assert torch.equal(first[0, :3], torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert first[0, 3].abs().max() < 2
    assert torch.equal(first, after(1))
    assert not torch.equal(first, after(2))


def test_how_many_codes_are_used():
    index = torch.tensor([[0, 1], [0, 2], [0, 3], [0, 0]])
    used, perplexity = used_codes(index, 8)
    assert used == [1, 4]
    assert perplexity == pytest.approx([1.0, 4.0], rel=1e-5)


def test_parts_are_the_hands_and_only_the_palm_is_seen_as_it_lies(hand):
    skin = SkinSample(hand)
    still = torch.rand(2, len(skin.rows), 3, generator=torch.Generator().manual_seed(0))
    parts = part_points(skin, still, still + 1.0)
    assert len(parts) == len(PARTS)
    assert sum(part.shape[1] for part in parts) == len(skin.rows)
    for number, part in enumerate(parts):
        mine = hand.parts[skin.rows] == number
        moved = 1.0 if number == PALM else 0.0
        assert torch.allclose(part[..., :3] * LOCAL_RADIUS, still[:, mine] + moved, atol=1e-6)
        assert torch.allclose(part[0, :, 3:] * LOCAL_RADIUS, skin.template[mine], atol=1e-6)


def test_an_encoder_tells_which_joint_is_bent_whatever_the_order_of_the_points():
    torch.manual_seed(0)
    encoder = PartEncoder(4)
    points = torch.randn(1, 20, 6)
    order = torch.randperm(20)
    assert torch.allclose(encoder(points), encoder(points[:, order]), atol=1e-5)
    swapped = torch.cat([points[:, order, :3], points[..., 3:]], -1)
    assert not torch.allclose(encoder(points), encoder(swapped), atol=1e-2)
