"""Grasp stiffness: how firmly a closing hand would have the object, cheap enough to judge every proposal by.

The fingers close by so much; skin that comes to be pressed pushes like a bed of springs; the object, free to move,
floats to where these forces balance. What is pressed even then is trapped. With its friction the trapped skin
withstands a pull at the object's centre of mass; the least stiffness of all directions is the grasp's. A wrench test
passes nearly every hand that lies on the surface; the stiffness tells hands that keep the object from those that
squeeze it out.

Each vertex i of the skin, with normal n_i of the object there and lever r_i from its centre of mass, presses by

    p_i = min(depth_i, limit) - n_i . motion_i,    f_i = a_i max(p_i + t_i . x, 0),    t_i = [n_i, (r_i / L) x n_i]

with a_i its area and x in R^6 the object's travel (shift, and turn times the length L). x solves sum_i f_i t_i = 0.
There the stiffness matrix is

    K = mu^2 sum_i f_i T_i' T_i + (1 - mu^2) sum_i f_i t_i t_i' + e I,    T_i = [1, -(r_i / L) x]

and the grasp's stiffness 1 / max eigenvalue of the shifts' 3 x 3 block of K^-1. The bed of springs is the elastic
foundation of K. L. Johnson, Contact Mechanics (1985), Sec. 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.hand.normals import vertex_normals
from core.hand.skin import vertex_area
from core.hand.squeeze import squeeze
from core.quality.bones import bones_crossing
from core.rotations import cross_matrix

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class StiffnessConfig:
    """The numbers of the model.

    Attributes:
        closing_degrees: by which fingers close, as `core.hand.squeeze.squeeze` takes them; more than in the hold
            test, for proposals do not touch yet.
        blocked: factor of a proposal's stiffness for each bone in the object: flesh behind a wall cannot close on it.
        pressed_cm: depth beyond which sinking deeper does not count as pressing harder.
        lever: metres at which a turn counts as much as a shift (L).
        friction: coefficient mu of the skin.
        firm: stiffness from which a grasp lacks nothing.
        floor: stiffness without any contact, cm2 (e): no grasp has none.
        steps: Newton's steps to the balance.
        damping: share of each Newton step that is taken, but for the last.
        chunk: hands at once; more do not fit into the cache.
        min_cells: cells of the grid inside the object, below which its surface's centre is its centre of mass.
    """

    closing_degrees: tuple[float, float] = (9.0, 6.3)
    blocked: float = 0.2
    pressed_cm: float = 0.05
    lever: float = 0.1
    friction: float = 0.6
    firm: float = 0.5
    floor: float = 1e-3
    steps: int = 8
    damping: float = 0.8
    chunk: int = 32
    min_cells: int = 100


STIFFNESS: Final = StiffnessConfig()


@torch.no_grad()
def grasp_quality(obj: GraspObject, hand: HandModel, grasps: Grasps,
                  closing: tuple[float, float] = STIFFNESS.closing_degrees) -> torch.Tensor:
    """The stiffness of N grasps, less for bones in the object.

    Only skin that faces the surface presses on it, and each bone in the object leaves `blocked` of the stiffness.

    Args:
        obj: the object.
        hand: the hand model, of the grasps' side.
        grasps: N grasps in the object's frame.
        closing: degrees by which the fingers close.

    Returns:
        (N,) cm2 of trapped skin times cm of press.
    """
    if not len(grasps):
        return torch.zeros(0)
    area, centre, found = vertex_area(hand), centre_of_mass(obj), []
    for rows in torch.arange(len(grasps)).split(STIFFNESS.chunk):
        parameters = grasps[rows].parameters()
        posed = hand(**parameters)
        closed = hand(**parameters | {"hand_pose": squeeze(hand, parameters["hand_pose"], closing)})
        motion = closed.vertices - posed.vertices
        distance, outward = obj.grid.query(posed.vertices)
        normals = torch.stack([vertex_normals(vertices, hand.faces) for vertices in posed.vertices])
        opposed = (-(normals * outward).sum(-1)).clamp_min(0)
        stiffness = grasp_stiffness(posed.vertices - centre, 100 * distance, outward, 100 * motion, area * opposed)
        found.append(stiffness * STIFFNESS.blocked ** torch.as_tensor(bones_crossing(obj, posed.joints, palm=True)))
    return torch.cat(found)


def grasp_stiffness(vertices: torch.Tensor, distance: torch.Tensor, outward: torch.Tensor, motion: torch.Tensor,
                    area: torch.Tensor) -> torch.Tensor:
    """How stiffly skin that closes withstands a pull at the object's centre of mass, in the weakest direction.

    Args:
        vertices: (B, V, 3) metres from the centre of mass.
        distance: (B, V) cm to the object, negative inside.
        outward: (B, V, 3) the object's normals.
        motion: (B, V, 3) cm by which the skin moves as the hand closes.
        area: (B, V) cm2 of skin that presses at each vertex.

    Returns:
        (B,) cm2 of trapped skin times cm of press.
    """
    return stiffness_at_rest(vertices, distance, outward, motion, area)[0]


def stiffness_at_rest(vertices: torch.Tensor, distance: torch.Tensor, outward: torch.Tensor, motion: torch.Tensor,
                      area: torch.Tensor, travel: torch.Tensor | None = None, steps: int = STIFFNESS.steps,
                      ) -> tuple[torch.Tensor, torch.Tensor]:
    """`grasp_stiffness`, differentiable, and where the object rests.

    Args:
        vertices: as `grasp_stiffness` has them, and so the next four.
        distance: (B, V) cm.
        outward: (B, V, 3).
        motion: (B, V, 3) cm.
        area: (B, V) cm2.
        travel: (B, 6) where the object rested in hands that were nearly so; from there fewer steps lead to the balance.
        steps: of Newton's method before the last.

    Returns:
        (B,) stiffness, and (B, 6) the object's travel to its rest: cm of shift, and of turn times `lever`.
    """
    press = (-distance).clamp_max(STIFFNESS.pressed_cm) - (motion * outward).sum(-1)
    lever = vertices / STIFFNESS.lever
    along = torch.cat([outward, torch.linalg.cross(lever, outward)], -1)  # the object's travel toward each vertex
    floor = STIFFNESS.floor * torch.eye(6).to(vertices)

    def newton_step(travel: torch.Tensor, share: float) -> torch.Tensor:
        pressed = (press + (along @ travel[..., None])[..., 0]).relu()
        force = (along * (area * pressed)[..., None]).sum(1) + (floor @ travel[..., None])[..., 0]
        slope = (along * ((pressed > 0) * area)[..., None]).transpose(1, 2) @ along + floor
        return travel - share * torch.linalg.solve(slope, force)

    with torch.no_grad():
        travel = torch.zeros(len(vertices), 6).to(vertices) if travel is None else travel
        for _ in range(steps):
            travel = newton_step(travel, STIFFNESS.damping)
    travel = newton_step(travel, 1.0)  # its gradient is that of the balance, by the theorem of implicit functions
    force = area * (press + (along @ travel[..., None])[..., 0]).relu()
    # Pressed skin bears a travel by its normal, and, sideways, by friction.
    stiffness = STIFFNESS.friction**2 * isotropic_stiffness(lever, force)
    stiffness = stiffness + (along * ((1 - STIFFNESS.friction**2) * force)[..., None]).transpose(1, 2) @ along + floor
    compliance = torch.linalg.inv(stiffness)[:, :3, :3]
    return 1 / torch.linalg.eigvalsh(compliance)[:, -1], travel.detach()


def stiffness_deficit(stiffness: torch.Tensor) -> torch.Tensor:
    """(B,) what a stiffness (B,) lacks to be firm: log(firm / stiffness), 0 where it is firm."""
    return (STIFFNESS.firm / stiffness.clamp_min(STIFFNESS.floor)).log().relu()


def isotropic_stiffness(lever: torch.Tensor, force: torch.Tensor) -> torch.Tensor:
    """The stiffness of springs that bear every direction alike against shifts and turns.

    The sum of T' T over them, weighted `force`, with T = [1, -lever x], from the moments of the levers.

    Args:
        lever: (B, V, 3).
        force: (B, V).

    Returns:
        (B, 6, 6).
    """
    weighted = force[..., None] * lever
    first, second = weighted.sum(1), weighted.transpose(1, 2) @ lever
    one = torch.eye(3).to(lever)
    shift = force.sum(1)[:, None, None] * one
    turn = second.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] * one - second
    both = cross_matrix(first)
    return torch.cat([torch.cat([shift, both.transpose(1, 2)], 2), torch.cat([both, turn], 2)], 1)


def centre_of_mass(obj: GraspObject) -> torch.Tensor:
    """(3,) metres, the mean of the grid's cells inside the object; of its surface, where next to none is inside."""
    grid = obj.grid
    inside = (grid.values[..., 0] < 0).nonzero().float()
    if len(inside) < STIFFNESS.min_cells:
        return torch.zeros(3)
    return grid.origin + grid.spacing * inside.mean(0)
