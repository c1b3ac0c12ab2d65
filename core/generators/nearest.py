"""Nearest neighbours between objects' points and points of hands' skin.

The row of the nearest is looked for among squared distances read as whole numbers, whose lowest bits are overwritten by
the row: their order is the same within a ten-thousandth, and one least number tells both. That is several times as
quick as torch's minima with indices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.hand.skin import Skin

#: entries of the distance tables made at once: larger ones fall out of a processor's cache
TABLE: Final = 2**19
#: infinity's bits: no squared distance is as large, as a whole number
NEVER: Final = 0x7F800000


def row_bits(*clouds: torch.Tensor) -> int:
    """The lowest bits of a number, all set, that rows of any of the clouds (N, P, 3) need."""
    return (1 << (max(cloud.shape[1] for cloud in clouds) - 1).bit_length()) - 1


def distance_tables(points: torch.Tensor, others: torch.Tensor) -> Iterator[torch.Tensor]:
    """Squared distances (n, P, Q) of N sets of points, some sets at a time.

    Args:
        points: (N, P, 3) metres.
        others: (N, Q, 3) metres.

    Yields:
        int32 that are in the order of the distances, with no bit in `row_bits` set.
    """
    at_once = len(points) if points.is_cuda else max(1, TABLE // (points.shape[1] * others.shape[1]))
    bits = row_bits(points, others)
    one, other = (torch.ones_like(given[..., :1]) for given in (points, others))
    left = torch.cat([points, points.square().sum(-1, keepdim=True), one], -1)
    right = torch.cat([-2 * others, other, others.square().sum(-1, keepdim=True)], -1).transpose(1, 2)
    for a, b in zip(left.split(at_once), right.split(at_once), strict=True):
        yield (a @ b).clamp_min_(0).view(torch.int32).bitwise_and_(~bits)


def row_numbers(count: int, like: torch.Tensor) -> torch.Tensor:
    """(count,) 0, 1, ... as the tables' whole numbers, on the device of `like`."""
    return torch.arange(count, dtype=torch.int32, device=like.device)


@torch.no_grad()
def closest(points: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest of other points to each point.

    Args:
        points: (N, P, 3) metres.
        others: (N, Q, 3) metres.

    Returns:
        Metres (N, P), right within some hundredths of a millimetre, and rows (N, P) of `others`.
    """
    row, bits = row_numbers(others.shape[1], others), row_bits(points, others)
    least = torch.cat([table.bitwise_or_(row).amin(2) for table in distance_tables(points, others)])
    return (least & ~bits).view(torch.float32).sqrt(), (least & bits).long()


@dataclass(frozen=True)
class NearestNeighbours:
    """Rows of the nearest points between N objects' points and points of hands' skin, and a distance.

    Attributes:
        hand: (N, P) row of the hand point nearest to each object point.
        prior: (N, P) row among the contact priors, counted in the hand's points, nearest to each object point.
        object: (N, V) row of the object point nearest to each hand point.
        distance: (N, V) metres to that object point, as `closest` has them.
    """

    hand: torch.Tensor
    prior: torch.Tensor
    object: torch.Tensor
    distance: torch.Tensor

    @staticmethod
    @torch.no_grad()
    def between(points: torch.Tensor, skin: Skin) -> NearestNeighbours:
        """The neighbours of object points (N, P, 3) and hands: one table of distances for all."""
        object_rows = row_numbers(points.shape[1], points)[:, None]
        hand_rows = row_numbers(skin.points.shape[1], points)
        no_prior = torch.full_like(hand_rows, NEVER).index_fill_(0, skin.priors, 0)
        bits, found = row_bits(points, skin.points), []
        for table in distance_tables(points, skin.points):
            to_object = (table | object_rows).amin(1)
            to_hand = table.bitwise_or_(hand_rows).amin(2)
            found.append((to_hand, table.bitwise_or_(no_prior).amin(2), to_object))
        to_hand, to_prior, to_object = (torch.cat(part) for part in zip(*found, strict=True))
        return NearestNeighbours((to_hand & bits).long(), (to_prior & bits).long(), (to_object & bits).long(),
                                 (to_object & ~bits).view(torch.float32).sqrt())
