"""Making an engine: an environment in a folder of our own, filled by pip, step by step. Knows nothing of bpy.

What is half made says so: the folder's state file reads "ready" only after the finished engine was tried. Installing
again goes on from what is there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import GraspError

TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"  # PyTorch's own; PyPI's Linux builds bring 3 GB of CUDA
GIGABYTES: Final = {"cpu": 2.0, "cuda": 8.0}  # on disk, rounded up, while it is being installed
FETCHED: Final = {"cpu": "0.5 GB", "cuda": "3.5 GB"}
STATE: Final = "state.json"
LOG: Final = "install.log"
NOT_OURS: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER", "PIP_PREFIX")


@dataclass(frozen=True)
class Step:
    """One program to run, and what to call it."""

    title: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What a folder holds: state is "none", "installing", "ready", "failed" or "cancelled"; reason is a sentence."""

    state: str = "none"
    reason: str = ""


def engine_python(folder: Path) -> Path:
    """The interpreter of the engine in `folder`."""
    return folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def read_state(folder: Path) -> State:
    """What was left in `folder`; an installation cut off by a crash reads as failed."""
    try:
        entry = json.loads((folder / STATE).read_text(encoding="utf-8"))
        state = State(str(entry["state"]), str(entry["reason"]))
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError):
        return State("failed", "What was installed cannot be read: install it again.")
    if state.state == "installing":
        return State("failed", "The last installation was cut off: install it again to go on.")
    if state.state == "ready" and not engine_python(folder).exists():
        return State("failed", "The installed engine is gone from its folder: install it again.")
    return state


def installation_steps(python: str, folder: Path, root: Path, build: str) -> list[Step]:
    """Environment, PyTorch, the rest, a trial.

    Args:
        python: the interpreter the environment is made of (Blender's own).
        folder: where the engine goes.
        root: where core/ is.
        build: "cpu" or "cuda".
    """
    requirements = root / "core" / "requirements.txt"
    torch = next(line for line in requirements.read_text(encoding="utf-8").split() if line.startswith("torch=="))
    own = str(engine_python(folder))
    pip = (own, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    source = ("--index-url", TORCH_INDEX) if build == "cpu" else ()
    trial = ("import sys; sys.path.insert(0, sys.argv[1]); "
             "import core.worker, core.pipeline, igl, mujoco; print('ready')")
    return [
        Step("Making an environment", (python, "-m", "venv", str(folder / "env"))),
        Step("Installing PyTorch", (*pip, torch, *source)),
        Step("Installing the other packages", (*pip, "--requirement", str(requirements))),
        Step("Trying the engine", (own, "-c", trial, str(root))),
    ]


class Installation:
    """One installation on its way, in a thread that runs the steps' programs.

    Attributes:
        fraction, stage: for a progress bar. done: no more will happen. state: what came of it. lines: the log's end.
    """

    def __init__(self, folder: Path, steps: list[Step], gigabytes: float) -> None:
        """Starts it; GraspError when the folder cannot be written or the disk is too full."""
        self.folder, self.steps = folder, steps
        self.lines: deque[str] = deque(maxlen=400)
        self.fraction, self.stage, self.done = 0.0, steps[0].title, False
        self.state = State("installing")
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free / 1e9
            if free < gigabytes:
                raise GraspError(f"The engine needs {gigabytes:.0f} GB in {folder}, and {free:.1f} GB are free: make "
                                 "room, or choose an existing Python.")
            self._write(self.state)
        except OSError as error:
            raise GraspError(f"The engine's folder cannot be written ({error.strerror or error}): {folder}.") from error
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stops it; what is there stays, to go on from."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def wait(self, seconds: float | None = None) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        state = State("ready")
        try:
            with open(self.folder / LOG, "w", encoding="utf-8") as log:
                for number, step in enumerate(self.steps):
                    self.fraction, self.stage = number / len(self.steps), step.title
                    status = self._run_step(step, log)
                    if self._cancelled:
                        state = State("cancelled", "The installation was stopped: install again to go on.")
                        break
                    if status:
                        last = next((line for line in reversed(self.lines) if line.strip()), "no reason was given")
                        state = State("failed", f"{step.title} failed: {last}")
                        break
        except OSError as error:
            state = State("failed", f"{self.stage} failed: {error.strerror or error}")
        try:
            self._write(state)
        except OSError as error:
            state = State("failed", f"The engine's folder cannot be written ({error.strerror or error}).")
        self.fraction = 1.0 if state.state == "ready" else self.fraction
        self.state, self.done = state, True

    def _run_step(self, step: Step, log: object) -> int:
        variables = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        self._say(f"$ {' '.join(step.command)}", log)
        with self._lock:
            if self._cancelled:
                return 1
            self._process = subprocess.Popen(
                step.command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        with self._process as process:
            for line in process.stdout:
                self._say(line.rstrip(), log)
        return process.returncode

    def _say(self, line: str, log: object) -> None:
        self.lines.append(line)
        log.write(line + "\n")
        log.flush()

    def _write(self, state: State) -> None:
        (self.folder / STATE).write_text(json.dumps({"state": state.state, "reason": state.reason}), encoding="utf-8")


def remove_engine(folder: Path) -> None:
    """Deletes what was installed, and nothing beside it; GraspError when a part of it cannot be deleted."""
    try:
        if (folder / "env").exists():
            shutil.rmtree(folder / "env")
        for name in (STATE, LOG):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise GraspError(f"The engine cannot be deleted ({error.strerror or error}): {folder}. Close other Blenders "
                         "and try again.") from error
