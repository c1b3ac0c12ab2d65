"""A worker process, and a client that is not the add-on's."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.wire import read_message, write_message

ROOT = Path(__file__).resolve().parents[3]


class Engine:
    """A worker, spoken to over its pipes."""

    def __init__(self, root: Path = ROOT, before: tuple[str, ...] = (), **variables: str) -> None:
        self.process = subprocess.Popen([*before, sys.executable, "-m", "core.worker"], cwd=root, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "OMP_NUM_THREADS": "1", **variables})
        self.number = 0

    def send(self, message, arrays=None) -> int:
        self.number += 1
        write_message(self.process.stdin, {"id": self.number, **message}, arrays)
        return self.number

    def replies(self, number, seconds=90) -> Iterator[tuple[dict, dict]]:
        """What comes until the request's result or error; the process is ended when that takes too long."""
        watch = threading.Timer(seconds, self.process.kill)
        watch.start()
        try:
            while True:
                reply = read_message(self.process.stdout)
                assert reply is not None, f"the worker ended: {self.process.stderr.read().decode()}"
                if reply[0]["id"] == number:
                    yield reply
                    if reply[0]["type"] in ("result", "error"):
                        return
        finally:
            watch.cancel()

    def ask(self, message, arrays=None) -> tuple[dict, dict]:
        """The request's last reply."""
        return list(self.replies(self.send(message, arrays)))[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


@pytest.fixture(scope="package")
def shared_engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine) -> Engine:
    """The one worker of these tests: every test leaves it able to answer the next."""
    assert shared_engine.process.poll() is None
    return shared_engine


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def start_engine() -> type[Engine]:
    return Engine


@pytest.fixture
def copied_engine(tmp_path) -> Iterator[tuple[Path, Engine]]:
    """A worker of a copy of the engine, and the copy's folder: what a test may break."""
    shutil.copytree(ROOT / "core", tmp_path / "core")
    shutil.copytree(ROOT / "weights" / "hand", tmp_path / "weights" / "hand")
    engine = Engine(tmp_path)
    yield tmp_path, engine
    engine.close()


@pytest.fixture(scope="session")
def can() -> dict[str, np.ndarray]:
    mesh = trimesh.creation.cylinder(0.033, 0.1, sections=48)
    return {"vertices": np.array(mesh.vertices), "faces": np.array(mesh.faces, np.int32)}
