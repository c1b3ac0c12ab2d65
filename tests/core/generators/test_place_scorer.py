"""Places and types are drawn as they are scored, within what is asked for."""

from dataclasses import replace

import pytest
import torch

from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.local_cloud import place_features
from core.generators.place_scorer import PLACES, PlaceConfig, PlaceScorer, sample_grasp_points, share_near
from core.generators.training_config import OptimizerConfig
from core.grasps.heading_frame import random_frames
from core.hand import load_hand
from core.objects import with_parts
from core.training.loop import train


class Top(PlaceScorer):
    """Knows that only the block's upper end is good."""

    def forward(self, features, grasp_type, intent):
        middle = features[:, -3:]  # of the object, seen from the place; 10 cm are 1
        return 30.0 * (middle.norm(dim=1) > 0.7).float()


def test_places_are_drawn_where_the_score_is(request_of, rng):
    frames, types = sample_grasp_points(Top(), request_of(), 12, rng)
    assert (frames.origin[:, 2].abs() > 0.065).all()
    assert types.shape == (12,)
    assert (types > 0).all()


def test_no_place_is_drawn_twice(request_of, rng):
    frames, _ = sample_grasp_points(PlaceScorer(), request_of(), 24, rng)
    for row in range(24):
        same = ((frames.origin - frames.origin[row]).norm(dim=1) < PLACES.same_distance) & (
            frames.axes[:, :, 1] @ frames.axes[row, :, 1] > PLACES.same_cosine)
        assert int(same.sum()) == 1


def test_what_is_asked_for_is_kept_to(request_of, rng, block):
    name = TYPE_CONDITIONS[4]
    assert (sample_grasp_points(PlaceScorer(), request_of(type=name), 5, rng)[1] == 4).all()
    near = torch.tensor([0.0, 0.0, 0.08])
    frames, _ = sample_grasp_points(PlaceScorer(), request_of(place=near), 4, rng)
    assert (frames.origin - near).norm(dim=1).max() < 0.05
    down, _ = sample_grasp_points(PlaceScorer(), request_of(approach=torch.tensor([-1.0, 0.0, 0.0])), 8, rng)
    assert (down.axes[:, 0, 2] > -0.5).all()


def test_parts_that_are_known_are_kept_to(block, rng, request_of):
    upper = block.surface.vertices[block.surface.faces].mean(1)[:, 2] > 0.03
    named = with_parts(block, block.surface.vertices + block.centroid, block.surface.faces, upper.astype(int),
                       ("blade", "handle"))
    request = request_of(intent="use")
    frames, _ = sample_grasp_points(PlaceScorer(), type(request)(named, request.hand, 8, intent="use"), 8, rng)
    assert (frames.origin[:, 2] > 0.02).all()


def test_of_a_known_part_places_are_chosen_that_have_it_all_around(block, request_of):
    """At a handle's end half of what a hand touches is something else."""
    upper = block.surface.vertices[block.surface.faces].mean(1)[:, 2] > -0.02
    named = with_parts(block, block.surface.vertices + block.centroid, block.surface.faces, upper.astype(int),
                       ("blade", "handle"))
    request = replace(request_of(8, intent="use"), object=named)
    handle = named.parts.mask(frozenset({"handle"}))

    def share(config: PlaceConfig) -> float:
        scorer = PlaceScorer(config=config).eval()
        scorer.load_state_dict(weights)
        frames, _ = sample_grasp_points(scorer, request, 8, torch.Generator().manual_seed(0))
        return float(share_near(named.points, handle, frames.origin, PLACES.part_radius).mean())

    torch.manual_seed(0)
    weights = PlaceScorer().state_dict()
    found = share(PLACES)
    assert found > 0.99
    assert found > share(replace(PLACES, part_weight=0.0)) + 0.01


class Ends(PlaceScorer):
    """Knows that the block's ends are pinched and its sides are wrapped, and that the one is as good as the other."""

    pinch, wrap = TYPE_CONDITIONS.index("palmar_pinch") - 1, TYPE_CONDITIONS.index("medium_wrap") - 1

    def forward(self, features, grasp_type, intent):
        return torch.zeros(len(features))

    def type_logits(self, features, intent):
        at_end = features[:, -3:].norm(dim=1) > 0.6  # from the block's middle; 10 cm are 1
        logit = torch.full((len(features), len(TYPE_CONDITIONS) - 1), -20.0)
        logit[:, self.pinch], logit[:, self.wrap] = 10.0 * at_end, 10.0 * ~at_end
        return logit


def named_block(block, *names, part_of=lambda middle: 0 * middle[:, 0]):
    part = part_of(block.surface.vertices[block.surface.faces].mean(1)).astype(int)
    return with_parts(block, block.surface.vertices + block.centroid, block.surface.faces, part, names)


def test_a_handle_is_taken_where_a_fist_can_be(block, request_of, rng):
    """Who uses a handle that says no more takes it by a power grasp, and so not at its end."""
    request = replace(request_of(8), object=named_block(block, "handle"), intent="use")
    frames, types = sample_grasp_points(Ends(), request, 8, rng)
    assert (types == 1 + Ends.wrap).all()
    assert (frames.origin.norm(dim=1) < 0.06).all()
    frames, types = sample_grasp_points(Ends(), request_of(40), 40, rng)
    assert (types == 1 + Ends.pinch).any()


