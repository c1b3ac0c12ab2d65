"""Choosing among grasps."""

from __future__ import annotations

import pytest
import torch

from core.fitting.proposal import Proposal
from core.fitting.representation import Choir
from core.grasps.batch import Grasps
from core.grasps.heading_frame import Frames
from core.grasps.request import GraspRequest
from core.objects import with_parts
from core.pipeline import generate
from core.pipeline.generate import check_request, granted, proposal_count, propose_for_intent, told_intent
from core.pipeline.selection import best_of_each_type
from core.progress import Progress
from core.registry import METHODS, make_generator
from tests.core.pipeline.made_fits import Watch


def grasps(scores, types):
    count = len(scores)
    return Grasps(torch.arange(3.0 * count).reshape(count, 3), torch.zeros(count, 45), torch.zeros(count, 3),
                  torch.zeros(count, 10), torch.tensor(scores), tuple(types))


def test_every_type_has_a_place_before_any_has_two():
    chosen = best_of_each_type(grasps([9.0, 8.0, 7.0, 3.0, 1.0], ["a", "a", "a", "b", "c"]), 3)
    assert chosen.type == ("a", "b", "c")
    assert chosen.score.tolist() == [9.0, 3.0, 1.0]


def test_the_rest_goes_by_score_and_the_best_is_first():
    chosen = best_of_each_type(grasps([1.0, 5.0, 9.0, 7.0], ["a", "a", "b", "b"]), 3)
    assert chosen.score.tolist() == [9.0, 7.0, 5.0]
    assert len(best_of_each_type(grasps([1.0, 2.0], ["a", "b"]), 16)) == 2


def test_methods_can_be_made():
    for name in METHODS:
        assert make_generator(name).name == name
    with pytest.raises(ValueError, match="no method 'nothing'"):
        make_generator("nothing")


def test_requests_are_checked():
    check_request("synthesis", 16, "any", "any")
    with pytest.raises(ValueError, match="no intent 'steal'"):
        check_request("synthesis", 16, "any", "steal")


def test_weights_stay_loaded_between_requests(monkeypatch):
    from core import registry, weights
    from core.generators import learned

    registry.loaded_generator.cache_clear()
    read, real = [], weights.load_weights
    monkeypatch.setattr(learned, "load_weights", lambda name: read.append(name) or real(name))
    first = registry.make_generator("fastgrasp")
    assert registry.make_generator("fastgrasp") is first
    assert sorted(read) == ["fastgrasp", "places"]


def test_more_is_drawn_than_fitted_and_no_method_draws_without_end():
    assert proposal_count("fastgrasp", 16) == 160
    assert proposal_count("jointdiffusion", 16) == 80
    assert proposal_count("fastgrasp", 64) == 256
    assert proposal_count("fastgrasp", 1000) == 2500
    assert proposal_count("fastgrasp", 1) == 10


def named(block, name):
    surface = block.surface
    return with_parts(block, surface.vertices, surface.faces, 0 * surface.faces[:, 0], (name,))


@pytest.mark.parametrize("intent", ["use", "handover"])
def test_an_intent_without_the_parts_it_needs_is_told_and_done_as_hold(block, hand, intent):
    for obj in (block, named(block, "body")):
        asked = GraspRequest(obj, hand, 2, intent=intent)
        assert granted(asked).intent == "hold"
        told = told_intent(asked, grasps([1.0], ["a"]), "; name it")
        assert told.startswith("nothing tells which part")
        assert f"'{intent}' cannot be done" in told
        assert told.endswith("'hold'; name it")
    asked = GraspRequest(named(block, "handle"), hand, 2, intent=intent)
    assert granted(asked) is asked
    assert granted(GraspRequest(block, hand, 2, intent="lift")).intent == "lift"


def test_the_sentence_counts_those_that_do_what_is_asked(block, hand):
    asked = GraspRequest(named(block, "handle"), hand, 4, intent="use")
    found = grasps([4.0, 3.0, 2.0, 1.0], "abcd").with_measure("intent", torch.tensor([1.0, 1.0, 0.5, 0.0]))
    assert told_intent(asked, found, "; name it") == "2 of 4 do all that 'use' asks"
    assert told_intent(GraspRequest(block, hand, 4), grasps([1.0], "a")) == ""


@pytest.mark.parametrize(("promised", "draws"), [(8, 1), (3, 2), (0, 4)])
def test_proposals_are_drawn_again_while_too_few_promise_what_is_asked(block, hand, monkeypatch, promised, draws):
    """Eight a draw, of which so many promise it; no more than four draws."""
    asked, seen = GraspRequest(named(block, "handle"), hand, 8, intent="use"), []

    class Some:
        def promise(self, some, progress):
            progress(0.5)
            return (torch.arange(8) < promised).float()

    def raw(request, method, seed, progress, device, draw):
        seen.append(draw)
        progress(1.0)
        window = Frames(torch.full((8, 3), float(draw)), torch.eye(3).expand(8, 3, 3))
        return Proposal(grasps([float(draw)] * 8, "a" * 8), Choir(*[torch.zeros(8, 1)] * 3, window))

    monkeypatch.setattr(generate, "propose_raw", raw)
    watch = Watch()
    found, fields, promise = propose_for_intent(asked, Some(), 5, "fastgrasp", 0, watch)
    assert seen == list(range(draws))
    assert len(found) == len(fields) == len(promise) == 8 * draws
    assert fields.window.origin[:, 0].tolist() == found.score.tolist()
    assert watch.told == sorted(watch.told)


def test_another_draw_gives_other_grasps(block, hand):
    asked = GraspRequest(block, hand, 2)
    first, again, other = (generate.propose_raw(asked, "fastgrasp", 3, Progress(), draw=draw).grasps.transl
                           for draw in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
