"""The bundled mug: of real size, closed, of quads, and made by the script that says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import trimesh

ROOT = Path(__file__).resolve().parent.parent
MUG = ROOT / "scripts" / "samples" / "mug.obj"


def test_mug_is_a_closed_mug_of_real_size():
    mug = trimesh.load(MUG, force="mesh", process=False)
    assert mug.is_watertight
    assert mug.is_winding_consistent
    assert mug.body_count == 1
    assert mug.euler_number == 0  # one hole: the handle's
    assert 100e-6 < mug.volume < 140e-6
    np.testing.assert_allclose(mug.extents, [0.119, 0.095, 0.080], atol=0.001)


def test_mug_is_all_quads():
    faces = [line for line in MUG.read_text().splitlines() if line.startswith("f ")]
    assert faces
    assert all(len(line.split()) == 5 for line in faces)


def test_mug_is_what_its_script_makes(tmp_path):
    out = tmp_path / "mug.obj"
    subprocess.run([sys.executable, ROOT / "scripts" / "build" / "mug.py", "--out", out], check=True)
    assert out.read_text() == MUG.read_text()
