"""Pose correctives for the embedded hand, in MANO's form (linear in R - I), fitted when the hand is built.

Linear blend skinning loses volume where a joint bends and pulls a crease into the thumb's web. The fit starts at
dual quaternion skinning (Kavan et al. 2007) by least squares, and then descends on what flesh does: around every
joint and in all the volume stays, edges stretch little, and the corrections are smooth over the skin. Each vertex
answers only to the joints that move it, so a far joint can never disturb it, and R - I is bounded, so nothing can
spike outside the range of the fit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from core.hand import HandModel, articulation
from core.hand.load import hand_from_arrays
from core.rotations import axis_angle_to_matrix

POSES = 420
RIDGE = 0.012
STEPS, RATE = 400, 1.5e-4
REACH = 0.012  # a joint with less weight than this on a vertex does not correct it


def draw_poses(rng: np.random.Generator, count: int) -> torch.Tensor:
    """(count, 21) joint angles of everyday and of extreme bends within the joint limits."""
    limits = articulation.dof_limits().numpy()
    low, high = limits[:, 0], limits[:, 1]
    dofs = low + rng.random((count, 21)) * (high - low)
    curled = rng.random((count, 1)) < 0.5  # fingers that curl together, straight to fist
    curl = rng.random((count, 1)) + 0.15 * rng.normal(size=(count, 16))
    together = curl.clip(0, 1) * high[:16]
    together[:, 1::4] = 0.3 * dofs[:, 1:16:4]
    dofs[:, :16] = np.where(curled, together, dofs[:, :16])
    alone = rng.random(count) < 0.25  # one joint at a time
    keep = rng.integers(0, 21, count)
    dofs[alone] *= np.arange(21) == keep[alone, None]
    return torch.as_tensor(dofs, dtype=torch.float32)


def dual_quaternion_skin(rest: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """(V, 3) vertices skinned by (16, 4, 4) transforms as blended dual quaternions."""
    xyzw = Rotation.from_matrix(transforms[:, :3, :3]).as_quat()
    real = np.concatenate([xyzw[:, 3:], xyzw[:, :3]], 1)
    main = weights.argmax(1)
    sign = np.where(real @ real.T < 0, -1.0, 1.0)[main]  # (V, 16) each bone on the side of the vertex's main one
    t = transforms[:, :3, 3]
    dual = 0.5 * np.concatenate(
        [-(t * real[:, 1:]).sum(1, keepdims=True), real[:, :1] * t + np.cross(t, real[:, 1:])], 1
    )
    share = weights * sign
    r, d = share @ real, share @ dual
    length = np.linalg.norm(r, axis=1, keepdims=True)
    r, d = r / length, d / length
    w, v = r[:, :1], r[:, 1:]
    turned = rest + 2 * np.cross(v, np.cross(v, rest) + w * rest)
    return turned + 2 * (w * d[:, 1:] - d[:, :1] * v + np.cross(v, d[:, 1:]))


def fit_correctives(hand: dict[str, np.ndarray]) -> np.ndarray:
    """(V, 3, 135) half-precision correctives of a hand in MANO's arrays."""
    plain = dict(hand, posedirs=np.zeros((len(hand["v_template"]), 3, 135), np.float32))
    model = hand_from_arrays(plain)
    rest = hand["v_template"].astype(np.float64)
    weights = hand["weights"].astype(np.float64)
    count = len(rest)
    rng = np.random.default_rng(0)
    hand_pose = model.pose_from_dofs(draw_poses(rng, POSES))
    zero = torch.zeros(POSES, 3)
    with torch.no_grad():
        out = model(zero, hand_pose, zero, torch.zeros(POSES, 10))
    transforms = out.transforms.double().numpy()
    features = Rotation.from_rotvec(hand_pose.reshape(-1, 3).double().numpy()).as_matrix().reshape(POSES, 15, 9)
    features = features - np.eye(3).reshape(9)

    blend = np.einsum("vj,pjkl->pvkl", weights, transforms[:, :, :3, :3])
    posed = out.vertices.double().numpy()
    wanted = np.stack([dual_quaternion_skin(rest, weights, t) for t in transforms]) - posed

    posedirs = np.zeros((count, 3, 15, 9))
    for v in range(count):
        joints = np.flatnonzero(weights[v, 1:] > REACH)
        if len(joints) == 0 or weights[v].max() > 0.999:
            continue
        phi = features[:, joints].reshape(POSES, -1)
        design = np.einsum("pkl,pf->pklf", blend[:, v], phi).reshape(POSES * 3, -1)
        normal = design.T @ design + RIDGE * POSES * np.eye(design.shape[1])
        solution = np.linalg.solve(normal, design.T @ wanted[:, v].reshape(-1))
        posedirs[v][:, joints] = solution.reshape(3, len(joints), 9)
    start = hand_from_arrays(dict(hand, posedirs=posedirs.reshape(count, 3, 135).astype(np.float32)))
    return descend(start).T.reshape(count, 3, 135).numpy().astype(np.float16)


