"""How work tells how far it is, shows what is good already, and is asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopped(Exception):  # noqa: N818  not an error
    """The work was asked to stop. What was accepted before it stands."""


class Progress:
    """Reports the share of the work that is done; the work ends by `Stopped` where somebody wants it to.

    It may be called from other threads than the one that asked for the work, but by one at a time, and is called at
    least four times a second, so that a cancel takes effect at once.

    Args:
        report: told the fraction done, 0 to 1, and a few words on the stage; answers False where the work should stop.
            None hears nothing and never stops.
        show: told grasps (`core.grasps.batch.Grasps`) that are good already, before the rest is done.
        stage: the words where none are given.
    """

    def __init__(self, report: Callable[[float, str], bool | None] | None = None,
                 show: Callable[[Any], object] | None = None, stage: str = "") -> None:
        self._report, self._show, self._stage = report, show, stage

    def __call__(self, fraction: float, stage: str = "") -> None:
        """Reports `fraction` (0 to 1) of the work done.

        Raises:
            Stopped: the work should end here.
        """
        if self._report is not None and self._report(fraction, stage or self._stage) is False:
            raise Stopped

    def accepted(self, grasps: Any) -> None:
        """Shows grasps that are good already."""
        if self._show is not None:
            self._show(grasps)

    def sub(self, begin: float, end: float, stage: str = "") -> Progress:
        """The part of this progress from `begin` to `end`, for work within the work; what that accepts is not shown.

        Args:
            begin: the fraction at which the part begins.
            end: the fraction at which it is done.
            stage: the words of the part where it gives none.
        """
        def report(fraction: float, words: str) -> None:
            self(begin + (end - begin) * fraction, words or stage or self._stage)

        return Progress(report)
