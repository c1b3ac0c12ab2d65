"""A good answer to the handshake and a candidate, as files from which a program that knows no numpy can answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from fake_engine import random_candidates, tube_hand


def write_replies(folder: Path) -> list[str]:
    """Writes both; their paths, the handshake's first."""
    shape = tube_hand()
    one = random_candidates(shape, 1)[0]
    hello = packed({"type": "result", "side": "right", "form": 1, "version": "0.2.0", "methods": [], "types": []},
                   {"template": shape.vertices, "rest_joints": shape.joints, "tips": shape.tips,
                    "weights": shape.weights, "quads": shape.polygons, "uvs": shape.uvs})
    candidate = packed({"type": "candidate", "score": 1.0, "grasp_type": "tripod", "measures": {}},
                       {"rest_vertices": one.rest_vertices, "rotations": one.rotations,
                        "translation": one.translation, "vertices": one.vertices})
    (folder / "hello").write_bytes(hello)
    (folder / "candidate").write_bytes(candidate)
    return [str(folder / "hello"), str(folder / "candidate")]


def packed(message: dict, arrays: dict[str, np.ndarray]) -> bytes:
    """A message as it travels."""
    heads = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.nbytes}
             for name, array in arrays.items()]
    return (json.dumps({**message, "arrays": heads}).encode() + b"\n"
            + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values()))
