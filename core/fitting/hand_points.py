"""The points on and in a hand that optimisation reads: contact candidates, inner spheres and skin."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.hand.articulation import FIRST_JOINT
from core.hand.skin import blended
from core.hand.tables import FINGERS

if TYPE_CHECKING:
    from core.hand import HandModel

#: the degree of freedom, by its place in `HandModel.dof_names`, that bends each of MANO's 15 finger joints
BEND_DOF: Final = {1: 0, 2: 2, 3: 3, 4: 4, 5: 6, 6: 7, 10: 8, 11: 10, 12: 11, 7: 12, 8: 14, 9: 15, 13: 18, 14: 19,
                   15: 20}
#: the palm's number among the parts
PALM: Final = 5


@dataclass(frozen=True)
class PatchConfig:
    """Where contact candidates lie on the hand at rest.

    Attributes:
        counts: candidates of a finger's proximal, middle and distal patch.
        side_count: of the thumb's side of a finger.
        palm_count: of the palm.
        heel_count: of the heel of the hand.
        segment: range of a patch along its bone, as a share of the bone from its joint.
        last_segment: the same for a distal patch, whose bone ends at the tip.
        volar: least cosine of the skin's normal with the palmar direction, and of a side patch with its side.
        volar_quantile: of the most palmar skin, where too little of a bone has that cosine (the thumb's root).
        palm_down: component of the normal toward the hand's back below which skin is the palm's.
        palm_range: range of the palm's patch along the middle metacarpal, as a share of it from the wrist.
        heel_range: the same for the heel.
        back: component of the normal toward the hand's back from which skin presses on nothing.
    """

    counts: tuple[int, int, int] = (4, 4, 6)
    side_count: int = 4
    palm_count: int = 10
    heel_count: int = 6
    segment: tuple[float, float] = (0.2, 0.85)
    last_segment: tuple[float, float] = (0.35, 0.93)
    volar: float = 0.72
    volar_quantile: float = 0.85
    palm_down: float = -0.6
    palm_range: tuple[float, float] = (0.55, 1.05)
    heel_range: tuple[float, float] = (0.15, 0.55)
    back: float = 0.4


CONFIG: Final = PatchConfig()


@dataclass(frozen=True)
class ContactPatch:
    """A patch of skin that a grasp type may ask to touch.

    Attributes:
        name: "index tip", "palm", ...
        part: of the hand, 0 to 5 (`core.hand.tables.PARTS`).
        rows: of its candidates in `HandPoints`.
    """

    name: str
    part: int
    rows: slice


class HandPoints:
    """Sample points of one hand shape, skinned together: contact candidates, then inner spheres, then skin.

    Args:
        hand: the hand model.
        betas: (10,) its shape; zeros where None.
        skin_count: points spread over the skin.

    Attributes:
        rest: (P, 3) rest positions relative to the wrist joint, metres.
        weights: (P, 16) skinning weights.
        normals: (C + K, 3) outward rest normals of the candidates, then of the skin points.
        normal_weights: (C + K, 16) skinning weights of those.
        candidates: rows of the C contact candidates.
        candidate_parts: (C,) their parts, 0 to 5.
        patches: the candidates by the name of their patch.
        spheres: rows of the S inner spheres' centres.
        radii: (S,) metres.
        sphere_parts: (S,) 0 to 5.
        skin: rows of K evenly spread skin points.
        skin_area: (K,) cm2 of skin that each stands for.
        wrist: (3,) the wrist joint at rest in the model's frame, metres.
        joints: (16, 3) rest joints relative to the wrist, metres.

    Raises:
        ValueError: the hand has no skin where a patch should be.
    """

    def __init__(self, hand: HandModel, betas: torch.Tensor | None = None, skin_count: int = 320) -> None:
        betas = torch.zeros(1, 10) if betas is None else betas.reshape(1, 10).cpu()
        vertices, joints = (value[0].float() for value in hand.rest(betas))
        self.wrist = joints[0]
        self.joints = joints - self.wrist
        vertices = vertices - self.wrist
        faces = hand.faces
        corners = vertices[faces]
        normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = normal.norm(dim=1).clamp_min(1e-12) / 2
        normal = normal / (2 * area[:, None])
        centre = corners.mean(1)
        weight = hand.lbs_weights[faces].mean(1)
        chosen = self._choose_candidates(hand, vertices, centre, normal, weight)

        sphere_rest = hand.sphere_rest(betas)[0].float() - self.wrist
        self.radii: torch.Tensor = hand.sphere_radii.float()
        self.sphere_parts: torch.Tensor = hand.sphere_parts
        self.spheres = slice(self.candidates.stop, self.candidates.stop + len(sphere_rest))

        body = (~torch.isin(faces, hand.cap_faces).all(1)).nonzero()[:, 0]
        skin = body[farthest_points(centre[body], min(skin_count, len(body)))]
        self.skin = slice(self.spheres.stop, self.spheres.stop + len(skin))
        nearest = torch.cdist(centre[body], centre[skin]).argmin(1)
        self.skin_area = torch.zeros(len(skin)).index_add_(0, nearest, area[body]) * 1e4

        self.rest = torch.cat([centre[chosen], sphere_rest, centre[skin]])
        self.weights = torch.cat([weight[chosen], hand.sphere_weights.float(), weight[skin]])
        self.normals = torch.cat([normal[chosen], normal[skin]])
        self.normal_weights = torch.cat([weight[chosen], weight[skin]])

    def _choose_candidates(self, hand: HandModel, vertices: torch.Tensor, centre: torch.Tensor, normal: torch.Tensor,
                           weight: torch.Tensor) -> torch.Tensor:
        """(C,) the faces whose centres are the contact candidates; fills `patches` and what belongs to them.

        Args:
            hand: the hand model.
            vertices: (V, 3) at rest, relative to the wrist.
            centre: (F, 3) of the faces.
            normal: (F, 3) of the faces.
            weight: (F, 16) skinning weights of the faces.
        """
        volar, axis = self._bone_directions(hand)
        tips = vertices[hand.tip_vertices]
        dominant = weight.argmax(1)
        faces: list[torch.Tensor] = []
        self.patches: dict[str, ContactPatch] = {}
        parts: list[torch.Tensor] = []

        def add(name: str, part: int, mask: torch.Tensor, count: int) -> None:
            rows = mask.nonzero()[:, 0]
            if len(rows) == 0:
                raise ValueError(f"this hand has no skin for the pad {name}")
            faces.append(rows[farthest_points(centre[rows], min(count, len(rows)))])
            first = sum(len(mine) for mine in parts)
            parts.append(torch.full((len(faces[-1]),), part))
            self.patches[name] = ContactPatch(name, part, slice(first, first + len(faces[-1])))

        for part, finger in enumerate(FINGERS):
            first = FIRST_JOINT[finger]
            for segment, (label, count) in enumerate(zip(("prox", "mid", "tip"), CONFIG.counts, strict=True)):
                joint = first + segment
                start = self.joints[joint]
                end = self.joints[joint + 1] if segment < 2 else tips[part]
                bone = end - start
                along = ((centre - start) @ bone) / bone.dot(bone)
                lower, upper = CONFIG.last_segment if segment == 2 else CONFIG.segment
                mine = (dominant == joint) & (along > lower) & (along < upper)
                cosine = normal @ volar[joint]
                palmar = mine & (cosine > CONFIG.volar)
                if palmar.sum() < count:  # the thumb's root hardly shows: its most palmar skin
                    palmar = mine & (cosine > cosine[mine].quantile(CONFIG.volar_quantile))
                add(f"{finger} {label}", part, palmar, count)
                if finger in ("index", "middle") and segment > 0:
                    side = mine & (normal @ axis[joint] > CONFIG.volar)
                    add(f"{finger} side {label}", part, side, CONFIG.side_count)
        palm = (dominant == 0) & (normal[:, 1] < CONFIG.palm_down)
        middle = self.joints[FIRST_JOINT["middle"]]
        along = (centre @ middle) / middle.dot(middle)
        low, high = CONFIG.palm_range
        add("palm", PALM, palm & (along > low) & (along < high), CONFIG.palm_count)
        low, high = CONFIG.heel_range
        add("heel", PALM, palm & (along > low) & (along <= high), CONFIG.heel_count)
        self.candidate_parts = torch.cat(parts)
        self.candidates = slice(0, len(self.candidate_parts))
        return torch.cat(faces)

    def _bone_directions(self, hand: HandModel) -> tuple[torch.Tensor, torch.Tensor]:
        """(16, 3) the way each bone's flexion carries it (its pulp's side), and (16, 3) its bending axis.

        The axis points to the thumb's side on a right hand's fingers, away from it on a left hand's; the side wanted
        is always the thumb's, so a left hand's axis is turned.
        """
        unit = torch.eye(21)[[BEND_DOF[joint] for joint in range(1, 16)]] * 0.1
        pose = hand.pose_from_dofs(unit).reshape(15, 15, 3)
        axis = torch.zeros(16, 3)
        volar = torch.zeros(16, 3)
        for joint in range(1, 16):
            axis[joint] = torch.nn.functional.normalize(pose[joint - 1, joint - 1], dim=0)
            first = max(first for first in FIRST_JOINT.values() if first <= joint)
            bone = self.joints[first + 2] - self.joints[first]
            volar[joint] = torch.nn.functional.normalize(torch.linalg.cross(axis[joint], bone), dim=0)
        if hand.side == "left":
            axis = -axis
        return volar, axis

    def to(self, device: torch.device | str) -> HandPoints:
        """The same points on another device."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(other, name, value.to(device))
        return other

    def palmar_skin(self) -> HandPoints:
        """The same with skin alone, without the hand's back, which presses on nothing."""
        other = copy.copy(self)
        first, normals = self.skin.start, self.normals[self.candidates.stop :]
        rows = (normals[:, 1] < CONFIG.back).nonzero()[:, 0]
        other.rest, other.weights, other.normals = self.rest[first + rows], self.weights[first + rows], normals[rows]
        other.normal_weights, other.skin_area = other.weights, self.skin_area[rows]
        other.candidates = other.spheres = slice(0, 0)
        other.skin = slice(0, len(rows))
        return other

    def without_skin(self) -> HandPoints:
        """The same with contact candidates and spheres alone."""
        other = copy.copy(self)
        stop = self.spheres.stop
        other.rest, other.weights = self.rest[:stop], self.weights[:stop]
        count = self.candidates.stop
        other.normals, other.normal_weights = self.normals[:count], self.normal_weights[:count]
        other.skin, other.skin_area = slice(stop, stop), self.skin_area[:0]
        return other

    def posed(self, transforms: torch.Tensor) -> torch.Tensor:
        """(B, P, 3) the points under wrist-relative skinning transforms (B, 16, 4, 4), metres."""
        rest = torch.cat([self.rest, torch.ones_like(self.rest[:, :1])], 1)
        return blended(self.weights, rest, transforms[:, :, :3])

    def posed_normals(self, transforms: torch.Tensor) -> torch.Tensor:
        """(B, C + K, 3) outward normals of the candidates, then of the skin points, under the same transforms."""
        normals = blended(self.normal_weights, self.normals, transforms[:, :, :3, :3])
        return normals / normals.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-9)


def farthest_points(points: torch.Tensor, count: int) -> torch.Tensor:
    """Farthest point sampling, from the most central point on.

    Args:
        points: (N, 3).
        count: how many are chosen.

    Returns:
        (count,) their rows.
    """
    chosen = torch.empty(count, dtype=torch.long)
    chosen[0] = (points - points.mean(0)).norm(dim=1).argmin()
    distance = torch.full((len(points),), float("inf"))
    for i in range(1, count):
        distance = torch.minimum(distance, (points - points[chosen[i - 1]]).norm(dim=1))
        chosen[i] = distance.argmax()
    return chosen
