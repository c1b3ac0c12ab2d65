"""Scripts run as a person runs them: in a process of their own, or, to share what is loaded, in this one."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_here(name: str, *arguments: object, fails: bool = False) -> str:
    """What scripts/NAME says, run in this process: on stdout where it works, on stderr where it `fails`."""
    import torch

    module = importlib.import_module("scripts." + name.removesuffix(".py").replace("/", "."))
    command, threads = [str(ROOT / "scripts" / name), *map(str, arguments)], torch.get_num_threads()
    with (contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err,
          mock.patch.dict(os.environ), mock.patch.object(sys, "argv", command)):
        try:
            status = module.main()
        except SystemExit as end:
            status = end.code
        torch.set_num_threads(threads)
    if isinstance(status, str):  # as Python does when it ends
        err.write(status)
    assert bool(status) == fails, err.getvalue()[-2000:]
    return err.getvalue() if fails else out.getvalue()


def run_alone(name: str, *arguments: object) -> str:
    """What scripts/NAME says on stdout, run in a process of its own, from another folder."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT.anchor, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session")
def script():
    return run_here


@pytest.fixture(scope="session")
def command():
    return run_alone
