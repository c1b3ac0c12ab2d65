"""The engine's process and the messages to and from it, without waiting for either. Knows nothing of bpy.

A message is a line of JSON and then the raw arrays it announces (core/wire.py is the other end). Threads of our own
only move bytes between pipes and queues, since a pipe cannot be read without waiting on Windows; none touches bpy.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import GraspError

if TYPE_CHECKING:
    from collections.abc import Callable

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]
Reply = tuple[Message, Arrays]

LOG_LINES: Final = 200
LOG_BYTES: Final = 2000  # of a line
MESSAGE_BYTES: Final = 1 << 20  # a line of JSON; arrays are not in it
ARRAY_BYTES: Final = 1 << 26  # the arrays of a message together
CHUNK: Final = 1 << 20  # bytes read at a time
MOST_AXES: Final = 8  # of an array
QUEUED: Final = 64  # replies that wait to be looked at; an engine that says more waits, too
LATE_SECONDS: Final = 0.1  # after a cancel; from then on another engine starts, whose import of torch takes 1.9 s
FREE_SECONDS: Final = 2.0  # in which an engine must be free after a cancel, or is ended
CLOSE_SECONDS: Final = 0.1  # in which an engine may end by itself once its input has ended
FOLDER: Final = Path(__file__).resolve().parents[2]  # where it runs: what lies in Blender's folder is not its business
DTYPES: Final = ("float32", "float64", "int32", "int64", "uint8")


class EngineClient:
    """One running engine.

    Args:
        command: starts it, e.g. [python, "-m", "core.worker"].
        environment: variables it gets beside Blender's own.
        late: called from another thread after a cancel: where the engine is not free at once, and again when it should
            be and is, or was ended.

    Attributes:
        log: the last lines it wrote to stderr.

    Raises:
        GraspError: the command cannot be started.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None,
                 late: Callable[[EngineClient], None] | None = None) -> None:
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")}
        variables |= {"PYTHONUNBUFFERED": "1", **(environment or {})}
        try:
            self._process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, creationflags=process_flags(), cwd=FOLDER,
                                             start_new_session=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GraspError(f"The engine cannot be started ({reason}): {command[0]}. Check it in the preferences.",
                             "preferences") from error
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._number = 0
        self._out: queue.SimpleQueue[bytes | memoryview | None] = queue.SimpleQueue()
        self._in: queue.Queue[Reply] = queue.Queue(QUEUED)
        self._ended = self._killed = False
        self._heard_all = threading.Event()
        self._fault = ""
        self._late = late
        self._probe: int | None = None  # the request that is answered once the engine is free
        self._patience: list[threading.Timer] = []
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
        return not self._ended and not self._heard_all.is_set() and self._process.poll() is None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and is not free yet."""
        return self._probe is not None

    def send(self, message: Message, arrays: Arrays | None = None) -> int:
        """Sends a request without waiting. A cancel must be heard: who is not free soon after it is ended.

        Args:
            message: the JSON part, but for its id.
            arrays: what travels behind it; not copied, so that nobody may write into them any more.

        Returns:
            the id the request was given.
        """
        self._number += 1
        number = self._number
        payload = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                   for name, array in (arrays or {}).items()}
        head = {**message, "id": number}
        if payload:
            head["arrays"] = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape),
                               "bytes": array.nbytes} for name, array in payload.items()]
        self._out.put(json.dumps(head).encode() + b"\n")
        for array in payload.values():
            self._out.put(array.ravel().data.cast("B") if array.size else b"")
        if message.get("type") == "cancel":
            self._probe = self._number + 1  # known before its answer can come
            self.send({"type": "ready"})
            self._be_patient()
        return number

    def poll(self) -> list[Reply]:
        """The replies that have come, at most as many as can wait.

        Raises:
            GraspError: the engine has ended, and all it said was read.
        """
        over = self._ended or self._heard_all.is_set()
        found: list[Reply] = []
        with contextlib.suppress(queue.Empty):
            while len(found) < QUEUED:
                found.append(self._in.get_nowait())
        if over and not found:
            self._logger.join(CLOSE_SECONDS)
            suddenly = self._ended_suddenly()
            self._kill()  # one that has only closed its output is none any more
            if suddenly:
                raise GraspError("The engine ended suddenly, as programs do when the memory runs out: use a lighter "
                                 "mesh or fewer candidates, or close what else needs memory. The next click starts it "
                                 "anew.")
            last = _readable(self._fault or next((line for line in reversed(self.log) if line.strip()), ""))
            raise GraspError("The engine ended" + (f": {last}" if last else " without a word")
                             + ". Generate again to start it anew, or check it in the preferences.", "preferences")
        return found

    def close(self) -> None:
        """Ends the engine, kindly and then not, with the programs that it started."""
        self._ended = True
        self._stop_waiting()
        self._out.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self.stopping else CLOSE_SECONDS)
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)

    def _ended_suddenly(self) -> bool:
        """Whether the system ended it, and neither it nor we."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        code = self._process.returncode or 0
        return not self._killed and (code < 0 or code >= 0xC0000000)  # a signal, or what Windows has for one

    def _kill(self) -> None:
        """Ends the process and its group, which is its own: what a shell started for it goes, too."""
        if self._killed:
            return  # its number may be another's by now
        self._killed = True
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _be_patient(self) -> None:
        self._stop_waiting()
        self._patience = [threading.Timer(LATE_SECONDS, self._look_late),
                          threading.Timer(FREE_SECONDS, self._lose_patience)]
        for timer in self._patience:
            timer.daemon = True
            timer.start()

    def _stop_waiting(self) -> None:
        for timer in self._patience:
            timer.cancel()

    def _look_late(self) -> None:
        if self.stopping and self.alive and self._late is not None:
            self._late(self)

    def _lose_patience(self) -> None:
        if self.stopping and self.alive:
            self._fault = "it did not stop when it was asked to"
            self.close()
        if self._late is not None:
            self._late(self)

    def _write(self) -> None:
        assert self._process.stdin is not None  # a pipe, as asked for
        with contextlib.suppress(OSError), self._process.stdin as pipe:  # an engine that is gone: the reader says so
            while (data := self._out.get()) is not None:
                pipe.write(data)
                pipe.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        line = b""
        try:
            with self._process.stdout as pipe:
                while not self._ended and (line := pipe.readline(MESSAGE_BYTES)):
                    self._take(*_message(pipe, line))
        except EOFError:
            pass  # cut off in the middle of a message: it has ended
        except Exception:  # whatever it said, the closing word has to be said, too
            said = line[:120].decode(errors="replace").strip()
            self._fault = self._fault or f"it does not speak as an engine does: {said}"
            self._kill()
        finally:
            self._heard_all.set()

    def _take(self, message: Message, arrays: Arrays) -> None:
        if self._probe is not None and message.get("id") == self._probe:
            self._probe = None
            return
        while not self._ended:
            with contextlib.suppress(queue.Full):
                self._in.put((message, arrays), timeout=CLOSE_SECONDS)
                return

    def _collect_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while line := pipe.readline(LOG_BYTES):
                self.log.append(line.decode(errors="replace").rstrip())


