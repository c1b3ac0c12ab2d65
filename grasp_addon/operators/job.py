"""One click that asks the engine for candidates: what was asked, what has come, what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..engine import requests, session
from .preview import Preview

if TYPE_CHECKING:
    import bpy

    from ..engine.client import Arrays, EngineClient, Message
    from ..engine.mesh_export import ExportedObject
    from ..engine.types import Candidate, HandShape


@dataclass
class CandidateJob:
    """One click, from the inputs read to the candidates that came. A subclass says how it asks and what it makes.

    The handshake comes first, for it brings the hand; `sent` tells that it has, and that `request` is the second.

    Attributes:
        item: the object to be grasped.
        settings: what the message says of the hand and of how to compute.
        parent: whether the hand is to follow the object.
        engine: where to ask.
        request: what is on its way now.
        shape: the hand, once the handshake has brought it.
        found: the candidates that came.
        preview: the newest one, drawn in the view.
        previewing: whether there is a view to draw in.
        cancelling: whether the animator asked to stop.
        sent: whether the handshake is over and the request itself on its way.
        ordered: whether `found` is in the engine's order.
    """

    item: ExportedObject
    settings: dict[str, Any]
    parent: bool
    engine: EngineClient
    request: requests.Request
    shape: HandShape | None = None
    found: list[Candidate] = field(default_factory=list)
    preview: Preview | None = None
    previewing: bool = False
    cancelling: bool = False
    sent: bool = False
    ordered: bool = False

    def hand_of(self, message: Message, arrays: Arrays) -> HandShape:
        """The hand of the handshake's result, in scene units."""
        return requests.hand_shape(message, arrays, self.settings["hand_length"])

    def send(self) -> requests.Request:
        """Sends the request itself, once the hand is known."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context) -> str:
        """Writes the candidates into the scene.

        Returns:
            what to tell the animator.

        Raises:
            GraspError: there are none.
        """
        raise NotImplementedError

    @property
    def stage(self) -> str:
        """What is being done, for the panel."""
        return "Stopping" if self.cancelling else self.request.stage

    @property
    def done(self) -> bool:
        """Whether the last reply has come."""
        return self.request.done and self.shape is not None and self.sent

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
            self.found.append(requests.candidate(message, arrays))
            if self.previewing and self.shape is not None:
                self.preview = self.preview or Preview(self.shape.polygons, self.item.frame)
                self.preview.show(self.found[-1].vertices)
        elif arrays.get("order") is not None:
            self.found = [self.found[i] for i in arrays["order"].tolist()]
            self.ordered = True
