"""The versions of the engine (that of the extension, in blender_manifest.toml, is the same) and of its packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

VERSION: Final = "0.2.0"
#: the packages that it was made and tested with
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")


def differing_packages() -> list[str]:
    """The installed packages of another version than is pinned, each as "NAME FOUND, not WANTED"; none where all are.

    A package that is missing is told by what needs it.
    """
    found = []
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        name, pinned, wanted = line.partition("#")[0].strip().partition("==")
        try:
            installed = version(name).partition("+")[0] if pinned else wanted  # torch's says its graphics card, too
        except PackageNotFoundError:
            continue
        if installed != wanted:
            found.append(f"{name} {installed}, not {wanted}")
    return found
