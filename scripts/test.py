"""Run every check: `python scripts/test.py`. It makes its own environment, lints, tests, and ends with the count.

    --blender 4.2 5.3    the add-on's tests in these Blenders too (scripts/check_blender.py has them all)
    --python 3.13        the engine's packages on these Pythons too (scripts/check_python.py)
    -- -k name           what follows goes to pytest

On the way it says how far each suite is, and what each said when it has ended.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.check_blender import RELEASES, blender_suite
from scripts.check_python import VERSIONS, python_suite
from scripts.environment import ready_environment
from scripts.suites import Suite, run_all

#: Folders of tests that take longest, the longest first, and what is left of core's and all others' tests. Each is a
#: process of its own, for two at a time to be busy to the end; the add-on's import bpy, which core's must do without.
FOLDERS: Final = ("scripts", "grasp_addon", "core/generators", "core/synthesis", "core/fitting")
CORE_FILES: Final = "tests/core/test_*.py"
#: what other Blenders need not do again (`scripts/check_blender.py` by itself does)
ONCE: Final = ("--ignore=tests/grasp_addon/test_inject_faults.py",)


def paths() -> dict[str, list[str]]:
    """Name of a suite -> pytest's arguments; together they are all tests."""
    core = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(CORE_FILES))]
    rest = ["tests", f"--ignore-glob={ROOT / CORE_FILES}", *(f"--ignore=tests/{folder}" for folder in FOLDERS)]
    return {**{folder: [f"tests/{folder}"] for folder in FOLDERS}, "core": core, "rest": rest}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is, or is made")
    parser.add_argument("--blender", nargs="+", choices=RELEASES, default=[],
                        help="more Blenders for the add-on's tests")
    parser.add_argument("--python", nargs="+", choices=VERSIONS, default=[],
                        help="more Pythons for the engine's packages")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    begin = time.monotonic()
    python = ready_environment(options.venv.resolve())
    suites = [Suite(name, lambda: python, tests, selection=options.pytest) for name, tests in paths().items()]
    suites += [blender_suite(version, python, selection=[*ONCE, *options.pytest]) for version in options.blender]
    suites += [python_suite(version) for version in options.python]
    suites += [Suite("mypy", lambda: python, ("core", "grasp_addon", "scripts"), module="mypy"),
               Suite("ruff", lambda: python, ("check", "."), module="ruff")]
    counts = run_all(suites)
    print(f"All of it took {time.monotonic() - begin:.0f} s")
    print(counts)
    return int(counts.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