def descend(hand: HandModel, steps: int = STEPS, batch: int = 12) -> torch.Tensor:
    """(135, 3 V) correctives that keep the flesh's volume, starting from the hand's own; one thread, seeded."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    weights, rest, faces, count = hand.lbs_weights, hand.v_template, hand.faces, len(hand.v_template)
    pose = hand.pose_from_dofs(draw_poses(np.random.default_rng(1), POSES))
    rotations = axis_angle_to_matrix(pose.view(POSES, 15, 3))
    features = (rotations - torch.eye(3)).reshape(POSES, 135)
    zero = torch.zeros(POSES, 3)
    joints = hand.rest(torch.zeros(1, 10))[1]
    transforms = hand.transforms(zero, pose, zero, joints.expand(POSES, -1, -1))[:, :, :3]
    placed = (transforms[..., :3] @ joints[0][None, :, :, None])[..., 0] + transforms[..., 3]

    allowed = (weights[:, 1:] > REACH)[:, None, :, None].expand(count, 3, 15, 9).reshape(count * 3, 135).T
    allowed = (allowed & (weights.max(1).values < 0.999).repeat_interleave(3)).float()
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values.unique(dim=0)
    first, second = edges.unbind(1)
    degree = torch.bincount(edges.reshape(-1), minlength=count)[:, None]
    length = (rest[first] - rest[second]).norm(dim=1)
    near = (2 * weights[faces].mean(1)[:, 1:].T).clamp(0, 1)  # (15, F) the skin around each joint

    def roughness(field: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(field)
        total = total.index_add(1, first, field[:, second] - field[:, first])
        return (total.index_add(1, second, field[:, first] - field[:, second]) / degree).square().sum(-1).mean()

    def volumes(vertices: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 15) volumes between each joint and the skin around it, and (B,) the whole."""
        a, b, c = vertices[:, faces].unbind(2)
        across = torch.linalg.cross(b - a, c - a) / 6
        cone = (across * a).sum(-1)
        apex = (torch.einsum("jf,bfk->bjk", near, across) * centres[:, 1:]).sum(-1)
        return cone @ near.T - apex, cone.sum(1)

    local, whole = volumes(rest[None], joints)
    begin, change = hand.posedirs.clone(), torch.zeros_like(hand.posedirs, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = torch.randint(POSES, (batch,), generator=generator)
        feature = features[chosen]
        moved = (feature @ (change * allowed)).view(batch, count, 3)
        shaped = rest + (feature @ begin).view(batch, count, 3) + moved
        blend = (weights @ transforms[chosen].reshape(batch, 16, 12)).view(batch, count, 3, 4)
        hand_vertices = (blend[..., :3] * shaped[:, :, None]).sum(-1) + blend[..., 3]
        around, total = volumes(hand_vertices, placed[chosen])
        strain = ((hand_vertices[:, first] - hand_vertices[:, second]).norm(dim=-1) / length).clamp_min(0.05).log()
        strain = torch.where(strain < 0, 1.5 * strain, strain)  # folds are worse than stretches
        loss = 20 * (around / local - 1).square().mean() + 100 * (total / whole - 1).square().mean()
        loss = loss + 6 * strain.square().mean()
        loss = loss + 1e6 * (3 * roughness(moved) + 0.05 * moved.square().sum(-1).mean())  # mm
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return (begin + change * allowed).detach()
