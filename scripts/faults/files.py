"""Files that are damaged, and disks that are full: caches, weights, hands, grasps, and what an installation leaves."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import random
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
import trimesh

from core.grasps.batch import Grasps
from core.grasps.storage import read_grasps, write_grasps
from core.hand import load_hand
from core.hand.load import EMBEDDED
from core.objects import GraspObject, prepare_object
from core.objects.cache import cached_object
from core.quality.convex_decomposition import convex_pieces
from core.weights import INDEX, keep_weights, load_weights
from core.worker import sentence_of
from grasp_addon.engine.install import STATE, Installation, Step, read_state
from grasp_addon.errors import GraspError

from .trial import Trial

Damage = Callable[[random.Random, bytes], bytes]
RAW: Final = "The engine failed"
LONGEST: Final = 20.0  # seconds that an installation may take here


def _bits(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 8, 50])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _bits_of_the_directory(rng: random.Random, whole: bytes) -> bytes:
    """Near the end, where a zip says what is in it."""
    data, span = bytearray(whole), min(len(whole), 600)
    for _ in range(rng.choice([1, 2, 5])):
        data[len(data) - 1 - rng.randrange(span)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _zeros(rng: random.Random, whole: bytes) -> bytes:
    start, size = rng.randrange(len(whole)), rng.randint(1, 4096)
    return whole[:start] + bytes(min(size, len(whole) - start)) + whole[start + size:]


def _inserted(rng: random.Random, whole: bytes) -> bytes:
    at = rng.randrange(len(whole))
    return whole[:at] + rng.randbytes(rng.randint(1, 300)) + whole[at:]


def _other_zip(rng: random.Random, _whole: bytes) -> bytes:
    """A zip of something else, or of arrays of other kinds."""
    stream = io.BytesIO()
    if rng.random() < 0.5:
        with zipfile.ZipFile(stream, "w") as made:
            made.writestr(rng.choice(["transl.npy", "v_template", "vertices.npy", "../x.npy"]), rng.randbytes(200))
    else:
        names = ("transl", "hand_pose", "global_orient", "betas", "v_template", "f", "corners", "ends", "vertices")
        odd = [1, 1.5, float("nan"), "x", b"y"]
        np.savez(stream, **{name: np.array(rng.choice(odd)) for name in rng.sample(names, 4)})
    return stream.getvalue()


#: what is made of a file's bytes
DAMAGES: Final[dict[str, Damage]] = {
    "bits turned": _bits, "bits of its directory turned": _bits_of_the_directory, "zeros": _zeros,
    "bytes put in": _inserted, "another zip": _other_zip,
    "truncated": lambda rng, whole: whole[: rng.randrange(len(whole))],
    "empty": lambda _rng, _whole: b"", "random bytes": lambda rng, whole: rng.randbytes(min(len(whole), 3000)),
    "doubled": lambda _rng, whole: whole + whole, "text": lambda _rng, _whole: b"[{}, null, \"a\"]\n",
}


@functools.cache
def folder() -> Path:
    """Where the good files are, for as long as this process lives."""
    return Path(tempfile.mkdtemp(prefix="good-"))


@functools.cache
def brick() -> tuple[np.ndarray, np.ndarray, GraspObject]:
    """Vertices and faces of an object that is not convex, and the object."""
    aside = trimesh.transformations.translation_matrix((0.05, 0, 0))
    mesh: Any = trimesh.util.concatenate([trimesh.creation.box((0.04, 0.05, 0.06)),
                                     trimesh.creation.box((0.02, 0.02, 0.02), aside)])
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces, np.int64)
    return vertices, faces, prepare_object(vertices, faces)


def three_grasps() -> Grasps:
    """Some of a right hand."""
    made = torch.Generator().manual_seed(0)
    return Grasps(global_orient=torch.randn(3, 3, generator=made), hand_pose=0.2 * torch.randn(3, 45, generator=made),
                  transl=0.05 * torch.randn(3, 3, generator=made), betas=torch.zeros(3, 10), score=torch.ones(3),
                  type=("tripod",) * 3, method="synthesis", seed=0, hand="right")


class Subject:
    """A file that is read: how a good one is written, what is read of it, and whether a damaged one is made anew.

    Args:
        name: of the file in a folder.
        write: puts a good one into a folder.
        read: what a folder's file says, as numbers that can be compared.
        anew: whether a damaged one is made anew, and nothing is said.
    """

    def __init__(self, name: str, write: Callable[[Path], object], read: Callable[[Path], list[np.ndarray]],
                 anew: bool = False) -> None:
        self.name, self.write, self.read, self.anew = name, write, read, anew

    @functools.cached_property
    def good(self) -> tuple[bytes, str, list[np.ndarray]]:
        """A good file's bytes, its path in a folder, and what is read of it."""
        place = folder() / self.name
        place.mkdir(exist_ok=True)
        self.write(place)
        path = max((path for path in place.rglob("*") if path.is_file() and path.suffix != ".json"),
                   key=lambda path: path.stat().st_size)
        return path.read_bytes(), str(path.relative_to(place)), self.read(place)

    def try_damaged(self, trial: Trial, damage: Damage) -> None:
        """Reads a damaged file: a sentence, or the same as of a good one."""
        whole, name, told = self.good
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "files"
            shutil.copytree(folder() / self.name, place)
            (place / name).write_bytes(damage(trial.rng, whole))
            try:
                found = self.read(place)
            except (ValueError, OSError) as error:
                if self.anew or sentence_of(error).startswith(RAW) or not str(error).endswith("."):
                    trial.verdict.add("raw error", f"{type(error).__name__}: {error}")
                return
            except Exception as error:  # that is the fault
                trial.verdict.add("raw error", f"{type(error).__name__}: {error}")
                return
        alike = len(found) == len(told) and all(
            one.shape == other.shape and np.array_equal(one, other) for one, other in zip(found, told, strict=True))
        if not alike:
            trial.verdict.add("wrong success", f"{self.name} was read as something else")


