"""What a synthesised grasp must pass before an animator sees it, measured on the exact surface."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.metrics.bones import bones_crossing
from core.synthesis.optimise import vertex_normals
from core.synthesis.probe import PARTS
from core.synthesis.taxonomy import BY_NAME

if TYPE_CHECKING:
    from core.objects import GraspObject
    from core.synthesis.optimise import Closer, Poses

TOUCH = 0.002


@dataclass(frozen=True)
class Checked:
    """N grasps measured: depth_mm, overlap_cm3 (skin area times depth), parts (N, 6), residual of the wrench test,
    squeeze (cm, fingers into each other), bones through a wall, unnatural (rms degrees off the template), through
    (skin points that came out beyond a wall), accepted.
    """

    depth_mm: torch.Tensor
    overlap_cm3: torch.Tensor
    parts: torch.Tensor
    residual: torch.Tensor
    crowding: torch.Tensor
    bones: torch.Tensor
    unnatural: torch.Tensor
    through: torch.Tensor
    accepted: torch.Tensor


@dataclass(frozen=True)
class Surface:
    """How N hands lie on an object: depth_mm, overlap_cm3, parts (N, 6) that touch, residual, bones and through as in
    `Checked`.
    """

    depth_mm: torch.Tensor
    overlap_cm3: torch.Tensor
    parts: torch.Tensor
    residual: torch.Tensor
    bones: torch.Tensor
    through: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Surface:
        return Surface(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put_into(self, whole: Surface, rows: torch.Tensor) -> Surface:
        """`whole` with its rows replaced by these."""
        return Surface(*(getattr(whole, field.name).index_put((rows,), getattr(self, field.name))
                         for field in fields(self)))

    @staticmethod
    def cat(parts: list[Surface]) -> Surface:
        return Surface(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Surface)))

    @staticmethod
    def where(rows: torch.Tensor, one: Surface, other: Surface) -> Surface:
        """`one` in rows (N,) that are True, `other` elsewhere."""
        picked = []
        for field in fields(Surface):
            first, second = getattr(one, field.name), getattr(other, field.name)
            picked.append(torch.where(rows.reshape(-1, *[1] * (first.dim() - 1)), first, second))
        return Surface(*picked)


def measure(obj: GraspObject, closer: Closer, skin: torch.Tensor, joints: torch.Tensor) -> Surface:
    """Measures hands of `closer`'s shape, skin (N, V, 3) and joints (N, 21, 3), on the exact surface."""
    hand = closer.hand
    near, normal = obj.grid.query(skin)
    distance = near.clone()
    close = near < 0.005
    if close.any():
        exact, _ = obj.signed_distance(skin[close])
        distance[close] = torch.as_tensor(exact, dtype=near.dtype)
    depth = (-distance).relu()
    parts = torch.stack([((distance < TOUCH) & (hand.parts == part)).any(1) for part in range(6)], 1)
    overlap = (closer.vertex_area * depth * 100).sum(1)
    residual = torch.tensor([wrench_residual(skin[i], distance[i], normal[i], hand.parts) for i in range(len(skin))])
    return Surface(depth.amax(1) * 1000, overlap, parts, residual, bones_crossing(obj, joints, palm=True),
                   skin_through(obj, closer, skin, distance))


def check(obj: GraspObject, closer: Closer, poses: Poses) -> Checked:
    """Measures poses and decides; `Closer.grasps` gives them their final form."""
    with torch.no_grad():
        skin = closer.skin(poses)
        joints = closer.hand(**closer.grasps(poses, "synthesis", 0).parameters()).joints
    found = measure(obj, closer, skin, joints)
    crowding = closer.crowded(closer.points(poses)).amax((1, 2))
    unnatural = torch.rad2deg((poses.dofs - poses.template).square().mean(1).sqrt())
    power = torch.tensor([BY_NAME[name].power for name in poses.types])
    named = torch.tensor([[any(PARTS[part] in pad for pad in BY_NAME[name].pads) for part in range(6)]
                          for name in poses.types])
    touching = (found.parts & named).sum(1)
    wanted = torch.minimum(named.sum(1), torch.where(power, 4, 3))
    opposed = found.parts[:, 0] | found.parts[:, 5]
    accepted = ((found.depth_mm <= 1.8) & (found.overlap_cm3 <= 0.35) & (found.bones == 0) & (found.through == 0)
                & (touching >= wanted) & opposed & (found.parts.sum(1) >= wanted) & (found.residual < 0.1)
                & (crowding <= 0.35) & (unnatural < 22))
    return Checked(found.depth_mm, found.overlap_cm3, found.parts, found.residual, crowding, found.bones, unnatural,
                   found.through, accepted)


def score(found: Checked | Surface, types: tuple[str, ...], unnatural: torch.Tensor) -> torch.Tensor:
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


def skin_through(obj: GraspObject, closer: Closer, skin: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """(N,) skin points outside the object with a wall between them and the flesh 4 mm below."""
    count = torch.zeros(len(skin), dtype=torch.long)
    near = (distance > 0.0001) & (distance < 0.003)
    if not near.any():
        return count
    normals = torch.stack([vertex_normals(one, closer.hand.faces) for one in skin])[near]
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
