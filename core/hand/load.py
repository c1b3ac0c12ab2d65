"""Loads a hand: the embedded one, or the user's own MANO file."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from core.files import load_arrays
from core.hand.errors import HandError
from core.hand.mano_pickle import read_mano_pickle
from core.hand.model import HandModel

#: MANO's joints: five chains of three at the wrist
PARENTS: Final = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
EMBEDDED: Final = Path(__file__).resolve().parents[2] / "weights" / "hand" / "right.npz"
#: what a hand's arrays may hold, far beyond MANO's 778 vertices: a damaged file may say anything
LEAST_VERTICES: Final = 100
MOST_VERTICES: Final = 20_000
#: metres of a hand's longest side
SHORTEST: Final = 0.02
LONGEST: Final = 1.0
#: of any number in its arrays: its correctives are metres for a radian or a standard deviation
LARGEST: Final = 100.0
NEEDED: Final = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


def load_hand(source: str | Path | None = None, side: str = "right", device: str = "cpu") -> HandModel:
    """The embedded hand, or a user's MANO_RIGHT/MANO_LEFT.

    Args:
        source: a .pkl (read without running it) or .npz file in MANO's form, of either side; None: the embedded hand.
        side: "right" or "left".
        device: of the hand's tensors.

    Raises:
        HandError: a sentence for the animator: the file is missing, damaged, not MANO's, or tries to run code.
    """
    if side not in ("right", "left"):
        raise HandError(f"A hand is 'right' or 'left', not '{side}'.")
    if source is None:
        return copy.deepcopy(_embedded(side)).to(device)
    path = Path(source)
    if not path.is_file():
        raise HandError(f"There is no hand file at {path}. Choose your MANO_RIGHT.pkl, or leave the field empty.")
    if path.suffix.lower() == ".pkl":
        arrays = read_mano_pickle(path)
    elif path.suffix.lower() == ".npz":
        arrays = _read_npz(path)
    else:
        raise HandError(f"{path.name} is neither a .pkl nor an .npz file; a hand file is MANO_RIGHT or MANO_LEFT.")
    arrays = _checked(arrays, path.name)
    template = arrays["v_template"]
    side_of_file = "left" if template[np.argmax(np.abs(template[:, 0])), 0] > 0 else "right"
    return _built(_mirrored(arrays) if side_of_file != side else arrays, side, "mano", path.name).to(device)


def hand_from_arrays(arrays: dict[str, np.ndarray], side: str = "right", name: str = "embedded") -> HandModel:
    """A hand from MANO's arrays, checked, its wrist closed.

    Args:
        arrays: name to array, of a hand of that side: at least `NEEDED`.
        side: "right" or "left".
        name: of the hand, for its attribute and for error messages.

    Raises:
        HandError: the arrays do not fit; the sentence says which.
    """
    return _built(_checked(arrays, name), side, name, name)


def _built(arrays: dict[str, np.ndarray], side: str, name: str, file: str) -> HandModel:
    """The hand of checked arrays; a sentence where its parts, joints and skin are still no hand together."""
    try:
        hand = HandModel(arrays, side, name)
    except Exception as error:
        raise HandError(f"{file}: its skin, its joints and its weights do not form a hand "
                        f"({type(error).__name__}).") from error
    if not all(bool(table.isfinite().all()) for table in hand.buffers() if table.is_floating_point()):
        raise HandError(f"{file}: its skin, its joints and its weights do not form a hand.")
    return hand


@cache
def _embedded(side: str) -> HandModel:
    if not EMBEDDED.is_file():
        raise HandError("The hand is missing from weights/hand. Install the extension again.")
    arrays = _checked(_read_npz(EMBEDDED), "weights/hand/right.npz")
    return HandModel(_mirrored(arrays) if side == "left" else arrays, side, "embedded")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz, or a sentence."""
    try:
        return load_arrays(path)
    except ValueError as error:
        raise HandError(f"{path.name} is damaged or holds what may not be read ({error}).") from error


