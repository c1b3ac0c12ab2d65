"""Both protocols over a set of grasps: per-grasp values and the means that go into a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.metrics.diversity import CLUSTERS, FEATURES, RUNS, clustered, features
from core.metrics.paper import paper_measures
from core.metrics.strict import strict_measures
from core.metrics.truth import truth_measures
from core.progress import Progress
from core.quality.diversity import most_different
from core.quality.hold import hold_test
from core.quality.symmetry import find_symmetry

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

PROTOCOLS: Final = ("paper", "strict", "both")
#: coefficients beside the strict protocol's own with which the hold test is run
OTHER_FRICTIONS: Final = (0.5, 0.7)


@dataclass(frozen=True)
class Evaluation:
    """One object's grasps under one or both protocols.

    Attributes:
        count: of the grasps.
        paper: name to mean by the papers' protocol, units in the names; empty where not asked for.
        strict: likewise by the strict protocol.
        truth: likewise against the true grasps.
        each: "paper", "strict", "truth" to name to the (N,) values of the grasps; strict's parts are (N, 6).
        joints: (N, 21, 3) metres, object frame, for diversity over several objects.
        parameters: (N, 61) likewise: wrist rotation, pose, translation and shape.
    """

    count: int
    paper: dict[str, float] = field(default_factory=dict)
    strict: dict[str, float] = field(default_factory=dict)
    truth: dict[str, float] = field(default_factory=dict)
    each: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    joints: torch.Tensor | None = None
    parameters: torch.Tensor | None = None


def evaluate(obj: GraspObject, hand: HandModel, grasps: Grasps, protocol: str = "both",
             progress: Progress | None = None, truth: Grasps | None = None) -> Evaluation:
    """Measures all grasps as they come; none is rejected, drawn again or left out.

    Args:
        obj: the object.
        hand: of the grasps' side.
        grasps: in the object's frame.
        protocol: one of `PROTOCOLS`.
        progress: told what is being done; None hears nothing.
        truth: for each grasp the true one, of the same hand and object.

    Raises:
        ValueError: there is no such protocol, there are no grasps, or what is given does not fit; a sentence.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"A protocol is one of {', '.join(PROTOCOLS)}, not '{protocol}'.")
    check_grasps(hand, grasps)
    if truth is not None:
        check_truth(hand, grasps, truth)
    progress = progress or Progress()
    with torch.no_grad():
        joints = hand(**grasps.to(hand.v_template.device).parameters()).joints.cpu()
    parameters = torch.cat([value.cpu() for value in grasps.parameters().values()], 1)
    paper_means: dict[str, float] = {}
    strict_means: dict[str, float] = {}
    truth_means: dict[str, float] = {}
    each: dict[str, dict[str, torch.Tensor]] = {}
    if protocol != "strict":
        each["paper"] = paper_measures(obj, hand, grasps, progress=progress.sub(0.0, 0.35, "The papers' protocol"))
        paper_means = means(each["paper"]) | diversity([joints], [parameters])
    if protocol != "paper":
        each["strict"] = strict_measures(obj, hand, grasps, progress=progress.sub(0.35, 0.7, "The strict protocol"))
        for number, friction in enumerate(OTHER_FRICTIONS):
            begin = 0.7 + 0.1 * number
            part = progress.sub(begin, begin + 0.1, f"Holding with friction {friction}")
            each["strict"][f"held_{friction}"] = hold_test(obj, hand, grasps, friction=friction, progress=part).held
        strict_means = means({name: value for name, value in each["strict"].items() if name != "parts"})
        strict_means["parts"] = float(each["strict"]["parts"].sum(1).float().mean())
        strict_means["different"] = float(len(most_different(joints, find_symmetry(obj))))
    if truth is not None:
        each["truth"] = truth_measures(obj, hand, grasps, truth, progress.sub(0.9, 1.0, "Against the truth"))
        truth_means = means(each["truth"])
    progress(1.0, "Done")
    return Evaluation(len(grasps), paper_means, strict_means, truth_means, each, joints, parameters)


def check_grasps(hand: HandModel, grasps: Grasps, what: str = "grasps") -> None:
    """Checks that grasps can be measured.

    Args:
        hand: the hand that they should be of.
        grasps: the grasps.
        what: what to call them in the message.

    Raises:
        ValueError: there are none, they are of the other hand, or they hold numbers that no grasp has; a sentence.
    """
    if not len(grasps):
        raise ValueError(f"There are no {what} to evaluate.")
    if grasps.hand != hand.side:
        raise ValueError(f"The {what} are of a {grasps.hand} hand, and the hand is a {hand.side} one.")
    if not all(torch.isfinite(value).all() for value in grasps.parameters().values()):
        raise ValueError(f"The {what} hold numbers that are none (NaN or infinite).")
    if grasps.betas.abs().max() >= 100 or max(grasps.hand_pose.abs().max(), grasps.global_orient.abs().max()) >= 1000:
        raise ValueError(f"The {what} hold shapes or turns that no hand has: betas are below 100, and rotations in "
                         "radians.")


def check_truth(hand: HandModel, grasps: Grasps, truth: Grasps) -> None:
    """Checks that there is one true grasp for each grasp.

    Raises:
        ValueError: there is not, or they cannot be measured; a sentence.
    """
    check_grasps(hand, truth, "true grasps")
    if len(truth) != len(grasps):
        raise ValueError(f"There are {len(grasps)} grasps and {len(truth)} true ones: the truth holds one for each "
                         "grasp, in the same order.")


def means(measures: dict[str, torch.Tensor]) -> dict[str, float]:
    """Name to the mean over all grasps."""
    return {name: float(value.float().mean()) for name, value in measures.items()}


def diversity(joints: list[torch.Tensor], parameters: list[torch.Tensor]) -> dict[str, float]:
    """Entropy and cluster size over the grasps of one object or of several, by each paper's features.

    Args:
        joints: (N, 21, 3) metres, of each object's grasps.
        parameters: (N, P), likewise.

    Returns:
        Name to value; empty for no more grasps than clusters, where they would say nothing.
    """
    all_joints, all_parameters = torch.cat(joints), torch.cat(parameters)
    found: dict[str, float] = {}
    for name in FEATURES if len(all_joints) > CLUSTERS else ():
        values = features(name, all_joints, all_parameters)
        entropy, size = np.mean([clustered(values, seed) for seed in range(RUNS)], 0).tolist()
        found |= {f"entropy_{name}": entropy, f"cluster_{name}": size}
    return found
