"""PyTorch and what it brings for NVIDIA's cards are a lock of their own; what no Blender runs on is in none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.build import lock

TORCH = ["nvidia-nvtx==13 ; sys_platform == 'linux' \\\n    --hash=sha256:01", "torch==2.13.0 \\\n    --hash=sha256:02",
         "triton==3.7.1 ; sys_platform == 'linux' \\\n    --hash=sha256:03"]
OTHERS = ["anyio==4 ; sys_platform != 'emscripten' \\\n    --hash=sha256:04", "torchless==1 \\\n    --hash=sha256:05"]


def test_each_package_is_in_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = "httpx2-jsfetch==1.0 ; sys_platform == 'emscripten' \\\n    --hash=sha256:06"
    monkeypatch.setattr(lock, "resolved", lambda _requirements: [*OTHERS[:1], web, *TORCH, *OTHERS[1:]])
    monkeypatch.setattr(lock, "OTHERS", tmp_path / "others.lock")
    monkeypatch.setattr(lock, "TORCH", tmp_path / "torch.lock")
    monkeypatch.setattr(sys, "argv", ["lock.py"])
    lock.main()
    for name, entries in (("others", OTHERS), ("torch", TORCH)):
        assert (tmp_path / f"{name}.lock").read_text() == lock.HEAD + "\n".join(entries) + "\n"
