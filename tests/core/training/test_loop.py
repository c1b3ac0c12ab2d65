import json

import torch
from torch import nn

from core.training.loop import OptimizerConfig, train


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
    assert train(module, loss_of(module), OptimizerConfig(300, rate=0.05, average=0.9), tmp_path, "line",
                 check=lambda: {"loss": module.weight.sum()})
    assert abs(float(module.weight) - 3) < 0.05
    assert abs(float(module.bias) + 1) < 0.05
    log = [json.loads(text) for text in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [100, 200, 300]
    assert log[-1]["loss"] < log[0]["loss"]
    assert "size" in log[0]
    assert "check_loss" in log[-1]


def test_cut_in_slices_it_ends_where_it_would_have(tmp_path):
    """A course cut after some steps and taken up by a new process gives the same weights, bit for bit."""
    course = OptimizerConfig(40, rate=0.05, average=0.9)
    whole = fresh()
    train(whole, loss_of(whole), course, tmp_path / "whole", "line")
    steps = []

    def cut(module, most):
        def loss(rng):
            steps.append(1)
            if len(steps) == most:
                clock[0] = 1e9
            return loss_of(module)(rng)

        return loss

    import core.training.loop as loop

    clock = [0.0]
    real, loop.time.monotonic = loop.time.monotonic, lambda: clock[0]
    try:
        first = fresh()
        assert not train(first, cut(first, 17), course, tmp_path / "cut", "line", seconds=10)
        clock[0] = 0.0
        second = fresh()
        assert train(second, loss_of(second), course, tmp_path / "cut", "line", seconds=10)
    finally:
        loop.time.monotonic = real
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
