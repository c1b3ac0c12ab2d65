"""The environments that the commands make for themselves. Only Python's own library: nothing is installed yet."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from scripts import ROOT

REQUIREMENTS = ROOT / "scripts" / "requirements-dev.txt"
WANTED = (3, 11)  # the Python of the pinned bpy wheel


@lru_cache
def find_python(version: tuple[int, int] = WANTED) -> str:
    """An interpreter of this version: this one, or one from the PATH, Windows' launcher or pyenv.

    Args:
        version: major and minor.

    Returns:
        Its executable.

    Raises:
        SystemExit: there is none; the sentence names what to install.
    """
    if sys.version_info[:2] == version:
        return sys.executable
    for command in _candidates(version):
        # what a PATH names may be a shim of pyenv that stands for no installed version: it has to be asked
        asked = subprocess.run([*command, "-c", "import sys; print(sys.version_info[:2], sys.executable)"],
                               capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.startswith(str(version)):
            return asked.stdout.removeprefix(str(version)).strip()
    name = "python" + ".".join(map(str, version))
    raise SystemExit(f"This needs {name}, which Blender's own bpy package is built for, and found Python "
                     f"{sys.version.split()[0]}. Install {name} where the PATH or pyenv has it.")


def _candidates(version: tuple[int, int]) -> Iterator[list[str]]:
    dotted = ".".join(map(str, version))
    on_path = shutil.which(f"python{dotted}")
    if on_path:
        yield [on_path]
    if shutil.which("py"):
        yield ["py", f"-{dotted}"]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for folder in sorted(versions.glob(f"{dotted}.*"), key=lambda path: (len(path.name), path.name), reverse=True):
        yield from ([str(path)] for path in (folder / "bin" / "python", folder / "python.exe") if path.exists())


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


def pinned(package: str) -> str:
    """The requirement of requirements-dev.txt for this package."""
    return next(line for line in requirement_lines(REQUIREMENTS) if line.startswith(f"{package}=="))


def environment_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ready_environment(folder: Path, packages: Sequence[str] | None = None, version: tuple[int, int] = WANTED) -> Path:
    """Make, or bring up to date, a virtual environment with the pinned packages.

    Args:
        folder: where; a stamp in it remembers what was installed, so that the next call returns at once.
        packages: pip's requirements, one each; those of `requirements-dev.txt` when left out.
        version: of the Python it is made with.

    Returns:
        Its Python.

    Raises:
        SystemExit: no such Python, or pip could not install the packages.
    """
    packages = requirement_lines(REQUIREMENTS) if packages is None else list(packages)
    stamp = folder / "installed.sha256"
    digest = hashlib.sha256("\n".join([*packages, find_python(version)]).encode()).hexdigest()
    python = environment_python(folder)
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"Making the environment in {folder} (the first time takes some minutes) ...", flush=True)
    stamp.unlink(missing_ok=True)
    if not python.exists():
        run([find_python(version), "-m", "venv", str(folder)], "Python could not make a virtual environment")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # torch on its own and first, so that pip takes the build at hand (CPU or CUDA) and nothing else pulls another
    torch = [line for line in packages if line.replace(" ", "").startswith("torch==")]
    for step in filter(None, (torch, packages)):
        run([*pip, *step], "pip could not install the packages; its message is above. Start the command again to go on")
    stamp.write_text(digest)
    return python


def run(command: Sequence[str], complaint: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(f"{complaint}.\n  {' '.join(command)}")


def single_threaded() -> dict[str, str]:
    """The environment variables for a child of which there are as many as cores: one thread each is fastest."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
