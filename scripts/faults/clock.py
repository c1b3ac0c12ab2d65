"""Time in a trial: what passes by itself wherever somebody sleeps, and how long the window is held."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock

PATIENCE: Final = 1000.0  # seconds, not really waited for, after which a request is stuck
#: of this thread: how long it ran, and how long it waited for a processor that others had, nanoseconds
SCHEDULE: Final = Path("/proc/thread-self/schedstat")

_really: Final = time.perf_counter


class Stuck(Exception):  # noqa: N818  an end, told by the clock
    """Nothing ends this request."""


class Clock:
    """Time that passes by itself wherever somebody sleeps.

    Attributes:
        slept: seconds that were not waited for.
        gave_up: how often all patience was used up.
    """

    def __init__(self) -> None:
        self.slept, self.gave_up, self._waited = 0.0, 0, 0.0
        self._monotonic = time.monotonic

    def monotonic(self) -> float:
        """What `time.monotonic` tells."""
        return self._monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Waits for nothing.

        Raises:
            Stuck: all patience is used up.
        """
        self.slept += max(seconds, 1e-3)
        self._waited += max(seconds, 1e-3)
        if self._waited > PATIENCE:
            self._waited, self.gave_up = 0.0, self.gave_up + 1
            raise Stuck(f"still waiting after {PATIENCE:.0f} s")

    def begin(self) -> None:
        """A new request, which may take its time."""
        self._waited = 0.0


@contextlib.contextmanager
def made_time() -> Iterator[Clock]:
    """Sleeping takes no time."""
    clock = Clock()
    with mock.patch.object(time, "monotonic", clock.monotonic), mock.patch.object(time, "sleep", clock.sleep):
        yield clock


@contextlib.contextmanager
def own_garbage() -> Iterator[None]:
    """Python's garbage collector leaves out what was there before.

    In a program of many tests it looks through some 300,000 objects, which holds the window for up to 0.17 s.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Stopwatch:
    """How long the window is held from now on, told so that a machine with much else to do changes little.

    Args:
        clock: the made time, where there is one.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock, self._slept = clock, clock.slept if clock else 0.0
        self._begun, self._worked, self._kept_waiting = _really(), time.thread_time(), _waiting()

    def worked(self) -> float:
        """Seconds since it was made of processor time, and of made time in which this thread would have slept."""
        return time.thread_time() - self._worked + (self._clock.slept - self._slept if self._clock else 0.0)

    def blocked(self) -> float:
        """Seconds since it was made in which this thread waited for something else than a processor."""
        return (_really() - self._begun) - (time.thread_time() - self._worked) - (_waiting() - self._kept_waiting)


def _waiting() -> float:
    """Seconds in which this thread could have run and others did; 0 where the system does not tell."""
    try:
        return int(SCHEDULE.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
