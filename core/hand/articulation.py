"""Twenty-one degrees of freedom of a hand, and MANO's 45 axis-angle numbers for them.

Every joint has an anatomical frame taken from the hand's own rest joints (MANO's template axes, right
hand): b along the bone toward the wrist, l the flexion axis, u = l x b away from the palm.

    finger MCP = R_l(bend) R_u(spread), PIP and DIP = R_l(bend)
    thumb CMC  = R_b(twist) R_u(spread) R_l(bend), MCP and IP = R_l(bend)

So the thumb's twist turns the plane in which it spreads: twist and spread together oppose the fingers.
"""

from __future__ import annotations

from typing import Final

import torch

from core.rotations import cross_matrix

#: first joint of each finger's chain in MANO's order
FIRST_JOINT: Final = {"thumb": 13, "index": 1, "middle": 4, "ring": 10, "little": 7}
#: MANO's joints at the four fingers' knuckles, index to little
KNUCKLES: Final = (1, 4, 10, 7)
#: those with four degrees of freedom, in the order of `DOF_NAMES`
FOUR_FINGERS: Final = ("index", "middle", "ring", "little")

DOF_NAMES: Final = (
    *(f"{finger} {name}" for finger in FOUR_FINGERS for name in ("MCP bend", "MCP spread", "PIP bend", "DIP bend")),
    "thumb CMC twist", "thumb CMC spread", "thumb CMC bend", "thumb MCP bend", "thumb IP bend",
)  # fmt: skip

#: the joint, in MANO's order, that each degree of freedom turns; of one joint's the first is applied last
DOF_JOINTS: Final = (*(FIRST_JOINT[finger] + joint for finger in FOUR_FINGERS for joint in (0, 0, 1, 2)),
                     13, 13, 13, 14, 15)

_SPREAD_DEGREES: Final = {"index": (-20, 20), "middle": (-30, 20), "ring": (-30, 20), "little": (-40, 20)}
_THUMB_DEGREES: Final = ((-45, 45), (-15, 60), (-10, 60), (-10, 55), (-15, 80))
#: the relaxed hand: degrees, MCP bend, spread, PIP, DIP of four fingers, then the thumb's five
_RELAXED_DEGREES: Final = (
    18, 2, 26, 12,
    24, 0, 32, 15,
    28, 1, 34, 16,
    30, 2, 32, 15,
    12, 22, 8, 10, 14,
)  # fmt: skip

#: a relaxed fist, the thumb across the index; found by search, no finger through another
_FIST_DEGREES: Final = (
    68, 6, 95, 47,
    72, 2, 90, 50,
    73, -1, 90, 50,
    70, -1, 86, 48,
    32, 31, -4, 24, 50,
)  # fmt: skip


def dof_limits() -> torch.Tensor:
    """(21, 2) least and largest angle of every degree of freedom, radians."""
    rows: list[tuple[float, float]] = []
    for finger in FOUR_FINGERS:
        rows += [(-10, 90), _SPREAD_DEGREES[finger], (0, 100), (0, 80)]
    return torch.deg2rad(torch.tensor([*rows, *_THUMB_DEGREES], dtype=torch.float32))


def relaxed_dofs() -> torch.Tensor:
    """(21,) radians: the hand at ease, fingers curling a little more toward the little finger."""
    return torch.deg2rad(torch.tensor(_RELAXED_DEGREES, dtype=torch.float32))


def fist_dofs() -> torch.Tensor:
    """(21,) radians: a relaxed fist, the thumb across the index."""
    return torch.deg2rad(torch.tensor(_FIST_DEGREES, dtype=torch.float32))