def test_hands_are_turned_as_whoever_uses_the_object_turns_them(block, request_of, rng):
    """The thumb to the head, which is on top."""
    tool = named_block(block, "handle", "head", part_of=lambda middle: middle[:, 2] > 0.05)
    frames, _ = sample_grasp_points(Ends(), replace(request_of(8), object=tool, intent="use"), 8, rng)
    assert (frames.axes[:, 2, 1] > 0.2).all()


def test_of_a_small_part_good_places_are_taken_twice_rather_than_bad_ones(block, request_of, rng):
    tool = named_block(block, "head", "handle", part_of=lambda middle: middle[:, 2] > 0.03)
    request = replace(request_of(60), object=tool, intent="use")
    best = PlaceConfig(part_weight=0.0, turn_weight=0.0)

    class Top(Ends):
        def forward(self, features, grasp_type, intent):
            return 10.0 * (features[:, -3:].norm(dim=1) > 0.7)

        def type_logits(self, features, intent):  # every type goes everywhere
            return torch.zeros(len(features), len(TYPE_CONDITIONS) - 1)

    frames, _ = sample_grasp_points(Top(config=best), request, 60, rng)
    assert (frames.origin.norm(dim=1) > 0.065).all()


def test_who_lifts_takes_the_middle(block, request_of, rng):
    frames, _ = sample_grasp_points(Ends(), replace(request_of(12), intent="lift"), 12, rng)
    assert (frames.origin.norm(dim=1) < 0.3 * 0.16 + 0.02).all()


def test_likely_places_are_preferred(request_of):
    class Rather(Top):
        def forward(self, features, grasp_type, intent):
            return super().forward(features, grasp_type, intent) / 20

    def share(config: PlaceConfig) -> float:
        frames, _ = sample_grasp_points(Rather(config=config), request_of(48), 48, torch.Generator().manual_seed(0))
        return float((frames.origin[:, 2].abs() > 0.065).float().mean())

    assert share(PLACES) > share(replace(PLACES, temperature=1.0)) + 0.1


def test_likely_types_are_preferred(rng):
    class Rather(PlaceScorer):
        def type_logits(self, features, intent):
            logit = torch.zeros(len(features), len(TYPE_CONDITIONS) - 1)
            logit[:, 2] = 2.0
            return logit

    types = Rather().draw_types(torch.zeros(2000, 195), torch.zeros(2000, dtype=torch.long), rng)
    others = len(TYPE_CONDITIONS) - 2
    as_it_is, sharper = (torch.tensor(2.0 / heat).exp() for heat in (1.0, PLACES.type_temperature))
    found = float((types == 3).float().mean())
    assert found == pytest.approx(float(sharper / (sharper + others)), abs=0.05)
    assert found > float(as_it_is / (as_it_is + others)) + 0.2


def test_a_left_hands_places_are_mirrored(request_of, rng):
    frames, _ = sample_grasp_points(PlaceScorer(), request_of(hand=load_hand(side="left")), 3, rng)
    assert (torch.linalg.det(frames.axes) < 0).all()


def test_it_learns_places_and_types(block, rng, request_of, tmp_path):
    """Ends of the block are pinched (type 1), its sides are wrapped (type 2)."""
    torch.manual_seed(0)
    every = random_frames(block, 300, 2, rng)
    features = place_features(block, every)
    end = every.origin[:, 2].abs() > 0.06
    side = every.origin[:, 2].abs() < 0.01
    yes = torch.cat([features[end], features[side]])
    types = torch.cat([torch.full((int(end.sum()),), 1), torch.full((int(side.sum()),), 2)])
    scorer = PlaceScorer(32)

    def loss(rng):
        rows = torch.randint(len(yes), (32,), generator=rng)
        negatives = features[torch.randint(len(features), (32, 8), generator=rng)]
        batch = {"features": yes[rows], "negatives": negatives, "grasp_type": types[rows], "intent": 0 * rows}
        return scorer.loss(batch, rng)

    assert train(scorer, loss, OptimizerConfig(400, 5e-3, warmup=5, ema_decay=0.9), tmp_path, "places")
    frames, _ = sample_grasp_points(scorer, request_of(), 60, rng)
    height = frames.origin[:, 2].abs()
    assert float(((height > 0.055) | (height < 0.015)).float().mean()) > 0.7
    with torch.no_grad():
        for mask, right in ((end, 1), (side, 2)):
            some = features[mask]
            drawn = scorer.draw_types(some, torch.zeros(len(some), dtype=torch.long), rng)
            assert float((drawn == right).float().mean()) > 0.75
        one, two = (torch.stack([scorer(features[mask], torch.full((int(mask.sum()),), asked),
                                        torch.zeros(int(mask.sum()), dtype=torch.long)).mean() for mask in (end, side)])
                    for asked in (1, 2))
    assert float(one[0] - one[1]) > float(two[0] - two[1])  # who asks to pinch is sent to the ends


def test_an_intent_that_allows_nothing_says_so(block, rng, request_of):
    request = request_of(intent="handover")
    named = with_parts(block, block.surface.vertices, block.surface.faces, 0 * block.surface.faces[:, 0], ("body",))
    with pytest.raises(LookupError, match="handle"):
        sample_grasp_points(PlaceScorer(), type(request)(named, request.hand, 2, intent="handover"), 2, rng)
