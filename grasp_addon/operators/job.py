"""One click that asks the engine for something: what was asked, what has come, what is made of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..engine import requests, session
from ..errors import GraspError
from .preview import Preview

if TYPE_CHECKING:
    import bpy

    from ..engine.client import Arrays, EngineClient, Message
    from ..engine.mesh_export import ExportedObject
    from ..engine.types import Candidate, HandShape


PATIENCE: Final = 2.5  # seconds after a stop in which the engine may answer; it is ended a little earlier by itself


@dataclass(kw_only=True)
class EngineJob:
    """One click that asks the engine; by itself only the handshake. A subclass says what it makes of the answer.

    Attributes:
        engine: where to ask.
        request: what is on its way now.
        shape: the hand, once the handshake has brought it.
        found: the candidates that came.
        preview: the newest one, drawn in the view.
        previewing: whether there is a view to draw in.
        cancelling: whether the animator asked to stop.
        sent: whether the handshake is over and the request itself, if there is one, on its way.
        writing: whether a part of what has come is in the scene, and more is to follow.
    """

    engine: EngineClient
    request: requests.Request
    shape: HandShape | None = None
    found: list[Candidate] = field(default_factory=list)
    preview: Preview | None = None
    previewing: bool = False
    cancelling: bool = False
    sent: bool = False
    writing: bool = False
    _stopped: float = 0.0

    def receive(self, message: Message, arrays: Arrays) -> None:
        """Takes one reply of the engine."""
        raise NotImplementedError

    def write(self, _context: bpy.types.Context) -> bool:
        """Writes a part of what has come, where all at once would hold the window.

        Returns:
            whether nothing is left but what `finish` does.
        """
        return True

    def finish(self, context: bpy.types.Context) -> str:
        """Writes what has come into the scene, as far as it is not written yet.

        Returns:
            what to tell the animator, "" for nothing.

        Raises:
            GraspError: there is nothing to write, or no place for it.
        """
        raise NotImplementedError

    @property
    def stage(self) -> str:
        """What is being done, for the panel."""
        return "Stopping" if self.cancelling else self.request.stage

    @property
    def told(self) -> str:
        """What has come so far, for the panel; "" for nothing."""
        return ""

    @property
    def done(self) -> bool:
        """Whether the last reply has come."""
        return self.request.done and self.shape is not None

    @property
    def over(self) -> bool:
        """Whether nothing more is waited for: it is done, or was stopped and the engine knows, or does not answer."""
        if not self.cancelling:
            return self.done
        return not self.sent or self.request.done or time.monotonic() - self._stopped > PATIENCE

    def look(self) -> None:
        """Takes the replies that have come, without waiting.

        Raises:
            GraspError: the engine failed, and nobody has asked it to stop.
        """
        try:
            for message, arrays in self.request.poll():
                self.receive(message, arrays)
        except (GraspError, OSError):
            if not self.cancelling:
                raise
            self.request.done = True

    def wait(self) -> None:
        """The same until the last reply has come."""
        while not self.done:
            for message, arrays in self.request.wait():
                self.receive(message, arrays)

    def stop(self) -> None:
        """Asks the engine to stop. A handshake needs no stop: it goes on for the next click."""
        if self.cancelling:
            return
        self.cancelling, self._stopped = True, time.monotonic()
        if self.sent:
            self.request.cancel()


@dataclass
class CandidateJob(EngineJob):
    """One click, from the inputs read to the candidates that came. A subclass says how it asks and what it makes.

    The handshake comes first, for it brings the hand; `sent` tells that it has, and that `request` is the second.

    Attributes:
        item: the object to be grasped.
        settings: what the message says of the hand and of how to compute.
        parent: whether the hand is to follow the object.
        ordered: whether `found` is in the engine's order.
        note: what the engine tells of its result, a sentence without its end; "" for nothing.
    """

    item: ExportedObject
    settings: dict[str, Any]
    parent: bool
    ordered: bool = False
    note: str = ""

    def hand_of(self, message: Message, arrays: Arrays) -> HandShape:
        """The hand of the handshake's result, in scene units."""
        return requests.hand_shape(message, arrays, self.settings["hand_length"])

    def send(self) -> requests.Request:
        """Sends the request itself, once the hand is known."""
        raise NotImplementedError

    @property
    def told(self) -> str:
        return f"{len(self.found)} of {self.settings['count']} grasps so far"

    @property
    def done(self) -> bool:
        return super().done and self.sent

    @property
    def told_note(self) -> str:
        """The note as the end of another sentence, or ""."""
        return f"; {self.note}" if self.note else ""

    @property
    def best(self) -> list[Candidate]:
        """At most as many as were asked for, best first: as the engine says, or by score where it was stopped."""
        found = self.found if self.ordered else sorted(self.found, key=lambda c: -c.score)
        return found[: self.settings["count"]]

    def receive(self, message: Message, arrays: Arrays) -> None:
        """Takes one reply of the engine: the handshake's brings the hand, then candidates come."""
        if not self.sent:
            session.learn(message)
            self.shape = self.hand_of(message, arrays)
            self.request = self.send()
            self.sent = True
        elif message["type"] == "candidate":
            found = requests.candidate(message, arrays)
            if self.shape is None or len(found.vertices) != len(self.shape.vertices):
                self.request.give_up("The engine answers with a hand that is not the one it told of.")
            self.found.append(found)
            if self.previewing:
                self.preview = self.preview or Preview(self.shape.polygons, self.item)
                self.preview.show(found.vertices)
        elif arrays.get("order") is not None:
            order = arrays["order"].tolist()
            if len(set(order)) != len(order) or not set(order) <= set(range(len(self.found))):
                self.request.give_up("The engine answers with an order of hands that it has not sent.")
            self.found = [self.found[i] for i in order]
            self.ordered, self.note = True, message.get("note") or ""
