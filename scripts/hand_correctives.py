"""Pose correctives for the embedded hand, in MANO's form (linear in R - I), fitted when the hand is built.

Linear blend skinning loses volume where a joint bends and pulls a crease into the thumb's web. The fit's target
is dual quaternion skinning (Kavan et al. 2007), which keeps the volume. Each vertex answers only to the joints that move it, so a far joint can
never disturb it, and R - I is bounded, so nothing can spike outside the range of the fit.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

POSES = 420
RIDGE = 0.012
REACH = 0.012  # a joint with less weight than this on a vertex does not correct it


def draw_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 45) poses of everyday and of extreme bends within the joint limits."""
    import torch

    from core.hand import articulation

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
    dual = 0.5 * np.concatenate([-(t * real[:, 1:]).sum(1, keepdims=True),
                                 real[:, :1] * t + np.cross(t, real[:, 1:])], 1)
    share = weights * sign
    r, d = share @ real, share @ dual
    length = np.linalg.norm(r, axis=1, keepdims=True)
    r, d = r / length, d / length
    w, v = r[:, :1], r[:, 1:]
    turned = rest + 2 * np.cross(v, np.cross(v, rest) + w * rest)
    return turned + 2 * (w * d[:, 1:] - d[:, :1] * v + np.cross(v, d[:, 1:]))


def fit_correctives(hand: dict[str, np.ndarray]) -> np.ndarray:
    """(V, 3, 135) half-precision correctives of a hand in MANO's arrays."""
    import torch

    from core.hand.load import hand_from_arrays

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
    return posedirs.reshape(count, 3, 135).astype(np.float16)
