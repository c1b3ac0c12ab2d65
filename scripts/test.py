"""Run every check: `python scripts/test.py`. It makes its own environment, lints, tests, and ends with the count."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from environment import ROOT, ready_environment, single_threaded

# Two processes side by side: the add-on's tests import bpy, core's must do without it.
SUITES = {
    "core": ["tests", "--ignore=tests/grasp_addon"],
    "grasp_addon": ["tests/grasp_addon"],
}


def count(report: Path) -> dict[str, int]:
    """passed, failed and skipped of a JUnit report; a missing one is one failure."""
    if not report.exists():
        return {"passed": 0, "failed": 1, "skipped": 0}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is, or is made")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    python = str(ready_environment(options.venv.resolve()))

    lint = subprocess.run([python, "-m", "ruff", "check", "."], cwd=ROOT).returncode
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for name, paths in SUITES.items():
            command = [python, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir", ".",
                       f"--junitxml={folder}/{name}.xml", *paths, *options.pytest]
            log = open(Path(folder, f"{name}.log"), "w+", encoding="utf-8")  # noqa: SIM115  closed below
            running[name] = log, subprocess.Popen(command, cwd=ROOT, env=single_threaded(), stdout=log, stderr=log)
        totals = {"passed": 0, "failed": int(bool(lint)), "skipped": 0}
        for name, (log, process) in running.items():
            status = process.wait()
            log.seek(0)
            print(f"\n=== tests of {name} ===\n{log.read()}", flush=True)
            log.close()
            counted = count(Path(folder, f"{name}.xml"))
            if status and not counted["failed"]:
                counted["failed"] = 1  # the process died, or found no tests
            totals = {key: totals[key] + counted[key] for key in totals}
    print(f"ruff: {'one failure, see above' if lint else 'clean'}; tests took {time.monotonic() - start:.0f} s")
    print(", ".join(f"{number} {key}" for key, number in totals.items() if number or key != "skipped"))
    return int(totals["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
