"""What is behind Generate Grasps: more proposals than asked for, fitted, those kept that hold and differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.proposal import Proposal
from core.fitting.representation import Choir
from core.grasps.batch import Grasps
from core.grasps.intents import INTENTS, missing_parts
from core.grasps.taxonomy import grasp_types
from core.hand.tables import PARTS
from core.pipeline.selection import SELECTION, best_of_each_type, does_intent, fit_and_select
from core.quality.intent import IntentJudge
from core.registry import METHODS, make_generator

if TYPE_CHECKING:
    from core.grasps.request import GraspRequest
    from core.progress import Progress

#: proposals from which on a request draws no more than it may fit
MOST_DRAWN: Final = 256
#: how often proposals are drawn at most while too few promise to do what the intent asks
MOST_DRAWS: Final = 4
#: between the seeds of two draws of one request: far more than between those that animators try
DRAW_STRIDE: Final = 1_000_003
#: of the progress of a draw, what the method takes; the rest is for judging what it gives
DRAW_SHARE: Final = 0.7
#: what is done instead where an intent needs parts that the object does not name
WITHOUT_PARTS: Final = "hold"


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
    request = granted(request)
    judge = None if raw or request.intent == "any" else IntentJudge(request)
    if fit and not raw and not METHODS[method].fitted:
        many = replace(request, count=proposal_count(method, request.count), fitted=True)
        if judge is None:
            grasps, field = propose_raw(many, method, seed, progress.sub(0.0, 0.5), device)
            grasps = fit_and_select(request, grasps.to("cpu"), progress, field)
        else:
            grasps, field, promise = propose_for_intent(many, judge, SELECTION.most_fitted(request.count), method, seed,
                                                        progress.sub(0.0, 0.5), device)
            grasps = fit_and_select(request, grasps, progress, field, judge, promise)
    else:
        grasps, _ = propose_raw(request, method, seed, progress, device)
        grasps = grasps if judge is None else judge.marked(grasps.to("cpu"))
    grasps = replace(grasps, method=method, seed=seed, hand=request.hand.side)
    return grasps[: request.count] if raw else best_of_each_type(grasps, request.count)


def granted(request: GraspRequest) -> GraspRequest:
    """The request with an intent that can be done: `WITHOUT_PARTS`, where its own needs parts that are not named."""
    return replace(request, intent=WITHOUT_PARTS) if missing_parts(request.object, request.intent) else request


def told_intent(request: GraspRequest, grasps: Grasps, advice: str = "") -> str:
    """A sentence, without its end, on how far the grasps of a request do what its intent asks; "" without one.

    Args:
        request: as it was asked.
        grasps: what `propose` found for it.
        advice: how parts are named, where the object lacks one.
    """
    if missing := missing_parts(request.object, request.intent):
        return (f"nothing tells which part of this object {missing}, so that '{request.intent}' cannot be done: "
                f"these are grasps of '{WITHOUT_PARTS}'" + advice)
    if request.intent == "any" or "intent" not in grasps.measures:
        return ""
    return f"{int(does_intent(grasps).sum())} of {len(grasps)} do all that '{request.intent}' asks"


def propose_for_intent(request: GraspRequest, judge: IntentJudge, enough: int, method: str, seed: int,
                       progress: Progress, device: str = "cpu") -> tuple[Grasps, Choir | None, torch.Tensor]:
    """Proposals of which `enough` promise to do what the intent asks, where a few draws bring so many.

    Args:
        request: its count is that of each draw.
        judge: of the request's intent.
        enough: how many should promise it.
        method: a name of `METHODS`.
        seed: of the draws.
        progress: told how far it is.
        device: "cpu" or "cuda".

    Returns:
        The grasps of all draws, on the processor, the fields that they lie in, if any, and their grades
        (`IntentJudge.promise`).
    """
    drawn: list[Proposal] = []
    grades: list[torch.Tensor] = []
    while len(drawn) < MOST_DRAWS and sum(int((some == 1).sum()) for some in grades) < enough:
        begin, middle, end = ((len(drawn) + share) / MOST_DRAWS for share in (0, DRAW_SHARE, 1))
        proposal = propose_raw(request, method, seed, progress.sub(begin, middle), device, len(drawn))
        drawn.append(proposal._replace(grasps=proposal.grasps.to("cpu")))
        grades.append(judge.promise(drawn[-1].grasps, progress.sub(middle, end, "Looking at the proposals")))
    fields = [proposal.field for proposal in drawn if proposal.field is not None]
    return Grasps.cat([proposal.grasps for proposal in drawn]), Choir.cat(fields) if fields else None, torch.cat(grades)


def proposal_count(method: str, count: int) -> int:
    """How many proposals are drawn where `count` grasps are asked for: most are not worth a fit."""
    return max(SELECTION.most_fitted(count), min(METHODS[method].drawn * count, MOST_DRAWN))


def propose_raw(request: GraspRequest, method: str, seed: int, progress: Progress, device: str = "cpu",
                draw: int = 0) -> Proposal:
    """A method's grasps as they come, and the field that it predicts them by, if any; other ones with each `draw`."""
    generator = make_generator(method, device)
    seed = (seed + draw * DRAW_STRIDE) % 2**63
    with torch.random.fork_rng():  # what draws from the global generator is repeated too
        torch.manual_seed(seed)
        return generator.sample(request, torch.Generator().manual_seed(seed), progress)
