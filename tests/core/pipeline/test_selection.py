"""Which proposals are fitted, and which fitted grasps are shown."""

from __future__ import annotations

from dataclasses import replace

import torch

from core.grasps.request import GraspRequest
from core.pipeline import selection
from core.pipeline.selection import SELECTION, select_diverse
from core.progress import Progress
from core.quality import hold
from tests.core.pipeline.made_fits import Watch, fitted, grasps


def test_the_best_of_those_that_differ_then_the_rest(hand):
    given = grasps([0.0, 0.001, 0.1, 0.101, 0.2], [50.0, 60.0, 30.0, 20.0, 10.0])
    assert select_diverse(hand, given, 5, 0.03).tolist() == [1, 2, 4, 0, 3]
    assert select_diverse(hand, given, 5, 0.03, fill=False).tolist() == [1, 2, 4]
    assert select_diverse(hand, given, 2, 0.03).tolist() == [1, 2]
    assert select_diverse(hand, given[[]], 2, 0.03).tolist() == []


def test_a_hold_that_the_fit_lost_is_restored(hand, monkeypatch):
    given = grasps([0.0, 0.1, 0.2, 0.3], [0.0] * 4)
    moved = replace(given, transl=given.transl + 0.01, score=torch.full((4,), 90.0))
    made = fitted(moved, [True] * 4)
    overlap = torch.tensor([0.5, 0.5, 3.0, 0.5])
    made = replace(made, before=replace(made.before, overlap_cm3=overlap), moved_mm=torch.full((4,), 10.0))
    # The first holds after the fit; the second held before; the third, too, by its overlap; the fourth never.
    known = {(0.01, True), (0.1, True), (0.2, True)}
    monkeypatch.setattr(hold, "passes_hold_test",
                        lambda request, one, *_: (round(float(one.transl[0, 0]), 3), True) in known)
    kept, held = selection.keep_holds(GraspRequest(None, hand, 4), made, given, Progress(), lambda some: None)
    assert held.tolist() == [True, True, False, False]
    assert torch.allclose(kept.grasps.transl[:, 0], torch.tensor([0.01, 0.1, 0.21, 0.31]))
    assert kept.changed.tolist() == [True, False, True, True]
    assert kept.moved_mm.tolist() == [10.0, 0.0, 10.0, 10.0]
    assert kept.after.overlap_cm3.tolist() == [0.0, 0.5, 0.0, 0.0]
    assert kept.grasps.score[0] == 90.0
    assert kept.grasps.score[1] < 90.0


def test_a_bone_through_a_wall_is_offered_only_where_there_is_nothing_else(hand, monkeypatch):
    given = grasps([0.0, 0.1, 0.2], [90.0, 50.0, 70.0])
    whole = fitted(given, [True, True, True])
    monkeypatch.setattr(hold, "passes_hold_test", lambda *_: True)
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.arange(3.0).flip(0))

    def offered(bones):
        after = replace(whole.after, bones=torch.tensor(bones))
        monkeypatch.setattr(selection, "fit", lambda *_, **__: replace(whole, after=after))
        return selection.fit_and_select(GraspRequest(None, hand, 3), given, Watch()).score.tolist()

    assert offered([1, 0, 0]) == [70.0, 50.0]
    assert offered([1, 2, 1]) == [90.0, 70.0, 50.0]


