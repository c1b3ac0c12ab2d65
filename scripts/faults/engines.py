"""Engines that fail: made ones, in this process, of which each reply can be another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from fake_engine import FakeEngine

from grasp_addon.errors import GraspError

from .trial import Trial, use

GONE: Final = ("The engine ended without a word. Generate again to start it anew, or check it in the preferences.",
               "preferences")
Reply = tuple[dict, dict]
Change = Callable[[random.Random, dict, dict, str], object]  # of a message, its arrays, and the name of one of them


class FaultyEngine(FakeEngine):  # type: ignore[misc]  # a module of the tests, found at run time
    """Answers one reply each time it is asked, until `fault` makes of a reply, by its place, what goes wrong."""

    def __init__(self, fault: Callable[[int, Reply], list[Reply]] | None = None) -> None:
        super().__init__()
        self.fault, self.place = fault, 0

    def poll(self) -> list[Reply]:
        if not self.waiting:
            return []
        reply = self.waiting.pop(0)
        self.place += 1
        return [reply] if self.fault is None else self.fault(self.place, reply)


class SilentEngine(FaultyEngine):
    """Hears no cancel, as one that hangs."""

    def __init__(self, at: int) -> None:
        super().__init__(lambda place, reply: [reply] if place < at else [])

    def send(self, message: dict, arrays: dict | None = None) -> int:
        if message["type"] == "cancel":
            return next(self.ids)
        return super().send(message, arrays)


class SlowEngine(FaultyEngine):
    """Says nothing for up to 20 s before each reply."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng, self._until = rng, 0.0

    def poll(self) -> list[Reply]:
        if not self._until:
            self._until = time.monotonic() + self._rng.uniform(0.0, 20.0)
        if time.monotonic() < self._until:
            return []
        self._until = 0.0
        return super().poll()


def killed(trial: Trial) -> None:
    at = trial.rng.randint(1, 6)

    def fault(place: int, reply: Reply) -> list[Reply]:
        if place >= at:
            raise GraspError(*GONE)
        return [reply]

    _ask(trial, FaultyEngine(fault))


def silent(trial: Trial) -> None:
    _ask(trial, SilentEngine(trial.rng.randint(1, 6)))


def slow(trial: Trial) -> None:
    _ask(trial, SlowEngine(trial.rng))


def of_another_version(trial: Trial) -> None:
    form, version = trial.rng.choice([(7, None), (None, "99.1.0"), (0, "3.0"), ("one", "0.2.0"), (2, "1e9"), (1, "9")])

    def fault(place: int, reply: Reply) -> list[Reply]:
        other = {name: said for name, said in (("form", form), ("version", version)) if said is not None}
        return [({**reply[0], **other}, reply[1])] if place == 1 else [reply]

    _ask(trial, FaultyEngine(fault))


def _nonsense(change: Change) -> Callable[[Trial], None]:
    """A fault that makes nonsense of one reply."""
    def do(trial: Trial) -> None:
        at = trial.rng.randint(1, 5)

        def fault(place: int, reply: Reply) -> list[Reply]:
            message, arrays = dict(reply[0]), dict(reply[1])
            if place == at:
                change(trial.rng, message, arrays, trial.rng.choice(sorted(arrays)) if arrays else "")
            return [(message, arrays)]

        _ask(trial, FaultyEngine(fault))

    return do


def _cut_array(rng: random.Random, _message: dict, arrays: dict, some: str) -> None:
    if some:
        arrays[some] = arrays[some][: rng.randint(0, max(0, len(arrays[some]) - 1))]


def _wild_numbers(rng: random.Random, _message: dict, arrays: dict, some: str) -> None:
    if some:
        bad = arrays[some].astype(np.float64)
        bad.flat[rng.randrange(bad.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
        arrays[some] = bad


def _wild_word(rng: random.Random, message: dict, _arrays: dict, _some: str) -> None:
    name = rng.choice(sorted(message))
    message[name] = rng.choice([None, [], {}, "x" * 5000, -1, float("nan"), True, [[1]], {"a": None}, 10 ** 400, "\0"])


def _wild_order(rng: random.Random, message: dict, arrays: dict, _some: str) -> None:
    message["type"] = "result"
    arrays["order"] = np.array(rng.choice([[0, 99], [-1], [0, 0], [1, 2, 3, 4, 5], []]), np.int32)


#: what each makes of a message
NONSENSE: Final[dict[str, Change]] = {
    "no type": lambda _r, message, _a, _s: message.pop("type"),
    "no array": lambda _r, _m, arrays, some: arrays.pop(some, None),
    "half an array": _cut_array,
    "wild numbers": _wild_numbers,
    "wild words": _wild_word,
    "wild order": _wild_order,
    "a fraction that is a word": lambda _r, m, _a, _s: m.update(type="progress", fraction="soon"),
    "measures that are a number": lambda _r, m, _a, _s: m.update(measures=7, methods="all"),
    "an array of words": lambda _r, _m, arrays, some: some and arrays.update({some: arrays[some].astype(str)}),
    "another's id": lambda r, m, _a, _s: m.update(id=r.choice([None, 77, "1", [1]])),
    "an error": lambda r, m, _a, _s: m.update(type="error", message=r.choice(["Nothing works.", None, 7, ["a"], ""])),
}


def _ask(trial: Trial, engine: FaultyEngine) -> None:
    """Generate, or Add Hand, with this engine, and once more with one that works."""
    trial.request(engine, name="add_hand" if trial.rng.random() < 0.2 else "generate")
    use(FakeEngine())
    trial.check_next_click()


FAULTS: Final[dict[str, Callable[[Trial], None]]] = {
    "engine killed": killed, "engine silent": silent, "engine slow": slow,
    "engine of another version": of_another_version,
    **{f"engine nonsense, {name}": _nonsense(change) for name, change in NONSENSE.items()}}
