"""Pieces of work on the processor's cores, side by side: a thread for each, with one thread of PyTorch's in it."""

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
    """What `work` makes of each piece, in their order.

    Args:
        pieces: of the work.
        work: makes something of a piece and tells its own progress, that of the piece; done without gradients unless it
            asks for them. What it makes must not depend on the others, nor on a generator that they share.
        progress: told the share of all that is done, from other threads than the caller's, but by one at a time.

    Raises:
        Stopped: `progress` raised it. It is asked once; no piece is begun after it, and those that were begun end as
            soon as they tell how far they are.
    """
    lock, shares, stopped = Lock(), [0.0] * len(pieces), False

    def reported(place: int, share: float) -> None:
        nonlocal stopped
        with lock:
            if stopped:
                raise Stopped
            shares[place] = share
            try:
                progress(sum(shares) / len(pieces))
            except Stopped:
                stopped = True
                raise

    def one(place: int) -> Done:
        if stopped:
            raise Stopped
        with torch.no_grad():  # a thread begins with gradients on
            return work(pieces[place], Progress(lambda share, stage: reported(place, share)))

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
        raise ValueError("The engine's PyTorch finds no CUDA graphics card: choose Automatic or CPU.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