def test_the_stiffest_proposals_are_fitted_unlike_ones_first(hand, monkeypatch):
    given = grasps([0.0, 0.001, 0.1, 0.2, 0.3], [0.0] * 5)
    firm = torch.tensor([5.0, 4.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: firm[: len(some)])
    request = GraspRequest(None, hand, 2)
    assert selection.rank_by_stiffness(request, given, 3).tolist() == [0, 2, 4]
    assert selection.rank_by_stiffness(request, given, 5).tolist() == [0, 2, 4, 3, 1]
    assert selection.rank_by_stiffness(request, given[torch.tensor([0, 1])], 2).tolist() == [0, 1]

    tried = []

    def fit(obj, hand, some, fields=None, **_):
        tried.append((some.transl[:, 0].tolist(), fields.tolist()))
        return fitted(some, [True] * len(some))

    monkeypatch.setattr(selection, "fit", fit)
    monkeypatch.setattr(hold, "passes_hold_test", lambda *_: True)
    monkeypatch.setattr(selection, "SELECTION", replace(SELECTION, least=2))
    watch = Watch()
    selection.fit_and_select(request, given, watch, torch.arange(5))
    assert torch.allclose(torch.tensor(tried[0][0]), torch.tensor([0.0, 0.1]))
    assert tried[0][1] == [0, 2]  # with the fields that they lie in
    assert len(tried) == 1
    assert [some.transl[:, 0].tolist() for some in watch.shown] == [[place] for place in tried[0][0]]  # one by one

    watch = Watch()
    monkeypatch.setattr(hold, "passes_hold_test",
                        lambda request, one, *_: round(float(one.transl[0, 0]), 3) in (0.0, 0.2))
    selection.fit_and_select(request, given, watch, torch.arange(5))
    assert [rows for _, rows in tried[1:]] == [[0, 2], [4, 3]]  # too few hold, so more are fitted, and then enough do
    assert [round(float(some.transl[0, 0]), 3) for some in watch.shown] == [0.0, 0.2]
    assert watch.told == sorted(watch.told)
    assert 0.5 <= watch.told[0] < watch.told[-1] <= 1.0


def test_a_hand_is_shown_as_soon_as_it_is_known_to_hold_and_never_twice(hand, monkeypatch):
    given = grasps([0.0, 0.1, 0.2, 0.3], [0.0] * 4)
    made = fitted(replace(given, transl=given.transl + 0.01), [True] * 4)
    bones = torch.tensor([0, 0, 1, 0])
    made = replace(made, after=replace(made.after, bones=bones), changed=torch.ones(4, dtype=torch.bool))
    tested, watch = [], Watch()

    def shown():
        return [round(float(some.transl[0, 0]), 3) for some in watch.shown]

    def holds(request, one, still, *_):
        tested.append((round(float(one.transl[0, 0]), 3), shown()))
        return tested[-1][0] != 0.11  # which held before the fit

    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.arange(4.0).flip(0))
    monkeypatch.setattr(selection, "fit", lambda *_, **__: made)
    monkeypatch.setattr(hold, "passes_hold_test", holds)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    found = selection.fit_and_select(GraspRequest(None, hand, 3), given, watch)
    assert shown() == [0.01, 0.31, 0.1]  # the second as it was given; the third has a bone in the thing
    assert 0.01 in tested[-1][1]
    assert len(found) == 3


def test_after_the_first_piece_as_many_are_fitted_as_will_hold_and_some(hand, monkeypatch):
    given = grasps([0.1 * place for place in range(40)], [0.0] * 40)
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.arange(40.0).flip(0))
    sizes = []

    def pieces(share: float) -> list[int]:
        sizes.clear()
        monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: (
            sizes.append(len(some)), fitted(some, [True] * len(some)))[1])
        monkeypatch.setattr(hold, "passes_hold_test",
                            lambda request, one, *_: round(10 * float(one.transl[0, 0])) % 4 < share)
        selection.fit_and_select(GraspRequest(None, hand, 16), given, Watch())
        return list(sizes)

    assert pieces(4) == [8, 12]
    assert pieces(3) == [8, 15]
    assert pieces(2) == [8, 16, 6]  # no more than a fit moves at once
    assert pieces(0) == [8, 16, 16]


def test_each_type_has_its_turn_before_the_stiffest_fills_the_list(hand, monkeypatch):
    given = replace(grasps([0.1 * place for place in range(6)], [0.0] * 6), type=("wrap",) * 4 + ("tripod", "hook"))
    firm = torch.tensor([9.0, 8.0, 7.0, 6.0, 4.0, 0.01])
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: firm[: len(some)])
    request = GraspRequest(None, hand, 4)
    assert selection.rank_by_stiffness(request, given, 3).tolist() == [0, 1, 4]
    assert selection.rank_by_stiffness(request, given, 6).tolist() == [0, 1, 4, 2, 3, 5]  # none has no turn
    many = replace(grasps([0.1 * place for place in range(300)], [0.0] * 300))
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: 1.0 + torch.arange(300.0))
    assert selection.rank_by_stiffness(request, many, 300).tolist() == list(range(299, -1, -1))


def test_what_is_dropped_is_offered_only_where_too_few_hold(hand, monkeypatch):
    given = grasps([0.0, 0.1, 0.101, 0.2], [90.0, 50.0, 40.0, 80.0])
    monkeypatch.setattr(hold, "passes_hold_test", lambda request, one, *_: 0.05 < float(one.transl[0, 0]) < 0.15)
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))

    def offered(count):
        found = selection.fit_and_select(GraspRequest(None, hand, count), given, Watch())
        return [round(float(x), 3) for x in found.transl[:, 0]], found.score.tolist()

    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.arange(4.0))
    assert offered(2) == ([0.1, 0.101], [50.0, 40.0])  # alike, and both hold
    assert offered(3) == ([0.1, 0.101, 0.0], [50.0, 40.0, 45.0])


