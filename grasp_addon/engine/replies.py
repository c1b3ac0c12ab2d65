"""Whether what an engine says is what an engine says: each message is looked at once, when it comes. Knows no bpy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..naming import JOINT_COUNT

if TYPE_CHECKING:
    from .client import Arrays, Message

FORM: Final = 1  # of the messages; engines before 0.2.0 name none, and speak this one
MOST_VERTICES: Final = 200_000  # of a hand, and of an imagined object
FARTHEST: Final = 1e9  # of any coordinate
WORDS: Final = 2000  # characters of a sentence


class NonsenseError(ValueError):
    """The engine said what no engine says; the text says what."""


def check_reply(asked: str, message: Message, arrays: Arrays) -> None:
    """Looks at a reply before anything is made of it.

    Args:
        asked: the request's type.
        message: the reply.
        arrays: what came with it.

    Raises:
        NonsenseError: a field is missing, or of another kind than it should be.
    """
    kind = message.get("type")
    if kind == "progress":
        _words(message, "stage")
        _number(message, "fraction")
    elif kind == "error":
        _words(message, "message")
        _words(message, "advice")
    elif kind == "candidate" and asked not in ("hello", "imagine"):
        _check_candidate(message, arrays)
    elif kind == "imagined" and asked == "imagine":
        _check_candidate(message, arrays)
        _check_faces("object_faces", arrays.get("object_faces"), 3, len(_floats(arrays, "object_vertices", (None, 3))))
    elif kind == "result" and asked == "hello":
        _check_who(message)
        _check_hand(arrays)
    elif kind == "result":
        _words(message, "note")
        order = arrays.get("order")
        if order is not None and (order.ndim != 1 or order.dtype.kind != "i"):
            raise NonsenseError("an order that is none")
    else:
        raise NonsenseError(f"{str(kind)[:40]!r} in answer to {asked!r}")


def _check_candidate(message: Message, arrays: Arrays) -> None:
    _number(message, "score")
    _words(message, "grasp_type")
    if not isinstance(message.get("measures") or {}, dict):
        raise NonsenseError("measures that have no names")
    rest = _floats(arrays, "rest_vertices", (None, 3))
    _floats(arrays, "vertices", rest.shape)
    _floats(arrays, "translation", (3,))
    lengths = np.linalg.norm(_floats(arrays, "rotations", (JOINT_COUNT, 4)), axis=1)
    if not 0.5 < lengths.min() <= lengths.max() < 2.0:  # whoever uses them makes units of them
        raise NonsenseError("rotations that are none")


def _check_who(message: Message) -> None:
    for name in ("version", "python", "torch", "side"):
        _words(message, name)
    if message.get("side", "right") not in ("right", "left"):
        raise NonsenseError("a hand that is neither right nor left")
    for name in ("devices", "types", "differing"):
        if not _is_list_of(message.get(name) or [], str):
            raise NonsenseError(f"{name} that are no words")
    methods = message.get("methods") or []
    if not _is_list_of(methods, dict) or not all(
            isinstance(m.get("name"), str) and isinstance(m.get("label", ""), str) for m in methods):
        raise NonsenseError("methods without names")
    if not isinstance(message.get("type_labels") or {}, dict):
        raise NonsenseError("labels that are none")


def _check_hand(arrays: Arrays) -> None:
    template = _floats(arrays, "template", (None, 3))
    count, corners = len(template), 0
    joints = _floats(arrays, "rest_joints", (JOINT_COUNT, 3))
    weights = _floats(arrays, "weights", (count, JOINT_COUNT))
    if weights.min() < -1e-3 or np.abs(weights.sum(axis=1) - 1.0).max() > 0.01:
        raise NonsenseError("weights that are no shares")
    if "tips" in arrays:
        tips = _floats(arrays, "tips", (5, 3))
        if np.linalg.norm(tips[2] - joints[0]) < 1e-6:
            raise NonsenseError("a hand without a length")
    for name, sides in (("quads", 4), ("triangles", 3)):
        faces = arrays.get(name)
        if faces is None:
            continue
        _check_faces(name, faces, sides, count)
        corners += faces.size
    if not corners:
        raise NonsenseError("a hand without faces")
    if "uvs" in arrays:
        _floats(arrays, "uvs", (corners, 2))


def _check_faces(name: str, faces: np.ndarray | None, sides: int, count: int) -> None:
    if faces is None or faces.ndim != 2 or faces.shape[1] != sides or faces.dtype.kind not in "iu":
        raise NonsenseError(f"{name} that are none")
    if faces.size and not 0 <= int(faces.min()) <= int(faces.max()) < count:
        raise NonsenseError(f"{name} of vertices that are not there")


def _floats(arrays: Arrays, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of that shape, None for any number, of numbers that can be places."""
    found = arrays.get(name)
    if found is None:
        raise NonsenseError(f"no {name}")
    if found.ndim != len(shape) or any(want not in (None, there) for want, there in zip(shape, found.shape)):
        raise NonsenseError(f"{name} of shape {found.shape}")
    if not 0 < len(found) <= MOST_VERTICES and name != "uvs":
        raise NonsenseError(f"{len(found)} {name}")
    if found.dtype.kind != "f" or not np.all(np.abs(found) < FARTHEST):
        raise NonsenseError(f"{name} that are no numbers")
    return found


def _words(message: Message, name: str) -> None:
    said = message.get(name)
    if said is not None and (not isinstance(said, str) or len(said) > WORDS):
        raise NonsenseError(f"a {name} that is no word")


def _number(message: Message, name: str) -> None:
    """A number or null, which is how one that is not finite travels."""
    said = message.get(name)
    if said is not None and (isinstance(said, bool) or not isinstance(said, int | float)
                             or not math.isfinite(said) or abs(said) > FARTHEST):
        raise NonsenseError(f"a {name} that is no number")


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)
