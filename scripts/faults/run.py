"""The command: all kinds in turn, each fault in a new file, and what was counted."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from . import engines, hands, programs, scenes
from .clock import made_time, own_garbage
from .surroundings import Traces, fresh_scene
from .trial import Trial, made_engine
from .verdict import Verdict, recorded, table

#: kinds that need no program of their own: their engine is made, and so is their time
MADE: Final[dict[str, Callable[[Trial], None]]] = {**engines.FAULTS, **scenes.FAULTS, **hands.FAULTS}
#: kinds in which time passes
REAL: Final[dict[str, Callable[[Trial], None]]] = dict(programs.FAULTS)
if importlib.util.find_spec("torch"):  # an environment of the add-on alone has it not
    from . import files

    REAL.update(files.FAULTS)
KINDS: Final = (*MADE, *REAL)


def inject(kind: str, seed: int) -> Verdict:
    """One fault in a new file.

    Args:
        kind: of `KINDS`.
        seed: draws when and how.
    """
    verdict = Verdict(kind, seed=seed)
    trial = Trial(verdict, random.Random(f"{kind}/{seed}"), fresh_scene())
    with own_garbage(), Traces() as traces:
        with contextlib.ExitStack() as made:
            if kind in MADE:
                trial.clock = made.enter_context(made_time())
                made.enter_context(made_engine())
            MADE.get(kind, REAL.get(kind, _none))(trial)
            if trial.clock and trial.clock.gave_up:
                verdict.add("stuck", "a request that nothing ends")
        traces.look(verdict, trial.lost)
    return verdict


def _none(_trial: Trial) -> None:
    raise LookupError("no such kind")


def main(arguments: Sequence[str] | None = None, description: str | None = None) -> int:
    """Runs the command.

    Returns:
        its exit status.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="how many faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds that begin with one of these, separated by commas")
    parser.add_argument("--slice", default="1/1", metavar="N/ALL", help="of them all the Nth part of so many")
    parser.add_argument("--record", type=Path, metavar="FILE", help="adds to this file; the table is of all in it")
    asked = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if kind.startswith(tuple(asked.only.split(",")))]
    if not kinds:
        parser.error(f"no kind begins with {asked.only}: there are {', '.join(KINDS)}")
    number, _, parts = asked.slice.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        parser.error(f"--slice is N/ALL, such as 1/4, not {asked.slice}")
    verdicts = []
    for place in range(int(number) - 1, asked.count, int(parts)):
        verdicts.append(inject(kinds[place % len(kinds)], asked.seed + place // len(kinds)))
        if asked.record:
            recorded(asked.record, verdicts[-1:])
    every = recorded(asked.record, []) if asked.record else verdicts
    print(table(every), flush=True)
    return int(any(one.found for one in every))
