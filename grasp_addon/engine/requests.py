"""What the add-on asks the engine, and what the replies say. Knows nothing of bpy.

A request's "type" is the message's kind, so the type of grasp travels as "grasp_type", both ways.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from ..errors import GraspError
from .replies import NonsenseError, check_reply
from .session import info, learn
from .types import ENGINE_HAND_LENGTH, Candidate, HandShape, ImaginedObject, estimated_tips

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .client import Arrays, EngineClient, Message, Reply
    from .mesh_export import ExportedObject

HELLO_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 60.0  # without a word; a working engine says every few seconds that it works
SILENT_SECONDS_OF_OLD: Final = 300.0  # engines of 0.1.0 do not
STILL_SECONDS: Final = 900.0  # of words that tell nothing new
POLL_SECONDS: Final = 0.02


@dataclass
class Request:
    """One request on its way; `poll` tells what has come, without waiting.

    Attributes:
        client: where it was sent.
        id: the number it was given.
        asked: its type.
        stage: what the engine does now, for a progress bar.
        fraction: how much is done, 0 to 1.
        done: whether the result or an error has come.
    """

    client: EngineClient
    id: int
    asked: str = "hello"
    stage: str = "Starting the engine"
    fraction: float = 0.0
    done: bool = False
    _begun: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)
    _moved: float = field(default_factory=time.monotonic)

    def poll(self) -> Iterator[Reply]:
        """The candidates and the result that came since the last call.

        Raises:
            GraspError: the engine says that it failed and why, talks nonsense, or is silent for too long.
        """
        for message, arrays in self.client.poll():
            kind = message.get("type")
            if self.done or (message.get("id") != self.id and not (kind == "error" and message.get("id") is None)):
                continue
            try:
                check_reply(self.asked, message, arrays)
            except NonsenseError as error:
                self.give_up(f"The engine answers with {error}: it is none, or of another version.")
            self._heard = time.monotonic()
            if kind == "progress":
                self._progress(message.get("stage") or "", float(message.get("fraction") or 0.0))
            elif kind == "error":
                self.done = True
                raise GraspError(message.get("message") or "The engine failed without saying why.",
                                 message.get("advice") or "")
            else:
                self.done, self._moved = kind == "result", self._heard
                yield message, arrays
        if not self.done:
            self._check_time()

    def give_up(self, sentence: str) -> NoReturn:
        """Ends the engine, from which nothing can be expected any more: the next request starts it anew.

        Raises:
            GraspError: always.
        """
        self.done = True
        self.client.close()
        raise GraspError(f"{sentence} Check it in the preferences.", "preferences")

    def _progress(self, stage: str, fraction: float) -> None:
        fraction = min(max(fraction, 0.0), 1.0)
        if (stage, fraction) != (self.stage, self.fraction):
            self._moved = self._heard
        self.stage, self.fraction = stage or self.stage, fraction

    def _check_time(self) -> None:
        now = time.monotonic()
        if self.asked == "hello":
            if now - self._begun > HELLO_SECONDS:
                self.give_up(f"The engine did not answer within {HELLO_SECONDS:.0f} s.")
            return
        limit = SILENT_SECONDS if info().form else SILENT_SECONDS_OF_OLD
        if now - self._heard > limit:
            self.give_up(f"The engine has said nothing for {limit:.0f} s, and was ended.")
        if now - self._moved > STILL_SECONDS:
            self.give_up(f"The engine has come no further for {STILL_SECONDS / 60:.0f} minutes, and was ended.")

    def wait(self) -> Iterator[Reply]:
        """The same, until the result has come.

        Raises:
            GraspError: as `poll`.
        """
        while not self.done:
            yield from self.poll()
            if not self.done:
                time.sleep(POLL_SECONDS)

    def cancel(self) -> None:
        """Asks the engine to stop; what it has found comes all the same."""
        self.client.send({"type": "cancel", "target": self.id})


def hello(engine: EngineClient, side: str, hand_file: str) -> Request:
    """Asks for what the engine can do and for its hand.

    Args:
        engine: where to ask.
        side: "right" or "left".
        hand_file: the animator's own hand model, or "".
    """
    return Request(engine, engine.send({"type": "hello", "side": side, "hand_file": hand_file}))


def greet(engine: EngineClient, side: str, hand_file: str) -> Reply:
    """The handshake's result, waited for and learned from; arguments as for `hello`."""
    message, arrays = next(hello(engine, side, hand_file).wait())
    learn(message)
    return message, arrays


