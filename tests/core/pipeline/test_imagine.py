"""Imagined pairs are fitted, those that hold come first, and what cannot be is a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.generators.imagination import ImaginationRequest, Imagined
from core.pipeline import imagine as module
from core.pipeline.imagine import DRAWN, imagine
from core.progress import Progress


@pytest.fixture
def dreaming(monkeypatch, ball, ball_grasp):
    """A generator that imagines the ball: every second time with a hand that holds it, else with one far away."""
    asked = []

    class Dreams:
        def imagine(self, request, rng, progress):
            asked.append(request.count)
            away = replace(ball_grasp, transl=ball_grasp.transl + torch.tensor([0.0, 0.0, 1.0]))
            return [Imagined(ball, ball_grasp if place % 2 else away) for place in range(request.count)]

    monkeypatch.setattr(module, "make_generator", lambda name, device: Dreams())
    return asked


def test_twice_as_many_are_fitted_and_what_holds_is_first(dreaming, hand):
    found = imagine(ImaginationRequest(hand, 1, fitted=True), 3, Progress())
    assert dreaming == [DRAWN]
    assert [float(one.grasps.score[0]) for one in found] == [1.0]
    assert float(found[0].grasps.measures["holds"][0]) == 1
    assert found[0].grasps.seed == 3


def test_raw_ones_come_as_they_were_imagined(dreaming, hand, ball_grasp):
    found = imagine(ImaginationRequest(hand, 2), 0, Progress())
    assert dreaming == [2]
    assert torch.equal(found[1].grasps.transl, ball_grasp.transl)


def test_what_cannot_be_is_a_sentence(dreaming, hand, monkeypatch):
    with pytest.raises(ValueError, match="'synthesis' imagines no objects: use "):
        imagine(ImaginationRequest(hand, 1), 0, Progress(), method="synthesis")
    monkeypatch.setattr(module, "make_generator", lambda name, device: type(
        "Nothing", (), {"imagine": lambda self, request, rng, progress: []})())
    with pytest.raises(LookupError, match="try another seed"):
        imagine(ImaginationRequest(hand, 1), 0, Progress())
