"""Grasps as posed hands in the frame and unit of the mesh they were made for, and back.

`pose_hands` gives them to a program; `read_posed` reads what it sends back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.batch import Grasps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.hand import HandModel
    from core.objects import GraspObject

#: hands in one message, at most
MOST: Final = 10000


def read_posed(arrays: dict[str, np.ndarray], obj: GraspObject, scale: float = 1.0, side: str = "right",
               betas: torch.Tensor | Sequence[float] | None = None) -> Grasps:
    """N grasps in the object's frame, of hands in the frame and unit of the mesh they were posed on.

    Args:
        arrays: "rotations" (N, 16, 4), quaternions wxyz of any length but zero, of each joint against its parent, the
            first the wrist's; "translation" (N, 3), MANO's, the object's centroid included, in the mesh's unit. One
            hand may come without the N.
        obj: the object of that mesh.
        scale: how many of the mesh's units are a metre.
        side: of the hands.
        betas: ten numbers, the hand shape of all of them.

    Raises:
        ValueError: an array is missing, has another shape, or holds what is no number or no rotation; a sentence.
    """
    from scipy.spatial.transform import Rotation

    missing = [name for name in ("rotations", "translation") if name not in arrays]
    if missing:
        raise ValueError(f"The posed hands' {' and '.join(missing)} are missing from the request.")
    rotations, translation = (np.asarray(arrays[name], np.float64) for name in ("rotations", "translation"))
    if rotations.ndim == 2 and translation.ndim == 1:
        rotations, translation = rotations[None], translation[None]
    count = len(rotations) if rotations.ndim else 0
    if rotations.shape != (count, 16, 4) or translation.shape != (count, 3):
        raise ValueError("Posed hands are 16 rotations of four numbers and a translation of three each, "
                         f"not {rotations.shape} and {translation.shape}.")
    if not 1 <= count <= MOST:
        raise ValueError(f"A request holds 1 to {MOST} posed hands, not {count}.")
    length = np.linalg.norm(rotations, axis=2)
    if not (np.isfinite(rotations).all() and np.isfinite(translation).all() and length.min() > 1e-6):
        raise ValueError("The posed hands hold numbers that are none (NaN or infinite), or a rotation that is none.")
    vectors = Rotation.from_quat(rotations[..., [1, 2, 3, 0]].reshape(-1, 4)).as_rotvec().reshape(count, 48)
    vectors = torch.from_numpy(vectors).float()
    shape = torch.zeros(10) if betas is None else torch.as_tensor(betas, dtype=torch.float32)
    return Grasps(vectors[:, :3], vectors[:, 3:], torch.from_numpy(translation / scale - obj.centroid).float(),
                  shape.expand(count, -1).clone(), torch.zeros(count), method="posed", hand=side)


@dataclass(frozen=True)
class PosedHands:
    """N grasps as posed hands in the frame and unit of the mesh they were made for.

    Attributes:
        vertices: (N, V, 3) float64.
        joints: (N, 21, 3) float64.
        rest_vertices: (N, V, 3) float64 the mesh before skinning, the hand's own frame, same unit.
        rotations: (N, 16, 4) float64 wxyz, w >= 0, of each joint against its parent; the first is the wrist's.
        translation: (N, 3) float64 MANO's, the object's centroid included.
    """

    vertices: np.ndarray
    joints: np.ndarray
    rest_vertices: np.ndarray
    rotations: np.ndarray
    translation: np.ndarray


def pose_hands(hand: HandModel, grasps: Grasps, obj: GraspObject, scale: float = 1.0) -> PosedHands:
    """The posed hands of grasps.

    Args:
        hand: the hand, of the grasps' side.
        grasps: N, in the object's frame.
        obj: the object of the mesh.
        scale: how many of the mesh's units are a metre.
    """
    from scipy.spatial.transform import Rotation

    grasps = grasps.to(hand.v_template.device)
    with torch.no_grad():
        out = hand(**grasps.parameters())

    def numbers(tensor: torch.Tensor) -> np.ndarray:
        return tensor.cpu().double().numpy()

    vectors = numbers(torch.cat([grasps.global_orient, grasps.hand_pose], 1)).reshape(-1, 3)
    quaternions = Rotation.from_rotvec(vectors).as_quat()[:, [3, 0, 1, 2]].reshape(-1, 16, 4)
    quaternions = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    return PosedHands(
        (numbers(out.vertices) + obj.centroid) * scale, (numbers(out.joints) + obj.centroid) * scale,
        numbers(out.rest_vertices) * scale, quaternions, (numbers(grasps.transl) + obj.centroid) * scale)
