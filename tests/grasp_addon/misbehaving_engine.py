"""An engine that misbehaves in one way, started as a program of its own.

Its arguments are KIND WHEN HELLO CANDIDATE. KIND is a name of `KINDS` and the tables after it, "deaf", "good", "slow to
stop" or "cut off at N", with a byte's number and perhaps " and waits"; WHEN the request at which it misbehaves; HELLO
and CANDIDATE are files that hold a good reply each, so that this needs no more than Python.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Speaker:
    """What is said to the add-on, in answer to one request."""

    def __init__(self, number: int, hello: bytes, candidate: bytes) -> None:
        self.number, self.hello, self.candidate = number, hello, candidate

    def raw(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def say(self, tail: bytes = b"", **message: Any) -> None:
        self.raw(json.dumps({"id": self.number, **message}).encode() + b"\n" + tail)

    def good(self, reply: bytes, rename: dict[str, str] | None = None, cut: int | None = None, **changes: Any) -> None:
        """A good reply, with some of its fields and the names of some arrays changed, and perhaps cut off."""
        line, _, tail = reply.partition(b"\n")
        message = {**json.loads(line), "id": self.number, **changes}
        for head in message.get("arrays", ()):
            head["name"] = (rename or {}).get(head["name"], head["name"])
        self.raw((json.dumps(message).encode() + b"\n" + tail)[:cut])

    def announce(self, **changes: Any) -> None:
        head = {"name": "template", "dtype": "float32", "shape": [1, 3], "bytes": 12} | changes
        self.say(type="result", arrays=[head], tail=b"\0" * 12)

    def flood(self, **message: Any) -> None:
        while True:
            self.say(**message)


def wait() -> None:
    time.sleep(600)


def numbered(speaker: Speaker, value: float) -> None:
    """A candidate in which a coordinate is no number."""
    import struct

    line, _, tail = speaker.candidate.partition(b"\n")
    message = json.loads(line)
    size = 4 if message["arrays"][0]["dtype"] == "float32" else 8
    bad = struct.pack("<f" if size == 4 else "<d", value)
    speaker.raw(json.dumps({**message, "id": speaker.number}).encode() + b"\n" + bad + tail[size:])


#: at any request: whether the engine may still be there afterwards is not asked
KINDS: dict[str, Callable[[Speaker], object]] = {
    "ends": lambda _: sys.exit(3),
    "ends with last words": lambda _: sys.exit("ImportError: no module named torch."),
    "is ended by the system": lambda _: os.kill(os.getpid(), signal.SIGABRT),
    "words": lambda s: s.raw(b"Traceback (most recent call last):\n"),
    "binary": lambda s: s.raw(bytes(range(256)) * 40 + b"\n"),
    "half a line, then the end": lambda s: (s.raw(b'{"id": 2, "ty'), sys.exit(0)),
    "half a line, then silence": lambda s: (s.raw(b'{"id": 2, "ty'), wait()),
    "silence": lambda _: wait(),
    "a closed output": lambda _: (os.close(1), wait()),
    "a closed input": lambda _: (os.close(0), wait()),
    "half an array, then silence": lambda s: (s.good(s.hello, cut=3000), wait()),
    "a line without end": lambda s: (s.raw(b"x" * (3 << 20)), wait()),
    "deep JSON": lambda s: s.raw(b'{"a":' + b"[" * 200_000 + b"\n"),
    "a list": lambda s: s.raw(b"[1, 2]\n"),
    "null": lambda s: s.raw(b"null\n"),
    "a number of many digits": lambda s: s.raw(b'{"id": ' + b"9" * 10_000 + b"}\n"),
    "arrays that are no list": lambda s: s.say(type="result", arrays={"a": 1}),
    "arrays of an absurd length": lambda s: s.announce(bytes=1 << 60, shape=[1 << 58]),
    "arrays of a length below zero": lambda s: s.announce(bytes=-1, shape=[-1]),
    "arrays of a length that is a word": lambda s: s.announce(bytes="12"),
    "arrays of another shape": lambda s: s.announce(shape=[7, 3]),
    "arrays of a hundred axes": lambda s: s.announce(shape=[1] * 100, bytes=4),
    "arrays of objects": lambda s: s.announce(dtype="object"),
    "no type": lambda s: s.say(),
    "a type nobody knows": lambda s: s.say(type="dance"),
    "a type that is a list": lambda s: s.say(type=["result"]),
    "a stage that is a list": lambda s: s.say(type="progress", stage=[1], fraction=0.5),
    "a fraction that is a word": lambda s: s.say(type="progress", stage="a", fraction="half"),
    "a fraction without end": lambda s: s.raw(b'{"id": %d, "type": "progress", "fraction": 1e999}\n' % s.number),
    "an error without a word": lambda s: s.say(type="error"),
    "an error that is a list": lambda s: s.say(type="error", message=["a"]),
    "an error for nobody": lambda s: s.raw(b'{"id": null, "type": "error", "message": "Nothing works."}\n'),
    "the same progress without end": lambda s: s.flood(type="progress", stage="Working", fraction=0.5),
    "progress of others without end": lambda s: s.flood(type="progress", id=77),
    "a candidate that is cut off": lambda s: (s.good(s.candidate, cut=3000), sys.exit(0)),
}
#: as an answer to the handshake
AT_HELLO: dict[str, Callable[[Speaker], object]] = {
    "a result without a hand": lambda s: s.say(type="result", version="0.2.0"),
    "a hand without weights": lambda s: s.good(s.hello, rename={"weights": "lengths"}),
    "a hand of no side": lambda s: s.good(s.hello, side="upper"),
    "another form": lambda s: s.good(s.hello, form=7),
    "another version": lambda s: s.good(s.hello, version="99.1.0"),
    "methods that are words": lambda s: s.good(s.hello, methods=["synthesis"]),
    "labels that are a list": lambda s: s.good(s.hello, type_labels=["a"]),
}
#: as an answer to the request itself
AT_GENERATE: dict[str, Callable[[Speaker], object]] = {
    "a candidate without a pose": lambda s: s.good(s.candidate, rename={"rotations": "turns"}),
    "a candidate that is not a number": lambda s: numbered(s, float("nan")),
    "a candidate at no place": lambda s: numbered(s, float("inf")),
    "a score that is a word": lambda s: s.good(s.candidate, score="high"),
    "measures that are a list": lambda s: s.good(s.candidate, measures=[1]),
    "an order of none": lambda s: s.say(type="result", tail=b"\5\0\0\0", arrays=[
        {"name": "order", "dtype": "int32", "shape": [1], "bytes": 4}]),
    "an order that is a fraction": lambda s: s.say(type="result", tail=b"\0\0\0\0", arrays=[
        {"name": "order", "dtype": "float32", "shape": [1], "bytes": 4}]),
}


def cut_off(speaker: Speaker, reply: bytes, at: int, then: Callable[[], object]) -> None:
    """A good reply up to its byte `at`, and the end of all."""
    speaker.good(reply, cut=at)
    then()


def requests() -> Iterator[dict[str, Any]]:
    """What the add-on asks, without the arrays."""
    while line := sys.stdin.buffer.readline():
        message = json.loads(line)
        for head in message.get("arrays", ()):
            sys.stdin.buffer.read(head["bytes"])
        yield message


def work_on(speaker: Speaker) -> None:
    """Hears no cancel, and says that it works."""
    speaker.good(speaker.candidate)
    while True:
        speaker.say(type="progress", stage="Working", fraction=0.5)
        time.sleep(0.1)


def main() -> None:
    """One that is "slow to stop" answers nothing for half a second after a cancel."""
    kind, when, *files = sys.argv[1:]
    hello, candidate = (open(path, "rb").read() for path in files)  # noqa: SIM115
    for message in requests():
        speaker = Speaker(message["id"], hello, candidate)
        if message["type"] == when and kind == "deaf":
            threading.Thread(target=work_on, args=(speaker,), daemon=True).start()
            wait()
        if kind == "slow to stop":
            time.sleep(0.5 if message["type"] == "cancel" else 0.0)
            speaker.good(hello) if message["type"] == "hello" else speaker.say(type="result")
        elif message["type"] == when and kind.startswith("cut off at "):
            at, _, after = kind.removeprefix("cut off at ").partition(" ")
            cut_off(speaker, hello if when == "hello" else candidate, int(at), wait if after else lambda: sys.exit(0))
        elif message["type"] == when and kind != "good":
            {**KINDS, **AT_HELLO, **AT_GENERATE}[kind](speaker)
        elif message["type"] == "hello":
            speaker.good(hello)
        elif message["type"] == "generate":
            speaker.good(candidate)
            speaker.say(type="result")
        else:
            speaker.say(type="result")


if __name__ == "__main__":
    main()
