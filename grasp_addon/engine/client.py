"""The engine's process and the messages to and from it, without waiting for either. Knows nothing of bpy.

A message is a line of JSON and then the raw arrays it announces (core/wire.py is the other end). Threads of our own
only move bytes between pipes and queues, since a pipe cannot be read without waiting on Windows; none touches bpy.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections import deque
from typing import IO, Any, Final

import numpy as np

from ..errors import GraspError

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]
Reply = tuple[Message, Arrays]

LOG_LINES: Final = 200
LOG_BYTES: Final = 2000  # of a line
MESSAGE_BYTES: Final = 1 << 20  # a line of JSON; arrays are not in it
DTYPES: Final = ("float32", "float64", "int32", "int64", "uint8")


class EngineClient:
    """One running engine.

    Args:
        command: starts it, e.g. [python, "-m", "core.worker"].
        environment: variables it gets beside Blender's own.

    Attributes:
        log: the last lines it wrote to stderr.

    Raises:
        GraspError: the command cannot be started.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
        variables |= {"PYTHONUNBUFFERED": "1", **(environment or {})}
        try:
            self._process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, creationflags=process_flags())
        except OSError as error:
            raise GraspError(f"The engine cannot be started ({error.strerror or error}): {command[0]}. Check it in the "
                             "preferences.", "preferences") from error
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._number = 0
        self._out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._in: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._ended = False
        self._logger = threading.Thread(target=self._collect_log, daemon=True)
        for thread in (self._logger, threading.Thread(target=self._write, daemon=True),
                       threading.Thread(target=self._read, daemon=True)):
            thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs and has not been heard to end."""
        return not self._ended and self._process.poll() is None

    def send(self, message: Message, arrays: Arrays | None = None) -> int:
        """Sends a request without waiting.

        Args:
            message: the JSON part, but for its id.
            arrays: what travels behind it.

        Returns:
            the id the request was given.
        """
        self._number += 1
        payload = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                   for name, array in (arrays or {}).items()}
        head = {**message, "id": self._number}
        if payload:
            head["arrays"] = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape),
                               "bytes": array.nbytes} for name, array in payload.items()]
        self._out.put(json.dumps(head).encode() + b"\n")
        for array in payload.values():
            self._out.put(array.tobytes())
        return self._number

    def poll(self) -> list[Reply]:
        """The replies that have come.

        Raises:
            GraspError: the engine has ended, and all it said was read.
        """
        found = []
        while True:
            try:
                reply = self._in.get_nowait()
            except queue.Empty:
                break
            if reply is None:
                self._ended = True
            else:
                found.append(reply)
        if self._ended and not found:
            self._logger.join(1.0)
            last = next((line for line in reversed(self.log) if line.strip()), "")
            raise GraspError("The engine ended" + (f": {last}" if last else " without a word")
                             + ". Generate again to start it anew, or check it in the preferences.", "preferences")
        return found

    def close(self) -> None:
        """Ends the engine, kindly and then not."""
        self._ended = True
        self._out.put(None)
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self) -> None:
        assert self._process.stdin is not None  # a pipe, as asked for
        with contextlib.suppress(OSError), self._process.stdin as pipe:  # an engine that is gone: the reader says so
            while (data := self._out.get()) is not None:
                pipe.write(data)
                pipe.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe, contextlib.suppress(OSError):
            while line := pipe.readline(MESSAGE_BYTES):
                try:
                    message = json.loads(line)
                    arrays = {head["name"]: _array(pipe, head) for head in message.pop("arrays", ())}
                except (ValueError, KeyError, TypeError, AttributeError):
                    said = line[:120].decode(errors="replace").strip()
                    self.log.append(f"it does not speak as an engine does: {said}")
                    self._process.kill()
                    break
                self._in.put((message, arrays))
        self._in.put(None)

    def _collect_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while line := pipe.readline(LOG_BYTES):
                self.log.append(line.decode(errors="replace").rstrip())


def process_flags() -> int:
    """On Windows no console, and a group of its own, so that Ctrl-C in Blender's console does not end the engine."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


def _array(pipe: IO[bytes], head: Message) -> np.ndarray:
    if head["dtype"] not in DTYPES:
        raise ValueError(head["dtype"])
    data = pipe.read(head["bytes"])
    return np.frombuffer(data, np.dtype(head["dtype"]).newbyteorder("<")).reshape(head["shape"])
