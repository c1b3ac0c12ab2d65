"""Scripts run as a person runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object, fails: bool = False) -> str:
    """What scripts/NAME says: on stdout where it works, on stderr, without a traceback, where it `fails`."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if not fails:
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="session")
def script():
    return run_script
