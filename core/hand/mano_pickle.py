"""Reads MANO's pickles (Python 2, chumpy inside) without running anything that is in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.hand.errors import HandError


class _Chumpy:
    """Stands for any chumpy object: keeps its state and does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


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
    reconstruct = np.array(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("copy_reg", "_reconstructor"): _rebuild,
        ("copyreg", "_reconstructor"): _rebuild,
        ("__builtin__", "object"): object,
        ("builtins", "object"): object,
        ("_codecs", "encode"): _latin,
    }
    for module in _MULTIARRAY:
        table[module, "_reconstruct"] = reconstruct
        table[module, "scalar"] = scalar
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
    if isinstance(value, _Chumpy):
        for key in ("x", "a"):
            if key in value.state:
                return _plain(value.state[key])
        raise HandError("A chumpy object in the hand file holds no array.")
    if isinstance(value, _Sparse):
        from scipy.sparse import csc_matrix, csr_matrix

        make = csc_matrix if value.layout == "csc" else csr_matrix
        state = value.state
        shape = state.get("_shape", state.get("shape"))
        return make((state["data"], state["indices"], state["indptr"]), shape=shape).toarray()
    return value


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
