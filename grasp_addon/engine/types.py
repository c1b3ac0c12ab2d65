"""What the engine tells about a hand and about one candidate, as plain arrays in the scene's units."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ..naming import JOINT_COUNT, TIP_OF_LAST_JOINT

ENGINE_HAND_LENGTH: Final = 0.19  # metres, wrist to middle fingertip: what scene.grasp.hand_length is compared with


@dataclass(frozen=True)
class HandShape:
    """The hand at rest, before any candidate: what the rig is built from.

    Attributes:
        side: "right" or "left".
        vertices: (V, 3) float, open hand in the hand's own frame, scene units.
        joints: (16, 3) rest joints, MANO's order, same frame and unit.
        tips: (5, 3) thumb, index, middle, ring, little.
        weights: (V, 16) skinning weights, rows sum to 1.
        polygons: (P, 4) int quads; a triangle has -1 in its last column.
        uvs: (L, 2) one for each loop of `polygons`, or None.
    """

    side: str
    vertices: np.ndarray
    joints: np.ndarray
    tips: np.ndarray
    weights: np.ndarray
    polygons: np.ndarray
    uvs: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.vertices)
        expected = {
            "vertices": (count, 3), "joints": (JOINT_COUNT, 3), "tips": (5, 3),
            "weights": (count, JOINT_COUNT), "polygons": (len(self.polygons), 4),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"the hand's {name} have shape {found}, expected {shape}")
        if self.uvs is not None and self.uvs.shape != (self.loop_count, 2):
            raise ValueError(f"the hand's uvs have shape {self.uvs.shape}, expected {(self.loop_count, 2)}")

    @property
    def loop_count(self) -> int:
        """How many corners the polygons have together."""
        return int((self.polygons >= 0).sum())

    @property
    def length(self) -> float:
        """Wrist to middle fingertip, scene units."""
        return float(np.linalg.norm(self.tips[2] - self.joints[0]))


@dataclass(frozen=True)
class Candidate:
    """One grasp as the engine hands it over, in the frame and unit of the mesh that was sent.

    Attributes:
        rest_vertices: (V, 3) the mesh before skinning (template, shape, pose correctives), hand's own frame.
        rotations: (16, 4) wxyz local rotation of each joint, about the hand's own (template) axes, wrist first.
        translation: (3,) MANO's: added to a point after the wrist's rotation about the wrist joint.
        vertices: (V, 3) the posed mesh in the object's frame: what is shown while the rest is computed.
        score: higher is better.
        type: the taxonomy's name of the grasp, or "".
        measures: name -> number, e.g. overlap volume and contacts.
        own: whether the animator posed it: kept when others are replaced.
    """

    rest_vertices: np.ndarray
    rotations: np.ndarray
    translation: np.ndarray
    vertices: np.ndarray
    score: float = 0.0
    type: str = ""
    measures: dict[str, float] = field(default_factory=dict)
    own: bool = False

    def __post_init__(self) -> None:
        count = len(self.rest_vertices)
        expected = {"rest_vertices": (count, 3), "rotations": (JOINT_COUNT, 4), "translation": (3,),
                    "vertices": (count, 3)}
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"a candidate's {name} have shape {found}, expected {shape}")


@dataclass(frozen=True)
class ImaginedObject:
    """An object that the engine imagined.

    Attributes:
        vertices: (W, 3) scene units, the object's own frame.
        faces: (F, 3) int triangles, outward.
    """

    vertices: np.ndarray
    faces: np.ndarray


def scaled(candidate: Candidate, factor: float) -> Candidate:
    """The same grasp where everything is `factor` times as large."""
    return replace(candidate, rest_vertices=candidate.rest_vertices * factor,
                   translation=candidate.translation * factor, vertices=candidate.vertices * factor)


def estimated_tips(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fingertips of a hand that names none: the farthest point of each last segment along its finger.

    Args:
        vertices: (V, 3) the hand at rest.
        joints: (16, 3) its rest joints.
        weights: (V, 16) skinning weights.

    Returns:
        (5, 3) thumb, index, middle, ring, little.
    """
    tips = np.empty((5, 3))
    for joint, tip in TIP_OF_LAST_JOINT.items():
        own = vertices[weights[:, joint] > 0.5]
        along = joints[joint] - joints[joint - 1]
        tips[tip - JOINT_COUNT] = own[np.argmax((own - joints[joint]) @ along)]
    return tips
