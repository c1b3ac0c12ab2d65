"""The one place where the add-on meets the engine's process: start it, ask it, read what has come.

`engine.client.EngineClient(command, environment)` carries the messages: `send(message, arrays) -> id`, `poll()` gives
the (message, arrays) that have come, without waiting, `alive` and `close()`. A request's "type" is the message's kind,
so the type of grasp travels as "grasp_type", both ways.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import GraspError
from .hand_data import ENGINE_HAND_LENGTH, Candidate, HandShape, estimated_tips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .objects_in import ObjectIn

HELLO_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Known:
    """What the engine said in its last handshake."""

    version: str = ""
    python: str = ""
    torch: str = ""
    devices: tuple[str, ...] = ()
    methods: dict[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ()
    fitting: frozenset[str] = frozenset()  # the methods whose grasps are fitted to the surface already

    @property
    def sentence(self) -> str:
        return (f"Engine {self.version} is ready: Python {self.python}, PyTorch {self.torch}, "
                f"{', '.join(self.devices) or 'CPU'}.")


_known = Known()
_client: Any = None
_client_command: tuple[str, ...] = ()


def known() -> Known:
    return _known


def client(command: list[str], environment: dict[str, str] | None = None) -> Any:
    """The running engine of this command, started when it is not running; weights stay loaded between requests."""
    global _client, _client_command
    from .engine.client import EngineClient

    if _client is not None and (tuple(command) != _client_command or not _client.alive):
        stop()
    if _client is None:
        _client, _client_command = EngineClient(command, environment), tuple(command)
    return _client


def stop() -> None:
    """Ends the engine, if one runs."""
    global _client  # noqa: PLW0603
    if _client is not None:
        _client.close()
    _client = None


@dataclass
class Request:
    """One request on its way; `poll` tells what has come, without waiting."""

    client: Any
    id: int
    stage: str = "Starting the engine"
    fraction: float = 0.0
    done: bool = False

    def poll(self) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
        """The candidates and the result that came since the last call; GraspError when the engine says so."""
        for message, arrays in self.client.poll():
            if message.get("id") not in (self.id, None):
                continue
            kind = message.get("type")
            if kind == "progress":
                self.stage, self.fraction = message.get("stage", ""), float(message.get("fraction", 0.0))
            elif kind == "error":
                self.done = True
                raise GraspError(message.get("message", "The engine failed without saying why."),
                                 message.get("advice", ""))
            elif kind in ("candidate", "result"):
                self.done = kind == "result"
                yield message, arrays

    def wait(self, seconds: float | None = None) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
        """The same, until the result has come."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.done:
            yield from self.poll()
            if until and time.monotonic() > until:
                raise GraspError(f"The engine did not answer within {seconds:.0f} s: check it in the preferences.",
                                 "preferences")
            time.sleep(POLL_SECONDS)

    def cancel(self) -> None:
        self.client.send({"type": "cancel", "target": self.id})


def hello(engine: Any, side: str, hand_file: str) -> Request:
    """Asks for what the engine can do and for its hand; `hand_file` is the animator's own, or empty."""
    return Request(engine, engine.send({"type": "hello", "side": side, "hand_file": hand_file}))


def greet(engine: Any, side: str, hand_file: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The handshake's result, waited for and learned from."""
    message, arrays = next(hello(engine, side, hand_file).wait(HELLO_SECONDS))
    learn(message)
    return message, arrays


def generate(engine: Any, item: ObjectIn, settings: dict) -> Request:
    """Asks for grasps of an object."""
    message, arrays = {**settings, "type": "generate"}, _object_arrays(item)
    if item.parts:
        message["parts"], arrays["part"] = list(item.parts), item.part.astype(np.int32)
    return Request(engine, engine.send(message, arrays))


def fit(engine: Any, item: ObjectIn, settings: dict, rotations: np.ndarray, translation: np.ndarray) -> Request:
    """Asks for grasps around N poses.

    Args:
        engine: where to ask. item: the object.
        settings: of the hand and of how to compute.
        rotations: (N, 16, 4) wxyz as candidates carry them. translation: (N, 3) as candidates carry it.
    """
    arrays = {**_object_arrays(item), "rotations": rotations.astype(np.float64),
              "translation": translation.astype(np.float64)}
    return Request(engine, engine.send({**settings, "type": "fit"}, arrays))


def learn(message: dict) -> Known:
    """Remembers what the handshake's result says."""
    global _known  # noqa: PLW0603
    methods = message.get("methods", [])
    _known = Known(
        version=str(message.get("version", "")), python=str(message.get("python", "")),
        torch=str(message.get("torch", "")), devices=tuple(map(str, message.get("devices", []))),
        methods={m["name"]: m.get("label", m["name"]) for m in methods}, types=tuple(message.get("types", [])),
        fitting=frozenset(m["name"] for m in methods if m.get("fits")),
    )
    return _known


def hand_shape(message: dict, arrays: dict[str, np.ndarray], hand_length: float) -> HandShape:
    """The hand of a handshake's result, in scene units."""
    vertices, joints = arrays["template"].astype(np.float64), arrays["rest_joints"].astype(np.float64)
    weights = arrays["weights"].astype(np.float64)
    tips = arrays["tips"].astype(np.float64) if "tips" in arrays else estimated_tips(vertices, joints, weights)
    scale = hand_length / ENGINE_HAND_LENGTH
    return HandShape(message.get("side", "right"), vertices * scale, joints * scale, tips * scale, weights,
                     _polygons(arrays), arrays.get("uvs"))


def candidate(message: dict, arrays: dict[str, np.ndarray]) -> Candidate:
    measures = {str(n): float(v) for n, v in message.get("measures", {}).items() if isinstance(v, int | float)}
    return Candidate(arrays["rest_vertices"], arrays["rotations"], arrays["translation"], arrays["vertices"],
                     float(message.get("score", 0.0)), str(message.get("grasp_type", "")), measures)


def _object_arrays(item: ObjectIn) -> dict[str, np.ndarray]:
    return {"vertices": item.vertices.astype(np.float64), "faces": item.faces.astype(np.int32)}


def _polygons(arrays: dict[str, np.ndarray]) -> np.ndarray:
    parts = []
    for name in ("quads", "triangles"):
        if name in arrays and arrays[name].size:
            part = arrays[name].astype(np.int64)
            parts.append(np.pad(part, ((0, 0), (0, 4 - part.shape[1])), constant_values=-1))
    return np.concatenate(parts)
