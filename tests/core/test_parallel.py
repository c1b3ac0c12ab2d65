"""Pieces of work side by side: in order, told of by one at a time, ended by a stop, without gradients."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from core.parallel import parallel_map
from core.progress import Progress, Stopped


@pytest.fixture(params=[1, 2, 8])
def cores(request, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: request.param)
    return request.param


def test_what_is_made_comes_in_the_order_of_the_pieces(cores):
    def work(piece, progress):
        time.sleep(0.01 * (5 - piece))
        return 10 * piece

    assert parallel_map(range(5), work, Progress()) == [0, 10, 20, 30, 40]
    assert parallel_map([], work, Progress()) == []


def test_as_many_at_once_as_there_are_cores_and_never_more_than_four(cores):
    busy, most, lock = 0, 0, threading.Lock()

    def work(piece, progress):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.05)
        with lock:
            busy -= 1

    parallel_map(range(8), work, Progress())
    assert most == min(cores, 4)


def test_it_is_told_of_by_one_at_a_time_and_to_the_end(cores):
    told, inside = [], threading.Lock()

    def report(share, stage):
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        told.append(share)
        inside.release()

    parallel_map(range(6), lambda piece, progress: [progress(0.25 * part) for part in range(1, 5)], Progress(report))
    assert len(told) == 24
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_stop_ends_all_pieces_and_begins_no_more(cores):
    told, begun, ended = [], [], []

    def work(piece, progress):
        begun.append(piece)
        try:
            while True:
                progress(0.5)
                time.sleep(0.001)
        finally:
            ended.append(piece)

    with pytest.raises(Stopped):
        parallel_map(range(20), work, Progress(lambda share, stage: bool(told.append(share))))
    assert len(told) == 1  # nobody asks again
    assert 1 <= len(begun) <= min(cores, 4)
    assert sorted(ended) == sorted(begun)  # no thread is left at work


def test_work_begins_without_gradients_and_what_it_raises_is_raised(cores):
    assert parallel_map(range(3), lambda piece, progress: torch.is_grad_enabled(), Progress()) == [False] * 3

    def work(piece, progress):
        raise ValueError("a piece that fails")

    with pytest.raises(ValueError, match="a piece that fails"):
        parallel_map(range(3), work, Progress())
