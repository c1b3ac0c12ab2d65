"""Better starts for the fit, searched for near a pose: out of the object, onto it, or where fingers close firmly.

Each search tries a fixed set of moves of every hand and takes the one of least cost, in cm2:

    cost = sum_s max(100 (0.8 r_s - d(z_s)), 0)^2 + w_bone bones + 0.25 |move in cm|^2 + ...

with z_s, r_s the inner spheres, d the distance to the object, and bones the bones that cross its surface.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.contact_energy import CONFIG as FIT
from core.fitting.contact_energy import distances_to
from core.fitting.posing import HandPoses, rotations
from core.quality.bones import bones_crossing
from core.quality.stiffness import stiffness_deficit

if TYPE_CHECKING:
    from core.fitting.fit_hand import FitHand
    from core.fitting.stiffness_term import StiffnessTerm
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


def toward_and_out(hand: FitHand, obj: GraspObject, poses: HandPoses) -> HandPoses:
    """Hands that float brought to the object, hands that are in it out of it."""
    return out_of_object(hand, obj, toward_object(hand, obj, poses))


def toward_object(hand: FitHand, obj: GraspObject, poses: HandPoses) -> HandPoses:
    """Hands that touch nowhere, moved straight to the object until one contact candidate is close.

    Args:
        hand: of the poses.
        obj: the object.
        poses: B hands; those with a candidate within `afloat` stay.
    """
    distance, outward = distances_to(obj.grid, hand.candidates.posed(hand.chain.posed(poses).moves))
    which, rows = distance.argmin(1), np.arange(len(poses))
    nearest = distance[rows, which]
    move = -outward[rows, which] * (nearest - SEARCH.afloat / 2)[:, None]
    return replace(poses, wrist=poses.wrist + move * (nearest > SEARCH.afloat)[:, None])


def out_of_object(hand: FitHand, obj: GraspObject, poses: HandPoses, search: SearchConfig = SEARCH) -> HandPoses:
    """Each pose moved back and opened just so far that its flesh is hardly in the object and no bone crosses it.

    All pairs of a step and a share by which fingers open are tried. Steps lead along the mean normal of the surface
    where the hand is in it, toward the back of the hand, and from the fingers to the wrist, each as far as `back`
    says; bones are tested against the triangles.

    Args:
        hand: of the poses.
        obj: the object.
        poses: B hands.
        search: what is tried, and what it costs.
    """
    count, shares = len(poses), np.array(search.opened, np.float32)
    tries = len(shares)
    opened = poses.dofs[:, None] * (1 - shares[:, None] * hand.bends)
    many = HandPoses(poses.rotation.repeat(tries, 0), poses.wrist.repeat(tries, 0), opened.reshape(count * tries, -1))
    moves = hand.chain.posed(many).moves
    spheres = hand.spheres.posed(moves).reshape(count, tries, -1, 3)
    joints = hand.keypoints(moves).reshape(count, tries, -1, 3)
    distance, outward = distances_to(obj.grid, spheres[:, 0])
    weight = np.maximum(search.normal_share * hand.radii - distance, 0)
    normal = (weight[..., None] * outward).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    directions = np.stack((normal, poses.rotation[:, :, 1], hand.wristward * poses.rotation[:, :, 0]), 1)
    steps = (directions[:, :, None] * np.array(search.back, np.float32)[:, None]).reshape(count, -1, 3)
    steps = np.concatenate((np.zeros_like(steps[:, :1]), steps), 1)
    deep = sunk(hand, obj, spheres[:, :, None] + steps[:, None, :, None], search)
    bones = crossing(obj, joints[:, :, None] + steps[:, None, :, None])
    far = (100 * steps * 100 * steps).sum(-1)[:, None]
    cost = deep + search.bone * bones + search.move * far + search.open_cost * (shares * shares)[:, None]
    best, rows, width = cost.reshape(count, -1).argmin(1), np.arange(count), steps.shape[1]
    return replace(poses, wrist=poses.wrist + steps[rows, best % width], dofs=opened[rows, best // width])


def stiffest_nearby(hand: FitHand, stiffness: StiffnessTerm, obj: GraspObject, poses: HandPoses,
                    search: SearchConfig = SEARCH) -> HandPoses:
    """Each pose, or one near it from which its fingers can close on the object so that they hold it more firmly.

    All shifts and tilts of the hand are tried. There each finger is closed, from well open, until it would go into the
    object, or left as it was where it meets nothing. The best costs least, the stiffness deficit included, and the
    square of what the fingers bend, in radians.

    Args:
        hand: of the poses.
        stiffness: of such hands on the object.
        obj: the object.
        poses: B hands.
        search: what is tried, and what it costs.
    """
    nudges = np.array(tuple(itertools.product(search.forward, search.sideways, search.tilt)), np.float32)
    count, tilt = len(poses), np.zeros((len(nudges), 3), np.float32)
    tilt[:, 2] = nudges[:, 2]
    rotation = poses.rotation[:, None] @ rotations(tilt)
    move = nudges[:, :2] @ poses.rotation[:, :, 1:].transpose(0, 2, 1)
    centre = poses.rotation @ hand.pivot + poses.wrist
    wrist = centre[:, None] - rotation @ hand.pivot + move
    shares = np.linspace(-search.closing, search.closing, search.closings, dtype=np.float32)
    dofs = hand.clamped(poses.dofs[:, None] + shares[:, None] * hand.finger_closings.sum(0))
    tries = count * search.closings
    still = HandPoses(np.broadcast_to(np.eye(3, dtype=np.float32), (tries, 3, 3)), np.zeros((tries, 3), np.float32),
                      dofs.reshape(tries, -1))
    spheres = hand.spheres.posed(hand.chain.posed(still).moves).reshape(count, 1, -1, 3)
    spheres = spheres @ rotation.transpose(0, 1, 3, 2) + wrist[:, :, None]
    distance = nearly_distances(obj, spheres).reshape(count, len(nudges), search.closings, -1)
    clear = distance > search.touch_share * hand.radii - search.touch_depth
    dofs = np.repeat(poses.dofs[:, None], len(nudges), 1)
    for part, closes in enumerate(hand.finger_closings):
        free = clear[..., hand.sphere_parts == part].all(-1).cumprod(-1).sum(-1)
        dofs += np.where(free < search.closings, shares[np.maximum(free - 1, 0)], 0)[..., None] * closes
    dofs = hand.clamped(dofs)
    bent = ((dofs - poses.dofs[:, None]) ** 2).sum(-1)
    many = HandPoses(rotation.reshape(-1, 3, 3), wrist.reshape(-1, 3), dofs.reshape(-1, dofs.shape[-1]))
    moves = hand.chain.posed(many).moves
    deficit = stiffness_deficit(stiffness.stiffness(many)).numpy().reshape(bent.shape)
    deep = sunk(hand, obj, hand.spheres.posed(moves).reshape(*bent.shape, -1, 3), search)
    bones = crossing(obj, hand.keypoints(moves)).reshape(bent.shape)
    far = (1e4 * move * move).sum(-1) + (100 * search.tilt_arm * nudges[:, 2]) ** 2
    cost = FIT.stiffness * deficit + deep + search.bone * bones + search.move * far + bent
    best, rows = cost.argmin(1), np.arange(count)
    return HandPoses(rotation[rows, best], wrist[rows, best], dofs[rows, best])


def sunk(hand: FitHand, obj: GraspObject, spheres: np.ndarray, search: SearchConfig) -> np.ndarray:
    """(...) cm2, the sum of the squares by which inner spheres at (..., S, 3) are in the object."""
    distance = nearly_distances(obj, spheres)
    depth = np.maximum(100 * (search.sphere_share * hand.radii - distance), 0)
    return (depth * depth).sum(-1)


def crossing(obj: GraspObject, joints: np.ndarray) -> np.ndarray:
    """(...) bones that cross the object's surface, of keypoints (..., 21, 3); those inside it by its grid."""
    flat = torch.from_numpy(joints.reshape(-1, *joints.shape[-2:]))
    return bones_crossing(obj, flat, palm=True, exact=False).numpy().reshape(joints.shape[:-2])


def nearly_distances(obj: GraspObject, points: np.ndarray) -> np.ndarray:
    """(B, ...) metres from points (B, ..., 3) to the object, hand by hand: all at once do not fit into the cache."""
    return np.stack([obj.grid.approximate_distance(torch.from_numpy(some)).numpy() for some in points])
