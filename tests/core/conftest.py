"""What the tests of core share: the hand, objects, real grasps, and a worker with a client that is not the add-on's."""

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
import torch
import trimesh

from core.dataset.training_grasps import load_training, training_object
from core.grasps.batch import Grasps
from core.grasps.heading_frame import frames_of_grasps
from core.hand import load_hand
from core.objects import GraspObject, prepare_object
from core.wire import read_message, write_message

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def hand():
    return load_hand()


def prepared_of(mesh: trimesh.Trimesh) -> GraspObject:
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="session")
def ball():
    return prepared_of(trimesh.creation.icosphere(4, 0.033))


@pytest.fixture(scope="session")
def ball_grasp(hand):
    """One power grasp of the ball, 0.7 mm deep at the pads."""
    degrees = torch.tensor([40.0, 0, 40, 25] * 4 + [36, 54, 3, 8, 20])
    start = torch.deg2rad(degrees)[None]
    turn = torch.zeros(1, 3)
    with torch.no_grad():
        out = hand(turn, hand.pose_from_dofs(start), turn, torch.zeros(1, 10))
    pads = [out.vertices[0, region].mean(0) for region in hand.contact_regions]
    centre = torch.stack([pads[0], torch.stack(pads[1:5]).mean(0), pads[5]]).mean(0)
    dofs, transl = start.clone().requires_grad_(), (-centre[None]).clone().requires_grad_()
    adam = torch.optim.Adam([{"params": [dofs], "lr": 0.02}, {"params": [transl], "lr": 0.001}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 150)
    for _ in range(150):
        adam.zero_grad()
        vertices = hand(turn, hand.pose_from_dofs(dofs), transl, torch.zeros(1, 10)).vertices[0]
        distance = vertices.norm(dim=1) - 0.033
        nearest = torch.stack([distance[region].min() for region in hand.contact_regions])
        deep = (-0.0007 - distance).relu()
        loss = ((nearest + 0.0005) * 100).square().sum() + 3 * (deep * 100).square().sum()
        loss = loss + 0.02 * (dofs - start).square().sum()
        loss.backward()
        adam.step()
        schedule.step()
    pose = hand.pose_from_dofs(dofs).detach()
    return Grasps(turn, pose, transl.detach(), torch.zeros(1, 10), torch.zeros(1), type=("power_sphere",))


@pytest.fixture(scope="session")
def bowl():
    """Half a hollow ball of 8 cm with a wall of one millimetre, open upward."""
    angle = np.linspace(0, np.pi / 2, 33)
    arc = np.stack([np.sin(angle), -np.cos(angle)], 1)
    return prepared_of(trimesh.creation.revolve(np.concatenate([0.040 * arc, 0.039 * arc[::-1]]), sections=96))


@pytest.fixture(scope="session")
def pieces_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pieces")


@pytest.fixture(scope="session")
def mug_grasps(hand):
    """A training object, its grasps and their frames."""
    data = load_training("weights/training/grasps.npz")
    name = "mug/0"
    mine = data[data.object == data.objects.index(name)]
    obj = training_object(name)
    grasps = mine.grasps(hand)
    return obj, grasps, frames_of_grasps(obj, hand, grasps)


@pytest.fixture(scope="session")
def block():
    mesh = trimesh.creation.box((0.03, 0.05, 0.16)).subdivide_to_size(0.01)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="session")
def rod():
    return prepared_of(trimesh.creation.cylinder(radius=0.02, height=0.2, sections=48).subdivide_to_size(0.015))
