"""Hands are closed on the device that was asked for: no tensor of another joins in, and the grasps are the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from core.dataset.training_grasps import training_object
from core.fitting.energy import GraspEnergy, Poses, Stage
from core.fitting.hand_points import HandPoints
from core.grasps.request import GraspRequest
from core.synthesis import production
from core.synthesis.production import Task, produce
from core.synthesis.starts import StartSampler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fake_device import ELSEWHERE, Elsewhere, There

SHORT = (Stage(2, 0.04, 0.15, 0.0), Stage(2, 0.025, 0.08, 0.05), Stage(2, 0.007, 0.028, 0.014, whole_skin=True))


@pytest.fixture(scope="module")
def things():
    return {name: training_object(name) for name in ("ball/0", "cup/0")}


def closed(closer: GraspEnergy, poses: Poses, device: str) -> tuple[Poses, torch.Tensor]:
    there = closer.to(device)
    return there.run(poses.to(device), SHORT, keep=0.75)


@pytest.mark.parametrize("name", ["ball/0", "cup/0"])  # thick, and thin walls, which ask for more terms
def test_closing_stays_on_its_device_and_gives_the_same(name, things, hand):
    obj, betas = things[name], torch.zeros(10)
    closer = GraspEnergy(hand, HandPoints(hand, betas), betas, obj)
    assert closer.thin == (name == "cup/0")
    maker = StartSampler(obj, closer, GraspRequest(obj, hand, 8), torch.Generator().manual_seed(0))
    starts = maker.make(8, maker.usable())
    known, energy = closed(closer, starts, "cpu")
    with Elsewhere() as elsewhere:
        poses, found = closed(closer, starts, ELSEWHERE)
        assert isinstance(poses.wrist, There)
        assert elsewhere.calls > 1000
        poses, found = poses.to("cpu"), found.to("cpu")
    assert poses.types == known.types
    for one, other in ((poses.rotation, known.rotation), (poses.wrist, known.wrist), (poses.dofs, known.dofs),
                       (found, energy)):
        assert torch.allclose(one, other, atol=1e-5)
    assert hand.v_template.device.type == "cpu"  # the caller's hand has stayed
    assert not isinstance(hand.v_template, There)


def test_a_tensor_left_behind_is_noticed(things, hand):
    """The guard is one: with the object's grid on the processor, the closing is refused."""
    obj, betas = things["ball/0"], torch.zeros(10)
    closer = GraspEnergy(hand, HandPoints(hand, betas), betas, obj)
    maker = StartSampler(obj, closer, GraspRequest(obj, hand, 4), torch.Generator().manual_seed(0))
    starts = maker.make(4, maker.usable())
    with Elsewhere():
        there = closer.to(ELSEWHERE)
        there.grid = obj.grid
        with pytest.raises(RuntimeError, match="elsewhere and here"):
            there.run(starts.to(ELSEWHERE), SHORT)


def test_a_slice_is_made_on_its_device(things, hand, monkeypatch):
    monkeypatch.setattr(production, "QUICK", SHORT)
    monkeypatch.setattr(production, "TURNS", 1)
    monkeypatch.setattr(production, "ROUND", 8)
    passed = []

    def passing(self, request, closer, poses, purpose):
        assert closer.device.type == "cpu"
        assert not isinstance(poses.wrist, There)
        passed.append(poses)
        return original(self, request, closer, poses, purpose)

    original = production.Synthesis.passing
    monkeypatch.setattr(production.Synthesis, "passing", passing)
    here = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0)
    with Elsewhere() as elsewhere:
        there = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device=ELSEWHERE)
    assert elsewhere.calls > 1000
    assert torch.allclose(passed[0].wrist, passed[1].wrist, atol=1e-5)
    assert len(here) == len(there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda(things, hand):
    made = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device="cuda")
    again = produce(Task("ball/0", "any"), things["ball/0"], hand, seed=0, device="cuda")
    assert len(made) >= 4
    assert len(again) == len(made)
