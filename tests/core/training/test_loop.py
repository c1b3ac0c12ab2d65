"""The training loop learns, goes on where it was, and leaves alone what is frozen."""

import json

import torch
from torch import nn

from core.generators.training_config import OptimizerConfig
from core.training import loop as training_loop
from core.training.loop import train


def line(rng):
    x = torch.randn(16, 1, generator=rng)
    return x, 3 * x - 1


def loss_of(module):
    def loss(rng):
        x, y = line(rng)
        return {"loss": (module(x) - y).square().mean(), "size": module.weight.abs().sum()}

    return loss


def fresh():
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def test_it_learns_and_keeps_a_log(tmp_path):
    module = fresh()
    assert train(module, loss_of(module), OptimizerConfig(300, 0.05, ema_decay=0.9), tmp_path, "line",
                 check=lambda: {"loss": module.weight.sum()})
    assert abs(float(module.weight.detach()) - 3) < 0.05
    assert abs(float(module.bias.detach()) + 1) < 0.05
    log = [json.loads(text) for text in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [100, 200, 300]
    assert log[-1]["loss"] < log[0]["loss"]
    assert "size" in log[0]
    assert "check_loss" in log[-1]


def test_cut_in_slices_it_ends_where_it_would_have(tmp_path, monkeypatch):
    """A training cut after some steps and taken up by a new process gives the same weights, bit for bit."""
    optimizer = OptimizerConfig(40, 0.05, ema_decay=0.9)
    whole = fresh()
    train(whole, loss_of(whole), optimizer, tmp_path / "whole", "line")
    steps = []

    def cut(module, most):
        def loss(rng):
            steps.append(1)
            if len(steps) == most:
                clock[0] = 1e9
            return loss_of(module)(rng)

        return loss

    clock = [0.0]
    monkeypatch.setattr(training_loop.time, "monotonic", lambda: clock[0])
    first = fresh()
    assert not train(first, cut(first, 17), optimizer, tmp_path / "cut", "line", seconds=10)
    clock[0] = 0.0
    second = fresh()
    assert train(second, loss_of(second), optimizer, tmp_path / "cut", "line", seconds=10)
    assert len(steps) == 17
    assert torch.equal(whole.weight, second.weight)
    assert torch.equal(whole.bias, second.bias)


def test_what_is_frozen_stays(tmp_path):
    module = nn.Sequential(fresh(), nn.Linear(1, 1))
    module[0].requires_grad_(False)
    before = module[0].weight.clone()

    def loss(rng):
        x, y = line(rng)
        return {"loss": (module(x) - y).square().mean()}

    train(module, loss, OptimizerConfig(20), tmp_path, "part")
    assert torch.equal(module[0].weight, before)
