"""Runs the add-on's tests, the rig's exactness among them, in several Blenders (bpy wheels), each in its own venv.

    python scripts/check_blender.py [--versions 4.2 5.3] [--jobs 2] [-- PYTEST ARGUMENTS]

Blender 4.2 to 5.0 have Python 3.11, those from 5.1 on Python 3.13: what of these the PATH, Windows' launcher or pyenv
has is found; a version whose Python is missing fails with a sentence. The engine behind them all is the Python 3.11
with the pinned packages that the tests use (.venv, made at the first call), or the one named with --engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.environment import pinned, ready_environment
from scripts.suites import TOGETHER, Suite, run_all

ENVIRONMENTS: Final = ROOT / ".venv-blender"


class Release(NamedTuple):
    """A bpy wheel, the Python it is built for and the NumPy that it works with."""

    bpy: str
    python: tuple[int, int]
    numpy: str


RELEASES: Final = {
    "4.2": Release("4.2.23", (3, 11), "numpy==1.26.4"),
    "4.5": Release("4.5.15", (3, 11), "numpy==1.26.4"),
    "5.0": Release("5.0.1", (3, 11), "numpy==1.26.4"),  # with NumPy 2 it does not import
    "5.1": Release("5.1.2", (3, 13), "numpy==2.3.5"),
    "5.2": Release("5.2.3", (3, 13), "numpy==2.3.5"),
    "5.3": Release("5.3.0", (3, 13), "numpy==2.3.5"),
}


def blender_suite(version: str, engine: Path, environments: Path = ENVIRONMENTS,
                  selection: Sequence[str] = ()) -> Suite:
    """The add-on's tests in one Blender.

    Args:
        version: a key of `RELEASES`.
        engine: the Python of the engine behind them.
        environments: the folder in which its environment is made or found again.
        selection: more arguments for pytest.

    Returns:
        The suite, which makes its environment when it is run.
    """
    release = RELEASES[version]
    packages = (f"bpy=={release.bpy}", release.numpy, pinned("pytest"))
    folder = environments / f"bpy{version.replace('.', '')}"
    return Suite(f"Blender {release.bpy}", partial(ready_environment, folder, packages, release.python),
                 ("tests/grasp_addon",), selection=selection, variables={"GRASP_ENGINE_PYTHON": str(engine)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", choices=RELEASES, default=list(RELEASES))
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS,
                        help="where the environments are made and found again")
    parser.add_argument("--engine", type=Path, help="the Python of the engine behind the tests, another than .venv's")
    parser.add_argument("--jobs", type=int, default=TOGETHER, help="so many versions at a time")
    parser.add_argument("pytest", nargs="*", help="more arguments for pytest, after --")
    options = parser.parse_args()
    engine = options.engine or ready_environment(ROOT / ".venv")
    suites = [blender_suite(version, engine, options.environments.resolve(), options.pytest)
              for version in options.versions]
    counts = run_all(suites, options.jobs)
    print(counts)
    return int(counts.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
