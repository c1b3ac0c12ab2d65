"""What a generator gives: grasps, and the field that they were predicted by.

It stands here and not in `core.generators`, as `core.synthesis` gives it too and the two do not import each other; both
may import the representation of the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.grasps.batch import Grasps


class Proposal(NamedTuple):
    """Grasps as a generator gives them.

    Attributes:
        grasps: N grasps in the object's frame.
        field: the N representations that they were predicted by, in which they lie, for the fit; None where the
            generator predicts none.
    """

    grasps: Grasps
    field: Choir | None = None
