"""Engines as programs of their own: one that misbehaves in every way, pipes that are cut, and the engine itself."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import misbehaving_engine
import numpy as np
from good_replies import packed, write_replies
from misbehaving_engine import AT_GENERATE, AT_HELLO
from misbehaving_engine import KINDS as MISBEHAVIOURS
from real_engine import COMMAND, VARIABLES

from grasp_addon.engine import command, requests, session
from scripts import ROOT

from .surroundings import data_names, hers
from .trial import Trial

#: seconds after which an engine is taken for silent or stuck here, so that nobody has to wait for a minute
LIMITS: Final = {"HELLO_SECONDS": 1.0, "SILENT_SECONDS": 1.0, "STILL_SECONDS": 0.7}
LONGEST: Final = 60.0  # seconds in which a worker has to end when its input has, on a machine with much to do

#: the worker without PyTorch, which takes two seconds to come and which requests that are malformed never reach
LIGHT_WORKER: Final = """
import sys, types
sys.modules["core.parallel"] = types.SimpleNamespace(use_few_threads=lambda: None)
from core import worker
worker.main()
"""


def pause() -> None:
    """Lets time pass between two ticks."""
    threading.Event().wait(0.01)


@functools.cache
def replies() -> list[str]:
    """Files of a good answer to the handshake and of a candidate, for as long as this process lives."""
    folder = tempfile.mkdtemp(prefix="replies-")
    return write_replies(Path(folder))


@contextlib.contextmanager
def started_by(line: list[str], variables: dict[str, str], limits: dict[str, float]) -> Iterator[None]:
    """Engines are started by this command, and nobody waits long for them."""
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(command, "engine_command", return_value=(line, variables)))
        for name, seconds in limits.items():
            patches.enter_context(mock.patch.object(requests, name, seconds))
        yield


def misbehaves(kind: str, when: str) -> contextlib.AbstractContextManager[None]:
    """Engines are ones that misbehave so; only a good one is given its time on a machine that has much to do."""
    line = [sys.executable, "-S", "-E", misbehaving_engine.__file__, kind, when, *replies()]
    return started_by(line, {}, {} if kind == "good" else LIMITS)


def _misbehaving(kind: str, whens: tuple[str, ...]) -> Callable[[Trial], None]:
    def do(trial: Trial) -> None:
        _ask(trial, kind, trial.rng.choice(whens))

    return do


def _cut_off(trial: Trial) -> None:
    """A reply cut off at any byte, and then the end or silence."""
    when = trial.rng.choice(["hello", "generate"])
    size = Path(replies()[when == "generate"]).stat().st_size
    at = trial.rng.randint(0, min(size, 700) if trial.rng.random() < 0.3 else size - 1)
    _ask(trial, f"cut off at {at}" + trial.rng.choice(["", " and waits"]), when)


def _escaped(trial: Trial) -> None:
    """ESC, once or twice, at any tick of an engine that hears it, is slow to, or does not."""
    kind, at = trial.rng.choice(["good", "deaf", "silence", "slow to stop"]), trial.rng.randint(0, 40)

    def between(number: int, operator: Any, window: Any) -> None:
        if number in (at, at + 3):
            trial.escape(operator, window)

    _ask(trial, kind, trial.rng.choice(["hello", "generate"]) if kind == "silence" else "generate", between)


def _ask(trial: Trial, kind: str, when: str, between: Any = None) -> None:
    before, everything = hers(), data_names()
    try:
        with misbehaves(kind, when):
            watched = between is not None or trial.rng.random() < 0.7
            finished = trial.watch("generate", between, pause) if watched else trial.press("generate", asks=True)
            trial.check_end("generate", finished, before, everything)
        with misbehaves("good", "generate"):
            trial.check_next_click(pause)
    finally:
        session.stop()


def _real(act: Callable[[int], object]) -> Callable[[Trial], None]:
    """The engine itself at work, to which something happens; the next click starts another."""
    def do(trial: Trial) -> None:
        from grasp_addon.operators.mixins import status

        when, begun = trial.rng.uniform(0.0, 6.0), time.monotonic()

        def between(_number: int, _operator: Any, _window: Any) -> None:
            threading.Event().wait(0.03)
            if status.job is not None and time.monotonic() - begun > when and not acted:
                acted.append(act(status.job.engine.pid))

        acted: list[object] = []
        everything, before = data_names(), hers()
        try:
            with started_by(COMMAND, VARIABLES, {"HELLO_SECONDS": 20.0, "SILENT_SECONDS": 3.0}):
                finished = trial.watch("generate", between, pause)
                if not finished:
                    trial.check_end("generate", finished, before, everything)
                trial.check_next_click(lambda: threading.Event().wait(0.03))
        finally:
            session.stop()

    return do


def stream(rng: random.Random) -> bytes:
    """Requests as the add-on sends them that need no PyTorch, one of them with arrays."""
    said: list[tuple[dict[str, Any], dict[str, np.ndarray]]] = [
        ({"type": "ready"}, {}), ({"type": "cancel", "target": 1}, {}), ({"type": "dance"}, {}),
        ({"type": "generate", "count": 0},
         {"vertices": np.zeros((30, 3)), "faces": np.zeros((10, 3), np.int32)})]
    rng.shuffle(said)
    return b"".join(packed({**message, "id": number}, arrays) for number, (message, arrays) in enumerate(said))


def _cut_stream(rng: random.Random, whole: bytes) -> bytes:
    return whole[: rng.randrange(len(whole))]


def _flipped_stream(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.randint(1, 30)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _random_lines(rng: random.Random, _whole: bytes) -> bytes:
    return b"".join(rng.randbytes(rng.randint(0, 400)) + b"\n" for _ in range(10))


def _odd_requests(rng: random.Random, _whole: bytes) -> bytes:
    odd: list[Any] = [None, [], {}, "x", -1, 1e400, True, [[[]]], {"a": {}}, 10 ** 30, ""]
    names = ("type", "id", "target", "count", "arrays", "seed", "side", "protocol")
    lines = []
    for _ in range(12):
        message = {name: rng.choice(odd) for name in rng.sample(names, 3)}
        lines.append(json.dumps({"type": rng.choice(["ready", "cancel", "generate", "dance"]), **message}).encode())
    return b"\n".join(lines) + b"\n"


def _piped(spoil: Callable[[random.Random, bytes], bytes]) -> Callable[[Trial], None]:
    """The worker is sent a spoilt stream, whose end then comes: it answers with messages alone, and ends."""
    def do(trial: Trial) -> None:
        data = spoil(trial.rng, stream(trial.rng))
        with subprocess.Popen([COMMAND[0], "-c", LIGHT_WORKER], cwd=ROOT, env={**os.environ, **VARIABLES},
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
            try:
                said, log = worker.communicate(data, timeout=LONGEST)
            except subprocess.TimeoutExpired:
                worker.kill()
                trial.verdict.add("stuck", "the worker does not end with its input")
                return
        if worker.returncode not in (0, 1):
            trial.verdict.add("raw error", f"the worker ended with {worker.returncode}: {log[-200:]!r}")
        for line in said.splitlines():
            try:
                message = json.loads(line)
            except ValueError:
                trial.verdict.add("raw error", f"the worker says {line[:80]!r}")
                return
            text = str(message.get("message", ""))
            if "The engine failed" in text:
                trial.verdict.add("raw error", f"the worker: {text[:150]}")

    return do


FAULTS: Final[dict[str, Callable[[Trial], None]]] = {
    **{f"program: {kind}": _misbehaving(kind, ("hello", "generate")) for kind in MISBEHAVIOURS},
    **{f"program: {kind}": _misbehaving(kind, ("hello",)) for kind in AT_HELLO},
    **{f"program: {kind}": _misbehaving(kind, ("generate",)) for kind in AT_GENERATE},
    "program stopped by ESC": _escaped,
    "pipe: a reply cut off": _cut_off,
    "pipe: requests cut off": _piped(_cut_stream),
    "pipe: requests with bits turned": _piped(_flipped_stream),
    "pipe: requests of random bytes": _piped(_random_lines),
    "pipe: odd requests": _piped(_odd_requests),
    "worker killed": _real(lambda pid: os.kill(pid, signal.SIGKILL)),
    "worker halted": _real(lambda pid: os.kill(pid, getattr(signal, "SIGSTOP", signal.SIGTERM))),
    "worker told to end": _real(lambda pid: os.kill(pid, signal.SIGTERM)),
}
