"""The one noise schedule of all diffusion models here, with DDPM and DDIM sampling.

Ho, Jain, Abbeel 2020 (DDPM) and Song, Meng, Ermon 2021 (DDIM); their symbols, t from 1 to T.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NoiseSchedule(nn.Module):
    """x_t = sqrt(alphabar_t) x_0 + sqrt(1 - alphabar_t) eps, t = 1..T; alphabar_0 = 1.

    Args:
        steps: T. first, last: beta_1 and beta_T; linear between.
    """

    alphabar: torch.Tensor

    def __init__(self, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> None:
        super().__init__()
        self.steps = steps
        beta = torch.linspace(first, last, steps, dtype=torch.float64)
        alphabar = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])
        self.register_buffer("alphabar", alphabar.float(), persistent=False)

    def noised(self, x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """x_t of x_0 (B, ...) at steps t (B,)."""
        bar = self._at(t, x0)
        return bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    def estimate(self, x_t: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """x_0 as one call of the denoiser sees it: DDIM's "predicted x_0"."""
        bar = self._at(t, x_t)
        return (x_t - (1 - bar).sqrt() * eps) / bar.sqrt()

    def velocity(self, x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """v = sqrt(alphabar_t) eps - sqrt(1 - alphabar_t) x_0 (Salimans and Ho 2022), as large at every t."""
        bar = self._at(t, x0)
        return bar.sqrt() * eps - (1 - bar).sqrt() * x0

    def noise_of(self, x_t: torch.Tensor, t: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """The noise in x_t, of a velocity."""
        bar = self._at(t, x_t)
        return (1 - bar).sqrt() * x_t + bar.sqrt() * velocity

    def _at(self, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return self.alphabar[t].reshape(-1, *[1] * (like.dim() - 1))

    def times(self, count: int) -> list[int]:
        """At most `count` + 1 steps from T down to 0, closer together near 0 (Song et al., D.3, "quadratic").

        Even steps narrow what is sampled: of a Gaussian, 20 leave 0.86 of the deviation, quadratic ones 0.91.
        """
        times = (torch.linspace(self.steps**0.5, 0, count + 1) ** 2).round().long().tolist()
        return list(dict.fromkeys(times))

    def sample(self, eps: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], shape: Sequence[int],
               rng: torch.Generator, steps: int = 20, eta: float = 0.0, temperature: float = 1.0,
               go_on: Callable[[float], bool] | None = None) -> torch.Tensor:
        """Samples by DDIM (Song et al., Eq. 12); eta = 1 with all T steps is DDPM.

        Args:
            eps: the denoiser, of x (B, ...) and t (B,). shape: of the samples. rng: on the processor, so that a seed
                gives the same start on every device.
            temperature: scales all noise; below 1 samples are nearer to the modes.
            go_on: told the fraction done; False stops.
        """
        device = self.alphabar.device

        def noise() -> torch.Tensor:
            return temperature * torch.randn(*shape, generator=rng).to(device)

        x = noise()
        times = self.times(steps)
        for done, (now, then) in enumerate(itertools.pairwise(times)):
            t = torch.full((shape[0],), now, device=device, dtype=torch.long)
            error = eps(x, t)
            bar, before = self.alphabar[now], self.alphabar[then]
            sigma = eta * ((1 - before) / (1 - bar) * (1 - bar / before)).sqrt()
            x = before.sqrt() * self.estimate(x, t, error) + (1 - before - sigma**2).clamp_min(0).sqrt() * error
            if eta > 0 and then > 0:
                x = x + sigma * noise()
            if go_on is not None and not go_on((done + 1) / steps):
                break
        return x


class TimeEmbedding(nn.Module):
    """Sinusoids of t and two layers (Vaswani et al. 2017; DDPM, appendix B)."""

    frequency: torch.Tensor

    def __init__(self, width: int, sinusoids: int = 64) -> None:
        super().__init__()
        frequency = torch.exp(-torch.arange(sinusoids) * (torch.log(torch.tensor(10000.0)) / (sinusoids - 1)))
        self.register_buffer("frequency", frequency, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * sinusoids, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """(B, width) of steps (B,)."""
        angle = t[:, None].float() * self.frequency
        return self.layers(torch.cat([angle.sin(), angle.cos()], 1))
