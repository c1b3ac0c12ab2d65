"""A mesh that would not fit the memory is refused beforehand, in a sentence; the estimate is above what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

from core.objects import ObjectError, memory, prepare_object

ROOT = Path(__file__).resolve().parents[3]
PEAK = """
import resource, sys
import trimesh
from core.objects import prepare_object
prepare_object(*(lambda mesh: (mesh.vertices, mesh.faces))(trimesh.creation.box((0.05, 0.05, 0.05))))
ball = trimesh.creation.icosphere(6, 0.05)
vertices, faces = ball.vertices.copy(), ball.faces.copy()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare_object(vertices, faces)
print(len(vertices), len(faces), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_what_needs_more_than_is_free_is_refused_with_the_numbers(monkeypatch):
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    monkeypatch.setattr(memory, "free_bytes", lambda: 100 << 20)
    with pytest.raises(ObjectError, match=r"12 triangles.*about 0\.4 GB of memory, and 0\.1 GB are free\. Close other"):
        prepare_object(mesh.vertices, mesh.faces)
    with pytest.raises(ObjectError, match=r"Decimate modifier until it has 200,000"):
        memory.check_memory(650_000, 1_300_000)
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert prepare_object(mesh.vertices, mesh.faces).watertight


@pytest.mark.skipif(sys.platform == "win32", reason="needs a system's own account of memory")
def test_the_estimate_is_above_what_a_mesh_takes():
    told = subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    vertices, faces, taken = map(int, told.split())
    assert taken < memory.needed_bytes(vertices, faces)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's account of memory")
def test_the_process_own_limit_counts():
    code = ("import resource; from core.objects.memory import free_bytes; "
            "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); print(free_bytes())")
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < 4 << 30
