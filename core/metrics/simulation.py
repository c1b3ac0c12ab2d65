"""Simulation displacement of the paper protocol: how far an object moves in a static hand (PyBullet)."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from core.files import load_arrays, save_arrays, user_cache

if TYPE_CHECKING:
    from core.objects import GraspObject


@dataclass(frozen=True)
class SimulationConfig:
    """The constants that the papers' simulations share (the code of Hasson et al., "Learning joint reconstruction").

    Attributes:
        mass: kg, of the object.
        gravity: m/s2, along the object's -z.
        time_step: seconds.
        steps: how many.
        solver_iterations: of PyBullet's constraint solver, in a step.
        friction: lateral friction coefficient of hand and object.
        hand_restitution: of the hand.
        object_restitution: of the object.
        failed: metres that a simulation which fails counts as; this project's own.
    """

    mass: float = 1.0
    gravity: float = 9.8
    time_step: float = 1 / 240
    steps: int = 35
    solver_iterations: int = 150
    friction: float = 3.0
    hand_restitution: float = 0.0
    object_restitution: float = 0.5
    failed: float = 0.10


CONFIG: Final = SimulationConfig()
#: of VHACD (version 4, which has not the settings of the papers' version 2)
HULL_SETTINGS: Final = {"resolution": 100_000, "maxConvexHulls": 32, "fillMode": "flood"}
#: of the hulls; part of the cache files' names
VERSION: Final = 1


def displacement(obj: GraspObject, hand_vertices: np.ndarray | None, faces: np.ndarray | None,
                 cache: Path | str | None = None) -> float:
    """How far the mean of the object's vertices moves within 35 steps of a 240th of a second.

    The hand is a static concave mesh, the object (1 kg) its VHACD hulls placed at the mean of its vertices; gravity
    is along the object's -z. Free fall gives 10.68 cm.

    Args:
        obj: the object.
        hand_vertices: (V, 3) in its frame, metres; None leaves the hand out.
        faces: (F, 3) the hand's triangles.
        cache: folder of the hulls; None is the user's cache folder.

    Returns:
        Metres.

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
        pybullet.setPhysicsEngineParameter(numSolverIterations=CONFIG.solver_iterations,
                                            fixedTimeStep=CONFIG.time_step, physicsClientId=client)
        pybullet.setGravity(0, 0, -CONFIG.gravity, physicsClientId=client)
        if hand_vertices is not None:
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_MESH, vertices=np.asarray(hand_vertices, float).tolist(),
                indices=np.asarray(faces, int).ravel().tolist(), flags=pybullet.GEOM_FORCE_CONCAVE_TRIMESH,
                physicsClientId=client)
            hand = pybullet.createMultiBody(0, shape, physicsClientId=client)
            pybullet.changeDynamics(hand, -1, lateralFriction=CONFIG.friction,
                                    restitution=CONFIG.hand_restitution, physicsClientId=client)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "hulls.obj")
            path.write_text(obj_text([hull - middle for hull in vhacd_hulls(obj, cache)]), encoding="ascii")
            shape = pybullet.createCollisionShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
        body = pybullet.createMultiBody(CONFIG.mass, shape, basePosition=middle.tolist(), physicsClientId=client)
        pybullet.changeDynamics(body, -1, lateralFriction=CONFIG.friction,
                                restitution=CONFIG.object_restitution, physicsClientId=client)
        for _ in range(CONFIG.steps):
            pybullet.stepSimulation(physicsClientId=client)
        position, _ = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
    except pybullet.error:
        return CONFIG.failed
    finally:
        pybullet.disconnect(client)
    moved = float(np.linalg.norm(np.asarray(position) - middle))
    return moved if np.isfinite(moved) else CONFIG.failed


def obj_text(hulls: list[np.ndarray]) -> str:
    """An OBJ file of convex bodies, one object each, of which PyBullet makes one compound.

    Args:
        hulls: (P, 3) corners of each body.
    """
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
    """The object's convex decomposition by VHACD, kept by the mesh's hash.

    Args:
        obj: the object.
        cache: folder of the hulls; None is the user's cache folder.

    Returns:
        (P, 3) corners of each hull, object frame, metres.
    """
    folder = user_cache("vhacd") if cache is None else Path(cache)
    settings = hashlib.sha256(repr((VERSION, sorted(HULL_SETTINGS.items()))).encode()).hexdigest()[:8]
    path = folder / f"{obj.digest}-{settings}.npz"
    try:
        stored = load_arrays(path)
        return [stored[name] for name in sorted(stored)]
    except (FileNotFoundError, ValueError):
        pass  # none yet, or damaged
    from vhacdx import compute_vhacd

    faces = np.concatenate([np.full((len(obj.surface.faces), 1), 3), obj.surface.faces], 1).astype(np.uint32).ravel()
    parts = compute_vhacd(obj.surface.vertices, faces, **HULL_SETTINGS)
    hulls = [np.asarray(vertices, np.float64) for vertices, _ in parts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {f"{i:04d}": hull for i, hull in enumerate(hulls)})
    except OSError:
        pass  # made again the next time
    return hulls
