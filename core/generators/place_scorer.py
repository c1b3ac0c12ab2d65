"""Where a hand may be, before how it is: a scorer of (surface point, roll) pairs in the heading frame, and of types.

Trained by binary cross-entropy: the places of the training grasps against uniform ones on the same objects, so its
logit is the log ratio of the two densities, and places drawn by it are drawn as the training grasps are spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from core.generators.conditioning import TYPE_CONDITIONS, ConditionEmbedding, condition_index, drop_conditions
from core.generators.local_cloud import PLACE_FEATURES, place_features
from core.generators.pointnet import perceptron
from core.generators.training_config import (
    Batch,
    OptimizerConfig,
    Stage,
    Terms,
    TrainableNetwork,
    TrainingConfig,
    scaled,
)
from core.grasps.heading_frame import Frames, mirrored, random_frames
from core.grasps.intents import Purpose
from core.grasps.taxonomy import TYPES

if TYPE_CHECKING:
    from core.grasps.request import GraspRequest

#: numbers of `place_features`
FEATURES: Final = 128 + PLACE_FEATURES.far_probes + 3


@dataclass(frozen=True)
class PlaceConfig:
    """How the scorer is trained and places are drawn by it.

    What temperatures, part weight, noise and dropout were measured against: docs/results/tried-and-not-kept.md.

    Attributes:
        candidates: surface points that are scored, at least; twice as many as places are asked for, where that is more.
        rolls: turns about the normal at each of them, in even steps.
        nearest: candidates kept where a place is asked for, at least, those nearest to it.
        same_distance: metres within which two places are one, where they are turned alike.
        same_cosine: cosine between the lateral axes above which they are.
        temperature: of the draw of places; below 1 the likeliest are preferred.
        type_temperature: of the draw of types for them.
        part_radius: metres around a place that a hand touches about, where known parts are asked for.
        part_weight: what the share of those parts within that radius counts beside the scorer's log ratio
           .
        turn_weight: what it counts that a hand there is turned as somebody's who uses the object.
        approach_weight: what the cosine between a place's inward normal and the approach asked for counts.
        far_below: where an intent is asked for, places this much below the best are not taken for being unlike others.
        feature_noise: standard deviation of the noise on features in training: shapes are soon known by heart.
        dropout: share of the hidden numbers that are dropped in training.
        type_weight: weight of the types' loss against the places'.
    """

    candidates: int = 160
    rolls: int = 8
    nearest: int = 64
    same_distance: float = 0.015
    same_cosine: float = 0.7
    temperature: float = 0.3
    type_temperature: float = 0.5
    part_radius: float = 0.06
    part_weight: float = 40.0
    turn_weight: float = 8.0
    approach_weight: float = 4.0
    far_below: float = 3.0
    feature_noise: float = 0.1
    dropout: float = 0.1
    type_weight: float = 0.3


PLACES: Final = PlaceConfig()


class PlaceScorer(TrainableNetwork):
    """log p(place | grasped, conditions) / p(place | uniform), up to a constant; and p(type | place, intent).

    Args:
        width: of the hidden layers.
        config: how it is trained and asked.

    Attributes:
        weights: the name of its weights.
    """

    weights = "places"

    def __init__(self, width: int = 128, config: PlaceConfig = PLACES) -> None:
        super().__init__()
        self.config = config
        self.wishes = ConditionEmbedding(width)  # a name in the weights' file
        self.first = nn.Linear(FEATURES, width)
        self.rest = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), nn.Dropout(config.dropout), nn.Linear(width, width),
            nn.LayerNorm(width), nn.SiLU(), nn.Dropout(config.dropout))
        self.score = perceptron(width, width // 2, 1)
        self.types = perceptron(width, width // 2, len(TYPE_CONDITIONS) - 1)

    def forward(self, features: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N,) logits of features (N, 195), types and intents (N,)."""
        return self.score(self.rest(self.first(features) + self.wishes(grasp_type, intent)))[:, 0]

    def draw_types(self, features: torch.Tensor, intent: torch.Tensor, rng: torch.Generator,
                   suitable: torch.Tensor | None = None) -> torch.Tensor:
        """(N,) types, none 0, for places with features (N, 195) and intents (N,); of `suitable` (types,) only."""
        logit = self.type_logits(features, intent) / self.config.type_temperature
        if suitable is not None:
            logit = logit.masked_fill(~suitable, -torch.inf)
        return 1 + (logit + gumbel_noise(logit.shape, rng)).argmax(1)

    def type_logits(self, features: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, types) logits of the types but "any"."""
        return self.types(self.rest(self.first(features) + self.wishes(0 * intent, intent)))

    def loss(self, batch: Batch, rng: torch.Generator) -> Terms:
        """Binary cross-entropy of places, cross-entropy of types.

        Args:
            batch: `features` (N, 195) of grasped places, `negatives` (N, K, 195) of uniform ones on the same objects,
                `grasp_type` and `intent` (N,).
            rng: of the noise and of the conditions that are dropped.
        """
        grasp_type, intent = drop_conditions(batch["grasp_type"], rng), drop_conditions(batch["intent"], rng)
        noise = self.config.feature_noise * self.training
        grasped, uniform = (value + noise * torch.randn(value.shape, generator=rng).to(value)
                            for value in (batch["features"], batch["negatives"]))
        yes = self(grasped, grasp_type, intent)
        count = uniform.shape[1]
        no = self(uniform.flatten(0, 1), grasp_type.repeat_interleave(count), intent.repeat_interleave(count))
        terms = {"place": binary_cross_entropy_with_logits(yes, torch.ones_like(yes))
                 + binary_cross_entropy_with_logits(no, torch.zeros_like(no)),
                 "type": cross_entropy(self.type_logits(grasped, intent), batch["grasp_type"] - 1)}
        return terms | {"loss": terms["place"] + self.config.type_weight * terms["type"]}


def purpose_of(request: GraspRequest) -> Purpose | None:
    """The request's intent on its object, where it restricts places; None where anything goes."""
    if request.intent == "any" or (request.object.parts is None and request.intent != "lift"):
        return None
    return Purpose(request.object, request.intent)


