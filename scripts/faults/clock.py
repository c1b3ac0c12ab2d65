"""Time in a trial: what passes by itself wherever somebody sleeps, and how long the window is held."""

from __future__ import annotations

import contextlib
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


class Stopwatch:
    """How long the window is held from now on: what others took of the processor does not count, sleeping does.

    Args:
        clock: the made time, where there is one.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._begun, self._kept_waiting, self._slept = _really(), _waiting(), clock.slept if clock else 0.0

    def seconds(self) -> float:
        """Since it was made."""
        slept = self._clock.slept - self._slept if self._clock else 0.0
        return _really() - self._begun - (_waiting() - self._kept_waiting) + slept


def _waiting() -> float:
    """Seconds in which this thread could have run and others did; 0 where the system does not tell."""
    try:
        return int(SCHEDULE.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
