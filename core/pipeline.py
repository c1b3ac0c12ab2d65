"""What is behind the buttons: propose, fit, keep the best that differ, hand on in the caller's frame and unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.generators import METHODS, make_generator
from core.grasps import Grasps

if TYPE_CHECKING:
    from core.fitting.choose import Refiner
    from core.fitting.representation import Choir
    from core.generators.base import GraspRequest, Progress
    from core.hand import HandModel
    from core.objects import GraspObject

#: proposals from which on a request draws no more than it may fit
MOST_DRAWN: Final = 256
HAND_LENGTH: Final = 0.19  # metres: what a scene's hand length is compared with


def use_few_threads() -> None:
    """One thread for the small tensors of the processor; the other core is the hold test's."""
    torch.set_num_threads(1)


def choose_device(name: str) -> str:
    """"cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        ValueError: a graphics card was asked for and there is none, or the word is another.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"A device is auto, cpu or cuda, not '{name}'.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("The engine's PyTorch finds no CUDA graphics card: choose Automatic or CPU.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def grasp_types() -> dict[str, str]:
    """Name to label of the grasp types a request may ask for."""
    from core.synthesis.taxonomy import TYPES

    return {kind.name: kind.label for kind in TYPES}


def check_wishes(method: str, count: int, grasp_type: str, intent: str) -> None:
    """ValueError with a sentence where a request asks for what there is not."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"There is no method '{method}': use one of {', '.join(METHODS)}.")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10000:
        raise ValueError(f"A count is a whole number from 1 to 10000, not {count!r}.")
    if not isinstance(grasp_type, str) or (grasp_type != "any" and grasp_type not in grasp_types()):
        raise ValueError(f"There is no grasp type '{grasp_type}': use any, {', '.join(grasp_types())}.")
    from core.synthesis.intents import INTENTS

    if intent not in INTENTS:
        raise ValueError(f"There is no intent '{intent}': use {', '.join(INTENTS[:-1])} or {INTENTS[-1]}.")


def propose(request: GraspRequest, method: str, seed: int, progress: Progress, device: str = "cpu",
            raw: bool = False, fit: bool = True) -> Grasps:
    """Grasps for a request, best first.

    Args:
        request: object, hand, count and wishes.
        method: a name of `METHODS`.
        seed: repeats a result on a device.
        progress: told how far it is; may stop it.
        device: "cpu" or "cuda".
        raw: the first `count` as the generator gives them, not chosen.
        fit: lay them on the object's surface, where the method does not do so itself.

    Returns:
        At most `request.count` grasps.
    """
    if fit and not raw and not METHODS[method].fitted:
        from core.fitting.choose import Share, fit_and_choose

        many = replace(request, count=to_draw(method, request.count), fitted=True)
        grasps, fields = propose_raw(many, method, seed, Share(progress, 0.0, 0.5), device)
        grasps = fit_and_choose(request, grasps.to("cpu"), progress, fields)
    else:
        grasps, _ = propose_raw(request, method, seed, progress, device)
    grasps = replace(grasps, method=method, seed=seed, hand=request.hand.side)
    return grasps[: request.count] if raw else best_that_differ(grasps, request.count)


def to_draw(method: str, count: int) -> int:
    """How many proposals are drawn where `count` grasps are asked for: most are not worth a fit."""
    from core.fitting.choose import LEAST, MOST

    return max(LEAST, math.ceil(MOST * count), min(METHODS[method].drawn * count, MOST_DRAWN))


def propose_raw(request: GraspRequest, method: str, seed: int, progress: Progress,
                device: str = "cpu") -> tuple[Grasps, Choir | None]:
    """A method's grasps as they come, and the fields that it predicts them by; None where it predicts none."""
    generator = make_generator(method, device)
    with torch.random.fork_rng():  # what draws from the global generator is repeated too
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        if not METHODS[method].fields:
            return generator.sample(request, rng, progress), None
        from core.generators.jointdiffusion import propose as by_fields

        return by_fields(generator, request, rng, progress)


