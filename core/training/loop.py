"""The one training loop: any module, any loss, in slices of time that go on where they were."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.files import whole

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class OptimizerConfig:
    """How long and how fast.

    Attributes:
        steps: of the optimiser (AdamW). rate: the highest learning rate; it rises over `warmup` steps and falls to
            nothing as a cosine. decay: of the weights. average: of the weights' moving average, which is what is kept;
            0 for none. clip: norm of the gradient. seed: of everything drawn.
        every: steps between two lines of the log.
    """

    steps: int
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 1e-4
    average: float = 0.999
    clip: float = 1.0
    seed: int = 0
    every: int = 100


def train(module: nn.Module, loss: Callable[[torch.Generator], dict[str, torch.Tensor]], course: OptimizerConfig,
          folder: Path, name: str, seconds: float = math.inf,
          check: Callable[[], dict[str, torch.Tensor]] | None = None,
          tell: Callable[[str], object] = lambda line: None) -> bool:
    """Trains `module`, or goes on, until the course or the time is over; leaves its averaged weights in it at the end.

    Args:
        loss: a dict with "loss" and what else is to be logged, everything random from the generator given; step k gets
            the same generator however often the run was cut.
        folder: where checkpoints and logs are kept. name: of this stage.
        check: measures the averaged weights, for the log.

    Returns:
        whether the course is over.
    """
    begin = time.monotonic()
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=course.rate, weight_decay=course.decay, foreach=False)
    average = [p.detach().clone() for p in parameters]
    folder.mkdir(parents=True, exist_ok=True)
    saved, step = folder / f"{name}.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True, map_location=parameters[0].device)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        average, step = state["average"], state["step"]

    def keep() -> None:
        with whole(saved) as stream:
            torch.save({"module": module.state_dict(), "optimiser": optimiser.state_dict(), "average": average,
                        "step": step}, stream)

    running: dict[str, float] = {}
    summed = 0
    module.train()
    while step < course.steps and time.monotonic() - begin < seconds:
        rng = torch.Generator().manual_seed(course.seed * 1_000_003 + step)
        torch.manual_seed(course.seed * 1_000_003 + step)  # dropout draws from the global generator
        for group in optimiser.param_groups:
            group["lr"] = course.rate * min(1, (step + 1) / course.warmup) * (
                0.5 + 0.5 * math.cos(math.pi * step / course.steps))
        terms = loss(rng)
        optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, course.clip)
        optimiser.step()
        step += 1
        share = min(course.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter, 1 - share)
        summed += 1
        for key, value in terms.items():
            running[key] = running.get(key, 0.0) + float(value.detach())
        if step % course.every == 0 or step == course.steps:
            line = {"step": step, "seconds": round(time.monotonic() - begin, 1),
                    **{key: round(value / summed, 6) for key, value in running.items()}}
            running, summed = {}, 0
            if check is not None and (step % (5 * course.every) == 0 or step == course.steps):
                with averaged(parameters, average), torch.no_grad():
                    module.eval()
                    line |= {f"check_{key}": round(float(value), 6) for key, value in check().items()}
                    module.train()
            with open(folder / f"{name}.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            tell(f"{name} {json.dumps(line)}")
            if step % (10 * course.every) == 0:
                keep()
    keep()
    module.eval()
    if step >= course.steps and course.average:
        with torch.no_grad():
            for parameter, mean in zip(parameters, average, strict=True):
                parameter.copy_(mean)
    return step >= course.steps


class averaged:  # noqa: N801  used as a verb
    """Within it the parameters hold their moving average."""

    def __init__(self, parameters: list[torch.Tensor], average: list[torch.Tensor]) -> None:
        self.parameters, self.average = parameters, average

    def __enter__(self) -> None:
        with torch.no_grad():
            self.kept = [p.detach().clone() for p in self.parameters]
            for parameter, mean in zip(self.parameters, self.average, strict=True):
                parameter.copy_(mean)

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for parameter, kept in zip(self.parameters, self.kept, strict=True):
                parameter.copy_(kept)
