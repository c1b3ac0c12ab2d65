"""Files that are written whole or not at all, their hashes, and the user's folders."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import math
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


#: of the temporary files that become the file when they are whole
_UNFINISHED: Final = ".part"
#: seconds after which a file that was not finished is taken as left behind by a writer that was killed
ABANDONED_AFTER: Final = 3600


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
    try:
        _sweep(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # or a power cut could leave a file that has its name and nothing in it
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_written(path, error) from error
        raise


def _not_written(path: Path, error: OSError) -> OSError:
    """The same kind of error, as a sentence that names the file and says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "the disk is full. Make room on it, or write elsewhere"
    elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
        why = "the folder or the file may not be written to. Allow it, or write elsewhere"
    elif isinstance(error, FileNotFoundError):
        why = f"there is no folder {path.parent}. Make it first"
    elif isinstance(error, IsADirectoryError):
        why = "it is a folder. Name a file in it"
    else:
        why = error.strerror or str(error)
    return _kind_of(error)(f"{path} was not written: {why}.")


def _kind_of(error: OSError) -> type[OSError]:
    """The error's class where a sentence alone makes one, else OSError."""
    return type(error) if type(error) in (PermissionError, FileNotFoundError, IsADirectoryError) else OSError


def _sweep(path: Path) -> None:
    """Deletes what writers of this file left behind that were killed an hour ago or longer."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_UNFINISHED}"):
        with contextlib.suppress(OSError):  # another process deleted it
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
                left.unlink()


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
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as packed:
            return {info.filename.removesuffix(".npy"): _array(packed, info) for info in packed.infolist()}
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a damaged zip ends in errors of every kind: of its packing, its names, its numbers
        raise ValueError(str(error)) from error


def _array(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array of an npz; no memory is asked for that its bytes do not fill."""
    if info.file_size > 1100 * info.compress_size + 1000:  # more than its packing can make of it
        raise ValueError("an array in it is not as large as it says")
    with packed.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = head(stream)
        if dtype.hasobject:
            raise ValueError("it holds objects, which are not read")
        if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError("an array in it is not as large as it says")
    with packed.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


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
