"""How hands lie on an object, measured on its exact surface, and which of two lies better."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.taxonomy import BY_NAME
from core.hand.skin import vertex_area, vertex_normals
from core.quality.bones import bones_crossing

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres from the surface within which skin is in contact, as in the strict protocol
TOUCH: Final = 0.002
#: a grasp that lies as well as this is left alone: mm, cm3, residual of the wrench test
FINE_DEPTH, FINE_OVERLAP, FINE_RESIDUAL = 1.5, 0.3, 0.1
#: cm3 by which a fit may make the overlap larger, where it makes something else better; the strict protocol reads a
#: little more, and calls 0.3 worse
MORE_OVERLAP: Final = 0.2
#: cm3 and mm in the object from which a hand is freed of it as if a bone were
SUNK_OVERLAP, SUNK_DEPTH = 1.0, 3.0
#: mm by which it may sink deeper, where it makes something else better, and mm that are never too deep: a hand that
#: floats is not in the object at all
MORE_DEPTH, SHALLOW = 0.7, 1.0


@dataclass(frozen=True)
class SurfaceQuality:
    """How N hands lie on an object.

    Attributes:
        depth_mm: (N,) depth of the deepest skin in the object.
        overlap_cm3: (N,) skin area times its depth.
        parts: (N, 6) bool, the parts (`core.hand.tables.PARTS`) within `TOUCH` of the surface.
        residual: (N,) share of a unit weight that the contacts cannot carry (`wrench_residual`).
        bones: (N,) bones that pass through a wall.
        through: (N,) skin points that came out beyond a wall.
    """

    depth_mm: torch.Tensor
    overlap_cm3: torch.Tensor
    parts: torch.Tensor
    residual: torch.Tensor
    bones: torch.Tensor
    through: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> SurfaceQuality:
        return SurfaceQuality(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put_into(self, whole: SurfaceQuality, rows: torch.Tensor) -> SurfaceQuality:
        """`whole` with its rows replaced by these."""
        return SurfaceQuality(*(getattr(whole, field.name).index_put((rows,), getattr(self, field.name))
                                for field in fields(self)))

    @staticmethod
    def cat(parts: list[SurfaceQuality]) -> SurfaceQuality:
        return SurfaceQuality(*(torch.cat([getattr(part, field.name) for part in parts])
                                for field in fields(SurfaceQuality)))

    @staticmethod
    def where(rows: torch.Tensor, one: SurfaceQuality, other: SurfaceQuality) -> SurfaceQuality:
        """`one` in rows (N,) that are True, `other` elsewhere."""
        picked = []
        for field in fields(SurfaceQuality):
            first, second = getattr(one, field.name), getattr(other, field.name)
            picked.append(torch.where(rows.reshape(-1, *[1] * (first.dim() - 1)), first, second))
        return SurfaceQuality(*picked)


def measure_surface(obj: GraspObject, hand: HandModel, skin: torch.Tensor, joints: torch.Tensor) -> SurfaceQuality:
    """How N posed hands lie on an object's exact surface.

    Args:
        obj: the object.
        hand: whose hands they are; its template's skin area weighs the overlap.
        skin: (N, V, 3) vertices in the object's frame, metres.
        joints: (N, 21, 3) joints and tips, likewise.
    """
    near, normal = obj.grid.query(skin)
    distance = near.clone()
    close = near < 0.005
    if close.any():
        exact, _ = obj.signed_distance(skin[close])
        distance[close] = torch.as_tensor(exact, dtype=near.dtype)
    depth = (-distance).relu()
    parts = torch.stack([((distance < TOUCH) & (hand.parts == part)).any(1) for part in range(6)], 1)
    overlap = (vertex_area(hand) * depth * 100).sum(1)
    residual = torch.tensor([wrench_residual(skin[i], distance[i], normal[i], hand.parts) for i in range(len(skin))])
    return SurfaceQuality(depth.amax(1) * 1000, overlap, parts, residual, bones_crossing(obj, joints, palm=True),
                   skin_through(obj, hand, skin, distance))


def score_surface(found: SurfaceQuality, types: tuple[str, ...], unnatural: torch.Tensor) -> torch.Tensor:
    """(N,) 0 to 100: holding, touching with what the type asks for, lying on the surface, looking relaxed.

    Args:
        found: the measures. types: N types, "" where unknown. unnatural: (N,) rms degrees off the posture meant.
    """
    wanted = torch.tensor([5.0 if name not in BY_NAME else 6.0 if BY_NAME[name].power else 4.0 for name in types])
    parts = found.parts.sum(1) / wanted
    hold = 1 - (found.residual / 0.1).clamp(0, 1)
    surface = (1 - found.depth_mm / 3).clamp(0, 1) * (1 - found.overlap_cm3).clamp(0, 1)
    relaxed = (1 - unnatural / 30).clamp(0, 1)
    return 100 * (0.3 * parts.clamp_max(1) + 0.2 * hold + 0.25 * surface + 0.25 * relaxed)


def skin_through(obj: GraspObject, hand: HandModel, skin: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """(N,) skin points outside the object with a wall between them and the flesh 4 mm below."""
    count = torch.zeros(len(skin), dtype=torch.long)
    near = (distance > 0.0001) & (distance < 0.003)
    if not near.any():
        return count
    normals = torch.stack([vertex_normals(one, hand.faces) for one in skin])[near]
    origin = skin[near] - 0.004 * normals
    hit, _ = obj.surface.first_hit(origin.double().numpy(), normals.double().numpy())
    beyond = torch.as_tensor(np.asarray(hit) < 0.0039)
    return count.index_add_(0, near.nonzero()[:, 0], beyond.long())


def wrench_residual(skin: torch.Tensor, distance: torch.Tensor, normal: torch.Tensor, parts: torch.Tensor,
                    friction: float = 0.6, edges: int = 8) -> float:
    """How much of a unit weight, in the worst of six directions, the contacts cannot carry (0: all of it).

    Forces are sought inside linearised friction cones by non-negative least squares; torques are taken about the
    contacts' centre and divided by 5 cm.
    """
    from scipy.optimize import nnls

    rows: list[torch.Tensor] = []
    for part in range(6):
        mine = ((parts == part) & (distance < TOUCH)).nonzero()[:, 0]
        if len(mine):
            order = mine[distance[mine].argsort()]
            rows.append(order[:: max(1, len(order) // 4)][:4])
    if len(rows) < 2:
        return 1.0
    chosen = torch.cat(rows)
    place = skin[chosen].double().numpy()
    push = -normal[chosen].double().numpy()
    place = (place - place.mean(0)) / 0.05
    first = np.cross(push, np.where(np.abs(push[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-12
    second = np.cross(push, first)
    angle = np.arange(edges) * 2 * np.pi / edges
    sideways = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    cone = push[:, None] + friction * sideways
    wrench = np.concatenate([cone, np.cross(place[:, None], cone)], -1).reshape(-1, 6).T
    worst = 0.0
    for axis in range(3):
        for sign in (1.0, -1.0):
            weight = np.zeros(6)
            weight[axis] = sign
            worst = max(worst, nnls(wrench, weight, maxiter=400)[1])
    return worst


def has_contact(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: in contact, as the strict protocol has it."""
    return (found.parts.sum(1) >= 2) & (found.parts[:, 0] | found.parts[:, 5])