def test_what_does_not_hold_is_marked_and_what_holds_too(hand, monkeypatch):
    given = grasps([0.0, 0.1, 0.2], [90.0, 50.0, 80.0])
    monkeypatch.setattr(hold, "passes_hold_test", lambda request, one, *_: 0.05 < float(one.transl[0, 0]) < 0.15)
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.arange(3.0))
    watch = Watch()
    found = selection.fit_and_select(GraspRequest(None, hand, 3), given, watch)
    places = [round(place, 3) for place in found.transl[:, 0].tolist()]
    marks = dict(zip(places, found.measures["holds"].tolist(), strict=True))
    assert marks == {0.1: 1.0, 0.0: 0.0, 0.2: 0.0}
    assert [one.measures["holds"].tolist() for one in watch.shown] == [[1.0]]


class Judged:
    """Grades hands by where they are: all that is asked below 5 cm, some below 15 cm, nothing beyond."""

    def grade(self, given):
        place = given.transl[:, 0]
        return ((place < 0.05).float() + (place < 0.15).float()) / 2

    def marked(self, given):
        return given.with_measure("intent", self.grade(given))


def for_use(hand, monkeypatch, given, count, holds=lambda place: True):
    """What is offered for `use`, in order; which were fitted, piece by piece; and what was shown."""
    pieces, watch, judge = [], Watch(), Judged()
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: 1.0 - some.transl[:, 0].abs())
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: (
        pieces.append([round(place, 3) for place in some.transl[:, 0].tolist()]), fitted(some, [True] * len(some)))[1])
    monkeypatch.setattr(hold, "passes_hold_test", lambda request, one, *_: holds(round(float(one.transl[0, 0]), 3)))
    request = GraspRequest(None, hand, count, intent="use")
    found = selection.fit_and_select(request, given, watch, None, judge, judge.grade(given))
    return found, pieces, watch


def test_what_does_not_do_what_is_asked_is_offered_last(hand, monkeypatch):
    given = grasps([0.2, 0.0, 0.1, 0.3], [90.0, 40.0, 50.0, 80.0])
    found, _, watch = for_use(hand, monkeypatch, given, 4)
    found = selection.best_of_each_type(found, 4)
    assert [round(place, 3) for place in found.transl[:, 0].tolist()] == [0.0, 0.1, 0.2, 0.3]
    assert found.measures["intent"].tolist() == [1.0, 0.5, 0.0, 0.0]
    assert found.score[0] > found.score[1]  # though it scored more before
    assert [one.measures["intent"].tolist() for one in watch.shown] == [[1.0]]  # no other before the end
    assert for_use(hand, monkeypatch, given, 1)[0].transl[:, 0].tolist() == [0.0]


def test_on_its_part_and_not_holding_comes_before_holding_elsewhere(hand, monkeypatch):
    given = grasps([0.0, 0.2], [90.0, 90.0])
    found, _, _ = for_use(hand, monkeypatch, given, 2, holds=lambda place: place > 0.1)
    assert found.measures["intent"].tolist() == [1.0, 0.0]
    assert selection.best_of_each_type(found, 2).measures["holds"].tolist() == [0.0, 1.0]


def test_more_are_fitted_while_too_few_do_what_is_asked_those_first_that_promise_it(hand, monkeypatch):
    places = [0.3 + 0.1 * place for place in range(30)] + [0.001 * place for place in range(4)]
    _, pieces, _ = for_use(hand, monkeypatch, grasps(places, [50.0] * 34), 4)
    assert sorted(pieces[0]) == [0.0, 0.001, 0.002, 0.003]
    assert len(pieces) == 1
    _, pieces, _ = for_use(hand, monkeypatch, grasps(places[:30], [50.0] * 30), 4)
    assert sum(map(len, pieces)) == 16  # four for each that was asked for, and no more


def test_without_an_intent_nothing_is_judged(hand, monkeypatch):
    monkeypatch.setattr(selection, "grasp_quality", lambda obj, hand, some: torch.ones(len(some)))
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))
    monkeypatch.setattr(hold, "passes_hold_test", lambda *_: True)
    found = selection.fit_and_select(GraspRequest(None, hand, 2), grasps([0.0, 0.2], [40.0, 90.0]), Watch())
    assert found.score.tolist() == [90.0, 40.0]
    assert "intent" not in found.measures
