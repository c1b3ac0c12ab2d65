"""Both rulers laid on a set of grasps: per-grasp values and the means that go into a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch

from core.metrics.distinct import find_symmetry, most_different
from core.metrics.diversity import clustered, features
from core.metrics.hold import hold_test
from core.metrics.paper import paper_measures
from core.metrics.strict import strict_measures

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

PROTOCOLS: Final = ("paper", "strict", "both")
OTHER_FRICTIONS: Final = (0.5, 0.7)


@dataclass(frozen=True)
class Evaluation:
    """One object's grasps under one or both protocols.

    Attributes:
        count: of the grasps. paper, strict: name -> mean over them; empty where not asked for.
        joints: (N, 21, 3) metres, object frame, for diversity over several objects. parameters: (N, 61).
    """

    count: int
    paper: dict[str, float] = field(default_factory=dict)
    strict: dict[str, float] = field(default_factory=dict)
    joints: torch.Tensor | None = None
    parameters: torch.Tensor | None = None


def evaluate(obj: GraspObject, hand: HandModel, grasps: Grasps, protocol: str = "both",
             progress: Callable[[float, str], object] | None = None) -> Evaluation:
    """Measures all grasps as they come; none is rejected, drawn again or left out.

    Args:
        obj: the object. hand: of the grasps' side. grasps: in the object's frame. protocol: one of `PROTOCOLS`.

    Raises:
        ValueError: there is no such protocol, or there are no grasps.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"A protocol is one of {', '.join(PROTOCOLS)}, not '{protocol}'.")
    if not len(grasps):
        raise ValueError("There are no grasps to evaluate.")
    tell = progress or (lambda fraction, stage: None)
    with torch.no_grad():
        joints = hand(**grasps.to(hand.v_template.device).parameters()).joints.cpu()
    parameters = torch.cat([value.cpu() for value in grasps.parameters().values()], 1)
    paper: dict[str, float] = {}
    strict: dict[str, float] = {}
    if protocol != "strict":
        tell(0.0, "The papers' protocol")
        paper = means(paper_measures(obj, hand, grasps)) | diversity([joints], [parameters])
    if protocol != "paper":
        tell(0.4, "The strict protocol")
        measured = strict_measures(obj, hand, grasps)
        strict = means({name: value for name, value in measured.items() if name not in ("parts", "held")})
        strict["parts"] = float(measured["parts"].sum(1).float().mean())
        strict["held"] = float(measured["held"].float().mean())
        for place, friction in enumerate(OTHER_FRICTIONS):
            tell(0.7 + 0.1 * place, "The strict protocol")
            strict[f"held_{friction}"] = float(hold_test(obj, hand, grasps, friction=friction).held.float().mean())
        strict["different"] = float(len(most_different(joints, find_symmetry(obj))))
    tell(1.0, "Done")
    return Evaluation(len(grasps), paper, strict, joints, parameters)


def means(measures: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value.float().mean()) for name, value in measures.items()}


def diversity(joints: list[torch.Tensor], parameters: list[torch.Tensor]) -> dict[str, float]:
    """Entropy and cluster size over the grasps of one object or of several, by each paper's features."""
    every, raw = torch.cat(joints), torch.cat(parameters)
    found = {}
    for name in ("whitened_joints", "canonical_joints_cm", "parameters"):
        entropy, size = clustered(features(name, every, raw))
        found |= {f"entropy_{name}": entropy, f"cluster_{name}": size}
    return found
