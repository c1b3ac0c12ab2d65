"""Runs the add-on's tests, the rig's exactness among them, in several Blenders (bpy wheels), each in its own venv.

python scripts/check_blender.py [--versions 4.2 4.5 5.0] [--environments FOLDER] [--engine PYTHON] [-- PYTEST ARGUMENTS]

The engine behind them is the Python that runs this script, so run it with one that has the engine's packages (.venv).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT

RELEASES: Final = {"4.2": "4.2.23", "4.5": "4.5.15", "5.0": "5.0.1"}
PACKAGES: Final = ("numpy<2", "pytest")  # bpy 5.0.1 needs numpy 1

# bpy 4.2.23's wheel crashes while Python ends, once a property group with any Python callback was registered.
RUN: Final = "import os, pytest, sys; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment(version: str, folder: Path) -> Path:
    """The Python of an environment with this bpy, made at the first call."""
    python = python_of(folder)
    wanted = f"bpy=={RELEASES[version]}"
    if not python.exists():
        if sys.version_info[:2] != (3, 11):
            raise SystemExit("bpy's wheels are for Python 3.11: run this script with python3.11.")
        venv.create(folder, with_pip=True)
    probe = f"import importlib.metadata as m; assert m.version('bpy') == '{RELEASES[version]}'; import pytest"
    if subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted, *PACKAGES], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", choices=RELEASES, default=list(RELEASES))
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-blender",
                        help="where the environments are made and found again")
    parser.add_argument("--engine", default=sys.executable, help="the Python of the engine behind the tests")
    parser.add_argument("pytest", nargs="*", help="more arguments for pytest, after --")
    arguments = parser.parse_args()
    failed = []
    for version in arguments.versions:
        python = environment(version, arguments.environments / f"bpy{version.replace('.', '')}")
        print(f"Blender {RELEASES[version]}", flush=True)
        command = [python, "-c", RUN, "-c", "tests/pytest.ini", "--rootdir", ".", "tests/grasp_addon",
                   *arguments.pytest]
        engine = {**os.environ, "GRASP_ENGINE_PYTHON": arguments.engine}
        if subprocess.run(command, cwd=ROOT, env=engine, check=False).returncode:
            failed.append(version)
    print(f"Failed in Blender {', '.join(failed)}" if failed else "All passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
