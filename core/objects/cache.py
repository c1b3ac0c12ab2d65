"""Prepared objects in the user's cache folder: a mesh that comes again is not measured again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from core.files import user_cache
from core.objects.errors import ObjectError
from core.objects.prepare import check_graspable, prepare_object
from core.objects.storage import load_object, save_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.objects.grasp_object import GraspObject

#: bytes the folder may hold; what was not used for longest goes first
MOST_BYTES: Final = 1 << 30
#: seconds after which a file that nobody finished is taken away
FORGOTTEN: Final = 3600


def cached_object(vertices: np.ndarray, faces: np.ndarray, any_size: bool = False, folder: str | Path | None = None,
                progress: Callable[[float, str], object] | None = None) -> GraspObject:
    """`prepare_object`, from the folder where this mesh was prepared by this program before.

    Two processes may keep the same object at once. A folder that cannot be written to is done without.

    Args:
        vertices, faces, any_size, progress: as for `prepare_object`.
        folder: where; None is the user's cache folder.
    """
    vertices, faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
    digest = hashlib.sha256(f"{_program()} {vertices.shape} {faces.shape}".encode())
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
    """Takes away what was not used for longest, until at most `most` bytes are left, and what nobody finished."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process took it away
            known = path.stat()
            if path.suffix == ".npz":
                found.append((known.st_mtime, known.st_size, path))
            elif path.suffix == ".part" and time.time() - known.st_mtime > FORGOTTEN:
                path.unlink()
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


@cache
def _program() -> str:
    """What stands for the code that prepares: what another version kept is not taken for this one's."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
