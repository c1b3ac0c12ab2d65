"""A small client of `python -m core.worker` that shares no code with either end: it shows when the messages change."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np


class EngineError(RuntimeError):
    """The engine ended, or said what is no message."""


class Client:
    """A worker process and the requests to it, one at a time; a context manager.

    Args:
        command: starts it.
        folder: where it starts.
        variables: its environment.
        log: the file that what it says on stderr goes to.
    """

    def __init__(self, command: Sequence[str], folder: Path, variables: dict[str, str], log: Path) -> None:
        self.log, self.number = log, 0
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=stream)
        assert self.process.stdin, "it is a pipe"
        assert self.process.stdout, "it is a pipe"
        self._requests, self._replies = self.process.stdin, self.process.stdout

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()
        if kind is not None:
            self.process.kill()
        self.process.wait()
        self._replies.close()

    def ask(self, message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> list[tuple[dict, dict]]:
        """Sends a request; its candidates in the order in which they came, and its result or error as the last."""
        self.number += 1
        with contextlib.suppress(OSError):  # an engine that is gone: the reader says so
            send(self._requests, {**message, "id": self.number}, arrays or {})
        found = []
        while True:
            reply = receive(self._replies)
            if reply is None:
                raise EngineError(f"The engine ended: {self.log.read_text(errors='replace')[-2000:]}")
            if reply[0].get("id") == self.number and reply[0].get("type") != "progress":
                found.append(reply)
                if reply[0]["type"] in ("result", "error"):
                    return found


def send(stream: IO[bytes], message: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Writes a message: a line of JSON, then the bytes of the arrays it announces."""
    payload = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    heads = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.nbytes}
             for name, array in payload.items()]
    stream.write(json.dumps({**message, "arrays": heads}).encode() + b"\n")
    for array in payload.values():
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The next message and its arrays; None where the stream ends, be it in the middle."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        message = json.loads(line)
    except ValueError as error:
        raise EngineError(f"The engine said what is no message: {line[:200]!r}") from error
    arrays = {}
    for head in message.pop("arrays", ()):
        data = stream.read(head["bytes"])
        if len(data) < head["bytes"]:
            return None
        arrays[head["name"]] = np.frombuffer(data, np.dtype(head["dtype"]).newbyteorder("<")).reshape(head["shape"])
    return message, arrays
