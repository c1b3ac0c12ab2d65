"""How messages between a user's program and the worker are written: a line of JSON, then raw arrays.

A message is one JSON object on one line. Its field "arrays" lists {name, dtype, shape, bytes}; their little-endian
bytes follow the line in that order.
"""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO, Final

import numpy as np

DTYPES: Final = ("float32", "float64", "int32", "int64", "uint8")
#: of a message's arrays together
MOST_BYTES: Final = 4 << 30
#: of an array
MOST_AXES: Final = 8
#: bytes of a message's line
LONGEST_LINE: Final = 1 << 20
#: bytes read at a time
CHUNK: Final = 1 << 20


class WireError(ValueError):
    """A message that cannot be read.

    Attributes:
        request: the message's id, where that much could be read.
        lost: where the next message begins in the stream is not known; no more can be read.

    Args:
        sentence: what is wrong.
        request: see above.
        lost: see above.
    """

    def __init__(self, sentence: str, request: Any = None, lost: bool = False) -> None:
        super().__init__(sentence)
        self.request, self.lost = request, lost


def write_message(stream: BinaryIO, message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Writes one message and flushes.

    Args:
        stream: binary, e.g. a pipe.
        message: what JSON can hold; numbers that are not finite become null.
        arrays: name to array, of `DTYPES`.

    Raises:
        TypeError: an array is of another dtype.
        OSError: nobody reads the stream any more.
    """
    payload = {}
    for name, array in (arrays or {}).items():
        array = np.asarray(array)
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{name} is {array.dtype.name}; a message holds {', '.join(DTYPES)}")
        payload[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    head = dict(message)
    if payload:
        head["arrays"] = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.nbytes}
                          for name, array in payload.items()]
    line = json.dumps(_finite(head), allow_nan=False, separators=(",", ":"))
    stream.write(line.encode() + b"\n")
    for array in payload.values():
        stream.write(array.tobytes())
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Reads one message.

    Args:
        stream: binary, e.g. a pipe.

    Returns:
        The message and its arrays by name; None at the stream's end.

    Raises:
        WireError: what came is no message.
    """
    line = stream.readline(LONGEST_LINE + 1)
    if not line:
        return None
    if not line.endswith(b"\n"):
        if len(line) > LONGEST_LINE:
            raise WireError(f"a message's line is longer than {LONGEST_LINE} bytes", lost=True)
        return None  # cut off in the middle: the other side is gone
    try:
        message = json.loads(line)
    except ValueError as error:
        raise WireError(f"a line is not JSON ({error})") from error
    except RecursionError as error:
        raise WireError("a line of JSON that is nested too deep") from error
    if not isinstance(message, dict):
        raise WireError("a message is not a JSON object")
    request = message.get("id")
    try:
        heads = [_head(entry) for entry in message.pop("arrays", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"a message announces arrays wrongly ({error})", request, lost=True) from error
    if sum(size for *_, size in heads) > MOST_BYTES:
        raise WireError(f"a message of more than {MOST_BYTES >> 30} GiB", request, lost=True)
    arrays: dict[str, np.ndarray] = {}
    fault = ""
    for name, dtype, shape, size in heads:
        data = _read_exactly(stream, size)
        if data is None:
            return None
        if dtype not in DTYPES or len(shape) > MOST_AXES or math.prod(shape) * np.dtype(dtype).itemsize != size:
            fault = f"array {name[:80]} of {dtype[:80]} {str(shape)[:80]}, which does not fill {size} bytes"
        else:
            arrays[name] = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    if fault:
        raise WireError(fault, request)
    return message, arrays


def _head(entry: dict[str, Any]) -> tuple[str, str, tuple[int, ...], int]:
    """Name, dtype, shape and bytes of an announced array."""
    shape, size = tuple(entry["shape"]), entry["bytes"]
    if any(not isinstance(n, int) or n < 0 for n in (*shape, size)):
        raise ValueError("shapes and sizes are whole numbers")
    return str(entry["name"]), str(entry["dtype"]), shape, size


def _read_exactly(stream: BinaryIO, size: int) -> bytearray | None:
    """`size` bytes; None when the stream ends first. Memory grows with what arrives, whatever size is announced."""
    data = bytearray()
    while len(data) < size:
        chunk = stream.read(min(CHUNK, size - len(data)))
        if not chunk:
            return None
        data += chunk
    return data


def _finite(value: Any) -> Any:
    """The value with None for every number in it that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
