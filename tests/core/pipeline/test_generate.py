"""Choosing among grasps."""

from __future__ import annotations

import pytest
import torch

from core.grasps.batch import Grasps
from core.pipeline.generate import check_request, proposal_count
from core.pipeline.selection import best_of_each_type
from core.registry import METHODS, make_generator


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