def _write_grasps(place: Path) -> None:
    write_grasps(place / "g.npz", load_hand(), brick()[2], three_grasps(), "m")


def _read_grasps(place: Path) -> list[np.ndarray]:
    stored = read_grasps(place / "g.npz")
    return [*(value.numpy() for value in stored.grasps.parameters().values()), stored.translation]


def _read_object(place: Path) -> list[np.ndarray]:
    obj = cached_object(*brick()[:2], folder=place)
    return [obj.surface.vertices, obj.surface.faces, obj.points.numpy(), obj.grid.values.numpy(), obj.centroid]


def _read_pieces(place: Path) -> list[np.ndarray]:
    pieces = convex_pieces(brick()[2], place)
    return [*pieces.hulls, pieces.centre, pieces.inertia]


def _read_hand(place: Path) -> list[np.ndarray]:
    hand = load_hand(place / "hand.npz")
    return [hand.v_template.numpy(), hand.lbs_weights.numpy(), hand.faces.numpy(), hand.posedirs.numpy()]


def _write_weights(place: Path) -> None:
    from safetensors.torch import save

    keep_weights("small", save({"weight": torch.arange(600.0), "bias": torch.ones(7)}), place)


def _read_weights(place: Path) -> list[np.ndarray]:
    return [value.numpy() for _, value in sorted(load_weights("small", place, place / "user").items())]


def _read_index(place: Path) -> list[np.ndarray]:
    (place / INDEX).write_bytes((place / "index").read_bytes())
    return _read_weights(place)


def _write_index(place: Path) -> None:
    _write_weights(place)
    (place / "index").write_bytes((place / INDEX).read_bytes() + b" " * 5000)  # the largest of the folder


#: what is read, by what a person calls it
SUBJECTS: Final[dict[str, Subject]] = {
    "grasps": Subject("grasps", _write_grasps, _read_grasps),
    "cached object": Subject("object", _read_object, _read_object, anew=True),
    "cached pieces": Subject("pieces", _read_pieces, _read_pieces, anew=True),
    "hand": Subject("hand", lambda place: shutil.copy(EMBEDDED, place / "hand.npz"), _read_hand),
    "weights": Subject("weights", _write_weights, _read_weights),
    "index of weights": Subject("index", _write_index, _read_index),
}


def _damaged(subject: Subject) -> Callable[[Trial], None]:
    def do(trial: Trial) -> None:
        subject.try_damaged(trial, trial.rng.choice(list(DAMAGES.values())))

    return do


# Disks that are full


class FullStream:
    """A stream that takes so many bytes and no more."""

    def __init__(self, stream: Any, room: int) -> None:
        self._stream, self._room = stream, room

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._room -= size
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._stream.write(data))

    def __enter__(self) -> FullStream:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _raising(number: int) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fails


