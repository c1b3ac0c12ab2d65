"""Candidates while they are tested: which are kept, which are passed over, what is offered, and how it stops."""

from __future__ import annotations

import math
import threading
import time

import pytest
import torch

from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.progress import Progress, Stopped
from core.quality.symmetry import find_symmetry
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from core.synthesis import candidates
from core.synthesis.candidates import COLLECTOR, CandidateCollector


@pytest.fixture(scope="module")
def round_rod(rod):
    """(the rod, its symmetry about its axis)."""
    return rod, find_symmetry(rod)


@pytest.fixture
def turned(hand):
    """Hands 10 cm beside the rod, turned about its axis and moved away along x of the hand."""
    def grasps(angles: list[float], away: list[float], scores: list[float]) -> Grasps:
        count = len(angles)
        turn = axis_angle_to_matrix(torch.tensor([[0.0, 0.0, angle] for angle in angles]))
        wrist = torch.tensor([[0.1 + far, 0.02, 0.0] for far in away])
        joint = hand.rest_joints(torch.zeros(1, 10))[0, 0]
        return Grasps(matrix_to_axis_angle(turn), torch.zeros(count, 45), (turn @ wrist[..., None])[..., 0] - joint,
                      torch.zeros(count, 10), torch.tensor(scores))

    return grasps


def test_repeats_on_a_round_object_are_no_new_grasps(round_rod, hand, turned, watch):
    """Turned about the rod's axis a grasp is the same grasp, until the list would stay short."""
    rod, symmetry = round_rod
    assert symmetry.kind == "axis"
    with CandidateCollector(GraspRequest(rod, hand, 4), watch()) as collector:
        collector.add(turned([0.0, math.pi / 2], [0.0, 0.0], [2.0, 1.0]), 4)
        assert collector.strict
        assert collector.expected == pytest.approx(COLLECTOR.hold_share)
        assert not collector.fill(4)  # not yet
        for _ in range(COLLECTOR.distinct_rounds):
            collector.add(Grasps.empty("synthesis"), 4)
        assert not collector.strict
        assert collector.expected == pytest.approx(2 * COLLECTOR.hold_share)


def test_what_fell_is_no_reason_to_drop_its_like(rod, hand, monkeypatch, watch):
    answers = iter([False, True])
    monkeypatch.setattr(candidates, "passes_hold_test", lambda *_: next(answers))
    grasp = Grasps(torch.zeros(1, 3), torch.zeros(1, 45), torch.zeros(1, 3), torch.zeros(1, 10), torch.ones(1))
    with CandidateCollector(GraspRequest(rod, hand, 4), watch()) as collector:
        for found in (0, 1, 1):
            collector.add(grasp, 4)
            collector.wait(True, lambda: None)
            assert len(collector.held) == found
        assert collector.grasps("synthesis").measures["holds"].tolist() == [1.0, 0.0]  # marked, where few held


def held_one_by_one(collector: CandidateCollector, grasps: Grasps) -> None:
    """Has every grasp tested, in rounds of one, as if nothing turned were the same."""
    for row in range(len(grasps)):
        collector.add(grasps[row], 99)
    collector.wait(True, lambda: None)


def test_of_more_than_were_asked_for_the_distinct_are_offered(round_rod, hand, turned, monkeypatch, watch):
    """Three that are one grasp turned about the rod, and a worse one of another kind: it is among the two offered."""
    monkeypatch.setattr(candidates, "passes_hold_test", lambda *_: True)
    rod, symmetry = round_rod
    grasps = turned([0.0, 1.5, 3.0, 0.0], [0.0, 0.0, 0.0, 0.05], [4.0, 3.0, 2.0, 1.0])
    for count, offered in ((2, [1.0, 4.0]), (3, [1.0, 3.0, 4.0])):
        with CandidateCollector(GraspRequest(rod, hand, count), watch(), symmetry) as collector:
            for _ in range(COLLECTOR.distinct_rounds):  # so that repeats are tested too
                collector.add(Grasps.empty("synthesis"), 0)
            held_one_by_one(collector, grasps)
            assert len(collector.held) == 4
            assert sorted(collector.grasps("synthesis").score.tolist()) == offered


def test_more_is_looked_for_while_few_on_a_round_object_are_distinct(round_rod, hand, turned, monkeypatch, watch):
    """Of four wanted: four that are one grasp turned lack three; with three of other kinds nothing is lacking."""
    monkeypatch.setattr(candidates, "passes_hold_test", lambda *_: True)
    rod, symmetry = round_rod
    angles = torch.linspace(0, 4.8, 7).tolist()
    grasps = turned(angles, [0.0] * 4 + [0.05, 0.1, 0.15], [1.0] * 7)
    for known, lacks in ((symmetry, (True, True, False)), (symmetry.trivial, (False, False, False))):
        with CandidateCollector(GraspRequest(rod, hand, 4), watch(), known) as collector:
            for _ in range(COLLECTOR.distinct_rounds):
                collector.add(Grasps.empty("synthesis"), 0)
            for rows, lacking in zip((range(2), range(2, 4), range(4, 7)), lacks, strict=True):
                held_one_by_one(collector, grasps[torch.tensor(rows)])
                assert collector.lacks_distinct() == lacking
            assert len(collector.held) == 7


def test_what_held_is_shown_and_stands_when_the_work_is_stopped(rod, hand, turned, monkeypatch, watch):
    """Of three tests one alone is answered: the wait for the others ends with the stop, their thread after it."""
    never = threading.Event()
    monkeypatch.setattr(candidates, "passes_hold_test", lambda _, one, *rest: float(one.score) == 2.0 or never.wait(30))
    seen = watch(patience=3)
    before = threading.active_count()

    def tick() -> None:
        if len(seen.fractions) == seen.patience - 1:
            never.set()  # or the thread would be waited for
        seen(0.5, "Waiting")

    def collect() -> None:
        with CandidateCollector(GraspRequest(rod, hand, 4), seen) as collector:
            collector.add(turned([0.0, 0.0, 0.0], [0.0, 0.1, 0.2], [2.0, 1.0, 0.5]), 4)
            collector.wait(True, tick)

    with pytest.raises(Stopped):
        collect()
    assert [float(one.score) for one in seen.shown] == [2.0]
    assert len(seen.fractions) == 3
    assert threading.active_count() == before


def test_where_few_held_the_best_of_the_others_are_offered_at_half_their_score(rod, hand, turned, monkeypatch):
    monkeypatch.setattr(candidates, "passes_hold_test", lambda _, one, *rest: float(one.score) == 3.0)
    shown = []
    with CandidateCollector(GraspRequest(rod, hand, 2), Progress(show=shown.append)) as collector:
        collector.add(turned([0.0, 0.0, 0.0], [0.0, 0.1, 0.2], [3.0, 2.0, 1.0]), 2)
        collector.wait(True, lambda: None)
        assert collector.grasps("synthesis").score.tolist() == [3.0, 1.0]
    assert [float(one.score) for one in shown] == [3.0, 1.0]


def test_pieces_that_are_being_made_end_with_the_work(rod, hand, monkeypatch):
    """Or the next request would wait for them; they would take half a minute."""
    ended = threading.Event()

    def endless(_obj, progress):
        for _ in range(600):
            try:
                progress(0.0)
            except Stopped:
                ended.set()
                raise
            time.sleep(0.05)

    monkeypatch.setattr(candidates, "prepare_pieces", endless)
    with CandidateCollector(GraspRequest(rod, hand, 4), Progress()):
        time.sleep(0.1)
    assert ended.is_set()
