"""The environment that the two commands make for themselves. Only Python's own library: nothing is installed yet."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts import ROOT

REQUIREMENTS = ROOT / "scripts" / "requirements-dev.txt"
WANTED = (3, 11)  # the Python of the bpy wheel


def find_python() -> str:
    """An interpreter of the version that bpy is built for: this one, or one on the PATH."""
    if sys.version_info[:2] == WANTED:
        return sys.executable
    name = "python" + ".".join(map(str, WANTED))
    found = shutil.which(name)
    if found is None:
        sys.exit(f"This needs {name}, which Blender's own bpy package is built for, and found Python "
                 f"{sys.version.split()[0]}. Install {name} and start the command with it.")
    return found


def requirement_lines(path: Path) -> list[str]:
    """The requirements in `path` and in the files it names with -r, without comments."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            lines += requirement_lines(path.parent / line[3:].strip())
        elif line:
            lines.append(line)
    return lines


def environment_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ready_environment(folder: Path, requirements: Path = REQUIREMENTS) -> Path:
    """Make, or bring up to date, a virtual environment with the pinned packages.

    Args:
        folder: where; a stamp in it remembers what was installed, so that the next call returns at once.
        requirements: a pip requirements file.

    Returns:
        Its Python.
    """
    lines = requirement_lines(requirements)
    stamp = folder / "installed.sha256"
    digest = hashlib.sha256("\n".join([*lines, find_python()]).encode()).hexdigest()
    python = environment_python(folder)
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"Making the environment in {folder} (the first time takes some minutes) ...", flush=True)
    stamp.unlink(missing_ok=True)
    if not python.exists():
        run([find_python(), "-m", "venv", str(folder)], "Python could not make a virtual environment")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # torch on its own and first, so that pip takes the build at hand (CPU or CUDA) and nothing else pulls another
    torch = [line for line in lines if line.replace(" ", "").startswith("torch==")]
    for step in (torch, ["--requirement", str(requirements)]):
        run([*pip, *step], "pip could not install the packages; its message is above. Start the command again to go on")
    stamp.write_text(digest)
    return python


def run(command: Sequence[str], complaint: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(f"{complaint}.\n  {' '.join(command)}")


def single_threaded() -> dict[str, str]:
    """The environment variables for a child of which there are as many as cores: one thread each is fastest."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
