"""What is behind Imagine Object and Grasp: objects with hands on them, fitted, those first that hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import torch

from core.fitting.fit import fit
from core.grasps.request import GraspRequest
from core.quality.hold import hold_mask
from core.quality.surface import has_contact
from core.registry import METHODS, make_generator

if TYPE_CHECKING:
    from core.generators.base import ImaginingGenerator
    from core.generators.imagination import ImaginationRequest, Imagined
    from core.progress import Progress

#: pairs that are imagined for each that is asked for, where a fit and a hold test choose
DRAWN: Final = 2
#: the share of the progress at which all is imagined, and the fits begin
IMAGINED: Final = 0.4


def imagine(request: ImaginationRequest, seed: int, progress: Progress, device: str = "cpu",
            method: str = "") -> list[Imagined]:
    """Objects with hands on them.

    Args:
        request: how many, and of what kind; where it is `fitted`, twice as many are imagined and laid on the surface,
            and those that hold are taken first.
        seed: repeats a result on a device.
        progress: told how far it is.
        device: "cpu" or "cuda".
        method: a name of `METHODS`; "" is the first that imagines.

    Returns:
        At most `request.count`, those that hold first.

    Raises:
        LookupError: nothing came that a hand can take.
        ValueError: the method does not imagine, or its weights are missing or damaged.
        core.progress.Stopped: the work was asked to stop.
    """
    able = [name for name, each in METHODS.items() if each.imagines]
    name = method or able[0]
    if name not in able:
        raise ValueError(f"'{name}' imagines no objects: use {' or '.join(able)}.")
    generator = cast("ImaginingGenerator", make_generator(name, device))
    many = replace(request, count=DRAWN * request.count) if request.fitted else request
    end = IMAGINED if request.fitted else 1.0
    found = generator.imagine(many, torch.Generator().manual_seed(seed), progress.sub(0.0, end))
    if request.fitted:
        found = [_fitted(request, one, progress.sub(end + (1 - end) * place / len(found),
                                                    end + (1 - end) * (place + 1) / len(found)))
                 for place, one in enumerate(found)]
        found.sort(key=lambda one: -float(one.grasps.score[0]))
    if not found:
        raise LookupError("Nothing was imagined that a hand can take: try another seed.")
    return [replace(one, grasps=replace(one.grasps, seed=seed)) for one in found[: request.count]]


def _fitted(request: ImaginationRequest, one: Imagined, progress: Progress) -> Imagined:
    """The pair with its hand laid on the surface; its score is 1 where it holds, and 0 where it does not."""
    laid = fit(one.object, request.hand, one.grasps, progress=progress.sub(0.0, 0.8))
    asked = GraspRequest(one.object, request.hand, 1, betas=request.betas)
    held = hold_mask(asked, laid.grasps, has_contact(laid.after) & (laid.after.bones == 0), progress.sub(0.8, 1.0))
    return replace(one, grasps=replace(laid.grasps, score=held.float()).with_measure("holds", held))
