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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.check_blender import ENVIRONMENTS, RELEASES, blender_suite
from scripts.check_python import VERSIONS, python_suite
from scripts.environment import ready_environment
from scripts.suites import Suite, run_all

# Each in a process of its own, for the add-on's tests import bpy, which core's must do without; the longest first.
SUITES = {
    "core": ["tests", "--ignore=tests/grasp_addon", "--ignore=tests/scripts"],
    "grasp_addon": ["tests/grasp_addon"],
    "scripts": ["tests/scripts"],
}


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
    suites = [Suite(name, lambda: python, (*paths, *options.pytest)) for name, paths in SUITES.items()]
    suites += [blender_suite(version, python, ENVIRONMENTS, tuple(options.pytest)) for version in options.blender]
    suites += [python_suite(version) for version in options.python]
    suites += [Suite("ruff", lambda: python, ("check", "."), module="ruff"),
               Suite("mypy", lambda: python, (), module="mypy")]
    counts = run_all(suites)
    print(f"All of it took {time.monotonic() - begin:.0f} s")
    print(counts)
    return int(counts.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
