"""Fetching weights that the project names but does not carry, by the engine's own command. Knows nothing of bpy.

The engine checks what it fetches (core/hub.py); here is only looked what is not there and where it would come from.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .install import Installation, Step

if TYPE_CHECKING:
    from typing import TextIO

INDEX: Final = "index.json"
WEIGHTS_VARIABLE: Final = "GRASP_WEIGHTS"  # tells the engine the user's folder
GIGABYTES: Final = 0.1  # free, beside what is fetched and its copy in the cache
_PROGRESS: Final = re.compile(r"(\d{1,3}) % (.+)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Missing:
    """Weights that are not here, and where the index says that they can be fetched.

    Attributes:
        name: of the weights.
        bytes: how many there are to fetch.
        repo: the repository on the hub.
        revision: its commit.
    """

    name: str
    bytes: int
    repo: str
    revision: str


def missing(project: Path, user: Path) -> list[Missing]:
    """What the indices of the project's weights and of the user's name, with a place on the hub, and is not here whole.

    An index that cannot be read names nothing: the engine says what is wrong with it when it needs it.

    Args:
        project: the folder of the project's weights.
        user: the folder of the weights the user fetched.
    """
    found, seen = [], set()
    for index, folders in ((project, (project, user)), (user, (user,))):
        for name, entry in _read(index).items():
            try:
                if name in seen or not _NAME.fullmatch(name):
                    continue
                seen.add(name)
                size, digest, file, hub = int(entry["bytes"]), entry["sha256"], entry["file"], entry.get("hub")
                if hub and not any(_is_whole(folder / file, size, digest) for folder in folders):
                    found.append(Missing(name, size, str(hub["repo"]), str(hub["revision"])))
            except (KeyError, TypeError, ValueError, AttributeError, OSError):
                continue
    return found


def fetch_steps(python: str, root: Path, user: Path, wanted: list[Missing]) -> list[Step]:
    """A call of the engine's command for each.

    Args:
        python: the engine's.
        root: where core/ is.
        user: where the weights go.
        wanted: what to fetch.
    """
    variables = {"PYTHONPATH": str(root), WEIGHTS_VARIABLE: str(user), "PYTHONSAFEPATH": "1"}
    return [Step(f"Fetching {item.name}", (python, "-m", "core", "weights", "fetch", item.name, "--lines"), variables)
            for item in wanted]


class Fetching(Installation):
    """Weights on their way; what was begun is kept in the user's cache when it is stopped."""

    log_name = "fetch.log"
    stopped = "Fetching was stopped: fetch again to go on."
    needs = "The weights need"
    room = "make room"

    def _say(self, line: str, log: TextIO) -> None:
        if (said := _PROGRESS.match(line)) is None:
            super()._say(line, log)
            return
        number = next((k for k, step in enumerate(self.steps) if said[2].startswith(step.title + ":")), 0)
        self.fraction, self.stage = (number + min(int(said[1]), 100) / 100) / len(self.steps), said[2]


def _read(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return index if isinstance(index, dict) else {}


def _is_whole(path: Path, size: int, digest: str) -> bool:
    if not path.is_file():
        return False
    there = path.stat()
    return there.st_size == size and _digest(path, there.st_size, there.st_mtime_ns) == digest


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _time: int) -> str:
    """Of a file as it was then: the preferences are drawn at every move of the mouse."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
