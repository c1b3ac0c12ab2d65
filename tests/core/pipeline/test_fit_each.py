"""What the fit took from a grasp is looked for near it again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.pipeline import fit_each
from core.pipeline.fit_each import FIT_EACH
from core.progress import Stopped
from core.quality import hold
from core.quality.hold import FILTER
from tests.core.pipeline.made_fits import Watch, fitted, grasps

FITTED_BY = 0.5
#: where the hands near a fitted grasp lie from it, metres; their fits are `LATER` further on
NEAR, LATER = (-0.20, -0.40, -0.30, -0.10), 0.001


@pytest.fixture
def world(monkeypatch):
    """A fit that moves what it is given by `FITTED_BY`, or hands near one by `LATER`; a dict of what happens there."""
    known = {"holds": lambda place: False, "floats": lambda place: False, "fits": [], "tested": [], "roughly": []}

    def fit(obj, hand, some, fields=None, in_fields=False, progress=None):
        known["fits"].append((len(some), fields, in_fields))
        moved = replace(some, transl=some.transl + (FITTED_BY if in_fields else LATER))
        made = fitted(moved, [True] * len(some))
        parts = made.after.parts & ~torch.tensor([known["floats"](x) for x in places(moved)])[:, None]
        return replace(made, after=replace(made.after, parts=parts))

    def perturb(hand, one, count, rng):
        return replace(one[[0] * count], transl=one.transl + torch.tensor(NEAR[:count])[:, None])

    def holds(request, one, still, *_):
        known["tested" if still == FILTER.still else "roughly"].append(places(one)[0])
        return known["holds"](places(one)[0])

    monkeypatch.setattr(fit_each, "FIT_EACH", replace(FIT_EACH, tries=len(NEAR)))
    monkeypatch.setattr(fit_each, "fit", fit)
    monkeypatch.setattr(fit_each, "perturb", perturb)
    monkeypatch.setattr(hold, "passes_hold_test", holds)
    return known


def places(some: Grasps) -> list[float]:
    return [round(x, 3) for x in some.transl[:, 0].tolist()]


def made(hand, given: Grasps, progress=None):
    found = fit_each.fit_keeping_holds(GraspRequest(None, hand, len(given)), given, 0, progress or Watch(), "fields")
    assert len(found.grasps) == len(given)
    return found


def hold_by_overlap(monkeypatch, cm3: float) -> None:
    """Grasps as given have so much overlap that they are not restored."""
    plain = fit_each.fit

    def fit(*args, **wishes):
        some = plain(*args, **wishes)
        return replace(some, before=replace(some.before, overlap_cm3=torch.full((len(some.grasps),), cm3)))

    monkeypatch.setattr(fit_each, "fit", fit)


def test_a_lost_hold_is_replaced_by_the_nearest_fit_that_holds(hand, world, monkeypatch):
    hold_by_overlap(monkeypatch, 5.0)
    # The first keeps its hold; the second and the fourth lose it, and some near them hold; the third loses it for good.
    world["holds"] = lambda place: place in (0.0, FITTED_BY, 1.0, 1.201, 1.301, 2.0, 3.0, 3.401)
    found = made(hand, grasps([0.0, 1.0, 2.0, 3.0], [0.0] * 4))
    assert places(found.grasps) == [FITTED_BY, 1.201, 2.0 + FITTED_BY, 3.401]
    assert found.moved_mm[1] == pytest.approx(1000 * 3**0.5 * 0.201, rel=1e-4)
    assert found.moved_mm[[0, 2]].tolist() == [0.0, 0.0]  # as the made fit says
    assert world["fits"] == [(4, "fields", True), (12, None, False)]  # those near all of them in one go
    # Two at a time, the nearest first: once one holds, those farther from it are not tested.
    assert not {1.301, 1.401} & set(world["tested"])


def test_what_the_fit_left_as_it_was_is_not_tested(hand, world, monkeypatch):
    hold_by_overlap(monkeypatch, 5.0)
    plain = fit_each.fit

    def fit(*args, **wishes):
        some = plain(*args, **wishes)
        return replace(some, changed=some.grasps.transl[:, 0] != FITTED_BY)

    monkeypatch.setattr(fit_each, "fit", fit)
    world["holds"] = lambda place: place == 1.0 + FITTED_BY
    made(hand, grasps([0.0, 1.0], [0.0] * 2))
    assert world["roughly"] == [1.0 + FITTED_BY]
    assert not world["tested"]


def test_a_sound_grasp_that_lost_its_hold_is_restored(hand, world):
    world["holds"] = lambda place: place == 1.0
    found = made(hand, grasps([0.0, 1.0], [0.0] * 2))
    assert places(found.grasps) == [FITTED_BY, 1.0]
    assert len(world["fits"]) == 1


def test_what_never_held_and_still_touches_is_left_as_it_was_fitted(hand, world):
    found = made(hand, grasps([0.0, 1.0], [0.0] * 2))
    assert places(found.grasps) == [FITTED_BY, 1.0 + FITTED_BY]
    assert len(world["fits"]) == 1
    # Each of them once, and roughly as it was fitted.
    assert sorted(world["roughly"]) == [FITTED_BY, 1.0 + FITTED_BY]
    assert sorted(world["tested"]) == [0.0, 1.0]


def test_what_lost_its_contact_touches_again_and_holds_where_it_can(hand, world):
    world["floats"] = lambda place: place in (FITTED_BY, 1.0 + FITTED_BY, 0.101)
    world["holds"] = lambda place: place == 1.301
    found = made(hand, grasps([0.0, 1.0], [0.0] * 2))
    assert places(found.grasps) == [0.201, 1.301]
    assert found.after.parts.any(1).all()


def test_the_more_are_lost_the_fewer_are_tried_near_each(hand, world, monkeypatch):
    hold_by_overlap(monkeypatch, 5.0)
    monkeypatch.setattr(fit_each, "FIT_EACH", replace(FIT_EACH, tries=len(NEAR), most=6, least=1))
    world["holds"] = lambda place: place in (0.0, 1.0, 2.0)
    made(hand, grasps([0.0], [0.0]))
    made(hand, grasps([0.0, 1.0, 2.0], [0.0] * 3))
    assert [count for count, _, laid in world["fits"] if not laid] == [4, 6]


@pytest.mark.parametrize("last", [FIT_EACH.fitted, 0.75, 0.9])
def test_a_stop_ends_the_work(hand, world, monkeypatch, last):
    hold_by_overlap(monkeypatch, 5.0)
    world["holds"] = lambda place: place in (0.0, 1.0, 0.101, 1.101)
    watch = Watch(until=last)
    with pytest.raises(Stopped):
        made(hand, grasps([0.0, 1.0], [0.0] * 2), watch)
    assert watch.told == sorted(watch.told)
    assert sum(fraction >= last for fraction in watch.told) == 1
