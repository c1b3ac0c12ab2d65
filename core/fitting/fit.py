"""The fit: grasps in, better grasps out (CHOIR's test-time optimisation, Sec. 3.3, on the object's exact surface)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from core.fitting.contacts import contacts_of_grasp
from core.fitting.mend import STAGES, Mender, ways_out
from core.rotations import axis_angle_to_matrix
from core.synthesis.checks import measure
from core.synthesis.optimise import Closer, Poses
from core.synthesis.probe import HandProbe

if TYPE_CHECKING:
    from core.grasps import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.synthesis.checks import Surface
    from core.synthesis.optimise import Stage


@dataclass(frozen=True)
class Fitted:
    grasps: Grasps
    moved_mm: torch.Tensor
    changed: torch.Tensor
    surface: Surface
    before: Surface


def poses_of(hand, probe, grasps):
    dofs = hand.dofs_from_pose(grasps.hand_pose)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    return Poses(axis_angle_to_matrix(grasps.global_orient), grasps.transl + probe.wrist, dofs, dofs, ("",) * len(grasps))


def better(after, before):
    """(N,) bool."""
    fine = (before.bones == 0) & (before.through == 0) & touches(before) & (before.depth_mm <= 1.5) & (before.overlap_cm3 <= 0.3) & (before.residual < 0.1)
    worse = (after.bones > before.bones) | (touches(before) & ~touches(after)) | (after.overlap_cm3 > before.overlap_cm3 + 0.3)
    gains = badness(before) - badness(after)
    return ~fine & ~worse & (gains > 0)

def touches(surface):
    return (surface.parts.sum(1) >= 2) & (surface.parts[:, 0] | surface.parts[:, 5])

def badness(surface):
    return (3.0 * surface.bones + 1.0 * (surface.through > 0) + surface.overlap_cm3.clamp_max(10) + 0.3 * surface.depth_mm
            + 4.0 * ~touches(surface) + 2 * surface.residual.clamp_max(0.5)).float()


def fit(obj, hand, grasps, *, fields=None, progress=None, stages=STAGES):
    betas = grasps.betas[0]
    probe = HandProbe(hand, betas)
    start = poses_of(hand, probe, grasps)
    closer = Closer(hand, probe, betas, obj)
    local, normals = closer._local(start.dofs)
    turn = start.rotation.transpose(1, 2)
    points = local @ turn + start.wrist[:, None]
    pads = contacts_of_grasp(obj, probe, points, normals @ turn, grasps.type)
    mender = Mender(hand, probe, betas, obj, start, pads, points)
    out = ways_out(mender, obj, start)
    poses, energy = mender.run(out, stages, None, keep=1.0)
    with torch.no_grad():
        before = hand(**grasps.parameters())
        after_grasps = mender.grasps(poses, grasps.method, grasps.seed)
        after = hand(**after_grasps.parameters())
    s0 = measure(obj, mender, before.vertices, before.joints)
    s1 = measure(obj, mender, after.vertices, after.joints)
    changed = better(s1, s0)
    moved = (after.joints - before.joints).norm(dim=-1).mean(1) * 1000
    return Fitted(after_grasps, moved, changed, s1, s0)
