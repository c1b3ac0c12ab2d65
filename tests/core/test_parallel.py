"""Pieces of work side by side: in order, told of by one at a time, ended when told, without gradients."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from core.parallel import parallel_map


@pytest.fixture(params=[1, 2, 8])
def cores(request, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: request.param)
    return request.param


def test_what_is_made_comes_in_the_order_of_the_pieces(cores):
    def work(piece, tell):
        time.sleep(0.01 * (5 - piece))
        return 10 * piece

    assert parallel_map(range(5), work, lambda share: True) == [0, 10, 20, 30, 40]
    assert parallel_map([], work, lambda share: True) == []


def test_as_many_at_once_as_there_are_cores_and_never_more_than_four(cores):
    busy, most, lock = 0, 0, threading.Lock()

    def work(piece, tell):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.05)
        with lock:
            busy -= 1

    parallel_map(range(8), work, lambda share: True)
    assert most == min(cores, 4)


def test_it_is_told_of_by_one_at_a_time_and_to_the_end(cores):
    told, inside = [], threading.Lock()

    def go_on(share):
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        told.append(share)
        inside.release()
        return True

    parallel_map(range(6), lambda piece, tell: [tell(0.25 * part) for part in range(1, 5)], go_on)
    assert len(told) == 24
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_once_told_to_stop_nothing_more_begins_and_nobody_asks_again(cores):
    told, begun = [], []

    def work(piece, tell):
        begun.append(piece)
        while tell(0.5):
            time.sleep(0.001)
        return piece

    found = parallel_map(range(20), work, lambda share: bool(told.append(share)))
    assert len(told) == 1
    assert 1 <= len(begun) <= min(cores, 4)
    assert found == [piece if piece in begun else None for piece in range(20)]


def test_work_begins_without_gradients_and_what_it_raises_is_raised(cores):
    assert parallel_map(range(3), lambda piece, tell: torch.is_grad_enabled(), lambda share: True) == [False] * 3

    def work(piece, tell):
        raise ValueError("a piece that fails")

    with pytest.raises(ValueError, match="a piece that fails"):
        parallel_map(range(3), work, lambda share: True)
