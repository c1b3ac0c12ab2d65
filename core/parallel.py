"""Pieces of work on the processor's cores, side by side: a thread for each, with one thread of PyTorch's in it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Piece = TypeVar("Piece")
    Done = TypeVar("Done")

#: threads at most: more only wait for each other at Python's lock
AT_ONCE: Final = 4


def parallel_map(pieces: Sequence[Piece], work: Callable[[Piece, Callable[[float], bool]], Done],
                 go_on: Callable[[float], bool]) -> list[Done | None]:
    """What `work(piece, tell)` makes of each piece, in their order; None of those not begun when `go_on` said no.

    Args:
        work: done without gradients unless it asks for them; tells the share of its piece that is done, and is answered
            whether to go on. What it makes must not depend on the others, nor on a generator that they share.
        go_on: told the share of all that is done, from other threads than the caller's, but by one at a time; once it
            said no it is not asked again.
    """
    lock, shares, going = Lock(), [0.0] * len(pieces), True

    def told(place: int, share: float) -> bool:
        nonlocal going
        with lock:
            shares[place] = share
            going = going and go_on(sum(shares) / len(pieces))
            return going

    def one(place: int) -> Done | None:
        if not going:
            return None
        with torch.no_grad():  # a thread begins with gradients on
            return work(pieces[place], lambda share: told(place, share))

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
