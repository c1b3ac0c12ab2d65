"""What one fault led to, and the table of many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

COLUMNS: Final = ("changed", "wrong success", "raw error", "slow", "stuck", "leftover")


@dataclass
class Verdict:
    """What one fault led to.

    Attributes:
        kind: of the fault.
        found: name of a column of `COLUMNS` -> what was seen.
        seed: what drew when and how.
    """

    kind: str
    found: dict[str, str] = field(default_factory=dict)
    seed: int = 0

    def add(self, column: str, seen: str) -> None:
        """Counts the first of its column."""
        self.found.setdefault(column, seen)


def table(verdicts: Sequence[Verdict]) -> str:
    """How often each kind was tried and what was counted, a line a kind, and an example of each thing counted."""
    kinds = sorted({one.kind for one in verdicts})
    width = max([26, *(len(kind) + 2 for kind in kinds)])
    lines = [f"{'kind':{width}}{'tried':>7}" + "".join(f"{name:>15}" for name in COLUMNS)]
    examples = []
    for kind in kinds:
        mine = [one for one in verdicts if one.kind == kind]
        counts = [sum(name in one.found for one in mine) for name in COLUMNS]
        lines.append(f"{kind:{width}}{len(mine):>7}" + "".join(f"{count or '-':>15}" for count in counts))
        for name, count in zip(COLUMNS, counts, strict=True):
            if count:
                one = next(one for one in mine if name in one.found)
                examples.append(f"  {kind}, {name}: {one.found[name]} (seed {one.seed})")
    bad = sum(bool(one.found) for one in verdicts)
    return "\n".join([*lines, *examples, f"{len(verdicts)} faults, {len(verdicts) - bad} of them without consequence"])


def recorded(path: Path, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Adds verdicts to a file of JSON lines; all that are in it then."""
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(asdict(one)) + "\n" for one in verdicts)
    return [Verdict(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
