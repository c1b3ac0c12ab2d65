"""Codebooks for the parts of a hand (DVQ-VAE, Sec. 3.3): one for each part, and encoders of a part's vertices.

Symbols are the paper's: z_i what an encoder makes of part i, e_k the rows of its codebook, hat z_i the nearest row.
Differences, each chosen here: rows that nothing has been nearest to for a while are put where a part truly is, or most
would never be used; codes are narrow (the published ones have 256 numbers), so that the nearest of few is near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.pointnet import PointNet, Shortcut
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.tables import PARTS

if TYPE_CHECKING:
    from core.hand.skin import SkinSample

#: the part of a hand that is not a finger
PALM: Final = PARTS.index("palm")
#: share of what a row's use is remembered by from one step to the next
MEMORY: Final = 0.98
#: use below which a row is put elsewhere; 1 is that of a row in a book whose rows are all used alike
LEAST_USE: Final = 0.03


class Codebooks(nn.Module):
    """Several codebooks of the same size.

    Args:
        books: how many.
        count: rows of each.
        width: numbers of a row.

    Attributes:
        rows: (books, count, width) e.
        use: (books, count) how often each row was nearest of late, 1 where all are used alike; 0 at first, so that
            rows begin where parts are.
    """

    use: torch.Tensor

    def __init__(self, books: int, count: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(books, count, width) / width**0.5)
        self.register_buffer("use", torch.zeros(books, count))

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """(N, books) the row nearest to each of z (N, books, width), in Euclid's distance (Eq. 4 and 5)."""
        return torch.cdist(z.detach().transpose(0, 1), self.rows.detach()).argmin(2).T

    def look_up(self, index: torch.Tensor) -> torch.Tensor:
        """(N, books, width) the rows of indices (N, books)."""
        return self.rows[torch.arange(len(self.rows), device=index.device), index]

    @torch.no_grad()
    def revive(self, z: torch.Tensor, index: torch.Tensor, rng: torch.Generator) -> None:
        """Notes which rows are used, and puts those that no longer are where some of z is.

        Args:
            z: (N, books, width).
            index: (N, books) of `nearest`.
            rng: of which.
        """
        _, count, width = self.rows.shape
        seen = nn.functional.one_hot(index, count).sum(0).to(self.use)
        self.use.mul_(MEMORY).add_(seen * count / len(z), alpha=1 - MEMORY)
        for book, row in (self.use < LEAST_USE).nonzero().tolist():
            other = int(torch.randint(len(z), (1,), generator=rng))
            off = 1e-3 * torch.randn(width, generator=rng)
            self.rows[book, row] = z[other, book] + off.to(z)
            self.use[book, row] = 1.0


def codebook_loss(z: torch.Tensor, nearest: torch.Tensor, beta: float = 0.25) -> torch.Tensor:
    """Eq. 1 and 2: how far the encoders' z and the rows nearest to them are apart, of which each learns its share.

    Args:
        z: (N, books, width).
        nearest: (N, books, width) hat z.
        beta: what the rows learn beside what the encoders do.

    Returns:
        (N,) sums over the books.
    """
    encoders = (nearest.detach() - z).square().sum(-1)
    rows = (z.detach() - nearest).square().sum(-1)
    return (encoders + beta * rows).sum(1)


def straight_through(z: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
    """The nearest rows, with the gradient that they have handed on to z (van den Oord et al. 2017, Sec. 3.2)."""
    return z + (nearest - z).detach()


def used_codes(index: torch.Tensor, count: int) -> tuple[list[int], list[float]]:
    """How many rows of each book are used (Fig. 4), and how evenly.

    Args:
        index: (N, books) of `Codebooks.nearest`.
        count: rows of a book.

    Returns:
        For each book how many rows any of the N has, and the perplexity: of how many rows it would be, used alike.
    """
    share = nn.functional.one_hot(index, count).float().mean(0)
    perplexity = torch.exp(-(share * share.clamp_min(1e-12).log()).sum(1))
    return (share > 0).sum(1).tolist(), perplexity.tolist()


class PartEncoder(nn.Module):
    """z of a part from its vertices.

    Args:
        width: numbers of z.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # A point is seen with its place at rest, or the maximum over points could not tell joints apart.
        self.points = PointNet(6, (32, 64, 96), mean=True)
        self.out = Shortcut(self.points.width, 128, width)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """(N, width) of vertices (N, V, 6), where they are and where they are at rest, over `LOCAL_RADIUS`."""
        return self.out(self.points(points))


def part_points(hand: SkinSample, still: torch.Tensor, placed: torch.Tensor) -> list[torch.Tensor]:
    """The vertices of each part, as its encoder is given them.

    Args:
        hand: which vertices.
        still: (N, V, 3) metres, in the wrist's own frame, less their mean: what the fingers' encoders see.
        placed: (N, V, 3) metres, as the palm's encoder sees them.

    Returns:
        For each of `PARTS` (N, V of that part, 6), as `PartEncoder` takes them.
    """
    part_of = hand.hand.parts[hand.rows]
    rest = hand.template.expand_as(still)
    return [torch.cat([(placed if part == PALM else still)[:, mine], rest[:, mine]], -1) / LOCAL_RADIUS
            for part, mine in ((part, part_of == part) for part in range(len(PARTS)))]
