"""The one training loop: any module, any loss, in slices of time that go on where they were."""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.files import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.generators.training_config import OptimizerConfig, Terms


def train(module: nn.Module, loss: Callable[[torch.Generator], Terms], optimizer: OptimizerConfig, folder: Path,
          name: str, seconds: float = math.inf, check: Callable[[], Terms] | None = None,
          log: Callable[[str], object] = lambda line: None) -> bool:
    """Trains `module`, or goes on, until the steps or the time are over; leaves its averaged weights in it at the end.

    Args:
        module: whose weights that require gradients move.
        loss: a dict with "loss" and what else is to be logged, everything random from the generator given; step k gets
            the same generator however often the run was cut.
        optimizer: steps and rates.
        folder: where checkpoints and logs are kept.
        name: of this stage.
        seconds: the most that it takes.
        check: measures the averaged weights, for the log.
        log: told each line of the log.

    Returns:
        Whether the steps are over.
    """
    begin = time.monotonic()
    parameters = [p for p in module.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(parameters, lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay,
                             foreach=False)
    average = [p.detach().clone() for p in parameters]
    folder.mkdir(parents=True, exist_ok=True)
    saved, step = folder / f"{name}.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True, map_location=parameters[0].device)
        module.load_state_dict(state["module"])
        adam.load_state_dict(state["optimiser"])
        average, step = state["average"], state["step"]

    def keep() -> None:
        with whole(saved) as stream:
            torch.save({"module": module.state_dict(), "optimiser": adam.state_dict(), "average": average,
                        "step": step}, stream)

    running: dict[str, float] = {}
    summed = 0
    module.train()
    while step < optimizer.steps and time.monotonic() - begin < seconds:
        rng = torch.Generator().manual_seed(optimizer.seed * 1_000_003 + step)
        torch.manual_seed(optimizer.seed * 1_000_003 + step)  # dropout draws from the global generator
        for group in adam.param_groups:
            group["lr"] = optimizer.learning_rate * min(1, (step + 1) / optimizer.warmup) * (
                0.5 + 0.5 * math.cos(math.pi * step / optimizer.steps))
        terms = loss(rng)
        adam.zero_grad(set_to_none=True)
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, optimizer.clip)
        adam.step()
        step += 1
        share = min(optimizer.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter, 1 - share)
        summed += 1
        for key, value in terms.items():
            running[key] = running.get(key, 0.0) + float(value.detach())
        if step % optimizer.log_every == 0 or step == optimizer.steps:
            line = {"step": step, "seconds": round(time.monotonic() - begin, 1),
                    **{key: round(value / summed, 6) for key, value in running.items()}}
            running, summed = {}, 0
            if check is not None and (step % (5 * optimizer.log_every) == 0 or step == optimizer.steps):
                with averaged(parameters, average), torch.no_grad():
                    module.eval()
                    line |= {f"check_{key}": round(float(value), 6) for key, value in check().items()}
                    module.train()
            with open(folder / f"{name}.jsonl", "a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            log(f"{name} {json.dumps(line)}")
            if step % (10 * optimizer.log_every) == 0:
                keep()
    keep()
    module.eval()
    if step >= optimizer.steps and optimizer.ema_decay:
        with torch.no_grad():
            for parameter, mean in zip(parameters, average, strict=True):
                parameter.copy_(mean)
    return step >= optimizer.steps


@contextmanager
def averaged(parameters: Sequence[torch.Tensor], average: Sequence[torch.Tensor]) -> Iterator[None]:
    """Within it the parameters hold their moving average."""
    with torch.no_grad():
        kept = [p.detach().clone() for p in parameters]
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
