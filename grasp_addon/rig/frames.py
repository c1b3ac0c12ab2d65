"""Where the bones lie in the open hand, and how joint rotations become bone channels.

Joints rotate about the hand's own (template) axes, as in MANO; bones rotate about their own. Bones lie along the
fingers (Y), and +X curls the finger, on both hands; the left hand's axes are the right's mirrored as Blender
mirrors bones (Y and Z reflected, X reflected and reversed), so that flipped poses land where they should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..naming import JOINT_COUNT, PARENTS, THUMB_JOINTS, TIP_OF_LAST_JOINT, WRIST
from ..transforms import matrices_from_quaternions, nearest_rotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.types import Candidate, HandShape

MIRROR = np.diag([-1.0, 1.0, 1.0])  # the left hand is the right one with x reversed
MIDDLE_KNUCKLE = 4
HAND_BONE_SHARE = 0.9  # the hand bone ends shortly before the knuckle, so that both can be picked


def bone_tails(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Where each bone ends: at the next joint of its finger, the fingertip, or shortly before the knuckle.

    Args:
        joints: (16, 3) rest joints.
        tips: (5, 3) thumb, index, middle, ring, little, same frame.

    Returns:
        (16, 3) the bones' tails, same frame.
    """
    tails = np.empty((JOINT_COUNT, 3))
    for joint in range(JOINT_COUNT):
        if joint == WRIST:
            tails[joint] = joints[WRIST] + HAND_BONE_SHARE * (joints[MIDDLE_KNUCKLE] - joints[WRIST])
        elif joint in TIP_OF_LAST_JOINT:
            tails[joint] = tips[TIP_OF_LAST_JOINT[joint] - JOINT_COUNT]
        else:
            tails[joint] = joints[joint + 1]
    return tails


def bone_axes(joints: np.ndarray, tips: np.ndarray, side: str) -> np.ndarray:
    """The bones' axes, from the rest joints alone.

    The curl axis is that of MANO's anatomical frame: (parent - joint) x up, up being the back of the hand for the
    fingers and (1, 1, 1) for the thumb, of the right hand; a left hand is measured in the mirror.

    Args:
        joints: (16, 3) rest joints in the hand's own frame.
        tips: (5, 3) thumb, index, middle, ring, little, same frame.
        side: "right" or "left".

    Returns:
        (16, 3, 3) columns X, Y, Z in the hand's own frame.
    """
    mirror = MIRROR if side == "left" else np.eye(3)
    heads, tails = joints @ mirror, bone_tails(joints, tips) @ mirror
    axes = np.empty((JOINT_COUNT, 3, 3))
    for joint, parent in enumerate(PARENTS):
        along = _unit(tails[joint] - heads[joint])
        back = -along if joint == WRIST else heads[parent] - heads[joint]
        up = np.array([1.0, 1.0, 1.0]) if joint in THUMB_JOINTS else np.array([0.0, 1.0, 0.0])
        curl = np.cross(back, up)
        curl = _unit(curl - along * (curl @ along))
        axes[joint] = np.stack([curl, along, np.cross(curl, along)], axis=-1)
    if side == "left":
        axes = MIRROR @ axes @ MIRROR  # the right-hand MIRROR reverses X again: reflected and right-handed
    return axes