@contextlib.contextmanager
def no_room(rng: random.Random, size: int) -> Iterator[None]:
    """A disk on which the next file of `size` bytes does not end well, in one of the ways of disks."""
    room = rng.randrange(max(1, size))
    fdopen = os.fdopen
    ways: list[Callable[[], contextlib.AbstractContextManager[Any]]] = [
        lambda: mock.patch.object(os, "fdopen", lambda *a, **k: FullStream(fdopen(*a, **k), room)),
        lambda: mock.patch.object(os, "fsync", _raising(errno.ENOSPC)),
        lambda: mock.patch.object(os, "replace", _raising(rng.choice([errno.EACCES, errno.ENOSPC, errno.EIO]))),
        lambda: mock.patch.object(tempfile, "mkstemp", _raising(rng.choice([errno.EROFS, errno.ENOSPC]))),
        lambda: mock.patch.object(os, "fsync", _raising(errno.EDQUOT)),
    ]
    if os.name != "nt":
        ways.append(lambda: limited(room))
    with rng.choice(ways)():
        yield


@contextlib.contextmanager
def limited(room: int) -> Iterator[None]:
    """No file of this process, or of one that it starts, becomes larger."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _full_for(subject: Subject) -> Callable[[Trial], None]:
    """A file is written over a good one, or for the first time, and there is no room."""
    def do(trial: Trial) -> None:
        whole, name, _ = subject.good
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "files"
            there = trial.rng.random() < 0.5 and not subject.anew
            shutil.copytree(folder() / subject.name, place) if there else place.mkdir()
            try:
                with no_room(trial.rng, len(whole)):
                    subject.write(place)
            except OSError as error:
                if subject.anew or not str(error).endswith(".") or str(place) not in str(error):
                    trial.verdict.add("raw error", f"{type(error).__name__}: {error}")
            except Exception as error:  # that is the fault
                trial.verdict.add("raw error", f"{type(error).__name__}: {error}")
            else:
                if not subject.anew and (place / name).read_bytes() != whole:
                    trial.verdict.add("wrong success", f"{name} was not written, and nobody says so")
            if there and (place / name).read_bytes() != whole:
                trial.verdict.add("changed", f"{name} was whole before")
            if left := [path.name for path in place.rglob("*.part")]:
                trial.verdict.add("leftover", left[0])

    return do


def _installing(trial: Trial) -> None:
    """An installation on a full disk ends with a sentence, and another can follow when there is room."""
    says = f"print('a line of what is done\\n' * {trial.rng.randint(1, 3000)})"
    steps = [Step("Trying the engine", (sys.executable, "-S", "-E", "-c", says))]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "engine"
        with contextlib.suppress(GraspError), limited(trial.rng.choice([0, 10, 60, 500, 4000])):
            work = Installation(place, steps, 0.0)
            work.wait(LONGEST)
            if not work.done:
                trial.verdict.add("stuck", "the installation never ends")
                work.cancel()
            elif work.state.state == "ready" and read_state(place).state not in ("ready", "failed"):
                trial.verdict.add("wrong success", f"ready, but {read_state(place)}")
            elif work.state.state == "failed" and len(work.state.reason) < 10:
                trial.verdict.add("raw error", work.state.reason)
        try:
            work = Installation(place, steps, 0.0)
        except GraspError as error:
            trial.verdict.add("stuck", f"the next installation: {error}")
            return
        work.wait(LONGEST)
        if work.state.state != "ready":
            trial.verdict.add("stuck", f"the next installation: {work.state.reason}")


def _state_damaged(trial: Trial) -> None:
    """What an installation has left is damaged."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        whole = b'{"state": "failed", "reason": "Installing PyTorch failed: no network"}'
        (place / STATE).write_bytes(trial.rng.choice(list(DAMAGES.values()))(trial.rng, whole))
        try:
            found = read_state(place)
        except Exception as error:  # that is the fault
            trial.verdict.add("raw error", f"{type(error).__name__}: {error}")
            return
        if found.state == "ready":
            trial.verdict.add("wrong success", "nothing is there, and it is ready")


FAULTS: Final[dict[str, Callable[[Trial], None]]] = {
    **{f"file damaged: {name}": _damaged(subject) for name, subject in SUBJECTS.items()},
    **{f"disk full: {name}": _full_for(SUBJECTS[name]) for name in ("grasps", "cached object", "cached pieces",
                                                                    "weights")},
    "disk full: an installation": _installing,
    "file damaged: an installation's state": _state_damaged,
}
