"""Grasps around posed hands: the given pose's fit, and the best of others near it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.pipeline import refine
from core.pipeline.refine import REFINE, perturb, refine_around, select_around
from core.progress import Stopped
from core.quality import hold
from tests.core.pipeline.made_fits import Watch, fitted, grasps


def test_a_poses_fit_comes_first_unless_another_is_clearly_better(hand):
    rest = fitted(grasps([REFINE.alike / 2, 0.1, 0.2, 0.3], [90.0, 50.0, 70.0, 99.0]), [True, True, True, False])

    def order(score: float, count: int = 4) -> list[float]:
        first = fitted(grasps([0.0], [score]), [True])
        return [round(x, 3) for x in select_around(hand, first, rest, count=count).transl[:, 0].tolist()]

    assert order(70.0 - REFINE.clearly / 2) == [0.0, 0.2, 0.1]
    assert order(50.0 + REFINE.clearly / 2) == [0.2, 0.0, 0.1]
    assert order(10.0) == [0.2, 0.1, 0.0]
    assert order(10.0, 2) == [0.2, 0.0]  # the given pose's is never left out


def test_a_refiner_makes_half_of_the_others(hand, monkeypatch):
    given, calls = grasps([0.0], [10.0]), []
    monkeypatch.setattr(refine, "check_reach", lambda request, start: None)

    def fit(obj, hand, some, fields=None, in_fields=False, progress=None):
        calls.append((len(some), fields, in_fields))
        return fitted(some, [True] * len(some))

    def refiner(some, rng, progress):
        far = replace(some, transl=some.transl + 0.2 * torch.randn(len(some), 3, generator=rng))
        return replace(far, score=torch.full((len(some),), 90.0)), "fields"

    def stiffest(request, some, count):
        drawn.append(len(some))
        return torch.arange(count)

    drawn = []
    monkeypatch.setattr(refine, "fit", fit)
    monkeypatch.setattr(refine, "rank_by_stiffness", stiffest)
    monkeypatch.setattr(hold, "passes_hold_test", lambda request, one, *_: float(one.transl[0, 0]) < 0.16)
    request, watch = GraspRequest(None, hand, 5, start=given), Watch()
    found = refine_around(request, 0, watch, refiner)
    assert calls == [(1, None, False), (3, None, False), (3, "fields", True)]
    assert torch.equal(watch.shown[0].transl, given.transl)
    assert watch.shown[0].measures["holds"].tolist() == [1.0]
    assert found.measures["holds"].tolist() == [1.0 if place < 0.16 else 0.0 for place in found.transl[:, 0].tolist()]
    own = (found.transl == given.transl).all(1)
    assert own.nonzero().tolist() == [[3]]  # it scored 10
    held = (found.transl[:3, 0] < 0.16).tolist()
    assert found.score[:3].tolist() == [90.0 if one else 45.0 for one in held]
    assert held == [True, True, False]  # those that hold first
    calls.clear()
    refine_around(request, 0, Watch())
    assert calls == [(1, None, False), (6, None, False)]
    assert drawn == [3 * REFINE.drawn, 6 * REFINE.drawn]  # of many near the given one the stiffest


def test_while_no_hand_around_a_pose_holds_more_are_tried(hand, monkeypatch):
    given, goes = grasps([0.0], [10.0]), []
    monkeypatch.setattr(refine, "check_reach", lambda request, start: None)
    monkeypatch.setattr(refine, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))
    monkeypatch.setattr(refine, "rank_by_stiffness", lambda request, some, count: torch.arange(count))

    def refiner(some, rng, progress):
        goes.append(len(some))
        return replace(some, transl=some.transl + 0.1 * len(goes), score=torch.full((len(some),), 50.0)), "fields"

    def offered(holds_from: float) -> tuple[int, Grasps]:
        goes.clear()
        monkeypatch.setattr(hold, "passes_hold_test", lambda request, one, *_: float(one.transl[0, 0]) > holds_from)
        watch = Watch()
        found = refine_around(GraspRequest(None, hand, 3, start=given), 0, watch, refiner)
        assert watch.told == sorted(watch.told)
        assert watch.told[-1] <= 1.0
        return len(goes), found

    tried, found = offered(0.25)  # those of the third go
    assert tried == 3
    assert float(found.transl[0, 0]) > 0.25
    assert float(found.score[0]) == 50.0
    assert offered(-1.0)[0] == 1  # the given one's fit holds
    assert offered(9.0)[0] == REFINE.goes


def test_hands_near_a_pose_are_near_it_and_repeat(hand):
    given = replace(grasps([0.0], [0.0]), hand_pose=hand.pose_from_dofs(torch.full((1, 21), 0.3)))
    one, other = (perturb(hand, given, 40, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one.hand_pose, other.hand_pose)
    with torch.no_grad():
        moved = (hand(**one.parameters()).joints - hand(**given.parameters()).joints).norm(dim=-1).mean(1)
    assert moved.mean() < 0.04
    assert float(one.transl.std()) < 1.3 * REFINE.shift
    angles = hand.dofs_from_pose(one.hand_pose)
    assert (angles <= hand.dof_limits[:, 1] + 1e-3).all()


def test_a_stop_ends_the_work_and_the_fit_of_the_pose_stays_shown(hand, monkeypatch):
    given = grasps([0.0], [10.0])
    monkeypatch.setattr(refine, "check_reach", lambda request, start: None)
    monkeypatch.setattr(refine, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))
    monkeypatch.setattr(hold, "passes_hold_test", lambda *_: False)
    watch = Watch(until=0.0)
    with pytest.raises(Stopped):
        refine_around(GraspRequest(None, hand, 3, start=given), 0, watch)
    assert len(watch.told) == 1
    assert [len(some) for some in watch.shown] == [1]
