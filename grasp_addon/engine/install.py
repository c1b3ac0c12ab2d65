"""Making an engine: an environment in a folder of our own, filled by pip, step by step. Knows nothing of bpy.

What is half made says so: the folder's state file reads "ready" only after the finished engine was tried. Installing
again makes the environment anew, since a half-written package can pass for a whole one; pip's cache keeps what was
fetched. A lock, which ends with the processes that hold it, tells an installation on its way from one cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from ..errors import GraspError

TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"  # PyTorch's own; PyPI's Linux builds bring 3 GB of CUDA
GIGABYTES: Final = {"cpu": 2.0, "cuda": 8.0}  # on disk, rounded up, while it is being installed
FETCHED: Final = {"cpu": "0.5 GB", "cuda": "3.5 GB"}
STATE: Final = "state.json"
LOG: Final = "install.log"
LOCK: Final = "lock"
NOT_OURS: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER", "PIP_PREFIX")


@dataclass(frozen=True)
class Step:
    """One program to run.

    Attributes:
        title: what to call it while it runs.
        command: the program and its arguments.
        variables: what it finds in its environment beside Blender's.
    """

    title: str
    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What a folder holds.

    Attributes:
        state: "none", "installing", "ready", "failed" or "cancelled".
        reason: a sentence, or the versions of what is ready.
    """

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
    if state.state == "installing" and _is_locked(folder):
        return State("installing", "It is being installed, by this Blender or another.")
    if state.state == "installing":
        return State("failed", "The last installation was cut off: install it again to go on.")
    if state.state == "ready" and not engine_python(folder).exists():
        return State("failed", "The installed engine is gone from its folder: install it again.")
    return state


