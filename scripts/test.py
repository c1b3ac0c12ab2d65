"""Run every check: `python scripts/test.py`. It makes its own environment, lints, tests, and ends with the count."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.environment import ready_environment, single_threaded

# Each in a process of its own, for the add-on's tests import bpy, which core's must do without; the longest first.
SUITES = {
    "core": ["tests", "--ignore=tests/grasp_addon", "--ignore=tests/scripts"],
    "grasp_addon": ["tests/grasp_addon"],
    "scripts": ["tests/scripts"],
}
#: how many of them run side by side: as many as the smallest machine has cores
TOGETHER = 2


def count(report: Path) -> dict[str, int]:
    """passed, failed and skipped of a JUnit report; a missing one is one failure."""
    if not report.exists():
        return {"passed": 0, "failed": 1, "skipped": 0}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}


def run(python: str, name: str, folder: Path, more: list[str]) -> tuple[str, dict[str, int]]:
    """What a suite said, and its counts."""
    report, log = folder / f"{name}.xml", folder / f"{name}.log"
    command = [python, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir", ".", f"--junitxml={report}",
               *SUITES[name], *more]
    with open(log, "w", encoding="utf-8") as out:
        status = subprocess.run(command, cwd=ROOT, env=single_threaded(), stdout=out, stderr=out).returncode
    counted = count(report)
    if status and not counted["failed"]:
        counted["failed"] = 1  # the process died, or found no tests
    return log.read_text(encoding="utf-8"), counted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is, or is made")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    python = str(ready_environment(options.venv.resolve()))

    lint = subprocess.run([python, "-m", "ruff", "check", "."], cwd=ROOT).returncode
    start = time.monotonic()
    totals = {"passed": 0, "failed": int(bool(lint)), "skipped": 0}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(TOGETHER) as pool:
        running = {name: pool.submit(run, python, name, Path(folder), options.pytest) for name in SUITES}
        for name, suite in running.items():
            log, counted = suite.result()
            print(f"\n=== tests of {name} ===\n{log}", flush=True)
            totals = {key: totals[key] + counted[key] for key in totals}
    print(f"ruff: {'one failure, see above' if lint else 'clean'}; tests took {time.monotonic() - start:.0f} s")
    print(", ".join(f"{number} {key}" for key, number in totals.items() if number or key != "skipped"))
    return int(totals["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
