"""grasp.more_like_this: candidates that keep parts of the hand shown, and have others anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy

from ..engine import requests, session
from ..naming import PARTS
from .generate import told_loose
from .refine import RefineJob, RefineMixin, begin

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(kw_only=True)
class MoreJob(RefineJob):
    """One click of More Like This.

    Attributes:
        keep: which of `naming.PARTS` are kept.
        conditions: intent and fit, as the panel has them.
    """

    keep: tuple[bool, ...]
    conditions: dict[str, object]

    def send(self) -> requests.Request:
        settings = {**self.settings, **self.conditions, "method": self.method}
        return requests.more_like(self.engine, self.item, settings, self.keep, self.pose)

    @property
    def nothing(self) -> str:
        return f"No other grasp of {self.item.name} was found here: keep fewer parts of the hand, or try another seed."

    def summary(self, name: str) -> str:
        kept = " and ".join(label.lower() for label, one in zip(PARTS.values(), self.keep, strict=True) if one)
        end = told_loose(self.best) + self.told_note
        return f"{len(self.best)} more grasps of {name}, {kept or 'nothing'} kept{end}"


def why_not(method: str, keep: Collection[str]) -> str:
    """Why More Like This cannot be asked for, a sentence without its end; "" where it can."""
    keeping = [label for name, label in session.info().methods.items() if name in session.info().keeping]
    if method not in session.info().keeping:
        return f"Only {' or '.join(keeping)} keeps parts of a hand: choose that method" if keeping else (
            "This engine has no method that keeps parts of a hand")
    if len(keep) == len(PARTS):
        return "Everything is kept: leave out at least one part, which is then proposed anew"
    return ""


class GRASP_OT_more_like_this(RefineMixin, bpy.types.Operator):
    """Propose more grasps where this hand is, with the parts named under Keep as they are and the others anew"""

    bl_idname = "grasp.more_like_this"
    bl_label = "More Like This"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        settings = context.scene.grasp
        wrong = why_not(settings.method, settings.keep)
        if wrong:
            cls.poll_message_set(wrong)
        return not wrong

    def begin(self, context: bpy.types.Context) -> RefineJob:
        settings = context.scene.grasp
        return begin(context, MoreJob, keep=tuple(name in settings.keep for name in PARTS),
                     conditions={"intent": settings.intent, "fit": settings.fit})


CLASSES: Final = (GRASP_OT_more_like_this,)
