"""What can be wrong with a mesh, as sentences for the animator."""

from __future__ import annotations


class ObjectError(ValueError):
    """A mesh that cannot be grasped; its text says what is wrong and what to do."""


class UngraspableSizeError(ObjectError):
    """An object of a size no hand can take.

    Args:
        measured: its size, and what is wrong with it; the advice for Blender is added.
        extent: as the attribute.
        suggested_scale: likewise.

    Attributes:
        way: in which the object would have to be scaled.
        measured: the sentence without advice.
        extent: largest side of its bounding box, metres.
        suggested_scale: factor on the object's size (or divisor of the scene's hand length)
            that would bring it to a size a hand takes.
    """

    way = "up or down"

    def __init__(self, measured: str, extent: float, suggested_scale: float) -> None:
        super().__init__(f"{measured} Set Hand Length for This Object, or scale the object {self.way}.")
        self.measured = measured
        self.extent = extent
        self.suggested_scale = suggested_scale


class ObjectTooLarge(UngraspableSizeError):  # noqa: N818  the name that callers know
    """No place on the object is narrow enough for a hand."""

    way = "down"


class ObjectTooSmall(UngraspableSizeError):  # noqa: N818
    """The whole object is thinner than fingers can take."""

    way = "up"
