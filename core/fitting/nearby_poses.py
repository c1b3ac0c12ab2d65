"""Better starts for the fit, searched for near a pose: out of the object, onto it, or where fingers close firmly.

Each search tries a fixed set of moves of every hand and takes the one of least cost, in cm2:

    cost = sum_s max(100 (0.8 r_s - d(z_s)), 0)^2 + w_bone bones + 0.25 |move in cm|^2 + ...

with z_s, r_s the inner spheres, d the distance to the object, and bones the bones that cross its surface.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contact_fit import CONFIG as FIT
from core.fitting.poses import Poses
from core.hand.articulation import FIRST_JOINT
from core.hand.tables import FINGERS
from core.quality.bones import bones_crossing
from core.quality.stiffness import stiffness_deficit
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.fitting.contact_fit import StiffnessEvaluator
    from core.fitting.energy import GraspEnergy
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class SearchConfig:
    """What is tried, and what it costs.

    Attributes:
        back: metres of a step out of the object.
        opened: shares by which fingers are opened on the way out.
        open_cost: cm2 for the square of such a share.
        afloat: metres beyond which a hand does not touch yet, and is brought to the object first.
        forward: metres along the hand's back by which a firmer grasp is looked for.
        sideways: metres along its side.
        tilt: radians about its side.
        tilt_arm: metres at which a tilt counts as a move.
        closing: how far fingers are opened and closed, in `finger_closings`.
        closings: steps of that.
        touch_share: of the inner spheres' radius with which a finger meets the surface.
        touch_depth: metres that this is in it then.
        sphere_share: of the inner spheres' radius that must stay out of the object.
        normal_share: of that radius, in the object, whose normals say the way out.
        bone: cm2 for a bone in the object.
        move: cm2 for a squared cm of the move.
    """

    back: tuple[float, ...] = (0.006, 0.012, 0.02, 0.03, 0.045)
    opened: tuple[float, ...] = (0.0, 0.2, 0.4, 0.65)
    open_cost: float = 3
    afloat: float = 0.01
    forward: tuple[float, ...] = (-0.015, 0.0, 0.012, 0.024)
    sideways: tuple[float, ...] = (-0.015, 0.0, 0.015)
    tilt: tuple[float, ...] = (-0.25, 0.0, 0.25)
    tilt_arm: float = 0.08
    closing: float = 0.9
    closings: int = 13
    touch_share: float = 0.85
    touch_depth: float = 0.0008
    sphere_share: float = 0.8
    normal_share: float = 0.9
    bone: float = 4.0
    move: float = 0.25


SEARCH: Final = SearchConfig()
#: for a hand that all else left in the object, or off it: a bone costs more, and steps lead farther back
FAR_SEARCH: Final = replace(SEARCH, bone=40.0, back=(*SEARCH.back, 0.065, 0.09))


def toward_and_out(energy: GraspEnergy, obj: GraspObject, poses: Poses) -> Poses:
    """Hands that float brought to the object, hands that are in it out of it."""
    return out_of_object(energy, obj, toward_object(energy, obj, poses))


@torch.no_grad()
def toward_object(energy: GraspEnergy, obj: GraspObject, poses: Poses) -> Poses:
    """Hands that touch nowhere, moved straight to the object until one contact candidate is close.

    Args:
        energy: of the hands on the object.
        obj: the object.
        poses: B hands; those with a candidate within `afloat` stay.
    """
    points = energy.points(poses)[:, energy.hand_points.candidates]
    distance, outward = obj.grid.query(points)
    nearest, which = distance.min(1)
    move = -outward[torch.arange(len(poses)), which] * (nearest - SEARCH.afloat / 2)[:, None]
    return replace(poses, wrist=poses.wrist + move * (nearest > SEARCH.afloat)[:, None])


@torch.no_grad()
def out_of_object(energy: GraspEnergy, obj: GraspObject, poses: Poses, search: SearchConfig = SEARCH) -> Poses:
    """Each pose moved back and opened just so far that its flesh is hardly in the object and no bone crosses it.

    All pairs of a step and a share by which fingers open are tried. Steps lead along the mean normal of the surface
    where the hand is in it, toward the back of the hand, and from the fingers to the wrist, each as far as `back`
    says; bones are tested against the triangles.

    Args:
        energy: of the hands on the object.
        obj: the object.
        poses: B hands.
        search: what is tried, and what it costs.
    """
    count, hand_points, shares = len(poses), energy.hand_points, torch.tensor(search.opened)
    tries = len(search.opened)
    bends = torch.tensor([float(name.endswith("bend")) for name in energy.hand.dof_names])
    opened = poses.dofs[:, None] * (1 - shares[:, None] * bends)
    many = Poses(poses.rotation.repeat_interleave(tries, 0), poses.wrist.repeat_interleave(tries, 0),
                 opened.flatten(0, 1), opened.flatten(0, 1), ("",) * (count * tries))
    spheres = energy.points(many)[:, hand_points.spheres].unflatten(0, (count, tries))
    joints = keypoints(energy, many).unflatten(0, (count, tries))
    distance, outward = obj.grid.query(spheres[:, 0])
    weight = (search.normal_share * hand_points.radii - distance).relu()
    normal = torch.nn.functional.normalize((weight[..., None] * outward).sum(1), dim=1)
    wristward = poses.rotation[:, :, 0] * (1.0 if energy.hand.side == "right" else -1.0)
    directions = torch.stack([normal, poses.rotation[:, :, 1], wristward], 1)
    steps = (directions[:, :, None] * torch.tensor(search.back)[:, None]).flatten(1, 2)
    steps = torch.cat([torch.zeros_like(steps[:, :1]), steps], 1)
    distance = obj.grid.query(spheres[:, :, None] + steps[:, None, :, None])[0]
    depth = 100 * (search.sphere_share * hand_points.radii - distance).relu()
    moved = (joints[:, :, None] + steps[:, None, :, None]).flatten(0, 2)
    bones = bones_crossing(obj, moved, palm=True).reshape(depth.shape[:3])
    far = (100 * steps).square().sum(-1)[:, None]
    cost = (depth.square().sum(-1) + search.bone * bones + search.move * far
            + search.open_cost * shares.square()[None, :, None])
    best, rows, width = cost.flatten(1).argmin(1), torch.arange(count), steps.shape[1]
    return replace(poses, wrist=poses.wrist + steps[rows, best % width], dofs=opened[rows, best // width])


@torch.no_grad()
def stiffest_nearby(energy: GraspEnergy, evaluator: StiffnessEvaluator, obj: GraspObject, poses: Poses,
                    search: SearchConfig = SEARCH) -> Poses:
    """Each pose, or one near it from which its fingers can close on the object so that they hold it more firmly.

    All shifts and tilts of the hand are tried. There each finger is closed, from well open, until it would go into the
    object, or left as it was where it meets nothing. The best costs least, the stiffness deficit included, and the
    square of what the fingers bend, in radians.

    Args:
        energy: of the hands on the object.
        evaluator: of their stiffness.
        obj: the object.
        poses: B hands.
        search: what is tried, and what it costs.

    Returns:
        B poses, each its own template.
    """
    nudges = torch.tensor(tuple(itertools.product(search.forward, search.sideways, search.tilt)))
    hand_points, count = energy.hand_points, len(poses)
    tilt = torch.zeros(len(nudges), 3)
    tilt[:, 2] = nudges[:, 2]
    rotation = poses.rotation[:, None] @ axis_angle_to_matrix(tilt)
    move = nudges[:, :2] @ poses.rotation[:, :, 1:].transpose(1, 2)
    pivot = poses.rotation @ energy.pivot + poses.wrist
    wrist = pivot[:, None] - rotation @ energy.pivot + move
    shares = torch.linspace(-search.closing, search.closing, search.closings)
    closing = finger_closings(energy.hand)
    dofs = poses.dofs[:, None] + shares[:, None] * closing.sum(0)
    transforms = energy.transforms(energy.hand.clamp_dofs(dofs).flatten(0, 1))
    spheres = hand_points.posed(transforms)[:, hand_points.spheres]
    spheres = spheres.reshape(count, 1, -1, 3) @ rotation.transpose(-1, -2) + wrist[:, :, None]
    clear = (obj.grid.query(spheres)[0].unflatten(2, (search.closings, -1))
             > search.touch_share * hand_points.radii - search.touch_depth)
    dofs = poses.dofs[:, None].repeat(1, len(nudges), 1)
    for part, closes in enumerate(closing):
        free = clear[..., hand_points.sphere_parts == part].all(-1).int().cumprod(-1).sum(-1)
        dofs += torch.where(free < search.closings, shares[(free - 1).clamp_min(0)], 0.0)[..., None] * closes
    dofs = energy.hand.clamp_dofs(dofs)
    bent = (dofs - poses.dofs[:, None]).square().sum(-1)
    many = Poses(rotation.flatten(0, 1), wrist.flatten(0, 1), dofs.flatten(0, 1), dofs.flatten(0, 1),
                 ("",) * (count * len(nudges)))
    deficit = stiffness_deficit(evaluator(many, energy.transforms(many.dofs))[0]).reshape(bent.shape)
    distance = obj.grid.query(energy.points(many)[:, hand_points.spheres])[0]
    depth = (100 * (search.sphere_share * hand_points.radii - distance)).relu().square().sum(-1).reshape(bent.shape)
    bones = torch.as_tensor(bones_crossing(obj, keypoints(energy, many), palm=True)).reshape(bent.shape)
    far = (100 * move).square().sum(-1) + (100 * search.tilt_arm * nudges[:, 2]).square()
    cost = FIT.stiffness_weight * deficit + depth + search.bone * bones + search.move * far + bent
    best, rows = cost.argmin(1), torch.arange(count)
    found = dofs[rows, best]
    return replace(poses, rotation=rotation[rows, best], wrist=wrist[rows, best], dofs=found, template=found)


def finger_closings(hand: HandModel) -> torch.Tensor:
    """(5, 21) radians by which the angles of the thumb and the fingers grow, each by itself, when it closes by one."""
    speed = {"MCP bend": 1.0, "PIP bend": 0.9, "DIP bend": 0.6}
    thumb = {"thumb CMC bend": 0.5, "thumb MCP bend": 0.6, "thumb IP bend": 0.7}
    closing = torch.zeros(5, len(hand.dof_names))
    for column, name in enumerate(hand.dof_names):
        finger, _, joint = name.partition(" ")
        closing[FINGERS.index(finger), column] = thumb.get(name, 0.0) if finger == "thumb" else speed.get(joint, 0.0)
    return closing


def keypoints(energy: GraspEnergy, poses: Poses) -> torch.Tensor:
    """(B, 21, 3) joints and tips without correctives, object frame, metres."""
    hand_points, hand = energy.hand_points, energy.hand
    tips = hand.rest(energy.betas)[0][0, hand.tip_vertices] - hand_points.wrist
    last = torch.tensor([FIRST_JOINT[finger] + 2 for finger in FINGERS])  # the joints that carry the tips
    moving = energy.transforms(poses.dofs)[:, torch.cat([torch.arange(16), last])]
    rest = torch.cat([hand_points.joints, tips])
    local = (moving[..., :3, :3] @ rest[..., None])[..., 0] + moving[..., :3, 3]
    return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]
