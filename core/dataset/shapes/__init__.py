"""A library of everyday objects, made from seeds: what the training grasps are made on.

Needs manifold3d, and only to make shapes; what was prepared can be stored with `core.objects.save_object`.
"""

from __future__ import annotations

import inspect
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from core.dataset.shapes import cutlery, household, tools, vessels
from core.dataset.shapes.solid import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES: Final = 8


def _families() -> dict[str, Callable[[np.random.Generator], Shape]]:
    return dict(sorted(
        (name, function) for module in (vessels, cutlery, tools, household)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")))


FAMILIES: Final = _families()
#: Families of which no training grasp is made: what a generator has never seen the like of.
HELD_OUT: Final = ("camera", "kettlebell", "lightbulb", "pear", "pliers", "racket", "teapot", "toothbrush", "tube",
                   "tray")
#: Families of things that are kept level while they are used; every shape's up is +z.
LEVEL: Final = ("iron", "pan", "plate", "tray")


def make_shape(family: str, seed: int) -> Shape:
    """The shape of that number in a family; the same on every machine.

    Raises:
        KeyError: there is no such family.
        ValueError: the parts do not make one body, in eight tries.
    """
    function = FAMILIES[family]
    error: ValueError | None = None
    for attempt in range(TRIES):
        rng = np.random.default_rng([zlib.crc32(family.encode()), seed, attempt])
        try:
            return function(rng)
        except ValueError as problem:
            error = problem
    raise ValueError(f"{family} {seed}: {error}")


def split(family: str, seed: int) -> str:
    """`train`, `shape` (every sixth shape of a family is held out) or `family` (held out whole)."""
    if family in HELD_OUT:
        return "family"
    return "shape" if seed % 6 == 5 else "train"


__all__ = ["FAMILIES", "HELD_OUT", "LEVEL", "Shape", "make_shape", "split"]
