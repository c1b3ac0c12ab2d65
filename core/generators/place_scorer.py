"""Where a hand may be, before how it is: a scorer of (surface point, roll) pairs in the heading frame, and of types.

Trained by binary cross-entropy: the places of the training grasps against uniform ones on the same objects, so its
logit is the log ratio of the two densities, and places drawn by it are drawn as the training grasps are spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from core.generators.conditioning import TYPE_CONDITIONS, ConditionEmbedding, dropped
from core.generators.local_cloud import FAR_PROBES, place_features
from core.generators.pointnet import perceptron
from core.grasps.heading_frame import Frames, mirrored, random_frames
from core.grasps.intents import INTENTS, Purpose

if TYPE_CHECKING:
    from core.grasps.request import GraspRequest

CANDIDATES, ROLLS = 160, 8
#: Two places nearer than this, metres, and turned less than this cosine says, are one place.
APART, TURNED = 0.015, 0.7
FEATURES: Final = 128 + FAR_PROBES + 3
#: How freely places are drawn, and the types for them: below 1 the likeliest are preferred. With 0.7 and 1, of 96
#: points, 67 % of FastGrasp's raw hands on 21 real objects held, and 70 % of JointDiffusion's; with these, of 256, 77
#: and 75 %, with a quarter and a seventh fewer bones through walls. Of `use`, whose part nobody has named, 0.7 puts 68
#: and 62 % of the places on it (held-out shapes and families), 0.3 puts 79 and 78 %.
TEMPERATURE, TYPE_TEMPERATURE = 0.3, 0.5
#: metres: where known parts are asked for, a hand touches about so much around its place; and how much the share of
#: those parts in it counts beside the scorer's log ratio. Of raw hands asked to `use`, 64 and 63 % have 60 % of their
#: contact on the part without it, 70 and 74 % with 8, 82 and 87 % with 40 (held-out shapes and families).
AROUND, SHARE = 0.06, 40.0
#: Shapes are soon known by heart: what the scorer is told is blurred, and some of it forgotten. On 836 shapes twice as
#: much blur and three times as much forgotten is worse on held-out ones (loss 1.27, 1.21; families 1.54, 1.47).
BLUR, DROPPED = 0.1, 0.1


class PlaceScorer(nn.Module):
    """log p(place | grasped, wishes) / p(place | uniform), up to a constant; and p(type | place, intent)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.wishes = ConditionEmbedding(width)
        self.first = nn.Linear(FEATURES, width)
        self.rest = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Dropout(DROPPED), nn.Linear(width, width),
                                  nn.LayerNorm(width), nn.SiLU(), nn.Dropout(DROPPED))
        self.score = perceptron(width, width // 2, 1)
        self.types = perceptron(width, width // 2, len(TYPE_CONDITIONS) - 1)

    def forward(self, features: torch.Tensor, kind: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N,) logits of features (N, 195) and wishes (N,)."""
        return self.score(self.rest(self.first(features) + self.wishes(kind, intent)))[:, 0]

    def draw_types(self, features: torch.Tensor, intent: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """(N,) types for places with `features` (N, 195), none of them 0."""
        logit = self.type_logits(features, intent) / TYPE_TEMPERATURE
        return 1 + (logit + gumbel(logit.shape, rng)).argmax(1)

    def type_logits(self, features: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, types) logits of the types but "any"."""
        return self.types(self.rest(self.first(features) + self.wishes(0 * intent, intent)))

    def loss(self, batch: dict[str, torch.Tensor], rng: torch.Generator) -> dict[str, torch.Tensor]:
        """`features` (N, 195), `other` (N, K, 195) uniform ones of the same object, `kind`, `intent` (N,)."""
        kind, intent = dropped(batch["kind"], rng), dropped(batch["intent"], rng)
        here, other = (value + BLUR * self.training * torch.randn(value.shape, generator=rng).to(value)
                       for value in (batch["features"], batch["other"]))
        yes = self(here, kind, intent)
        count = other.shape[1]
        no = self(other.flatten(0, 1), kind.repeat_interleave(count), intent.repeat_interleave(count))
        terms = {"place": binary_cross_entropy_with_logits(yes, torch.ones_like(yes))
                 + binary_cross_entropy_with_logits(no, torch.zeros_like(no)),
                 "type": cross_entropy(self.type_logits(here, intent), batch["kind"] - 1)}
        return terms | {"loss": terms["place"] + 0.3 * terms["type"]}


def condition_index(request: GraspRequest) -> tuple[int, int]:
    """A request's type and intent as the networks know them."""
    return TYPE_CONDITIONS.index(request.type), INTENTS.index(request.intent)


def allowed(request: GraspRequest) -> torch.Tensor | None:
    """(P,) bool: the object's points that the intent allows, where its parts are known; None where anything goes."""
    if request.intent == "any" or request.object.parts is None:
        return None
    mask = Purpose(request.object, request.intent).allowed
    return mask if mask.any() else None


@torch.no_grad()
def sample_grasp_points(scorer: PlaceScorer, request: GraspRequest, count: int, rng: torch.Generator,
                  temperature: float = TEMPERATURE) -> tuple[Frames, torch.Tensor]:
    """`count` places drawn by the scorer, no two of them the same while there are others, and a type for each.

    A type that is not asked for is drawn too, from p(type | place, intent).

    Args:
        temperature: below 1 the likeliest are preferred, above 1 they are spread.

    Returns:
        the frames, of a left hand `mirrored`, and (count,) indices into `TYPE_CONDITIONS`.

    Raises:
        LookupError: the intent allows no place on the object.
    """
    obj = request.object
    only = allowed(request)
    frames = random_frames(obj, max(CANDIDATES, 2 * count), ROLLS, rng, only)
    if request.hand.side == "left":
        frames = mirrored(frames)
    if request.place is not None:
        near = (frames.origin - request.place).norm(dim=1).argsort()[: max(8 * ROLLS, 4 * count)]
        frames = frames[near]
    kind, intent = condition_index(request)
    here = torch.zeros(len(frames.origin), dtype=torch.long)
    logit = scorer(place_features(obj, frames), here + kind, here + intent)
    if only is not None:
        logit = logit + SHARE * share_around(obj.points, only, frames.origin)
    if request.approach is not None:
        logit = logit + 4 * (frames.axes[:, :, 2] @ -request.approach)
    order = (logit / temperature + gumbel(logit.shape, rng)).argsort(descending=True)  # draws without repeats
    origin, lateral = frames.origin[order], frames.axes[order][:, :, 1]
    chosen: list[int] = []
    for row in range(len(order)):
        if len(chosen) == count:
            break
        same = ((origin[chosen] - origin[row]).norm(dim=1) < APART) & (lateral[chosen] @ lateral[row] > TURNED)
        if not same.any():
            chosen.append(row)
    chosen += [row for row in range(len(order)) if row not in set(chosen)][: count - len(chosen)]
    rows = order[torch.tensor(chosen)]
    found = frames[rows.repeat(-(-count // len(rows)))[:count]]
    here = torch.full((count,), kind)
    return found, here if kind else scorer.draw_types(place_features(obj, found), here + intent, rng)


def share_around(points: torch.Tensor, wanted: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(N,) share of those of points (P, 3) within `AROUND` of places (N, 3) that are `wanted` (P,)."""
    near = (torch.cdist(places, points) < AROUND).float()
    return near @ wanted.float() / near.sum(1).clamp_min(1)


def gumbel(shape: torch.Size | tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Noise that makes the largest of log probabilities a draw."""
    uniform = torch.rand(shape, generator=rng).clamp(1e-9, 1 - 1e-7)
    return -(-uniform.log()).log()
