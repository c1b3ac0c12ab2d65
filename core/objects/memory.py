"""Whether there is memory enough to prepare a mesh: told beforehand, since what runs out of it may end the engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from core.objects.errors import ObjectError

#: bytes at most for each triangle and each vertex while a mesh is cleaned, and for the largest grid beside them: balls
#: of 82,000, 328,000 and 1.3 million triangles took 76, 115 and 453 MB
PER_FACE: Final = 400
PER_VERTEX: Final = 100
ALWAYS: Final = 400 << 20
#: of the free memory that a mesh may take
SHARE: Final = 0.9
#: triangles that are more than a grasp needs
ENOUGH_FACES: Final = 200_000


def check_memory(vertices: int, faces: int) -> None:
    """Raises where a mesh of so many vertices and triangles would not fit the memory that is free.

    Raises:
        ObjectError: the sentence says how much it takes, how much there is, and what to do.
    """
    needed, free = needed_bytes(vertices, faces), free_bytes()
    if free is None or needed <= SHARE * free:
        return
    advice = ("Add a Decimate modifier until it has 200,000 triangles, which are more than a grasp needs, or close"
              if faces > ENOUGH_FACES else "Close")
    raise ObjectError(
        f"The object has {faces:,} triangles: preparing it takes about {needed / 1e9:.1f} GB of memory, and "
        f"{max(free, 0) / 1e9:.1f} GB are free. {advice} other programs, and try again.")


def needed_bytes(vertices: int, faces: int) -> int:
    """Bytes that preparing a mesh of so many vertices and triangles takes at most, beside what the engine has."""
    return ALWAYS + PER_FACE * faces + PER_VERTEX * vertices


def free_bytes() -> int | None:
    """Bytes that this process may still take: of the machine's memory and of its own limit; None where unknown."""
    found = [size for size in (_free_of_machine(), _free_of_limit()) if size is not None]
    return min(found) if found else None


def _free_of_machine() -> int | None:
    if sys.platform == "win32":
        return _free_on_windows()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None  # not Linux: a Mac takes more from its disk


def _free_on_windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "free", "total_page", "free_page", "total_virtual",
                                                    "free_virtual", "free_extended")]

    status = Status(length=ctypes.sizeof(Status))
    known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status.free_page) if known else None


def _free_of_limit() -> int | None:
    """Bytes up to this process's own limit of addresses, where it has one."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        return limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError, IndexError):
        return None
