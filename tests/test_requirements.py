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


def locked(path: Path) -> dict[str, set[str]]:
    """Package -> its versions in a lock, one for each Python, as markers tell; each with hashes."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        if not entry.startswith("#"):
            first, *hashes = re.split(r" *\\\n +", entry)
            assert hashes, entry
            assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), entry
            name, version = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; .*)?", first).groups()[:2]
            found.setdefault(name, set()).add(version)
    return found


def test_the_locks_hold_what_the_engine_needs_by_hash():
    torch, others = (locked(FILES[0].with_name(name)) for name in ("requirements-torch.lock", "requirements.lock"))
    assert not torch.keys() & others.keys()
    for line in lines(FILES[0]):
        name, _, version = re.split("(==|>=)", line)
        there = (torch if name == "torch" else others)[name]
        assert there == {version} if "==" in line else there, line
    assert {"sympy", "jinja2", "filelock"} <= others.keys(), "what PyTorch needs, in whichever build"
    assert all(name in ("torch", "triton") or name.startswith(("cuda-", "nvidia-")) for name in torch)
