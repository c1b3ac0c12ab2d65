"""Simulation displacement of the paper protocol: how far an object moves in a static hand (PyBullet)."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from core.files import save_arrays, user_cache

if TYPE_CHECKING:
    from core.objects import GraspObject

MASS, GRAVITY, STEP, STEPS, SOLVER = 1.0, 9.8, 1 / 240, 35, 150
FRICTION, RESTITUTION_HAND, RESTITUTION_OBJECT = 3.0, 0.0, 0.5
#: metres: what a simulation that fails counts as
FAILED: Final = 0.10
#: of VHACD (version 4, which has not the settings of the papers' version 2)
HULLS: Final = {"resolution": 100_000, "maxConvexHulls": 32, "fillMode": "flood"}
VERSION: Final = 1


def displacement(obj: GraspObject, skin: np.ndarray | None, faces: np.ndarray | None,
                 cache: Path | str | None = None) -> float:
    """Metres by which the object's middle moves within 35 steps of a 240th of a second.

    The hand is a static concave mesh, the object (1 kg) its VHACD hulls placed at the mean of its vertices; gravity
    is along the object's -z. Free fall gives 10.68 cm.

    Args:
        obj: the object. skin: (V, 3) hand vertices in its frame, metres; None leaves the hand out. faces: (F, 3).
        cache: folder of the hulls; None is the user's cache folder.

    Raises:
        ImportError: PyBullet is not installed.
    """
    try:
        import pybullet
    except ImportError as error:
        raise ImportError("The papers' protocol needs PyBullet, which is not here: install pybullet==3.2.7 "
                          "(Python 3.11), or measure with --protocol strict.") from error
    middle = obj.surface.vertices.mean(0)
    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setPhysicsEngineParameter(numSolverIterations=SOLVER, fixedTimeStep=STEP, physicsClientId=client)
        pybullet.setGravity(0, 0, -GRAVITY, physicsClientId=client)
        if skin is not None:
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_MESH, vertices=np.asarray(skin, float).tolist(),
                indices=np.asarray(faces, int).ravel().tolist(), flags=pybullet.GEOM_FORCE_CONCAVE_TRIMESH,
                physicsClientId=client)
            hand = pybullet.createMultiBody(0, shape, physicsClientId=client)
            pybullet.changeDynamics(hand, -1, lateralFriction=FRICTION, restitution=RESTITUTION_HAND,
                                    physicsClientId=client)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "hulls.obj")
            path.write_text(obj_text([hull - middle for hull in vhacd_hulls(obj, cache)]), encoding="ascii")
            shape = pybullet.createCollisionShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
        body = pybullet.createMultiBody(MASS, shape, basePosition=middle.tolist(), physicsClientId=client)
        pybullet.changeDynamics(body, -1, lateralFriction=FRICTION, restitution=RESTITUTION_OBJECT,
                                physicsClientId=client)
        for _ in range(STEPS):
            pybullet.stepSimulation(physicsClientId=client)
        place, _ = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
    except pybullet.error:
        return FAILED
    finally:
        pybullet.disconnect(client)
    moved = float(np.linalg.norm(np.asarray(place) - middle))
    return moved if np.isfinite(moved) else FAILED


def obj_text(hulls: list[np.ndarray]) -> str:
    """An OBJ file of convex bodies, one object each: PyBullet makes one compound of their hulls."""
    from scipy.spatial import ConvexHull

    lines, first = [], 1
    for number, hull in enumerate(hulls):
        lines.append(f"o hull_{number}")
        lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in hull.tolist()]
        corners = ConvexHull(hull, qhull_options="QJ").simplices + first
        lines += [f"f {a} {b} {c}" for a, b, c in corners.tolist()]
        first += len(hull)
    return "\n".join(lines) + "\n"


def vhacd_hulls(obj: GraspObject, cache: Path | str | None = None) -> list[np.ndarray]:
    """Corners (P, 3) of the object's VHACD hulls, object frame, metres; kept by the mesh's hash."""
    folder = user_cache("vhacd") if cache is None else Path(cache)
    settings = hashlib.sha256(repr((VERSION, sorted(HULLS.items()))).encode()).hexdigest()[:8]
    path = folder / f"{obj.digest}-{settings}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in sorted(stored.files)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # none yet, or damaged
    from vhacdx import compute_vhacd

    faces = np.concatenate([np.full((len(obj.surface.faces), 1), 3), obj.surface.faces], 1).astype(np.uint32).ravel()
    parts = compute_vhacd(obj.surface.vertices, faces, **HULLS)
    hulls = [np.asarray(vertices, np.float64) for vertices, _ in parts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {f"{i:04d}": hull for i, hull in enumerate(hulls)})
    except OSError:
        pass  # made again the next time
    return hulls
