"""Prepared objects in the user's cache folder, so that a mesh that comes again is not prepared again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from core.files import ABANDONED_AFTER, user_cache
from core.objects.errors import ObjectError
from core.objects.prepare import check_graspable, prepare_object
from core.objects.storage import load_object, save_object

if TYPE_CHECKING:
    from core.objects.grasp_object import GraspObject
    from core.progress import Progress

#: bytes the folder may hold; what was not used for longest is deleted first
MOST_BYTES: Final = 1 << 30


def cached_object(vertices: np.ndarray, faces: np.ndarray, any_size: bool = False, folder: str | Path | None = None,
                  progress: Progress | None = None) -> GraspObject:
    """`prepare_object`, or its result from the folder where this program kept it.

    Two processes may keep the same object at once. A folder that cannot be written to is done without.

    Args:
        vertices: as for `prepare_object`.
        faces: likewise.
        any_size: likewise.
        folder: of the cache; None is the user's cache folder.
        progress: as for `prepare_object`.

    Raises:
        ObjectError: as for `prepare_object`.
    """
    vertices, faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
    digest = hashlib.sha256(f"{program_digest()} {vertices.shape} {faces.shape}".encode())
    digest.update(vertices.data)
    digest.update(faces.data)
    folder = user_cache("objects") if folder is None else Path(folder)
    path = folder / f"{digest.hexdigest()[:24]}.npz"
    try:
        obj = load_object(path)
    except ObjectError:
        pass
    else:
        with contextlib.suppress(OSError):
            os.utime(path)  # used now
        if not any_size:
            check_graspable(obj)
        return obj
    obj = prepare_object(vertices, faces, progress=progress, any_size=any_size)
    with contextlib.suppress(OSError):  # made again the next time
        folder.mkdir(parents=True, exist_ok=True)
        save_object(obj, path, packed=False)
        make_room(folder)
    return obj


def make_room(folder: Path, most: int = MOST_BYTES) -> None:
    """Deletes what was not used for longest, until at most `most` bytes are left, and abandoned unfinished files.

    Args:
        folder: of the cache.
        most: bytes; the object used last stays, however large it is.
    """
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process deleted it
            stat = path.stat()
            if path.suffix == ".npz":
                found.append((stat.st_mtime, stat.st_size, path))
            elif path.suffix == ".part" and time.time() - stat.st_mtime > ABANDONED_AFTER:
                path.unlink()
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


@cache
def program_digest() -> str:
    """A hash of the code that prepares objects, so that another version's results are not used."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