def installation_steps(python: str, folder: Path, root: Path, build: str) -> list[Step]:
    """The programs that make an engine: environment, PyTorch, the rest, a trial.

    Every package is one version, with all that it needs; a file that is not of the locks' hashes is refused. PyTorch's
    own index, for its builds that PyPI has not, gives no hashes to know beforehand: there the version alone is fixed.

    Args:
        python: the interpreter the environment is made of (Blender's own).
        folder: where the engine goes.
        root: where core/ is.
        build: "cpu" or "cuda".
    """
    locked = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement")
    own = str(engine_python(folder))
    pip = (own, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    others = (*locked, str(root / "core" / "requirements.lock"))
    torch: tuple[str, ...] = (*locked, str(root / "core" / "requirements-torch.lock"))
    if not torch_by_hash(build):
        text = (root / "core" / "requirements.txt").read_text(encoding="utf-8")
        torch = ("--no-deps", next(line for line in text.split() if line.startswith("torch==")))
        torch += ("--index-url", TORCH_INDEX) if build == "cpu" else ()
    trial = ("import sys; sys.path.insert(0, sys.argv[1]); "
             "import core.worker, core.pipeline, igl, mujoco, platform, torch; "
             "print(f'Python {platform.python_version()}, PyTorch {torch.__version__}')")
    return [
        Step("Making an environment", (python, "-m", "venv", "--clear", str(folder / "env"))),
        Step("Installing PyTorch", (*pip, *torch)),
        Step("Installing the other packages", (*pip, *others)),
        Step("Trying the engine", (own, "-c", trial, str(root))),
    ]


def torch_by_hash(build: str, platform: str = sys.platform) -> bool:
    """Whether PyPI has PyTorch in this build for this platform: with CUDA for Linux, without it for all others.

    Args:
        build: "cpu" or "cuda".
        platform: as `sys.platform`.
    """
    return build == ("cuda" if platform == "linux" else "cpu") or platform == "darwin"


class Installation:
    """One installation on its way, in a thread that runs the steps' programs.

    Args:
        folder: where it goes.
        steps: what is run, one after the other.
        gigabytes: what must be free on the disk.

    Attributes:
        fraction: how much is done, 0 to 1.
        stage: what is done now.
        done: whether no more will happen.
        state: what came of it.
        lines: the log's end.

    Raises:
        GraspError: the folder cannot be written, is in use, or the disk is too full.
    """

    log_name = LOG
    stopped = "The installation was stopped: install again to go on."
    needs = "The engine needs"
    room = "make room, or choose an existing Python"

    def __init__(self, folder: Path, steps: list[Step], gigabytes: float) -> None:
        self.folder, self.steps = folder, steps
        self.lines: deque[str] = deque(maxlen=400)
        self.fraction, self.stage, self.done = 0.0, steps[0].title, False
        self.state = State("installing")
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free / 1e9
            if free < gigabytes:
                raise GraspError(f"{self.needs} {gigabytes:.1f} GB in {folder}, and {free:.1f} GB are free: "
                                 f"{self.room}.")
            self._held = _lock(folder)
            self._write(self.state)
        except OSError as error:
            raise GraspError(f"This folder cannot be written ({error.strerror or error}): {folder}.") from error
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stops it; what is there stays, to go on from."""
        with self._lock:
            self._cancelled = True
            if self._process is not None and self._process.poll() is None:
                _kill_with_children(self._process)

    def wait(self, seconds: float | None = None) -> None:
        """Blocks until it has ended, or for so many seconds."""
        self._thread.join(seconds)

    def _run(self) -> None:
        state = State("failed")
        try:
            with open(self.folder / self.log_name, "w", encoding="utf-8") as log:
                for number, step in enumerate(self.steps):
                    self.fraction, self.stage = number / len(self.steps), step.title
                    status = self._run_step(step, log)
                    if self._cancelled:
                        state = State("cancelled", self.stopped)
                        break
                    if status:
                        last = next((line for line in reversed(self.lines) if line.strip()), "no reason was given")
                        state = State("failed", f"{step.title} failed: {last}")
                        break
                else:
                    state = State("ready", self.lines[-1])
        except OSError as error:
            state = State("failed", f"{self.stage} failed: {error.strerror or error}")
        try:
            self._write(state)
        except OSError as error:
            state = State("failed", f"{self.folder} cannot be written ({error.strerror or error}).")
        self._held.close()
        self.fraction = 1.0 if state.state == "ready" else self.fraction
        self.state, self.done = state, True

    def _run_step(self, step: Step, log: TextIO) -> int:
        variables = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        variables |= {"PYTHONSAFEPATH": "1", **step.variables}  # what lies in a folder is no module for it
        self._say(f"$ {' '.join(step.command)}", log)
        with self._lock:
            if self._cancelled:
                return 1
            self._process = subprocess.Popen(
                step.command, env=variables, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0), start_new_session=True,
                pass_fds=() if os.name == "nt" else (self._held.fileno(),))
        with self._process as process:
            assert process.stdout is not None  # a pipe, as asked for
            for line in process.stdout:
                self._say(line.rstrip(), log)
        return process.returncode

    def _say(self, line: str, log: TextIO) -> None:
        self.lines.append(line)
        log.write(line + "\n")
        log.flush()

    def _write(self, state: State) -> None:
        (self.folder / STATE).write_text(json.dumps({"state": state.state, "reason": state.reason}), encoding="utf-8")


def remove_engine(folder: Path) -> None:
    """Deletes what was installed, and nothing beside it.

    Raises:
        GraspError: it is in use, or cannot be deleted.
    """
    if not folder.is_dir():
        return
    try:
        _lock(folder).close()
        if (folder / "env").exists():
            shutil.rmtree(folder / "env")
        for name in (STATE, LOG, LOCK):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise GraspError(f"The engine cannot be deleted ({error.strerror or error}): {folder}. Close other Blenders "
                         "and try again.") from error


def _lock(folder: Path) -> TextIO:
    """The folder's lock, held until it is closed and the programs that were given it have ended; GraspError if held."""
    held = open(folder / LOCK, "a", encoding="utf-8")  # noqa: SIM115
    try:
        if sys.platform == "win32":
            import msvcrt

            held.seek(0)
            msvcrt.locking(held.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise GraspError(f"Something is being installed or fetched in {folder}, perhaps by another Blender: wait for "
                         "its end, then try again.") from error
    return held


def _is_locked(folder: Path) -> bool:
    try:
        _lock(folder).close()
    except GraspError:
        return True
    except OSError:
        return False
    return False


def _kill_with_children(process: subprocess.Popen[str]) -> None:
    """pip and venv run programs of their own, which would hold the pipe open and go on writing."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False,
                       creationflags=subprocess.CREATE_NO_WINDOW)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
