"""Choosing among grasps."""

from __future__ import annotations

import pytest
import torch

from core import pipeline
from core.generators import METHODS, make_generator
from core.grasps import Grasps
from core.pipeline import (
    NETWORK_THREADS,
    best_that_differ,
    check_wishes,
    propose_raw,
    threads_for_networks,
    to_draw,
    use_few_threads,
)


def grasps(scores, types):
    count = len(scores)
    return Grasps(torch.arange(3.0 * count).reshape(count, 3), torch.zeros(count, 45), torch.zeros(count, 3),
                  torch.zeros(count, 10), torch.tensor(scores), tuple(types))


def test_every_type_has_a_place_before_any_has_two():
    chosen = best_that_differ(grasps([9.0, 8.0, 7.0, 3.0, 1.0], ["a", "a", "a", "b", "c"]), 3)
    assert chosen.type == ("a", "b", "c")
    assert chosen.score.tolist() == [9.0, 3.0, 1.0]


def test_the_rest_goes_by_score_and_the_best_is_first():
    chosen = best_that_differ(grasps([1.0, 5.0, 9.0, 7.0], ["a", "a", "b", "b"]), 3)
    assert chosen.score.tolist() == [9.0, 7.0, 5.0]
    assert len(best_that_differ(grasps([1.0, 2.0], ["a", "b"]), 16)) == 2


def test_methods_can_be_made():
    for name in METHODS:
        assert make_generator(name).name == name
    with pytest.raises(ValueError, match="no method 'nothing'"):
        make_generator("nothing")


def test_wishes_are_checked():
    check_wishes("synthesis", 16, "any", "any")
    with pytest.raises(ValueError, match="no intent 'steal'"):
        check_wishes("synthesis", 16, "any", "steal")


def test_weights_stay_loaded_between_requests(monkeypatch):
    from core import generators, weights

    generators._loaded.cache_clear()
    read, real = [], weights.load_weights
    monkeypatch.setattr(weights, "load_weights", lambda name: read.append(name) or real(name))
    first = generators.make_generator("fastgrasp")
    assert generators.make_generator("fastgrasp") is first
    assert sorted(read) == ["fastgrasp", "places"]


def test_more_is_drawn_than_fitted_and_no_method_draws_without_end():
    assert to_draw("fastgrasp", 16) == 160
    assert to_draw("jointdiffusion", 16) == 80
    assert to_draw("fastgrasp", 64) == 256
    assert to_draw("fastgrasp", 1000) == 2500
    assert to_draw("fastgrasp", 1) == 10


@pytest.fixture
def seen(monkeypatch):
    """The threads that generators have had, in a process that began with three."""
    before, found = torch.get_num_threads(), []

    class Counting:
        def sample(self, request, rng, progress):
            found.append(torch.get_num_threads())

    monkeypatch.setattr(pipeline, "_found", [])
    monkeypatch.setattr(pipeline, "make_generator", lambda name, device: Counting())
    torch.set_num_threads(3)
    yield found
    torch.set_num_threads(before)


def test_networks_have_more_threads_than_the_rest(seen, monkeypatch):
    use_few_threads()
    use_few_threads()  # what was found the first time stands
    assert torch.get_num_threads() == 1
    for method in ("fastgrasp", "synthesis"):
        propose_raw(None, method, 0, None)
    assert seen == [NETWORK_THREADS, 1]
    with pytest.raises(LookupError), threads_for_networks():
        raise LookupError
    assert torch.get_num_threads() == 1
    monkeypatch.setattr(pipeline, "_found", [1])
    propose_raw(None, "fastgrasp", 0, None)
    assert seen[2:] == [1]


def test_who_never_asked_for_few_threads_keeps_its_own(seen):
    propose_raw(None, "grasptta", 0, None)
    assert seen == [3]
