"""The one exception whose text is written for the animator."""

from __future__ import annotations


class GraspError(Exception):
    """Something the animator can put right; the message says what is wrong and what to do.

    Attributes:
        advice: which button helps: "hand_length", "preferences" or "".
    """

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__(sentence)
        self.advice = advice
