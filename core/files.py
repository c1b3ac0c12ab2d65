"""Files that are written whole or not at all, their hashes, and the user's folders."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


#: what reading an npz raises where it is damaged, or an npy: that is an array, which no `with` can enter
_DAMAGED: Final = (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A stream to a temporary file beside `path`, moved there at the end; after an error `path` is as it was.

    Several processes may write the same path at once: one of them wins.

    Args:
        path: of the file.

    Yields:
        The stream, binary.
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


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray], packed: bool = True) -> None:
    """Writes an npz, whole or not at all.

    Args:
        path: of the file.
        arrays: name to array.
        packed: compressed, which is smaller and some ten times slower.
    """
    with whole(path) as stream:
        (np.savez_compressed if packed else np.savez)(stream, **arrays)


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an npz by name; nothing in it is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is damaged or something else.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except _DAMAGED as error:
        raise ValueError(str(error)) from error


def save_bytes(path: str | Path, content: bytes) -> None:
    """Writes bytes, whole or not at all."""
    with whole(path) as stream:
        stream.write(content)


def save_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    save_bytes(path, text.encode())


def digest_of(path: str | Path) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def user_cache(name: str) -> Path:
    """A folder of this project in the user's cache folder, which may be emptied at any time; not made yet."""
    return _of_user("LOCALAPPDATA", "AppData/Local", "Library/Caches", "XDG_CACHE_HOME", ".cache") / name


def user_data(name: str) -> Path:
    """A folder of this project among the user's own data, which stays; not made yet."""
    return _of_user("LOCALAPPDATA", "AppData/Local", "Library/Application Support", "XDG_DATA_HOME",
                    ".local/share") / name


def _of_user(windows: str, on_windows: str, on_mac: str, linux: str, on_linux: str) -> Path:
    """This project's folder: below that of the system's variable, or in the usual place in the user's home."""
    if sys.platform == "darwin":
        base = Path.home() / on_mac
    else:
        variable, usual = (windows, on_windows) if sys.platform == "win32" else (linux, on_linux)
        base = Path(os.environ.get(variable) or Path.home() / usual)
    return base / "generate-grasps"


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
