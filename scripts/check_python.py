"""Installs the engine's packages on each Python that it is for, and lets each package do something small.

    python scripts/check_python.py [--versions 3.11 3.13]

What is installed is core/requirements.txt with what torch itself asks for, resolved together, and without torch: on a
Python for which only torch's CUDA build is at hand it would be gigabytes. So torch runs on Python 3.11 alone, in
.venv, where `scripts/test.py` runs all of the engine; elsewhere it is only looked up whether the pinned release of it
exists for this Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT
from scripts.environment import find_python, pinned, ready_environment, requirement_lines
from scripts.suites import Suite, run_all

VERSIONS: Final = {"3.11": (3, 11), "3.12": (3, 12), "3.13": (3, 13)}
ENVIRONMENTS: Final = ROOT / ".venv-python"
#: what torch 2.13.0 asks for beside the libraries of its CUDA build
ASKED_BY_TORCH: Final = ("filelock", "typing-extensions>=4.10.0", "setuptools>=77.0.3", "sympy>=1.13.3",
                         "networkx>=2.5.1", "jinja2", "fsspec>=0.8.5")


def python_suite(version: str, environments: Path = ENVIRONMENTS) -> Suite:
    """The engine's packages on one Python.

    Args:
        version: a key of `VERSIONS`.
        environments: the folder in which its environment is made or found again.

    Returns:
        The suite, which makes its environment when it is run.
    """
    folder = environments / f"python{version.replace('.', '')}"
    return Suite(f"Python {version}", partial(prepare, folder, VERSIONS[version]), ("tests/test_packages.py",))


def prepare(folder: Path, version: tuple[int, int]) -> Path:
    """The Python of an environment with the engine's packages but torch.

    Raises:
        SystemExit: there is no such Python, no torch for it, or the packages do not install.
    """
    engine = requirement_lines(ROOT / "core" / "requirements.txt")
    torch = next(line for line in engine if line.startswith("torch=="))
    asked = subprocess.run([find_python(version), "-m", "pip", "index", "versions", "torch"], capture_output=True,
                           text=True, check=False)
    if torch.removeprefix("torch==") not in asked.stdout.replace(",", " ").split():
        raise SystemExit(f"pip finds no {torch} for Python {'.'.join(map(str, version))}.\n{asked.stderr}")
    packages = [line for line in engine if line != torch]
    return ready_environment(folder, [*packages, *ASKED_BY_TORCH, pinned("pytest")], version)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=list(VERSIONS))
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS,
                        help="where the environments are made and found again")
    options = parser.parse_args()
    counts = run_all([python_suite(version, options.environments.resolve()) for version in options.versions])
    print(counts)
    return int(counts.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
