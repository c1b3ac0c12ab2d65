"""What is shown of fitted grasps: those that differ, the given pose first."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest, Share
from core.hand import load_hand
from core.pipeline import selection
from core.pipeline.refine import ALIKE, SPREAD, chosen_around, nearby
from core.pipeline.selection import select_diverse

sys.path.insert(0, str(Path(__file__).parent))
from made_fits import Watch, fitted, grasps


def test_the_best_of_those_that_differ_then_the_rest():
    hand = load_hand()
    given = grasps([0.0, 0.001, 0.1, 0.101, 0.2], [50.0, 60.0, 30.0, 20.0, 10.0])
    assert select_diverse(hand, given, 5, 0.03).tolist() == [1, 2, 4, 0, 3]
    assert select_diverse(hand, given, 5, 0.03, fill=False).tolist() == [1, 2, 4]
    assert select_diverse(hand, given, 2, 0.03).tolist() == [1, 2]
    assert select_diverse(hand, given[[]], 2, 0.03).tolist() == []


def test_around_a_pose_its_fit_is_offered_first_unless_another_is_clearly_better_and_what_does_not_touch_not_at_all():
    hand = load_hand()
    rest = fitted(grasps([ALIKE / 2, 0.1, 0.2, 0.3], [90.0, 50.0, 70.0, 99.0]), [True, True, True, False])

    def order(score: float, count: int = 4) -> list[float]:
        first = fitted(grasps([0.0], [score]), [True])
        return [round(x, 3) for x in chosen_around(hand, first, rest, count=count).transl[:, 0].tolist()]

    assert order(70.0 - selection.CLEARLY / 2) == [0.0, 0.2, 0.1]
    assert order(50.0 + selection.CLEARLY / 2) == [0.2, 0.0, 0.1]
    assert order(10.0) == [0.2, 0.1, 0.0]
    assert order(10.0, 2) == [0.2, 0.0]  # the given pose's is never left out


def test_a_hold_that_the_fit_lost_is_given_back(monkeypatch):
    hand = load_hand()
    given = grasps([0.0, 0.1, 0.2, 0.3], [0.0] * 4)
    moved = replace(given, transl=given.transl + 0.01, score=torch.full((4,), 90.0))
    made = fitted(moved, [True] * 4)
    overlap = torch.tensor([0.5, 0.5, 3.0, 0.5])
    made = replace(made, before=replace(made.before, overlap_cm3=overlap), moved_mm=torch.full((4,), 10.0))
    # The first holds after the fit; the second held before; the third, too, by its overlap; the fourth never.
    known = {(0.01, True), (0.1, True), (0.2, True)}
    monkeypatch.setattr(selection, "holds", lambda request, one, still: (round(float(one.transl[0, 0]), 3), True) in known)
    kept, held = selection.keep_holds(GraspRequest(None, hand, 4), made, given, lambda *_: True, lambda some: None)
    assert held.tolist() == [True, True, False, False]
    assert torch.allclose(kept.grasps.transl[:, 0], torch.tensor([0.01, 0.1, 0.21, 0.31]))
    assert kept.changed.tolist() == [True, False, True, True]
    assert kept.moved_mm.tolist() == [10.0, 0.0, 10.0, 10.0]
    assert kept.after.overlap_cm3.tolist() == [0.0, 0.5, 0.0, 0.0]
    assert kept.grasps.score[0] == 90.0
    assert kept.grasps.score[1] < 90.0


def test_hands_are_shaken_until_it_is_told_to_stop(monkeypatch):
    hand, many = load_hand(), 20
    told, tested = [], []
    monkeypatch.setattr(selection, "AT_ONCE", 2)

    def holds(request, one, still):
        tested.append(round(float(one.transl[0, 0]), 1))
        return False

    monkeypatch.setattr(selection, "holds", holds)

    def until(share):
        def progress(fraction, stage):
            told.append(fraction)
            return fraction < share

        return progress

    given, rows = grasps([0.1 * place for place in range(many)], [0.0] * many), torch.arange(many) != 1
    assert not selection.shaken(GraspRequest(None, hand, many), given, rows, until(2)).any()
    assert sorted(tested) == [0.0, *(round(0.1 * place, 1) for place in range(2, many))]
    assert told == sorted(told)
    # From the third on they are not asked for any more, and count as holding.
    held = selection.shaken(GraspRequest(None, hand, many), given, rows, until(0.1))
    assert held.tolist() == [False, False, False, *[True] * (many - 3)]


def test_a_refiner_makes_half_of_the_others(monkeypatch):
    hand, given, calls = load_hand(), grasps([0.0], [10.0]), []
    monkeypatch.setattr(selection, "check_near", lambda request: None)

    def fit(obj, hand, some, fields=None, in_fields=False, progress=None):
        calls.append((len(some), fields, laid))
        return fitted(some, [True] * len(some))

    def refiner(some, rng):
        far = replace(some, transl=some.transl + 0.2 * torch.randn(len(some), 3, generator=rng))
        return replace(far, score=torch.full((len(some),), 90.0)), "fields"

    class Watch:
        def accepted(self, some):
            self.seen = some

        def __call__(self, fraction, stage):
            return True

    def firmest(request, some, count):
        drawn.append(len(some))
        return torch.arange(count)

    drawn = []
    monkeypatch.setattr(selection, "fit", fit)
    monkeypatch.setattr(selection, "rank_by_stiffness", firmest)
    monkeypatch.setattr(selection, "holds", lambda request, one, still: float(one.transl[0, 0]) < 0.16)
    request, watch = GraspRequest(None, hand, 5, start=given), Watch()
    found = selection.around(request, 0, watch, refiner)
    assert calls == [(1, None, False), (3, None, False), (3, "fields", True)]
    assert torch.equal(watch.seen.transl, given.transl)
    own = (found.transl == given.transl).all(1)
    assert own.nonzero().tolist() == [[3]]  # it scored 10
    held = (found.transl[:3, 0] < 0.16).tolist()
    assert found.score[:3].tolist() == [90.0 if one else 45.0 for one in held]
    assert held == [True, True, False]  # those that hold first
    calls.clear()
    selection.around(request, 0, watch)
    assert calls == [(1, None, False), (6, None, False)]
    assert drawn == [3 * selection.DRAWN, 6 * selection.DRAWN]  # of many hands near the given one those that would grip


def test_while_no_hand_around_a_pose_holds_more_are_tried(monkeypatch):
    hand, given, goes = load_hand(), grasps([0.0], [10.0]), []
    monkeypatch.setattr(selection, "check_near", lambda request: None)
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))
    monkeypatch.setattr(selection, "rank_by_stiffness", lambda request, some, count: torch.arange(count))

    def refiner(some, rng):
        goes.append(len(some))
        return replace(some, transl=some.transl + 0.1 * len(goes), score=torch.full((len(some),), 50.0)), "fields"

    def offered(holds_from: float) -> tuple[int, Grasps]:
        goes.clear()
        monkeypatch.setattr(selection, "holds", lambda request, one, still: float(one.transl[0, 0]) > holds_from)
        watch = Watch()
        found = selection.around(GraspRequest(None, hand, 3, start=given), 0, watch, refiner)
        assert watch.told == sorted(watch.told)
        assert watch.told[-1] <= 1.0
        return len(goes), found

    tried, found = offered(0.25)  # those of the third go
    assert tried == 3
    assert float(found.transl[0, 0]) > 0.25
    assert float(found.score[0]) == 50.0
    assert offered(-1.0)[0] == 1  # the given one's fit holds
    assert offered(9.0)[0] == selection.GOES


def test_a_bone_through_a_wall_is_offered_only_where_there_is_nothing_else(monkeypatch):
    hand = load_hand()
    given = grasps([0.0, 0.1, 0.2], [90.0, 50.0, 70.0])
    whole = fitted(given, [True, True, True])
    monkeypatch.setattr(selection, "holds", lambda *_: True)
    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: torch.arange(3.0).flip(0))

    def offered(bones):
        after = replace(whole.after, bones=torch.tensor(bones))
        monkeypatch.setattr(selection, "fit", lambda *_, **__: replace(whole, after=after))
        return selection.fit_and_select(GraspRequest(None, hand, 3), given, Watch()).score.tolist()

    assert offered([1, 0, 0]) == [70.0, 50.0]
    assert offered([1, 2, 1]) == [90.0, 70.0, 50.0]


def test_the_firmest_proposals_are_fitted_unlike_ones_first(monkeypatch):
    hand = load_hand()
    given = grasps([0.0, 0.001, 0.1, 0.2, 0.3], [0.0] * 5)
    firm = torch.tensor([5.0, 4.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: firm[: len(some)])
    request = GraspRequest(None, hand, 2)
    assert selection.rank_by_stiffness(request, given, 3).tolist() == [0, 2, 4]
    assert selection.rank_by_stiffness(request, given, 5).tolist() == [0, 2, 4, 3, 1]
    assert selection.rank_by_stiffness(request, given[torch.tensor([0, 1])], 2).tolist() == [0, 1]

    tried = []

    def fit(obj, hand, some, fields=None, **_):
        tried.append((some.transl[:, 0].tolist(), fields.tolist()))
        return fitted(some, [True] * len(some))

    monkeypatch.setattr(selection, "fit", fit)
    monkeypatch.setattr(selection, "holds", lambda *_: True)
    monkeypatch.setattr(selection, "LEAST", 2)
    watch = Watch()
    selection.fit_and_select(request, given, watch, torch.arange(5))
    assert torch.allclose(torch.tensor(tried[0][0]), torch.tensor([0.0, 0.1]))
    assert tried[0][1] == [0, 2]  # with the fields that they lie in
    assert len(tried) == 1
    assert [some.transl[:, 0].tolist() for some in watch.shown] == [[place] for place in tried[0][0]]  # one by one

    watch = Watch()
    monkeypatch.setattr(selection, "holds", lambda request, one, still: round(float(one.transl[0, 0]), 3) in (0.0, 0.2))
    selection.fit_and_select(request, given, watch, torch.arange(5))
    assert [rows for _, rows in tried[1:]] == [[0, 2], [4, 3]]  # too few hold, so more are fitted, and then enough do
    assert [round(float(some.transl[0, 0]), 3) for some in watch.shown] == [0.0, 0.2]
    assert watch.told == sorted(watch.told)
    assert 0.5 <= watch.told[0] < watch.told[-1] <= 1.0


def test_a_hand_is_shown_as_soon_as_it_is_known_to_hold_and_never_twice(monkeypatch):
    hand = load_hand()
    given = grasps([0.0, 0.1, 0.2, 0.3], [0.0] * 4)
    made = fitted(replace(given, transl=given.transl + 0.01), [True] * 4)
    bones = torch.tensor([0, 0, 1, 0])
    made = replace(made, after=replace(made.after, bones=bones), changed=torch.ones(4, dtype=torch.bool))
    tested, watch = [], Watch()

    def shown():
        return [round(float(some.transl[0, 0]), 3) for some in watch.shown]

    def holds(request, one, still):
        tested.append((round(float(one.transl[0, 0]), 3), shown()))
        return tested[-1][0] != 0.11  # which held before the fit

    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: torch.arange(4.0).flip(0))
    monkeypatch.setattr(selection, "fit", lambda *_, **__: made)
    monkeypatch.setattr(selection, "holds", holds)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    found = selection.fit_and_select(GraspRequest(None, hand, 3), given, watch)
    assert shown() == [0.01, 0.31, 0.1]  # the second as it was given; the third has a bone in the thing
    assert 0.01 in tested[-1][1]
    assert len(found) == 3


def test_after_the_first_piece_as_many_are_fitted_as_will_hold_with_some_to_spare(monkeypatch):
    hand = load_hand()
    given = grasps([0.1 * place for place in range(40)], [0.0] * 40)
    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: torch.arange(40.0).flip(0))
    sizes = []

    def pieces(share: float) -> list[int]:
        sizes.clear()
        monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: (
            sizes.append(len(some)), fitted(some, [True] * len(some)))[1])
        monkeypatch.setattr(selection, "holds",
                            lambda request, one, still: round(10 * float(one.transl[0, 0])) % 4 < share)
        selection.fit_and_select(GraspRequest(None, hand, 16), given, Watch())
        return list(sizes)

    assert pieces(4) == [8, 12]
    assert pieces(3) == [8, 15]
    assert pieces(2) == [8, 16, 6]  # no more than a fit moves at once
    assert pieces(0) == [8, 16, 16]


def test_each_type_has_its_turn_before_the_firmest_one_fills_the_list(monkeypatch):
    hand = load_hand()
    given = replace(grasps([0.1 * place for place in range(6)], [0.0] * 6), type=("wrap",) * 4 + ("tripod", "hook"))
    firm = torch.tensor([9.0, 8.0, 7.0, 6.0, 4.0, 0.01])
    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: firm[: len(some)])
    request = GraspRequest(None, hand, 4)
    assert selection.rank_by_stiffness(request, given, 3).tolist() == [0, 1, 4]
    assert selection.rank_by_stiffness(request, given, 6).tolist() == [0, 1, 4, 2, 3, 5]  # a grip that is none has no turn
    many = replace(grasps([0.1 * place for place in range(300)], [0.0] * 300))
    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: 1.0 + torch.arange(300.0))
    assert selection.rank_by_stiffness(request, many, 300).tolist() == list(range(299, -1, -1))


def test_what_is_dropped_is_offered_only_where_too_few_hold(monkeypatch):
    hand = load_hand()
    given = grasps([0.0, 0.1, 0.101, 0.2], [90.0, 50.0, 40.0, 80.0])
    monkeypatch.setattr(selection, "holds", lambda request, one, still: 0.05 < float(one.transl[0, 0]) < 0.15)
    monkeypatch.setattr(selection, "fit", lambda obj, hand, some, **_: fitted(some, [True] * len(some)))

    def offered(count):
        found = selection.fit_and_select(GraspRequest(None, hand, count), given, Watch())
        return [round(float(x), 3) for x in found.transl[:, 0]], found.score.tolist()

    monkeypatch.setattr(selection, "firmness", lambda obj, hand, some: torch.arange(4.0))
    assert offered(2) == ([0.1, 0.101], [50.0, 40.0])  # alike, and both hold
    assert offered(3) == ([0.1, 0.101, 0.0], [50.0, 40.0, 45.0])


def test_hands_near_a_pose_are_near_it_and_repeat():
    hand = load_hand()
    given = replace(grasps([0.0], [0.0]), hand_pose=hand.pose_from_dofs(torch.full((1, 21), 0.3)))
    one, other = (nearby(hand, given, 40, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one.hand_pose, other.hand_pose)
    with torch.no_grad():
        moved = (hand(**one.parameters()).joints - hand(**given.parameters()).joints).norm(dim=-1).mean(1)
    assert moved.mean() < 0.04
    assert float(one.transl.std()) < 1.3 * SPREAD[0]
    angles = hand.dofs_from_pose(one.hand_pose)
    assert (angles <= hand.dof_limits[:, 1] + 1e-3).all()


def test_a_share_of_the_way_is_told_as_such():
    told = []

    class Whole:
        def __call__(self, fraction: float, stage: str) -> bool:
            told.append(fraction)
            return fraction < 0.7

        def accepted(self, grasps: Grasps) -> None:
            raise AssertionError("a proposal was shown")

    share = Share(Whole(), 0.5, 1.0)
    assert share(0.0, "")
    assert not share(0.5, "")
    share.accepted(grasps([0.0], [0.0]))
    assert told == [0.5, 0.75]