def joint_frames(joints: torch.Tensor) -> torch.Tensor:
    """Anatomical frames of the fifteen finger joints of a right hand.

    Args:
        joints: (21, 3) rest joints and tips in MANO's order, right-handed template axes.

    Returns:
        (15, 3, 3) with the unit vectors b, u, l as rows.
    """
    frames = []
    for joint in range(1, 16):
        knuckle = (joint - 1) % 3 == 0
        near, far = (joint, joint + 1) if knuckle else (joint - 1, joint)
        b = torch.nn.functional.normalize(joints[near] - joints[far], dim=0)
        up = torch.ones(3) if joint >= 13 else torch.tensor([0.0, 1.0, 0.0])
        across = torch.nn.functional.normalize(torch.linalg.cross(b, up.to(b)), dim=0)
        frames.append(torch.stack([b, torch.linalg.cross(across, b), across]))
    return torch.stack(frames)


def grasp_centre(joints: torch.Tensor) -> torch.Tensor:
    """The middle of what a hand holds, before the palm near its knuckles.

    Args:
        joints: (16 or more, 3) metres at rest, MANO's order and template axes, of either side.

    Returns:
        (3,) metres from the wrist.
    """
    return 0.8 * (joints[4] - joints[0]) + joints.new_tensor([0.0, -0.035, 0.0])