def allowed_points(purpose: Purpose) -> torch.Tensor | None:
    """(P,) bool: the object's points at which the intent allows a hand; None where it allows none or all."""
    mask = purpose.allowed
    if purpose.intent == "lift":
        mask = mask & (purpose.obj.points.norm(dim=1) < purpose.reach)
    return mask if mask.any() and not mask.all() else None


def suitable_types(purpose: Purpose | None) -> torch.Tensor:
    """(types,) bool: the types but "any" with which a person would do it; all where anything goes."""
    names = [grasp_type.name for grasp_type in (TYPES if purpose is None else purpose.suitable_types(list(TYPES)))]
    return torch.tensor([name in names for name in TYPE_CONDITIONS[1:]])


@torch.no_grad()
def sample_grasp_points(scorer: PlaceScorer, request: GraspRequest, count: int, rng: torch.Generator,
                        ) -> tuple[Frames, torch.Tensor]:
    """Places drawn by the scorer, no two of them the same while there are others, and a type for each.

    A type that is not asked for is drawn too, from p(type | place, intent).

    Args:
        scorer: trained.
        request: object, hand and conditions.
        count: of places.
        rng: of the draw.

    Returns:
        The `count` frames, of a left hand `mirrored`, and (count,) indices into `TYPE_CONDITIONS`.

    Raises:
        LookupError: the intent allows no place on the object.
    """
    obj, config = request.object, scorer.config
    purpose = purpose_of(request)
    allowed = None if purpose is None else allowed_points(purpose)
    frames = random_frames(obj, max(config.candidates, 2 * count), config.rolls, rng, allowed)
    if request.hand.side == "left":
        frames = mirrored(frames)
    if request.place is not None:
        near = (frames.origin - request.place).norm(dim=1).argsort()[: max(config.nearest, 4 * count)]
        frames = frames[near]
    grasp_type, intent = condition_index(request)
    zeros = torch.zeros(len(frames.origin), dtype=torch.long)
    features = place_features(obj, frames)
    logit = scorer(features, zeros + grasp_type, zeros + intent)
    suitable = suitable_types(purpose)
    if not grasp_type and not suitable.all():  # a place for a pinch is none for a fist
        chances = scorer.type_logits(features, zeros + intent).log_softmax(1)
        logit = logit + chances.masked_fill(~suitable, -torch.inf).logsumexp(1)
    if allowed is not None:
        logit = logit + config.part_weight * share_near(obj.points, allowed, frames.origin, config.part_radius)
    if purpose is not None:
        turned = purpose.turned_as_used(frames.origin, frames.axes[:, :, 1], frames.axes[:, :, 0])
        logit = logit + config.turn_weight * turned
    if request.approach is not None:
        logit = logit + config.approach_weight * (frames.axes[:, :, 2] @ -request.approach)
    order = (logit / config.temperature + gumbel_noise(logit.shape, rng)).argsort(descending=True)  # without repeats
    origin, lateral = frames.origin[order], frames.axes[order][:, :, 1]
    # On a small part there are few unlike places: those that are good twice are better than those that are not.
    least = -torch.inf if purpose is None else float(logit.max()) - config.far_below
    rows_tried = (logit[order] >= least).nonzero()[:, 0].tolist()
    # Greedily, as `core.quality.diversity.distinct`, but a row against all chosen at once: pairs take far longer.
    chosen: list[int] = []
    for row in rows_tried:
        if len(chosen) == count:
            break
        same = (((origin[chosen] - origin[row]).norm(dim=1) < config.same_distance)
                & (lateral[chosen] @ lateral[row] > config.same_cosine))
        if not same.any():
            chosen.append(row)
    chosen += [row for row in range(len(order)) if row not in set(chosen)][: count - len(chosen)]
    rows = order[torch.tensor(chosen)]
    places = frames[rows.repeat(-(-count // len(rows)))[:count]]
    types = torch.full((count,), grasp_type)
    return places, types if grasp_type else scorer.draw_types(
        place_features(obj, places), types + intent, rng, suitable)


def share_near(points: torch.Tensor, wanted: torch.Tensor, places: torch.Tensor, radius: float) -> torch.Tensor:
    """The share of the points around places that are wanted.

    Args:
        points: (P, 3) metres.
        wanted: (P,) bool.
        places: (N, 3) metres.
        radius: metres.

    Returns:
        (N,) 0 to 1.
    """
    near = (torch.cdist(places, points) < radius).float()
    return near @ wanted.float() / near.sum(1).clamp_min(1)


def gumbel_noise(shape: torch.Size | tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Noise of a shape that makes the largest of log probabilities a draw by them (Gumbel)."""
    uniform = torch.rand(shape, generator=rng).clamp(1e-9, 1 - 1e-7)
    return -(-uniform.log()).log()


def training_config(scale: float = 1.0) -> TrainingConfig:
    """The training of the scorer.

    Args:
        scale: of the steps.
    """
    network = PlaceScorer()
    return TrainingConfig(network, (
        Stage("places", ("wishes", "first", "rest", "score", "types"),
              lambda hand, batch, rng: network.loss(batch, rng),
              OptimizerConfig(scaled(2800, scale), weight_decay=0.05, log_every=70), 256),))
