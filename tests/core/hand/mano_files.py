"""Made-up files in MANO's format for the tests: random numbers on the embedded hand's mesh, no MANO data."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy import sparse

ROOT = Path(__file__).resolve().parents[3]
EMBEDDED = ROOT / "weights" / "hand" / "right.npz"


def hand_arrays(open_wrist: bool = False) -> dict[str, np.ndarray]:
    """The embedded hand in the types and names of MANO's files; with an open wrist when asked."""
    with np.load(EMBEDDED) as file:
        arrays = {name: file[name] for name in file.files}
    out = {
        key: arrays[key].astype(np.float64) for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
    }
    out["f"] = arrays["f"].astype(np.uint32)
    out["kintree_table"] = np.array([[2**32 - 1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14], range(16)], np.int64)
    out["hands_components"], out["hands_mean"] = np.eye(45), np.linspace(-0.3, 0.3, 45)
    out["J"] = out["J_regressor"] @ out["v_template"]
    if open_wrist:
        centre = len(out["v_template"]) - 1  # the cap's own vertex comes last
        for key in ("v_template", "shapedirs", "posedirs", "weights"):
            out[key] = out[key][:centre]
        out["J_regressor"] = out["J_regressor"][:, :centre]
        out["f"] = out["f"][~(out["f"] == centre).any(1)]
    return out


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's str, as MANO's files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def _save_text(self, value) -> None:
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[bytes] = _save_text
    dispatch[str] = _save_text


def write_pickle(
    path: Path, arrays: dict, protocol: int = 2, wrapped: tuple[str, ...] = ("shapedirs", "posedirs")
) -> Path:
    """A pickle as Python 2 wrote it: sparse regressor under scipy's old names, some arrays wrapped by chumpy."""
    chumpy, ch = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = chumpy, ch
    try:
        content = dict(arrays, bs_style="lbs", bs_type="lrotmin")
        for name in wrapped:
            content[name] = ch.Ch()
            content[name].x = arrays[name]
            content[name]._dirty_vars = {}
        if isinstance(arrays.get("J_regressor"), np.ndarray):
            content["J_regressor"] = sparse.csc_matrix(arrays["J_regressor"])
        with path.open("wb") as file:
            _Python2Pickler(file, protocol).dump(content)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    data = path.read_bytes().replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")
    data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cscipy.sparse.csc\n" in data or "J_regressor" not in arrays
    path.write_bytes(data)
    return path