def process_flags() -> int:
    """On Windows no console, and a group of its own, so that Ctrl-C in Blender's console does not end the engine."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


def _readable(text: str) -> str:
    """The text without what no line of a panel can show, and without the stop that a sentence around it has."""
    return "".join(letter for letter in text[:300] if letter.isprintable()).strip().removesuffix(".")


def _message(pipe: IO[bytes], line: bytes) -> Reply:
    """The message of a line, with the arrays behind it; EOFError where it is cut off, any other error for nonsense."""
    if not line.endswith(b"\n"):
        if len(line) < MESSAGE_BYTES:
            raise EOFError
        raise ValueError("a line without end")
    message = json.loads(line)
    heads = message.pop("arrays", [])
    if not isinstance(heads, list) or sum(_size(head) for head in heads) > ARRAY_BYTES:
        raise ValueError("arrays that are none")
    return message, {str(head["name"]): _array(pipe, head) for head in heads}


def _size(head: Message) -> int:
    """How many bytes an array has that was announced; an error where it can be none."""
    shape = head["shape"]
    if head["dtype"] not in DTYPES or not isinstance(shape, list) or len(shape) > MOST_AXES:
        raise ValueError("an array of another kind")
    if any(type(n) is not int or not 0 <= n <= ARRAY_BYTES for n in shape):
        raise ValueError("a shape that is none")
    size = math.prod(shape) * np.dtype(head["dtype"]).itemsize
    if head["bytes"] != size:
        raise ValueError("an array of another size")
    return size


def _array(pipe: IO[bytes], head: Message) -> np.ndarray:
    data, size = bytearray(), _size(head)
    while len(data) < size:
        chunk = pipe.read(min(CHUNK, size - len(data)))
        if not chunk:
            raise EOFError
        data += chunk
    return np.frombuffer(data, np.dtype(head["dtype"]).newbyteorder("<")).reshape(head["shape"])
