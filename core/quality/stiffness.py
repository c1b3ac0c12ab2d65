"""How firmly a closing hand would have the object: an elastic grip, cheap enough to judge every proposal by.

The fingers close by so much; skin that comes to be pressed pushes like a bed of springs; the object, free to move,
floats to where these forces balance. What is pressed even then is trapped. With its friction the trapped skin
withstands a pull at the object's centre of mass; how stiffly it does so in the weakest direction is the grip. A wrench
test says yes to nearly every hand that lies on the surface; the grip tells those that keep the object from those that
squeeze it out.

The bed of springs is the elastic foundation of K. L. Johnson, Contact Mechanics (1985), Sec. 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from core.hand.articulation import squeeze
from core.hand.skin import vertex_area, vertex_normals
from core.quality.bones import bones_crossing
from core.rotations import cross_matrix

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: degrees by which fingers close, as `core.hand.articulation.SQUEEZE` has them; more, for proposals are not there yet
CLOSING: Final = (9.0, 6.3)
#: what is left of a proposal's grip for each bone in the object: flesh behind a wall cannot close on it
BLOCKED: Final = 0.2
#: cm of depth beyond which sinking deeper does not count as pressing harder
PRESSED: Final = 0.05
#: metres of lever at which a turn counts as much as a shift
LEVER: Final = 0.1
FRICTION: Final = 0.6
#: the grip from which a hand is firm
FIRM: Final = 0.5
#: stiffness that is there without any contact, cm2: no grip is zero
LOOSE: Final = 1e-3
#: Newton's steps to the balance, and how much of each is taken
STEPS, SHARE = 8, 0.8
#: hands at once: more fall out of the cache
CHUNK: Final = 32


@torch.no_grad()
def grasp_quality(obj: GraspObject, hand: HandModel, grasps: Grasps,
                  closing: tuple[float, float] = CLOSING) -> torch.Tensor:
    """(N,) the grip, cm2 of trapped skin times cm of press, of N grasps whose fingers close by `closing` degrees.

    Only skin that faces the surface presses on it, and each bone in the object leaves `BLOCKED` of the grip.
    """
    if not len(grasps):
        return torch.zeros(0)
    area, centre, found = vertex_area(hand), centre_of_mass(obj), []
    for some in torch.arange(len(grasps)).split(CHUNK):
        given = grasps[some].parameters()
        posed = hand(**given)
        moved = hand(**given | {"hand_pose": squeeze(hand, given["hand_pose"], closing)}).vertices - posed.vertices
        distance, outward = obj.grid.query(posed.vertices)
        normals = torch.stack([vertex_normals(skin, hand.faces) for skin in posed.vertices])
        facing = (-(normals * outward).sum(-1)).clamp_min(0)
        firm = grasp_stiffness(posed.vertices - centre, 100 * distance, outward, 100 * moved, area * facing)
        found.append(firm * BLOCKED ** torch.as_tensor(bones_crossing(obj, posed.joints, palm=True)))
    return torch.cat(found)


def grasp_stiffness(skin: torch.Tensor, distance: torch.Tensor, outward: torch.Tensor, moved: torch.Tensor,
                    area: torch.Tensor) -> torch.Tensor:
    """(B,) how stiffly skin that closes withstands a pull at the object's centre of mass, in the weakest direction.

    Args:
        skin: (B, V, 3) metres from the centre of mass. distance: (B, V) cm to the object.
        outward: (B, V, 3) the object's normals. moved: (B, V, 3) cm by which the skin moves as the hand closes.
        area: (B, V) cm2 of skin that presses at each vertex.
    """
    return settled(skin, distance, outward, moved, area)[0]


def settled(skin: torch.Tensor, distance: torch.Tensor, outward: torch.Tensor, moved: torch.Tensor,
            area: torch.Tensor, place: torch.Tensor | None = None, steps: int = STEPS,
            ) -> tuple[torch.Tensor, torch.Tensor]:
    """`grasp_stiffness`, differentiable, and (B, 6) where the object rests; from a near `place` in fewer steps."""
    press = (-distance).clamp_max(PRESSED) - (moved * outward).sum(-1)
    lever = skin / LEVER
    along = torch.cat([outward, torch.linalg.cross(lever, outward)], -1)  # the object's travel toward each vertex
    loose = LOOSE * torch.eye(6).to(skin)

    def nearer(place: torch.Tensor, share: float) -> torch.Tensor:
        """A Newton step to where the object rests."""
        pressed = (press + (along @ place[..., None])[..., 0]).relu()
        pull = (along * (area * pressed)[..., None]).sum(1) + (loose @ place[..., None])[..., 0]
        stiff = (along * ((pressed > 0) * area)[..., None]).transpose(1, 2) @ along + loose
        return place - share * torch.linalg.solve(stiff, pull)

    with torch.no_grad():
        place = torch.zeros(len(skin), 6).to(skin) if place is None else place
        for _ in range(steps):
            place = nearer(place, SHARE)
    place = nearer(place, 1.0)  # its gradient is that of the balance, by the theorem of implicit functions
    force = area * (press + (along @ place[..., None])[..., 0]).relu()
    # Pressed skin bears a travel by its normal, and, sideways, by friction.
    stiff = FRICTION**2 * bearing(lever, force)
    stiff = stiff + (along * ((1 - FRICTION**2) * force)[..., None]).transpose(1, 2) @ along + loose
    yielding = torch.linalg.inv(stiff)[:, :3, :3]
    return 1 / torch.linalg.eigvalsh(yielding)[:, -1], place.detach()


def stiffness_deficit(firm: torch.Tensor) -> torch.Tensor:
    """(B,) what a grip (B,) lacks to be firm, 0 for one that is: the logarithm of the ratio."""
    return (FIRM / firm.clamp_min(LOOSE)).log().relu()


def bearing(lever: torch.Tensor, force: torch.Tensor) -> torch.Tensor:
    """(B, 6, 6) how stiffly springs at levers (B, V, 3) that bear every way alike withstand shifts and turns.

    The sum of T' T over them, weighted `force` (B, V), with T = [1, -lever x], from the moments of the levers.
    """
    heavy = force[..., None] * lever
    first, second = heavy.sum(1), heavy.transpose(1, 2) @ lever
    one = torch.eye(3).to(lever)
    shift = force.sum(1)[:, None, None] * one
    turn = second.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] * one - second
    both = cross_matrix(first)
    return torch.cat([torch.cat([shift, both.transpose(1, 2)], 2), torch.cat([both, turn], 2)], 1)


def centre_of_mass(obj: GraspObject) -> torch.Tensor:
    """(3,) the middle of the cells that are inside the object; of its surface, where next to none is."""
    grid = obj.grid
    inside = (grid.values[..., 0] < 0).nonzero().float()
    if len(inside) < 100:
        return torch.zeros(3)
    return grid.origin + grid.spacing * inside.mean(0)