def _rotation_about(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Quaternions wxyz (B, 4) of rotations by angle (B,) radians about a unit axis (3,)."""
    half = angle[:, None] / 2
    return torch.cat([torch.cos(half), torch.sin(half) * axis], dim=1)


def _multiply(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """The products p q of quaternions wxyz (..., 4): first q, then p."""
    pw, pv, qw, qv = p[..., :1], p[..., 1:], q[..., :1], q[..., 1:]
    real = pw * qw - (pv * qv).sum(-1, keepdim=True)
    return torch.cat([real, pw * qv + qw * pv + torch.linalg.cross(pv, qv, dim=-1)], dim=-1)


def _rotate(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Vectors v (3,) or (..., 3) rotated by unit quaternions wxyz (..., 4)."""
    cross = 2 * torch.linalg.cross(q[..., 1:], v.expand_as(q[..., 1:]), dim=-1)
    return v + q[..., :1] * cross + torch.linalg.cross(q[..., 1:], cross, dim=-1)


def _axis_angle(q: torch.Tensor) -> torch.Tensor:
    """Axis-angle (..., 3) of unit quaternions wxyz (..., 4) of angles below half a turn; smooth at zero."""
    squared = (q[..., 1:] ** 2).sum(-1, keepdim=True)
    small = squared < 1e-10
    length = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    scale = torch.where(small, 2 / q[..., :1].clamp_min(0.5), 2 * torch.atan2(length, q[..., :1]) / length)
    return q[..., 1:] * scale


def _quaternion(vector: torch.Tensor) -> torch.Tensor:
    """Unit quaternions wxyz (..., 4) of axis-angle vectors (..., 3)."""
    angle = vector.norm(dim=-1, keepdim=True)
    return torch.cat([torch.cos(angle / 2), 0.5 * torch.sinc(angle / (2 * torch.pi)) * vector], dim=-1)


def pose_from_dofs(dofs: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Hand pose of a right hand from its degrees of freedom; differentiable.

    Args:
        dofs: (B, 21) radians, in the order of `DOF_NAMES`.
        frames: (15, 3, 3) of `joint_frames`.

    Returns:
        (B, 45) axis-angle radians of the fifteen joints, in MANO's order.
    """
    joints: dict[int, torch.Tensor] = {}
    for f, finger in enumerate(FOUR_FINGERS):
        first = FIRST_JOINT[finger] - 1
        bend, spread, pip, dip = dofs[:, 4 * f : 4 * f + 4].unbind(1)
        frame = frames[first]
        joints[first] = _axis_angle(_multiply(_rotation_about(frame[2], bend), _rotation_about(frame[1], spread)))
        joints[first + 1] = pip[:, None] * frames[first + 1, 2]
        joints[first + 2] = dip[:, None] * frames[first + 2, 2]
    twist, spread, bend, mcp, ip = dofs[:, 16:].unbind(1)
    frame = frames[12]
    swing = _multiply(_rotation_about(frame[1], spread), _rotation_about(frame[2], bend))
    joints[12] = _axis_angle(_multiply(_rotation_about(frame[0], twist), swing))
    joints[13] = mcp[:, None] * frames[13, 2]
    joints[14] = ip[:, None] * frames[14, 2]
    return torch.cat([joints[joint] for joint in range(15)], dim=1)


def rotation_axes(frames: torch.Tensor) -> torch.Tensor:
    """The axes of a right hand's degrees of freedom.

    Args:
        frames: (15, 3, 3) of `joint_frames`.

    Returns:
        (21, 3) unit vectors in template axes, in the order of `DOF_NAMES`.
    """
    axes = [frames[FIRST_JOINT[finger] - 1 + joint, row]
            for finger in FOUR_FINGERS for joint, row in ((0, 2), (0, 1), (1, 2), (2, 2))]
    return torch.stack([*axes, *frames[12], frames[13, 2], frames[14, 2]])


def rotations_from_dofs(dofs: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    """The rotations of the joints, not by way of axis-angle; differentiable.

    Args:
        dofs: (B, 21) radians, in the order of `DOF_NAMES`.
        axes: (21, 3) of the rotations (`rotation_axes`).

    Returns:
        (B, 15, 3, 3), those of `pose_from_dofs`, in MANO's order.
    """
    cross, angle = cross_matrix(axes), dofs[..., None, None]
    rotations = torch.eye(3).to(dofs) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    bend, spread, middle, last = rotations[:, :16].unflatten(1, (4, 4)).unbind(2)
    twist, aside, inward, thumb_middle, thumb_last = rotations[:, 16:].split(1, 1)
    joints = ((bend @ spread, twist @ (aside @ inward)), (middle, thumb_middle), (last, thumb_last))
    index, middle, ring, little, thumb = torch.stack([torch.cat(pair, 1) for pair in joints], 2).unbind(1)
    return torch.cat([index, middle, little, ring, thumb], 1)


def dofs_from_pose(pose: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The degrees of freedom of a right hand's pose.

    Exact for poses made by `pose_from_dofs`; of any other, what a hinge cannot do is left out.

    Args:
        pose: (B, 45) axis-angle radians, in MANO's order.
        frames: (15, 3, 3) of `joint_frames`.

    Returns:
        (B, 21) radians, in the order of `DOF_NAMES`.
    """
    q = _quaternion(pose.view(-1, 15, 3))
    hinge = 2 * torch.atan2((q[..., 1:] * frames[:, 2]).sum(-1), q[..., 0])
    hinge = torch.remainder(hinge + torch.pi, 2 * torch.pi) - torch.pi
    columns: list[torch.Tensor] = []
    for finger in FOUR_FINGERS:
        first = FIRST_JOINT[finger] - 1
        b, u, across = frames[first]
        rotated = _rotate(q[:, first], -b)
        spread = torch.asin((rotated @ across).clamp(-1, 1))
        bend = torch.atan2(-(rotated @ u), -(rotated @ b))
        columns += [bend, spread, hinge[:, first + 1], hinge[:, first + 2]]
    b, u, across = frames[12]
    from_b, from_u, from_l = (_rotate(q[:, 12], axis) for axis in (b, u, across))
    bend = torch.atan2(-(from_u @ b), from_b @ b)
    spread = torch.asin((from_l @ b).clamp(-1, 1))
    twist = torch.atan2(-(from_l @ u), from_l @ across)
    return torch.stack([*columns, twist, spread, bend, hinge[:, 13], hinge[:, 14]], dim=1)


def mirror_pose(vectors: torch.Tensor) -> torch.Tensor:
    """Axis-angle vectors (B, 3 n), radians, of the other hand: the same gesture mirrored across x."""
    return (vectors.view(len(vectors), -1, 3) * vectors.new_tensor([1.0, -1.0, -1.0])).view(vectors.shape)