def _checked(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The arrays a hand needs, their shapes checked, the wrist closed."""
    missing = [key for key in NEEDED if key not in arrays]
    if missing:
        raise HandError(f"{name} is not a hand in MANO's form: it has no {', '.join(missing)}.")
    out = {
        key: np.asarray(value)
        for key, value in arrays.items()
        if key in (*NEEDED, "quads", "cap_faces", "uv", "uv_quads")
    }
    for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        try:
            out[key] = out[key].astype(np.float32)
        except (TypeError, ValueError) as error:
            raise HandError(f"{name}: {key} does not hold numbers.") from error
        if not np.isfinite(out[key]).all():
            raise HandError(f"{name}: {key} holds values that are not numbers.")
        if np.abs(out[key]).max(initial=0.0) > LARGEST:
            raise HandError(f"{name}: {key} holds numbers far larger than a hand's, which is in metres.")
        if out[key].ndim < 2:
            raise HandError(f"{name}: {key} has shape {out[key].shape}, which no hand has.")
    out["shapedirs"] = out["shapedirs"][..., :10]
    count = len(out["v_template"])
    if not LEAST_VERTICES <= count <= MOST_VERTICES:
        raise HandError(f"{name}: a hand has {LEAST_VERTICES:,} to {MOST_VERTICES:,} vertices, not {count:,}.")
    shapes = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, 10),
        "posedirs": (count, 3, 135),
        "J_regressor": (16, count),
        "weights": (count, 16),
    }
    for key, shape in shapes.items():
        if out[key].shape != shape:
            raise HandError(f"{name}: {key} has shape {out[key].shape} where a hand has {shape}.")
    for key in ("weights", "J_regressor"):
        sums = out[key].sum(1, dtype=np.float64)
        if np.abs(sums - 1).max() > 0.02:
            raise HandError(f"{name}: {key} has rows that sum to {sums.min():.3g} to {sums.max():.3g}, not to one.")
    if out["weights"].min() < -1e-3:
        raise HandError(f"{name}: weights are negative.")
    longest = float(np.ptp(out["v_template"], axis=0).max())
    if not SHORTEST <= longest <= LONGEST:
        raise HandError(f"{name}: its hand is {longest:.3g} m long; MANO's files are in metres.")
    parents = _indices(out.pop("kintree_table"), name, "kintree_table")
    if parents.shape != (2, 16):
        raise HandError(f"{name}: kintree_table has shape {parents.shape} where a hand has (2, 16).")
    parents = parents[0].copy()
    parents[0] = -1
    if parents.tolist() != PARENTS:
        raise HandError(f"{name}: its joints do not form a hand (kintree_table).")
    out["parents"] = parents
    faces = _places(out["f"], name, "f", 3, count)
    if not len(faces) or len(faces) > 4 * count:
        raise HandError(f"{name}: its {len(faces):,} faces do not fit its {count:,} vertices.")
    if "cap_faces" in out:
        out["cap_faces"] = _places(out["cap_faces"], name, "cap_faces", 3, count)
    else:
        faces, out["cap_faces"] = _close_wrist(faces)
    if not _is_closed(faces):
        raise HandError(f"{name}: its faces form no closed surface: some are missing, doubled or turned over.")
    out["f"] = faces
    _check_quads(out, name, count)
    return out


def _check_quads(out: dict[str, np.ndarray], name: str, count: int) -> None:
    """What the embedded hand has beside MANO's arrays: quads, and texture coordinates for their corners."""
    if "quads" in out:
        out["quads"] = _places(out["quads"], name, "quads", 4, count)
    if "uv" not in out:
        return
    uv = out["uv"]
    if uv.dtype.kind != "f" or uv.ndim != 2 or uv.shape[1] != 2 or not np.isfinite(uv).all():
        raise HandError(f"{name}: uv does not hold pairs of numbers.")
    if "quads" not in out or "uv_quads" not in out:
        raise HandError(f"{name}: uv comes without quads and uv_quads.")
    out["uv_quads"] = _places(out["uv_quads"], name, "uv_quads", 4, len(uv))
    if len(out["uv_quads"]) != len(out["quads"]):
        raise HandError(f"{name}: uv_quads are not as many as its quads.")


def _places(values: np.ndarray, name: str, key: str, corners: int, count: int) -> np.ndarray:
    """(F, corners) indices of faces, each below `count`."""
    faces = _indices(values, name, key)
    if faces.ndim != 2 or faces.shape[1] != corners or (faces.size and not 0 <= faces.min() <= faces.max() < count):
        raise HandError(f"{name}: its faces ({key}) do not fit its {count:,} vertices.")
    return faces


def _is_closed(faces: np.ndarray) -> bool:
    """Whether each edge of the faces is one face's, and one other's the other way round."""
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    size = int(faces.max()) + 1
    there, back = np.sort(start * size + end), np.sort(end * size + start)
    return bool((np.diff(there) > 0).all() and np.array_equal(there, back) and (start != end).all())


def _indices(values: np.ndarray, name: str, key: str) -> np.ndarray:
    """Whole numbers as int64."""
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise HandError(f"{name}: {key} does not hold whole numbers.")
    if np.abs(values.astype(np.float64)).max(initial=0.0) > 2**40 or (values != np.floor(values)).any():
        raise HandError(f"{name}: {key} does not hold whole numbers.")
    return values.astype(np.int64)


def _close_wrist(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces with every open loop closed by a fan (MANO's wrist), and that fan."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {tuple(edge) for edge in edges.tolist()}
    following = {a: b for a, b in known if (b, a) not in known}
    fan = []
    while following:
        start = min(following)
        loop, current = [start], following.pop(start)
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        fan += [[loop[0], loop[k + 1], loop[k]] for k in range(1, len(loop) - 1)]
    if not fan:
        return faces, np.zeros((0, 3), np.int64)
    return np.concatenate([faces, fan]), np.array(fan)


def _mirrored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The other hand: mirrored across x, as MANO's left hand is its right one's mirror image."""
    mirror = np.array([-1.0, 1, 1], np.float32)
    out = dict(arrays)
    out["v_template"] = arrays["v_template"] * mirror
    out["shapedirs"] = arrays["shapedirs"] * mirror[:, None]
    # A mirrored rotation matrix is M R M: entries (i, j) change sign with m_i m_j.
    feature = np.tile(np.outer(mirror, mirror).reshape(-1), 15)
    out["posedirs"] = arrays["posedirs"] * mirror[:, None] * feature
    for key in ("f", "quads", "cap_faces", "uv_quads"):
        if arrays.get(key) is not None:
            out[key] = np.ascontiguousarray(arrays[key][:, ::-1])
    return out
