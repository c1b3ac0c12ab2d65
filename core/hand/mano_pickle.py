"""Reads MANO's pickles (Python 2, chumpy inside) without running anything that is in them."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.hand.errors import HandError

#: numbers in an array of a hand; MANO's largest has 315,000
MOST_NUMBERS: Final = 20_000_000


class _Chumpy:
    """Stands for any chumpy object: keeps its state and does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Type:
    """Stands for numpy's dtype: a damaged one given to numpy itself could do anything."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    @property
    def plain(self) -> np.dtype:
        """The dtype, of numbers or of objects.

        Raises:
            pickle.UnpicklingError: it is another.
        """
        code = self.code.decode("latin1") if isinstance(self.code, bytes) else self.code
        if not isinstance(code, str) or not re.fullmatch(r"[iuf][248]|[iub]1|O8?|V0", code):
            raise pickle.UnpicklingError("numbers of an unexpected kind")
        if code[0] == "O":
            return np.dtype(object)
        return np.dtype(code).newbyteorder(">" if self.order == ">" else "<")


class _Array:
    """Stands for a numpy array until its parts are known to fit each other."""

    def __init__(self, *_: Any) -> None:
        self.array = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not all(isinstance(side, int) and 0 <= side <= MOST_NUMBERS for side in shape):
            raise pickle.UnpicklingError("an array of an impossible shape")
        if kind.plain.hasobject:
            flat = np.empty(len(data), object)
            flat[:] = data
        else:
            flat = np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, kind.plain).copy()
        if math.prod(shape) != len(flat) or len(flat) > MOST_NUMBERS:
            raise pickle.UnpicklingError("an array that is not as large as it says")
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _scalar(kind: _Type, data: Any) -> Any:
    """A numpy scalar of its bytes."""
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, kind.plain, 1)[0]


class _Sparse:
    """Stands for a scipy sparse matrix: keeps its state and does nothing."""

    layout = "csc"

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _SparseRows(_Sparse):
    layout = "csr"


def _rebuild(cls: type, base: type, state: Any) -> Any:
    """copy_reg's way of making a Python 2 object, for the two inert stand-ins alone."""
    if cls in (_Chumpy, _Sparse, _SparseRows) and base is object and state is None:
        return cls()
    raise pickle.UnpicklingError("an object of an unexpected kind")


def _latin(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes in old protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in an unexpected encoding")
    return text.encode("latin1")


_MULTIARRAY: Final = ("numpy.core.multiarray", "numpy._core.multiarray")


def _allowed() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Type,
        ("copy_reg", "_reconstructor"): _rebuild,
        ("copyreg", "_reconstructor"): _rebuild,
        ("__builtin__", "object"): object,
        ("builtins", "object"): object,
        ("_codecs", "encode"): _latin,
    }
    for module in _MULTIARRAY:
        table[module, "_reconstruct"] = _Array
        table[module, "scalar"] = _scalar
    for module in ("scipy.sparse", "scipy.sparse.csc", "scipy.sparse._csc"):
        table[module, "csc_matrix"] = _Sparse
    for module in ("scipy.sparse", "scipy.sparse.csr", "scipy.sparse._csr"):
        table[module, "csr_matrix"] = _SparseRows
    return table


class _Reader(pickle.Unpickler):
    allowed: Final = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        if module.split(".")[0] == "chumpy" and name.isidentifier():
            return _Chumpy
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _plain(value: Any) -> Any:
    """The array behind a stand-in."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _Chumpy):
        for key in ("x", "a"):
            if key in value.state:
                return _plain(value.state[key])
        raise HandError("A chumpy object in the hand file holds no array.")
    if isinstance(value, _Sparse):
        return _dense(value.state, value.layout)
    return value


def _dense(state: dict[str, Any], layout: str) -> np.ndarray:
    """A sparse matrix as an array, without scipy: it believes what a damaged one says of itself.

    Raises:
        HandError: its parts do not fit each other.
    """
    rows, columns = (int(side) for side in state["_shape" if "_shape" in state else "shape"])
    values, minor, ends = (np.asarray(_plain(state[name])) for name in ("data", "indices", "indptr"))
    lines, width = (columns, rows) if layout == "csc" else (rows, columns)
    fits = (rows > 0 and columns > 0 and rows * columns <= MOST_NUMBERS and values.dtype.kind in "iuf"
            and minor.dtype.kind in "iu" and ends.dtype.kind in "iu" and values.ndim == minor.ndim == ends.ndim == 1
            and len(values) == len(minor) and len(ends) == lines + 1)
    ends = ends.astype(np.int64)
    if not (fits and ends[0] == 0 and ends[-1] == len(values) and (np.diff(ends) >= 0).all()
            and (not len(minor) or 0 <= int(minor.min()) <= int(minor.max()) < width)):
        raise HandError("A sparse matrix in the hand file is damaged: its parts do not fit each other.")
    found = np.zeros((lines, width))
    np.add.at(found, (np.repeat(np.arange(lines), np.diff(ends)), minor), values)
    return found.T.copy() if layout == "csc" else found


def read_mano_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MANO pickle by name.

    Raises:
        HandError: the file is no pickle, is cut off, or asks for anything but arrays (nothing of it is run).
    """
    try:
        with path.open("rb") as file:
            content = _Reader(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise HandError(f"{path.name} is not a hand in MANO's form.")
        return {
            str(key): np.asarray(plain)
            for key, value in content.items()
            if isinstance(plain := _plain(value), np.ndarray | list | float | int)
        }
    except HandError:
        raise
    except pickle.UnpicklingError as error:
        raise HandError(
            f"{path.name} was refused: it is not plain hand data ({error}). Nothing in it was run."
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise HandError(f"{path.name} is damaged and cannot be read as a hand ({type(error).__name__}).") from error