def is_sound(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: on the surface, through no wall, touching, and able to hold."""
    return ((found.bones == 0) & (found.through == 0) & has_contact(found) & (found.depth_mm <= FINE_DEPTH)
            & (found.overlap_cm3 <= FINE_OVERLAP) & (found.residual < FINE_RESIDUAL))


def is_defective(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: with bones in the object, sunk in it, through a wall, or not touching as it must."""
    sunk = (found.overlap_cm3 > SUNK_OVERLAP) | (found.depth_mm > SUNK_DEPTH)
    return (found.bones > 0) | sunk | (found.through > 0) | ~has_contact(found)


def is_better(after: SurfaceQuality, before: SurfaceQuality, firmer: torch.Tensor | float = 0.0) -> torch.Tensor:
    """(N,) bool: the fit made the grasp better, and nothing that counts on the exact surface much worse.

    Args:
        firmer: (N,) by how much less a grip lacks now (`stiffness_deficit`).
    """
    wanting = ~is_sound(before) | (torch.as_tensor(firmer) > 0)
    return wanting & ~is_worse(after, before) & (defect_cost(after) - firmer < defect_cost(before))


def is_worse(after: SurfaceQuality, before: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: more bones in the object, contact lost (but for bones' sake), much more overlap, or much deeper."""
    return ((after.bones > before.bones) | (has_contact(before) & ~has_contact(after) & ~last_bone_out(after, before))
            | (after.overlap_cm3 > before.overlap_cm3 + MORE_OVERLAP)
            | (after.depth_mm > (before.depth_mm + MORE_DEPTH).clamp_min(SHALLOW)))


def last_bone_out(after: SurfaceQuality, before: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: there were bones in the object, and now there is none."""
    return (before.bones > 0) & (after.bones == 0)


def defect_cost(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bones, walls, overlap, depth, no contact and what the contacts cannot carry, in one number."""
    return (12.0 * found.bones + (found.through > 0) + found.overlap_cm3.clamp_max(10) + 0.3 * found.depth_mm
            + 4.0 * ~has_contact(found) + 2 * found.residual.clamp_max(0.5)).float()