def generate(engine: EngineClient, item: ExportedObject, settings: Message) -> Request:
    """Asks for grasps of an object.

    Args:
        engine: where to ask.
        item: the object.
        settings: what else the message says: method, hand, conditions, how to compute.
    """
    message, arrays = {**settings, "type": "generate"}, _object_arrays(item)
    if item.parts:
        message["parts"], arrays["part"] = list(item.parts), np.asarray(item.part, np.int32)
    return Request(engine, engine.send(message, arrays), "generate")


def refine(engine: EngineClient, item: ExportedObject, settings: Message, rotations: np.ndarray,
           translation: np.ndarray) -> Request:
    """Asks for grasps around N poses; on the wire this is a "fit".

    Args:
        engine: where to ask.
        item: the object.
        settings: what else the message says of the hand and of how to compute.
        rotations: (N, 16, 4) wxyz as candidates carry them.
        translation: (N, 3) as candidates carry it.
    """
    arrays = {**_object_arrays(item), "rotations": rotations.astype(np.float64),
              "translation": translation.astype(np.float64)}
    return Request(engine, engine.send({**settings, "type": "fit"}, arrays), "fit")


def more_like(engine: EngineClient, item: ExportedObject, settings: Message, keep: Sequence[bool],
              pose: Candidate) -> Request:
    """Asks for grasps that keep parts of a pose, where it is, and have others anew.

    Args:
        engine: where to ask.
        item: the object.
        settings: what else the message says, as for `generate`.
        keep: which of `naming.PARTS` are kept.
        pose: in the object's frame.
    """
    arrays = {**_object_arrays(item), "rotations": pose.rotations.astype(np.float64),
              "translation": pose.translation.astype(np.float64)}
    message = {**settings, "type": "generate", "keep": [bool(one) for one in keep]}
    return Request(engine, engine.send(message, arrays), "generate")


def imagine(engine: EngineClient, settings: Message) -> Request:
    """Asks for objects that nobody modelled, with hands on them.

    Args:
        engine: where to ask.
        settings: what the message says: hand, conditions, how many, how to compute.
    """
    return Request(engine, engine.send({**settings, "type": "imagine"}), "imagine")


def hand_shape(message: Message, arrays: Arrays, hand_length: float) -> HandShape:
    """The hand of a handshake's result.

    Args:
        message: the result.
        arrays: what came with it, in metres.
        hand_length: how long a hand of `ENGINE_HAND_LENGTH` is in the scene.

    Returns:
        the hand in scene units.
    """
    vertices, joints = arrays["template"].astype(np.float64), arrays["rest_joints"].astype(np.float64)
    weights = arrays["weights"].astype(np.float64)
    tips = arrays["tips"].astype(np.float64) if "tips" in arrays else estimated_tips(vertices, joints, weights)
    scale = hand_length / ENGINE_HAND_LENGTH
    return HandShape(message.get("side") or "right", vertices * scale, joints * scale, tips * scale, weights,
                     _polygons(arrays), arrays.get("uvs"))


def candidate(message: Message, arrays: Arrays) -> Candidate:
    """The grasp of a "candidate" or "imagined" reply."""
    measures = {str(n): float(v) for n, v in (message.get("measures") or {}).items() if isinstance(v, int | float)}
    return Candidate(arrays["rest_vertices"], arrays["rotations"], arrays["translation"], arrays["vertices"],
                     float(message.get("score") or 0.0), str(message.get("grasp_type") or ""), measures)


def imagined_object(arrays: Arrays) -> ImaginedObject:
    """The object of an "imagined" reply."""
    return ImaginedObject(arrays["object_vertices"].astype(np.float64), arrays["object_faces"].astype(np.int64))


def _object_arrays(item: ExportedObject) -> dict[str, Any]:
    return {"vertices": np.asarray(item.vertices, np.float64), "faces": np.asarray(item.faces, np.int32)}


def _polygons(arrays: Arrays) -> np.ndarray:
    """(P, 4) the quads, then the triangles with -1 in their last column."""
    parts = []
    for name in ("quads", "triangles"):
        if name in arrays and arrays[name].size:
            part = arrays[name].astype(np.int64)
            parts.append(np.pad(part, ((0, 0), (0, 4 - part.shape[1])), constant_values=-1))
    return np.concatenate(parts)
