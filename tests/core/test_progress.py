"""One progress: what it reports, which part it stands for, how it stops, what it shows."""

from __future__ import annotations

import pytest

from core.progress import Progress, Stopped


def test_a_part_reports_its_share_of_the_whole_in_its_own_words():
    told = []
    whole = Progress(lambda fraction, stage: told.append((round(fraction, 6), stage)), stage="Working")
    part = whole.sub(0.5, 0.9, "Fitting")
    part(0.5)
    part.sub(0.5, 1.0)(1.0)
    part(1.0, "Testing")
    whole(1.0)
    assert told == [(0.7, "Fitting"), (0.9, "Fitting"), (0.9, "Testing"), (1.0, "Working")]


def test_false_stops_and_nothing_else_does():
    Progress(lambda fraction, stage: None)(0.1)
    Progress(lambda fraction, stage: True)(0.1)
    Progress()(0.1)
    with pytest.raises(Stopped):
        Progress(lambda fraction, stage: False).sub(0.0, 0.5)(0.1)


def test_what_is_accepted_is_shown_but_not_what_a_part_accepts():
    shown = []
    whole = Progress(show=shown.append)
    whole.accepted("a grasp")
    whole.sub(0.0, 1.0).accepted("a proposal")
    Progress().accepted("nobody sees it")
    assert shown == ["a grasp"]
