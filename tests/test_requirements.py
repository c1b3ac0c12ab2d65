"""What the commands install: pinned, from wherever the user's pip is set to look, and PyTorch only once."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "core" / "requirements.txt", ROOT / "scripts" / "requirements-dev.txt")


def lines(path: Path) -> list[str]:
    stripped = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in stripped if line]


def test_packages_are_pinned_and_from_no_named_host():
    names = set()
    for path in FILES:
        for line in lines(path):
            if line.startswith("-r "):
                assert (path.parent / line[3:]).resolve() == FILES[0]
                continue
            assert re.fullmatch(r"[A-Za-z0-9_.-]+(==[0-9][0-9a-z.]*|>=[0-9.]+,<[0-9.]+)( *;.*)?", line), line
            names.add(re.split("[=<>]", line)[0])
    assert {"torch", "bpy", "smplx", "mujoco", "ruff", "pytest"} <= names


def test_torch_is_pinned_where_the_engine_is_described():
    assert "torch==2.13.0" in lines(FILES[0])
