"""What is behind Generate Grasps: more proposals than asked for, fitted, those kept that hold and differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.intents import INTENTS
from core.grasps.taxonomy import grasp_types
from core.hand.tables import PARTS
from core.pipeline.selection import SELECTION, best_of_each_type, fit_and_select
from core.registry import METHODS, make_generator

if TYPE_CHECKING:
    from core.fitting.proposal import Proposal
    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest
    from core.progress import Progress

#: proposals from which on a request draws no more than it may fit
MOST_DRAWN: Final = 256


def check_request(method: str, count: int, grasp_type: str, intent: str) -> None:
    """ValueError with a sentence where a request asks for what there is not."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"There is no method '{method}': use one of {', '.join(METHODS)}.")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10000:
        raise ValueError(f"A count is a whole number from 1 to 10000, not {count!r}.")
    if not isinstance(grasp_type, str) or (grasp_type != "any" and grasp_type not in grasp_types()):
        raise ValueError(f"There is no grasp type '{grasp_type}': use any, {', '.join(grasp_types())}.")
    if intent not in INTENTS:
        raise ValueError(f"There is no intent '{intent}': use {', '.join(INTENTS[:-1])} or {INTENTS[-1]}.")


def check_keep(method: str, keep: object) -> None:
    """ValueError with a sentence where parts of a hand cannot be kept as told.

    Args:
        method: a name of `METHODS`.
        keep: six bools, which of `core.hand.tables.PARTS` are kept; None where nothing is to be.
    """
    if keep is None:
        return
    if not METHODS[method].keeps:
        able = " or ".join(known.label for known in METHODS.values() if known.keeps)
        raise ValueError(f"{METHODS[method].label} cannot keep parts of a hand: use {able}.")
    if not isinstance(keep, list | tuple) or len(keep) != len(PARTS) or not all(isinstance(k, bool) for k in keep):
        raise ValueError(f"Which parts are kept is told by true or false for each of {', '.join(PARTS)}.")
    if all(keep):
        raise ValueError("All parts of the hand are kept: leave out at least one, which is then drawn anew.")


def propose(request: GraspRequest, method: str, seed: int, progress: Progress, device: str = "cpu",
            raw: bool = False, fit: bool = True) -> Grasps:
    """Grasps for a request, best first.

    Args:
        request: object, hand, count, type and intent.
        method: a name of `METHODS`.
        seed: repeats a result on a device.
        progress: told how far it is; shown grasps that are good already.
        device: "cpu" or "cuda".
        raw: the first `count` as the generator gives them, not chosen.
        fit: lay them on the object's surface, where the method does not do so itself.

    Returns:
        At most `request.count` grasps.

    Raises:
        LookupError: no place on the object fits a hand.
        Stopped: by `progress`.
    """
    if fit and not raw and not METHODS[method].fitted:
        many = replace(request, count=proposal_count(method, request.count), fitted=True)
        grasps, field = propose_raw(many, method, seed, progress.sub(0.0, 0.5), device)
        grasps = fit_and_select(request, grasps.to("cpu"), progress, field)
    else:
        grasps, _ = propose_raw(request, method, seed, progress, device)
    grasps = replace(grasps, method=method, seed=seed, hand=request.hand.side)
    return grasps[: request.count] if raw else best_of_each_type(grasps, request.count)


def proposal_count(method: str, count: int) -> int:
    """How many proposals are drawn where `count` grasps are asked for: most are not worth a fit."""
    return max(SELECTION.most_fitted(count), min(METHODS[method].drawn * count, MOST_DRAWN))


def propose_raw(request: GraspRequest, method: str, seed: int, progress: Progress, device: str = "cpu") -> Proposal:
    """A method's grasps as they come, and the field that it predicts them by, if any."""
    generator = make_generator(method, device)
    with torch.random.fork_rng():  # what draws from the global generator is repeated too
        torch.manual_seed(seed)
        return generator.sample(request, torch.Generator().manual_seed(seed), progress)
