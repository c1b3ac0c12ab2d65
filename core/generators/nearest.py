"""What is nearest to what between objects' points and hands' skin: rows, told by tables of distances.

A row is looked for among squared distances as whole numbers, whose lowest bits are overwritten by the row: their order
is the same within a ten-thousandth, and one least number tells both. That is several times as quick as torch's minima
with indices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.hand.skin import Skin

#: entries of the tables made at once: larger ones fall out of a processor's cache
TABLE: Final = 2**19
#: no squared distance is as large, as a whole number
NEVER: Final = 0x7F800000


def room_for_rows(*clouds: torch.Tensor) -> int:
    """The lowest bits of a number, all set, that rows of any of the clouds (N, P, 3) need."""
    return (1 << (max(cloud.shape[1] for cloud in clouds) - 1).bit_length()) - 1


def tables(points: torch.Tensor, others: torch.Tensor) -> Iterator[torch.Tensor]:
    """Squared distances (n, P, Q) of N sets of points (N, P, 3) to others (N, Q, 3), metres, some sets at a time.

    Yields:
        int32 that are in the order of the distances, with no bit in `room_for_rows` set.
    """
    some = len(points) if points.is_cuda else max(1, TABLE // (points.shape[1] * others.shape[1]))
    room = room_for_rows(points, others)
    one, other = (torch.ones_like(given[..., :1]) for given in (points, others))
    left = torch.cat([points, points.square().sum(-1, keepdim=True), one], -1)
    right = torch.cat([-2 * others, other, others.square().sum(-1, keepdim=True)], -1).transpose(1, 2)
    for a, b in zip(left.split(some), right.split(some), strict=True):
        yield (a @ b).clamp_min_(0).view(torch.int32).bitwise_and_(~room)


def numbers(count: int, like: torch.Tensor) -> torch.Tensor:
    """0, 1, ... as the tables' rows."""
    return torch.arange(count, dtype=torch.int32, device=like.device)


@torch.no_grad()
def closest(points: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Metres (N, P) from points (N, P, 3) to the nearest of others (N, Q, 3), and which it is.

    Metres are right within some hundredths of a millimetre.
    """
    row, room = numbers(others.shape[1], others), room_for_rows(points, others)
    least = torch.cat([table.bitwise_or_(row).amin(2) for table in tables(points, others)])
    return (least & ~room).view(torch.float32).sqrt(), (least & room).long()


@dataclass(frozen=True)
class Nearest:
    """Rows of what is nearest between N objects' points and hands' skin, and how far that is.

    Attributes:
        skin, prior: (N, P) of the skin, and of its contact priors, to each object point.
        cloud, far: (N, V) of the object's points to each point of skin, and metres as `closest` has them.
    """

    skin: torch.Tensor
    prior: torch.Tensor
    cloud: torch.Tensor
    far: torch.Tensor

    @staticmethod
    @torch.no_grad()
    def between(points: torch.Tensor, skin: Skin) -> Nearest:
        """Of object points (N, P, 3) and skin: one table of distances for all that asks for them."""
        of_points, of_skin = numbers(points.shape[1], points)[:, None], numbers(skin.points.shape[1], points)
        others = torch.full_like(of_skin, NEVER).index_fill_(0, skin.priors, 0)
        room, found = room_for_rows(points, skin.points), []
        for table in tables(points, skin.points):
            cloud = (table | of_points).amin(1)
            whole = table.bitwise_or_(of_skin).amin(2)
            found.append((whole, table.bitwise_or_(others).amin(2), cloud))
        whole, prior, cloud = (torch.cat(part) for part in zip(*found, strict=True))
        return Nearest((whole & room).long(), (prior & room).long(), (cloud & room).long(),
                       (cloud & ~room).view(torch.float32).sqrt())
