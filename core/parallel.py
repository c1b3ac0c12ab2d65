"""Where work runs: pieces side by side on the processor's cores, one thread of PyTorch's in each; and the device."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

import torch

from core.progress import Progress, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Piece = TypeVar("Piece")
Done = TypeVar("Done")

#: threads at most: more only wait for each other at Python's lock
AT_ONCE: Final = 4


def parallel_map(pieces: Sequence[Piece], work: Callable[[Piece, Progress], Done], progress: Progress) -> list[Done]:
    """What `work(piece, progress)` makes of each piece, in their order.

    Args:
        pieces: what is worked on.
        work: done without gradients unless it asks for them; reports the share of its piece that is done. What it makes
            must not depend on the others, nor on a generator that they share.
        progress: told the share of all that is done, from other threads than the caller's, but by one at a time.

    Raises:
        Stopped: by `progress`; it is not asked again, pieces at work end at their next report, others do not begin.
    """
    lock, shares, stopped = Lock(), [0.0] * len(pieces), False

    def report(place: int, share: float) -> bool:
        nonlocal stopped
        with lock:
            if stopped:
                return False
            shares[place] = share
            try:
                progress(sum(shares) / len(pieces))
            except Stopped:
                stopped = True
                raise
            return True

    def one(place: int) -> Done:
        if stopped:
            raise Stopped
        with torch.no_grad():  # a thread begins with gradients on
            return work(pieces[place], Progress(lambda share, _: report(place, share)))

    many = min(AT_ONCE, os.cpu_count() or 1, len(pieces))
    if many < 2:
        return [one(place) for place in range(len(pieces))]
    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(one, range(len(pieces))))


def use_few_threads() -> None:
    """One thread for the small tensors of the processor; the other core is the hold test's."""
    torch.set_num_threads(1)


def choose_device(name: str) -> str:
    """"cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        ValueError: a graphics card was asked for and there is none, or the word is another.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"A device is auto, cpu or cuda, not '{name}'.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("The engine's PyTorch finds no CUDA graphics card: choose Automatic (auto) or CPU (cpu).")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
