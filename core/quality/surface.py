"""How hands lie on an object, measured on its exact surface, and which of two lies better."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.contact import in_contact, touches, touching_parts
from core.grasps.taxonomy import BY_NAME
from core.hand.normals import vertex_normals
from core.hand.skin import vertex_area
from core.quality.bones import bones_crossing

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class SurfaceLimits:
    """From where on a grasp lies well, or badly.

    Attributes:
        sound_depth_mm: depth up to which a grasp is sound, and left alone.
        sound_overlap_cm3: overlap up to which it is.
        sound_residual: residual of the wrench test below which it is.
        more_overlap_cm3: by which a fit may enlarge the overlap where it improves something else; the strict protocol
            measures a little more, and calls 0.3 worse.
        more_depth_mm: by which a fit may sink the hand deeper where it improves something else.
        shallow_mm: depth that is never worse: a hand that floats has none at all.
        sunk_overlap_cm3: overlap from which a hand is defective as if a bone were in the object.
        sunk_depth_mm: depth from which it is.
    """

    sound_depth_mm: float = 1.5
    sound_overlap_cm3: float = 0.3
    sound_residual: float = 0.1
    more_overlap_cm3: float = 0.2
    more_depth_mm: float = 0.7
    shallow_mm: float = 1.0
    sunk_overlap_cm3: float = 1.0
    sunk_depth_mm: float = 3.0


@dataclass(frozen=True)
class WallTest:
    """How skin that came out beyond a wall is found, metres.

    Attributes:
        nearest: skin nearer to the surface than this is on it.
        farthest: skin farther from it is not looked at.
        flesh: depth under the skin from which a ray is sent to it.
        wall: length of the ray up to which a hit is a wall, and not the surface that the skin is near.
    """

    nearest: float = 0.0001
    farthest: float = 0.003
    flesh: float = 0.004
    wall: float = 0.0039


LIMITS: Final = SurfaceLimits()
WALLS: Final = WallTest()


@dataclass(frozen=True)
class SurfaceQuality:
    """How N hands lie on an object.

    Attributes:
        depth_mm: (N,) depth of the deepest skin in the object.
        overlap_cm3: (N,) skin area times its depth.
        parts: (N, 6) bool, the parts (`core.hand.tables.PARTS`) in contact (`touching_parts`).
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

    def scattered_into(self, whole: SurfaceQuality, rows: torch.Tensor) -> SurfaceQuality:
        """`whole` with its rows replaced by these."""
        return SurfaceQuality(*(getattr(whole, field.name).index_put((rows,), getattr(self, field.name))
                                for field in fields(self)))

    def measures(self) -> dict[str, torch.Tensor]:
        """What a grasp keeps of it (`Grasps.measures`), each (N,)."""
        return {"overlap_cm3": self.overlap_cm3, "depth_mm": self.depth_mm, "contacts": self.parts.sum(1).float(),
                "residual": self.residual.float()}

    @staticmethod
    def cat(parts: list[SurfaceQuality]) -> SurfaceQuality:
        """All hands of all `parts`, in order."""
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


def measure_surface(obj: GraspObject, hand: HandModel, hand_vertices: torch.Tensor,
                    joints: torch.Tensor) -> SurfaceQuality:
    """How N posed hands lie on an object's exact surface.

    Args:
        obj: the object.
        hand: whose hands they are; its template's skin area weighs the overlap.
        hand_vertices: (N, V, 3) metres, object frame.
        joints: (N, 21, 3) joints and tips, metres, object frame.
    """
    near, normal = obj.grid.query(hand_vertices)
    distance = near.clone()
    close = near < 0.005
    if close.any():
        exact, _ = obj.signed_distance(hand_vertices[close])
        distance[close] = torch.as_tensor(exact, dtype=near.dtype)
    depth = (-distance).relu()
    parts = touching_parts(distance, hand.parts)
    overlap = (vertex_area(hand) * depth * 100).sum(1)
    residual = torch.tensor([wrench_residual(hand_vertices[i], distance[i], normal[i], hand.parts)
                             for i in range(len(hand_vertices))])
    return SurfaceQuality(depth.amax(1) * 1000, overlap, parts, residual, bones_crossing(obj, joints, palm=True),
                          skin_behind_walls(obj, hand, hand_vertices, distance))


def score_surface(quality: SurfaceQuality, types: tuple[str, ...], unnatural: torch.Tensor) -> torch.Tensor:
    """A grasp's score: holding, touching with what the type asks for, lying on the surface, looking relaxed.

        100 (0.3 min(parts / wanted, 1) + 0.2 (1 - residual / 0.1) + 0.25 (1 - depth / 3 mm)(1 - overlap / 1 cm3)
             + 0.25 (1 - unnatural / 30 degrees)),   every difference at least 0

    with 6 parts wanted of a power grasp, 4 of another, 5 where the type is unknown.

    Args:
        quality: the measures of N grasps.
        types: N types, "" where unknown.
        unnatural: (N,) rms degrees off the posture meant.

    Returns:
        (N,) 0 to 100.
    """
    wanted = torch.tensor([5.0 if name not in BY_NAME else 6.0 if BY_NAME[name].power else 4.0 for name in types])
    parts = quality.parts.sum(1) / wanted
    hold = 1 - (quality.residual / 0.1).clamp(0, 1)
    surface = (1 - quality.depth_mm / 3).clamp(0, 1) * (1 - quality.overlap_cm3).clamp(0, 1)
    relaxed = (1 - unnatural / 30).clamp(0, 1)
    return 100 * (0.3 * parts.clamp_max(1) + 0.2 * hold + 0.25 * surface + 0.25 * relaxed)


