"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A stream to a file beside `path`, moved there at the end; after an error `path` is as it was.

    Several processes may write the same path at once: one of them wins.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an npz, whole or not at all."""
    with whole(path) as stream:
        np.savez_compressed(stream, **arrays)


def save_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with whole(path) as stream:
        stream.write(text.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
