"""Weights that a hub on the loopback has and an index of the user names."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

PYTHON = os.environ.get("GRASP_ENGINE_PYTHON", sys.executable)
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [250000], "data_offsets": [0, 10**6]}}).encode()
CONTENT = struct.pack("<Q", len(HEADER)) + HEADER + bytes(10**6)
FILE = "theirs/theirs.safetensors"


def name_them(folder: Path, index: dict) -> None:
    """Writes the index of the user's weights."""
    (folder / "user").mkdir(exist_ok=True)
    (folder / "user" / "index.json").write_text(json.dumps(index))
