"""Hands are closed on the device that was asked for: no tensor of another joins in, and the grasps are the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.dataset.training_grasps import training_object
from core.fitting.descent import Stage, minimise
from core.fitting.energy import GraspEnergy
from core.fitting.poses import Poses
from core.synthesis import production
from core.synthesis.production import PRODUCTION, Task, produce

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fake_device import ELSEWHERE, Elsewhere, There

SHORT = (Stage(2, 0.04, 0.15, 0.0), Stage(2, 0.025, 0.08, 0.05), Stage(2, 0.007, 0.028, 0.014, whole_skin=True))


@pytest.fixture(scope="module")
def things():
    return {name: training_object(name) for name in ("ball/0", "cup/0")}


def closed(energy: GraspEnergy, poses: Poses, device: str) -> tuple[Poses, torch.Tensor]:
    return minimise(energy.to(device), poses.to(device), SHORT, keep=0.75)


@pytest.mark.parametrize("name", ["ball/0", "cup/0"])  # thick, and thin walls, which ask for more terms
def test_closing_stays_on_its_device_and_gives_the_same(name, things, hand, sampler_on):
    sampler = sampler_on(things[name])
    assert sampler.energy.thin == (name == "cup/0")
    starts = sampler.sample(8, sampler.usable())
    known, energies = closed(sampler.energy, starts, "cpu")
    with Elsewhere() as elsewhere:
        poses, found = closed(sampler.energy, starts, ELSEWHERE)
        assert isinstance(poses.wrist, There)
        assert elsewhere.calls > 1000
        poses, found = poses.to("cpu"), found.to("cpu")
    assert poses.types == known.types
    for one, other in ((poses.rotation, known.rotation), (poses.wrist, known.wrist), (poses.dofs, known.dofs),
                       (found, energies)):
        assert torch.allclose(one, other, atol=1e-5)
    assert hand.v_template.device.type == "cpu"  # the caller's hand has stayed
    assert not isinstance(hand.v_template, There)


def test_a_tensor_left_behind_is_noticed(things, sampler_on):
    """The guard is one: with the object's grid on the processor, the closing is refused."""
    sampler = sampler_on(things["ball/0"])
    starts = sampler.sample(4, sampler.usable())
    with Elsewhere():
        there = sampler.energy.to(ELSEWHERE)
        there.grid = things["ball/0"].grid
        with pytest.raises(RuntimeError, match="elsewhere and here"):
            minimise(there, starts.to(ELSEWHERE), SHORT)


def test_a_slice_is_made_on_its_device(things, hand, monkeypatch):
    config = replace(PRODUCTION, stages=SHORT, rounds=1, hands=8)
    passed = []

    def passing(self, request, energy, poses, purpose):
        assert energy.device.type == "cpu"
        assert not isinstance(poses.wrist, There)
        passed.append(poses)
        return original(self, request, energy, poses, purpose)

    original = production.Synthesis.passing
    monkeypatch.setattr(production.Synthesis, "passing", passing)
    here = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, config=config)
    with Elsewhere() as elsewhere:
        there = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device=ELSEWHERE, config=config)
    assert elsewhere.calls > 1000
    assert torch.allclose(passed[0].wrist, passed[1].wrist, atol=1e-5)
    assert len(here) == len(there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda(things, hand):
    made = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device="cuda")
    again = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device="cuda")
    assert len(made) >= 4
    assert len(again) == len(made)