def open_hand_beside(shape: HandShape, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Stands the open hand upright beside a box, fingers up and palm to the box, mirrored for a left hand.

    Args:
        shape: the hand, in its own frame.
        low: (3,) the lower corner of the object's bounding box in its frame, scene units.
        high: (3,) the upper corner.

    Returns:
        (4, 4) rigid, hand's own frame to the object's.
    """
    mirror = MIRROR if shape.side == "left" else np.eye(3)
    vertices, joints = shape.vertices @ mirror, shape.joints @ mirror
    up = _unit(joints[MIDDLE_KNUCKLE] - joints[WRIST])
    palm = np.cross(_unit(np.cross(up, np.array([0.0, 1.0, 0.0]))), up) * -1.0
    palm *= -np.sign(palm[1])  # the palm faces the template's -y
    rotation = np.stack([-palm, np.cross(up, -palm), up])  # rows: where x, y, z of the object's frame come from
    turned = vertices @ rotation.T
    centre = (low + high) / 2
    gap = 0.25 * shape.length
    shift = np.array([
        high[0] + gap - turned[:, 0].min(),
        centre[1] - (turned[:, 1].min() + turned[:, 1].max()) / 2,
        centre[2] - (turned[:, 2].min() + turned[:, 2].max()) / 2,
    ])
    if shape.side == "left":  # the mirror image, across the object's x = 0, of where the right hand stands ...
        shift[0] = -low[0] + gap - turned[:, 0].min()  # ... seen from the other side of the box
    placed = np.eye(4)
    placed[:3, :3] = mirror @ rotation @ mirror
    placed[:3, 3] = mirror @ shift
    return placed


def bone_channels(candidates: Sequence[Candidate], rest_joint: np.ndarray, heads: np.ndarray, axes: np.ndarray,
                  placed: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The poses of candidates as pose-bone channels.

    With B the placement of the open hand, L = [axes | heads] a bone's rest matrix in the armature and G the joint's
    transform, a bone's deformation is D = G B^-1; along the chain this leaves, of each finger joint's rotation R,
    A^T R A with A = B^-1 axes, and of the wrist L^-1 G B^-1 L.

    Args:
        candidates: N grasps, in the sent mesh's frame.
        rest_joint: (3,) the wrist in the hand's own frame.
        heads: (16, 3) the bones' heads in the armature, as Blender stores them.
        axes: (16, 3, 3) the bones' axes in the armature, as Blender stores them.
        placed: (4, 4) rigid, hand's own frame to armature: B.
        frame: (4, 4) rigid, sent mesh's frame to armature.

    Returns:
        rotations: (N, 16, 3, 3) of the pose bones about their own axes.
        locations: (N, 3) of the wrists'.
    """
    quaternions = np.array([one.rotations for one in candidates], np.float64).reshape(-1, JOINT_COUNT, 4)
    turn = matrices_from_quaternions(quaternions)
    own = placed[:3, :3].T @ axes
    rotations = own.transpose(0, 2, 1) @ turn @ own
    wrist = np.tile(np.eye(4), (len(turn), 1, 1))
    wrist[:, :3, :3] = turn[:, WRIST]
    for at, one in zip(wrist, candidates, strict=True):
        at[:3, 3] = rest_joint + one.translation - at[:3, :3] @ rest_joint
    rest = np.eye(4)
    rest[:3, :3], rest[:3, 3] = axes[WRIST], heads[WRIST]
    basis = np.linalg.inv(rest) @ frame @ wrist @ np.linalg.inv(placed) @ rest
    rotations[:, WRIST] = basis[:, :3, :3]
    return rotations, basis[:, :3, 3]


def joint_pose(posed: np.ndarray, rest_joint: np.ndarray, heads: np.ndarray, axes: np.ndarray, placed: np.ndarray,
               frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pose of the bones as a candidate's numbers: `bone_channels` the other way.

    Args:
        posed: (16, 4, 4) the posed bones in the armature, however they came to be there.
        rest_joint: (3,) as for `bone_channels`.
        heads: (16, 3) as for `bone_channels`.
        axes: (16, 3, 3) as for `bone_channels`.
        placed: (4, 4) as for `bone_channels`.
        frame: (4, 4) rigid, armature to the sent mesh's frame.

    Returns:
        rotations: (16, 3, 3) local, of each joint about the hand's own axes.
        translation: (3,) MANO's.
    """
    turned = nearest_rotations(posed[:, :3, :3])
    own = placed[:3, :3].T @ axes
    turns = np.empty((JOINT_COUNT, 3, 3))
    for joint, parent in enumerate(PARENTS):
        if joint != WRIST:
            basis = axes[joint].T @ axes[parent] @ turned[parent].T @ turned[joint]
            turns[joint] = own[joint] @ basis @ own[joint].T
    rest, at = np.eye(4), np.eye(4)
    rest[:3, :3], rest[:3, 3] = axes[WRIST], heads[WRIST]
    at[:3, :3], at[:3, 3] = turned[WRIST], posed[WRIST, :3, 3]
    wrist = frame @ at @ np.linalg.inv(rest) @ placed
    turns[WRIST] = wrist[:3, :3]
    return nearest_rotations(turns), wrist[:3, 3] - rest_joint + wrist[:3, :3] @ rest_joint


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