def refine(request: GraspRequest, seed: int, progress: Progress, method: str = "fit", device: str = "cpu") -> Grasps:
    """Grasps around hands that were posed by someone (`request.start`): the fit of each, and others near them.

    Args:
        request: object, hand, count, and the hands to start from.
        seed: of how the others are started.
        progress: told how far it is; may stop it; is shown the fits of the given hands at once.
        method: where it predicts fields, half of the others are what it makes of the given hands; any other method
            changes nothing.
        device: of that method.

    Raises:
        ValueError: the hand is too far from the object; the sentence says how far.
    """
    from core.fitting.choose import around

    refiner = refiner_of(method, request.object, request.hand, device)
    return replace(around(request, seed, progress, refiner), method="fit", seed=seed, hand=request.hand.side)


def fit_each(obj: GraspObject, hand: HandModel, grasps: Grasps, progress: Progress, method: str = "fit", seed: int = 0,
             device: str = "cpu") -> Grasps:
    """Each grasp fitted to the object, its hold kept; with a method that refines, from the fields that it predicts."""
    from core.fitting.again import fit_each_again
    from core.generators.base import GraspRequest

    refiner = refiner_of(method, obj, hand, device)
    fields = None
    if refiner is not None:
        grasps, fields = refiner(grasps, torch.Generator().manual_seed(seed))
    return fit_each_again(GraspRequest(obj, hand, len(grasps)), grasps, seed, progress, fields).grasps


def refiner_of(method: str, obj: GraspObject, hand: HandModel, device: str = "cpu") -> Refiner | None:
    """What makes better hands and their fields of rough ones by `method`; None where it only proposes."""
    if method not in METHODS or not METHODS[method].fields:
        return None
    from core.generators.jointdiffusion import refine as refine_by_fields

    return partial(refine_by_fields, make_generator(method, device), obj, hand)


def check_refiner(method: str) -> None:
    """ValueError where a method is asked to refine that cannot."""
    able = [name for name, known in METHODS.items() if known.fields]
    if method not in ("fit", *able):
        raise ValueError(f"'{method}' refines no hands: use fit or {' or '.join(able)}.")


def best_that_differ(grasps: Grasps, count: int) -> Grasps:
    """`count` of the grasps, by score: the best of each type has a place first, then the second best, and so on."""
    order = grasps.score.argsort(descending=True, stable=True).tolist()
    turn: dict[str, int] = {}
    ranked = []
    for place, row in enumerate(order):
        kind = grasps.type[row]
        turn[kind] = turn.get(kind, 0) + 1
        ranked.append((turn[kind], place, row))
    kept = sorted(sorted(ranked)[:count], key=lambda entry: entry[1])
    return grasps[torch.tensor([row for _, _, row in kept], dtype=torch.long)]


@dataclass(frozen=True)
class PosedHands:
    """N grasps as posed hands in the frame and unit of the mesh they were made for.

    Attributes:
        vertices: (N, V, 3) float64. joints: (N, 21, 3) float64.
        rest_vertices: (N, V, 3) float64 the mesh before skinning, the hand's own frame, same unit.
        rotations: (N, 16, 4) float64 wxyz, w >= 0, of each joint against its parent; the first is the wrist's.
        translation: (N, 3) float64 MANO's, the object's centroid included.
    """

    vertices: np.ndarray
    joints: np.ndarray
    rest_vertices: np.ndarray
    rotations: np.ndarray
    translation: np.ndarray


def pose_hands(hand: HandModel, grasps: Grasps, obj: GraspObject, scale: float = 1.0) -> PosedHands:
    """The hands of `grasps` in the mesh's own frame; `scale` is how many of the mesh's units are a metre."""
    from scipy.spatial.transform import Rotation

    grasps = grasps.to(hand.v_template.device)
    with torch.no_grad():
        out = hand(**grasps.parameters())

    def numbers(tensor: torch.Tensor) -> np.ndarray:
        return tensor.cpu().double().numpy()

    vectors = numbers(torch.cat([grasps.global_orient, grasps.hand_pose], 1)).reshape(-1, 3)
    quaternions = Rotation.from_rotvec(vectors).as_quat()[:, [3, 0, 1, 2]].reshape(-1, 16, 4)
    quaternions = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    return PosedHands(
        (numbers(out.vertices) + obj.centroid) * scale, (numbers(out.joints) + obj.centroid) * scale,
        numbers(out.rest_vertices) * scale, quaternions, (numbers(grasps.transl) + obj.centroid) * scale)
