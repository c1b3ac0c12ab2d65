"""Runs suites of tests side by side, says how far each is while it runs, and counts.

Only Python's own library, and pytest in the suites' own environments.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from scripts import ROOT
from scripts.environment import single_threaded

#: how many run side by side: as many as the smallest machine has cores
TOGETHER: Final = 2
#: seconds between two reports on a terminal, where a line replaces the one before, and elsewhere
PAUSES: Final = (1.0, 10.0)
#: pytest's exit status when it found none
NO_TESTS: Final = 5

# bpy 4.2's wheel crashes while Python ends, once a property group with any Python callback was registered.
_PYTEST: Final = "import os, pytest, sys; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"
_ENDED: Final = re.compile(r"^\S.* (?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS).*\[ *(\d+)/(\d+)\]$")


class Counts(NamedTuple):
    """How many tests of a suite passed, failed (errors among them) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def total(counts: Sequence[Counts]) -> Counts:
    return Counts(*map(sum, zip(*counts, strict=True))) if counts else Counts()


@dataclass
class Suite:
    """Tests in one process of their own, or a checker that passes or fails as a whole; and how far they are.

    Attributes:
        name: what the reports call it.
        python: makes ready, where that is needed, and gives the interpreter; it may take minutes.
        arguments: pytest's, or with `module` that module's.
        module: run as `python -m`; None for pytest.
        selection: more arguments of pytest, after which there may be no tests left.
        variables: of the environment, beside the ones there are.
        done: how many tests have ended.
        of: how many there are, as far as is known.
        stage: what it is doing.
    """

    name: str
    python: Callable[[], str | Path]
    arguments: Sequence[str]
    module: str | None = None
    selection: Sequence[str] = ()
    variables: dict[str, str] = field(default_factory=dict)
    done: int = 0
    of: int = 0
    stage: str = "waits"

    def __str__(self) -> str:
        """Its part of a report."""
        if self.stage == "runs" and self.of:
            return f"{self.name} {100 * self.done // self.of} % ({self.done} of {self.of})"
        return f"{self.name} {self.stage}"

    def run(self, folder: Path) -> tuple[str, Counts]:
        """Runs it to its end.

        Args:
            folder: an empty one, for its report.

        Returns:
            What it said, without a line for every test, and its counts.
        """
        try:
            self.stage = "makes its environment ready"
            python = str(self.python())
        except SystemExit as problem:
            self.stage = "has no environment"
            return f"{problem}\n", Counts(failed=1)
        self.stage = "starts"
        report = folder / f"{re.sub(r'[^A-Za-z0-9]', '_', self.name)}.xml"
        command = [python, "-m", self.module, *self.arguments] if self.module else [
            python, "-c", _PYTEST, "-c", "tests/pytest.ini", "--rootdir", ".", "-vv",
            "-o", "console_output_style=count", f"--junitxml={report}", *self.arguments, *self.selection]
        said = []
        child = subprocess.Popen(command, cwd=ROOT, env={**single_threaded(), **self.variables}, text=True,
                                 encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with child:
            assert child.stdout is not None, "it is a pipe"
            self.stage = "runs"
            for line in child.stdout:
                ended = _ENDED.match(line)
                if ended:
                    self.done, self.of = map(int, ended.groups())
                else:
                    said.append(line)
        self.stage = "ended"
        if self.module:
            return "".join(said), Counts(failed=int(child.returncode != 0))
        counts = count(report)
        is_empty = child.returncode == NO_TESTS and self.selection
        if child.returncode and not counts.failed and not is_empty:
            counts = counts._replace(failed=1)  # the process died, or found no tests
        return "".join(said), counts


def count(report: Path) -> Counts:
    """The counts of a JUnit report; a missing one is one failure."""
    if not report.exists():
        return Counts(failed=1)
    counted = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(report).iter("testsuite"):
        counted = {name: number + int(suite.attrib[name]) for name, number in counted.items()}
    failed = counted["failures"] + counted["errors"]
    return Counts(counted["tests"] - failed - counted["skipped"], failed, counted["skipped"])


def run_all(suites: Sequence[Suite], together: int = TOGETHER) -> Counts:
    """Runs the suites side by side in their order, reports on the way, and prints what each said when it has ended.

    Args:
        suites: the longest first, so that none is alone at the end.
        together: how many at a time.

    Returns:
        Their counts, added up.
    """
    reporter = Reporter(suites)
    counts = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(together) as pool:
        waiting: dict[Future, Suite] = {pool.submit(suite.run, Path(folder)): suite for suite in suites}
        try:
            while waiting:
                ended, _ = wait(waiting, timeout=reporter.pause, return_when=FIRST_COMPLETED)
                for future in ended:
                    suite = waiting.pop(future)
                    log, counted = future.result()
                    counts.append(counted)
                    reporter.tell(f"\n=== {suite.name}: {_verdict(suite, counted)}, "
                                  f"after {reporter.clock()} ===\n{log}".rstrip() + "\n")
                if not ended:
                    reporter.report()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total(counts)


def _verdict(suite: Suite, counts: Counts) -> str:
    if suite.module:
        return "failed" if counts.failed else "clean"
    return str(counts)


class Reporter:
    """Lines that say how far the suites are: on a terminal each replaces the one before.

    Attributes:
        pause: seconds from one to the next.
    """

    def __init__(self, suites: Sequence[Suite]) -> None:
        self._suites = suites
        self._begin = time.monotonic()
        self._replaces = sys.stdout.isatty()
        self.pause = PAUSES[0] if self._replaces else PAUSES[1]

    def clock(self) -> str:
        """Minutes and seconds since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
        return f"{minutes}:{seconds:02d}"

    def report(self) -> None:
        """How far everything is, in one line."""
        ended = sum(suite.stage in ("ended", "has no environment") for suite in self._suites)
        waiting = sum(suite.stage == "waits" for suite in self._suites)
        running = [str(suite) for suite in self._suites if suite.stage not in ("waits", "ended", "has no environment")]
        line = f"{self.clock()}  {'; '.join(running)}; {waiting} wait, {ended} of {len(self._suites)} ended"
        if self._replaces:
            print(f"\r\x1b[K{line[:shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def tell(self, text: str) -> None:
        """Something that stays."""
        print(f"\r\x1b[K{text}" if self._replaces else text, flush=True)
