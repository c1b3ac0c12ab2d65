"""Gradient descent: Adam, who goes on, hands that close on a rod, and how it stops."""

from __future__ import annotations

import pytest
import torch

from core.fitting.descent import QUICK, Adam, Stage, best_of_each_type, minimise
from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.grasps.request import GraspRequest
from core.progress import Progress, Stopped
from core.synthesis.starts import StartSampler


@pytest.fixture(scope="module")
def wrapped(hand, rod):
    """The energy of a hand on the rod, and four starts of a medium wrap."""
    energy = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), rod)
    request = GraspRequest(rod, hand, 4, type="medium_wrap")
    sampler = StartSampler(rod, energy, request, torch.Generator().manual_seed(0))
    return energy, sampler.sample(4, sampler.usable())


def test_adam_finds_a_minimum():
    x = torch.tensor([3.0, -2.0], requires_grad=True)
    adam = Adam([(x, 0.1)])
    for _ in range(200):
        (x - torch.tensor([1.0, 1.0])).square().sum().backward()
        adam.step(1.0)
    assert torch.allclose(x.detach(), torch.ones(2), atol=0.02)


def test_adam_is_pytorchs():
    mine, theirs = (torch.tensor([3.0, -2.0], requires_grad=True) for _ in range(2))
    adam, other = Adam([(mine, 0.1)]), torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.98))
    for _ in range(20):
        for x in (mine, theirs):
            (x - torch.tensor([1.0, 1.0])).abs().pow(1.5).sum().backward()
        adam.step(1.0)
        other.step()
        other.zero_grad()
    assert torch.allclose(mine, theirs, atol=1e-6)


def test_adam_refuses_a_variable_without_a_gradient():
    with pytest.raises(ValueError, match="no gradient"):
        Adam([(torch.zeros(2, requires_grad=True), 0.1)]).step(1.0)


def test_best_of_each_type_goes_on():
    rows = best_of_each_type(("a", "a", "b", "b", "b"), torch.tensor([5.0, 1.0, 90.0, 80.0, 70.0]), 0.5)
    assert rows.tolist() == [1, 3, 4]


def test_closing_brings_the_hand_to_the_rod(hand, wrapped):
    energy, poses = wrapped
    before = energy(poses, energy.contact_targets(poses.types))
    after, energies = minimise(energy, poses, (Stage(30, 0.03, 0.12, 0.0), Stage(40, 0.02, 0.07, 0.04)))
    assert (energies < before).all()
    low, high = hand.dof_limits.unbind(1)
    assert ((after.dofs >= low) & (after.dofs <= high)).all()


def test_the_best_share_goes_on_to_the_whole_skin(wrapped):
    energy, poses = wrapped
    stages = (Stage(1, 0.03, 0.12, 0.0), Stage(1, 0.006, 0.025, 0.012, whole_skin=True))
    for keep, left in ((1.0, 4), (0.5, 2), (0.1, 1)):
        assert len(minimise(energy, poses, stages, keep=keep)[0]) == left


def test_progress_is_told_each_step_and_a_stop_ends_it_there(wrapped):
    energy, poses = wrapped
    fractions = []
    minimise(energy, poses, (Stage(2, 0.03, 0.12, 0.0), Stage(3, 0.02, 0.07, 0.04)),
             Progress(lambda fraction, stage: fractions.append(fraction)))
    assert fractions == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    fractions.clear()

    def stop(fraction: float, stage: str) -> bool:
        fractions.append(fraction)
        return len(fractions) < 3

    with pytest.raises(Stopped):
        minimise(energy, poses, QUICK, Progress(stop))
    assert len(fractions) == 3
