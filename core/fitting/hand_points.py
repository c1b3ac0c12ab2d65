"""The points on and in a hand that optimisation reads: pads that touch, spheres and skin that must not sink in."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.hand.skin import blended
from core.hand.tables import FINGERS

if TYPE_CHECKING:
    from core.hand import HandModel

# First of the three joints of each finger in MANO's order.
FIRST_JOINT = {"index": 1, "middle": 4, "little": 7, "ring": 10, "thumb": 13}
# The degree of freedom that bends each of the 15 joints, in the order of `HandModel.dof_names`.
BEND_DOF = {1: 0, 2: 2, 3: 3, 4: 4, 5: 6, 6: 7, 10: 8, 11: 10, 12: 11, 7: 12, 8: 14, 9: 15, 13: 18, 14: 19, 15: 20}

#: skin whose normal at rest has this much of the way that the back of the hand faces is not of the palm's side
BACK_OF_HAND: Final = 0.4


@dataclass(frozen=True)
class PadGroup:
    """A patch of skin that a grasp type may ask to touch; `rows` index the probe's points."""

    name: str
    part: int
    rows: slice


class HandPoints:
    """Sample points of one hand shape, skinned together: pads, then inner spheres, then skin.

    Attributes:
        rest: (P, 3) rest positions relative to the wrist joint, metres.
        weights: (P, 16) skinning weights.
        normals: (pads + skin, 3) outward rest normals, pads first.
        pads: rows of the pads; groups: the pads by name.
        spheres: rows of the sphere centres; radii (S,) metres; sphere_parts (S,) 0..5.
        skin: rows of evenly spread skin points; skin_area (K,) the skin each stands for, cm2.
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
        volar, axis = self._bone_directions(hand)
        tips = vertices[hand.tip_vertices]
        dominant = weight.argmax(1)

        rows: list[torch.Tensor] = []
        groups: list[tuple[str, int, int]] = []

        def add(name: str, part: int, mask: torch.Tensor, count: int) -> None:
            chosen = mask.nonzero()[:, 0]
            if len(chosen) == 0:
                raise ValueError(f"this hand has no skin for the pad {name}")
            rows.append(chosen[farthest_points(centre[chosen], min(count, len(chosen)))])
            groups.append((name, part, len(rows[-1])))

        for part, finger in enumerate(FINGERS):
            first = FIRST_JOINT[finger]
            for segment, (label, count) in enumerate((("prox", 4), ("mid", 4), ("tip", 6))):
                joint = first + segment
                start = self.joints[joint]
                end = self.joints[joint + 1] if segment < 2 else tips[part]
                bone = end - start
                along = ((centre - start) @ bone) / bone.dot(bone)
                lower, upper = (0.35, 0.93) if segment == 2 else (0.2, 0.85)
                mine = (dominant == joint) & (along > lower) & (along < upper)
                facing = normal @ volar[joint]
                steep = mine & (facing > 0.72)
                if steep.sum() < count:  # the thumb's root hardly shows: its most palmar skin
                    steep = mine & (facing > facing[mine].quantile(0.85))
                add(f"{finger} {label}", part, steep, count)
                if finger in ("index", "middle") and segment > 0:
                    add(f"{finger} side {label}", part, mine & (normal @ axis[joint] > 0.72), 4)
        palm = (dominant == 0) & (normal[:, 1] < -0.6)
        middle = self.joints[4]
        along = (centre @ middle) / middle.dot(middle)
        add("palm", 5, palm & (along > 0.55) & (along < 1.05), 10)
        add("heel", 5, palm & (along > 0.15) & (along <= 0.55), 6)

        self.groups: dict[str, PadGroup] = {}
        stop = 0
        for name, part, count in groups:
            self.groups[name] = PadGroup(name, part, slice(stop, stop + count))
            stop += count
        chosen = torch.cat(rows)
        self.pads = slice(0, stop)
        self.pad_part = torch.cat([torch.full((count,), part) for _, part, count in groups])

        sphere_rest = hand.sphere_rest(betas)[0].float() - self.wrist
        self.radii = hand.sphere_radii.float()
        self.sphere_parts = hand.sphere_parts
        self.spheres = slice(stop, stop + len(sphere_rest))

        body = (~torch.isin(faces, hand.cap_faces).all(1)).nonzero()[:, 0]
        skin = body[farthest_points(centre[body], min(skin_count, len(body)))]
        self.skin = slice(self.spheres.stop, self.spheres.stop + len(skin))
        nearest = torch.cdist(centre[body], centre[skin]).argmin(1)
        self.skin_area = torch.zeros(len(skin)).index_add_(0, nearest, area[body]) * 1e4

        self.rest = torch.cat([centre[chosen], sphere_rest, centre[skin]])
        self.weights = torch.cat([weight[chosen], hand.sphere_weights.float(), weight[skin]])
        self.normals = torch.cat([normal[chosen], normal[skin]])
        self.facing_weights = torch.cat([weight[chosen], weight[skin]])

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
            finger = max(first for first in FIRST_JOINT.values() if first <= joint)
            bone = self.joints[finger + 2] - self.joints[finger]
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

    def gripping_skin(self) -> HandPoints:
        """The same with skin alone, without the hand's back, which presses on nothing."""
        other = copy.copy(self)
        first, normals = self.skin.start, self.normals[self.pads.stop:]
        rows = (normals[:, 1] < BACK_OF_HAND).nonzero()[:, 0]
        other.rest, other.weights, other.normals = self.rest[first + rows], self.weights[first + rows], normals[rows]
        other.facing_weights, other.skin_area = other.weights, self.skin_area[rows]
        other.pads = other.spheres = slice(0, 0)
        other.skin = slice(0, len(rows))
        return other

    def pads_and_spheres(self) -> HandPoints:
        """The same without skin."""
        other = copy.copy(self)
        stop = self.spheres.stop
        other.rest, other.weights = self.rest[:stop], self.weights[:stop]
        other.normals, other.facing_weights = self.normals[: self.pads.stop], self.facing_weights[: self.pads.stop]
        other.skin, other.skin_area = slice(stop, stop), self.skin_area[:0]
        return other

    def skin_points(self, transforms: torch.Tensor) -> torch.Tensor:
        """(B, P, 3) the points under wrist-relative skinning transforms (B, 16, 4, 4)."""
        rest = torch.cat([self.rest, torch.ones_like(self.rest[:, :1])], 1)
        return blended(self.weights, rest, transforms[:, :, :3])

    def normals_under(self, transforms: torch.Tensor) -> torch.Tensor:
        """(B, pads + skin, 3) outward normals of the pads, then of the skin points, under the same transforms."""
        normals = blended(self.facing_weights, self.normals, transforms[:, :, :3, :3])
        return normals / normals.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-9)


def farthest_points(points: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of `count` of the (N, 3) points spread as far apart as greedy choice gets; starts at the most central."""
    chosen = torch.empty(count, dtype=torch.long)
    chosen[0] = (points - points.mean(0)).norm(dim=1).argmin()
    distance = torch.full((len(points),), float("inf"))
    for i in range(1, count):
        distance = torch.minimum(distance, (points - points[chosen[i - 1]]).norm(dim=1))
        chosen[i] = distance.argmax()
    return chosen

