"""grasp.check_engine: start the engine and tell what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bpy

from ..engine import command, requests, session
from ..engine.client import Arrays, Message
from .job import EngineJob
from .mixins import sentence_of
from .request_operator import EngineRequestMixin
from .watch import Watch


@dataclass(kw_only=True)
class CheckJob(EngineJob):
    """One click of Check Engine."""

    answered: bool = False

    def receive(self, message: Message, arrays: Arrays) -> None:
        session.learn(message)
        self.answered = True

    @property
    def done(self) -> bool:
        return self.request.done and self.answered

    def finish(self, context: bpy.types.Context) -> str:
        return session.info().sentence


class GRASP_OT_check_engine(EngineRequestMixin, bpy.types.Operator):
    """Start the engine and ask it what it can do"""

    bl_idname = "grasp.check_engine"
    bl_label = "Check Engine"

    def begin(self, context: bpy.types.Context) -> CheckJob:
        engine = session.client(*command.engine_command(context))
        return CheckJob(engine=engine, request=requests.hello(engine, "right", ""))

    def fail(self, error: Exception) -> set[str]:
        """The answer stands in the preferences, below the button."""
        self._answer(sentence_of(error), "ERROR")
        return {"CANCELLED"}

    def _end(self, context: bpy.types.Context, watch: Watch) -> set[str]:
        watch.close()
        self._answer(watch.job.finish(context), "INFO")
        return {"FINISHED"}

    def _answer(self, sentence: str, level: str) -> None:
        chosen = command.preferences(bpy.context)
        if chosen:
            chosen.answer = sentence
        self.report({level}, sentence)


CLASSES: Final = (GRASP_OT_check_engine,)