def skin_behind_walls(obj: GraspObject, hand: HandModel, hand_vertices: torch.Tensor,
                      distance: torch.Tensor) -> torch.Tensor:
    """How much skin is outside the object with a wall between it and the flesh under it.

    Args:
        obj: the object.
        hand: whose hands they are.
        hand_vertices: (N, V, 3) metres, object frame.
        distance: (N, V) metres to the surface.

    Returns:
        (N,) counts of vertices.
    """
    count = torch.zeros(len(hand_vertices), dtype=torch.long)
    near = (distance > WALLS.nearest) & (distance < WALLS.farthest)
    if not near.any():
        return count
    normals = torch.stack([vertex_normals(vertices, hand.faces) for vertices in hand_vertices])[near]
    origin = hand_vertices[near] - WALLS.flesh * normals
    hit, _ = obj.surface.first_hit(origin.double().numpy(), normals.double().numpy())
    beyond = torch.as_tensor(np.asarray(hit) < WALLS.wall)
    return count.index_add_(0, near.nonzero()[:, 0], beyond.long())


def wrench_residual(vertices: torch.Tensor, distance: torch.Tensor, normal: torch.Tensor, parts: torch.Tensor,
                    friction: float = 0.6, edges: int = 8) -> float:
    """How much of a unit weight, in the worst of six directions, the contacts cannot carry.

    Forces are sought inside linearised friction cones by non-negative least squares, at up to four contacts of each
    part; torques are taken about the contacts' centre and divided by 5 cm.

    Args:
        vertices: (V, 3) of one hand, metres.
        distance: (V,) metres to the surface.
        normal: (V, 3) the object's normals there.
        parts: (V,) of the vertices, 0 to 5.
        friction: coefficient.
        edges: of each friction cone.

    Returns:
        0 where the contacts carry all of it, 1 with fewer than two parts in contact.
    """
    from scipy.optimize import nnls

    rows: list[torch.Tensor] = []
    for part in range(6):
        touching = ((parts == part) & touches(distance)).nonzero()[:, 0]
        if len(touching):
            order = touching[distance[touching].argsort()]
            rows.append(order[:: max(1, len(order) // 4)][:4])
    if len(rows) < 2:
        return 1.0
    chosen = torch.cat(rows)
    arm = vertices[chosen].double().numpy()
    push = -normal[chosen].double().numpy()
    arm = (arm - arm.mean(0)) / 0.05
    first = np.cross(push, np.where(np.abs(push[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-12
    second = np.cross(push, first)
    angle = np.arange(edges) * 2 * np.pi / edges
    sideways = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    cone = push[:, None] + friction * sideways
    wrench = np.concatenate([cone, np.cross(arm[:, None], cone)], -1).reshape(-1, 6).T
    worst = 0.0
    for axis in range(3):
        for sign in (1.0, -1.0):
            weight = np.zeros(6)
            weight[axis] = sign
            worst = max(worst, nnls(wrench, weight, maxiter=400)[1])
    return worst


def has_contact(quality: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: in contact, as in the strict protocol (`core.grasps.contact.in_contact`)."""
    return in_contact(quality.parts)


def is_sound(quality: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: on the surface, through no wall, in contact, and able to hold."""
    return ((quality.bones == 0) & (quality.through == 0) & has_contact(quality)
            & (quality.depth_mm <= LIMITS.sound_depth_mm) & (quality.overlap_cm3 <= LIMITS.sound_overlap_cm3)
            & (quality.residual < LIMITS.sound_residual))


def is_defective(quality: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: with bones in the object, sunk in it, through a wall, or not in contact."""
    sunk = (quality.overlap_cm3 > LIMITS.sunk_overlap_cm3) | (quality.depth_mm > LIMITS.sunk_depth_mm)
    return (quality.bones > 0) | sunk | (quality.through > 0) | ~has_contact(quality)


def is_better(after: SurfaceQuality, before: SurfaceQuality, stiffness_gain: torch.Tensor | float = 0.0,
              ) -> torch.Tensor:
    """Which grasps a fit improved without making anything that counts on the exact surface much worse.

    Args:
        after: N grasps after the fit.
        before: the same before it.
        stiffness_gain: (N,) by how much less the stiffness lacks now (`core.quality.stiffness.stiffness_deficit`).

    Returns:
        (N,) bool.
    """
    wanting = ~is_sound(before) | (torch.as_tensor(stiffness_gain) > 0)
    return wanting & ~is_worse(after, before) & (defect_cost(after) - stiffness_gain < defect_cost(before))


def is_worse(after: SurfaceQuality, before: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: more bones in the object, contact lost (but for bones' sake), much more overlap, or much deeper."""
    return ((after.bones > before.bones) | (has_contact(before) & ~has_contact(after) & ~last_bone_out(after, before))
            | (after.overlap_cm3 > before.overlap_cm3 + LIMITS.more_overlap_cm3)
            | (after.depth_mm > (before.depth_mm + LIMITS.more_depth_mm).clamp_min(LIMITS.shallow_mm)))


def last_bone_out(after: SurfaceQuality, before: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: there were bones in the object, and now there is none."""
    return (before.bones > 0) & (after.bones == 0)


def defect_cost(quality: SurfaceQuality) -> torch.Tensor:
    """(N,) what is wrong with a grasp, in one number:

    12 bones + [through a wall] + min(overlap, 10 cm3) + 0.3 depth in mm + 4 [no contact] + 2 min(residual, 0.5)
    """
    return (12.0 * quality.bones + (quality.through > 0) + quality.overlap_cm3.clamp_max(10) + 0.3 * quality.depth_mm
            + 4.0 * ~has_contact(quality) + 2 * quality.residual.clamp_max(0.5)).float()
