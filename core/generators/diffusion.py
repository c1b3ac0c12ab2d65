"""The one noise schedule of all diffusion models here, with DDPM and DDIM sampling.

Ho, Jain, Abbeel 2020 (DDPM) and Song, Meng, Ermon 2021 (DDIM); their symbols, t from 1 to T.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NoiseSchedule(nn.Module):
    """x_t = sqrt(alphabar_t) x_0 + sqrt(1 - alphabar_t) eps, t = 1..T; alphabar_0 = 1.

    Args:
        steps: T.
        first: beta_1; the betas between are linear.
        last: beta_T.

    Attributes:
        alphas_cumprod: (T + 1,) alphabar_0 to alphabar_T.
    """

    alphas_cumprod: torch.Tensor

    def __init__(self, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> None:
        super().__init__()
        self.steps = steps
        beta = torch.linspace(first, last, steps, dtype=torch.float64)
        alphabar = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])
        self.register_buffer("alphas_cumprod", alphabar.float(), persistent=False)

    def add_noise(self, x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """x_t of x_0 (B, ...) at steps t (B,) with noise eps (B, ...)."""
        alphabar = self._at(t, x0)
        return alphabar.sqrt() * x0 + (1 - alphabar).sqrt() * eps

    def predict_x0(self, x_t: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """DDIM's "predicted x_0" (B, ...): that of x_t (B, ...) at steps t (B,), by the denoiser's eps (B, ...)."""
        alphabar = self._at(t, x_t)
        return (x_t - (1 - alphabar).sqrt() * eps) / alphabar.sqrt()

    def noise_of(self, x_t: torch.Tensor, t: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        """The eps (B, ...) in x_t (B, ...) at steps t (B,), none of them 0, by a predicted x_0 (B, ...)."""
        alphabar = self._at(t, x_t)
        return (x_t - alphabar.sqrt() * x0) / (1 - alphabar).sqrt()

    def velocity(self, x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """v = sqrt(alphabar_t) eps - sqrt(1 - alphabar_t) x_0 (Salimans and Ho 2022), as large at every t."""
        alphabar = self._at(t, x0)
        return alphabar.sqrt() * eps - (1 - alphabar).sqrt() * x0

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """The eps (B, ...) in x_t (B, ...) at steps t (B,) that follows from a velocity (B, ...)."""
        alphabar = self._at(t, x_t)
        return (1 - alphabar).sqrt() * x_t + alphabar.sqrt() * velocity

    def _at(self, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return self.alphas_cumprod[t].reshape(-1, *[1] * (like.dim() - 1))

    def timesteps(self, count: int) -> list[int]:
        """At most `count` + 1 steps from T down to 0, closer together near 0 (Song et al., D.3, "quadratic").

        Even steps narrow what is sampled: of a Gaussian, 20 leave 0.86 of the deviation, quadratic ones 0.91.
        """
        steps = (torch.linspace(self.steps**0.5, 0, count + 1) ** 2).round().long().tolist()
        return list(dict.fromkeys(steps))

    def sample(self, eps: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], shape: Sequence[int],
               rng: torch.Generator, steps: int = 20, eta: float = 0.0, temperature: float = 1.0,
               progress: Progress | None = None) -> torch.Tensor:
        """Samples by DDIM (Song et al., Eq. 12); eta = 1 with all T steps is DDPM.

        Args:
            eps: the denoiser, of x (B, ...) and t (B,).
            shape: of the samples, (B, ...).
            rng: on the processor, so that a seed gives the same start on every device.
            steps: of DDIM.
            eta: share of DDPM's noise that is added in each step.
            temperature: scales all noise; below 1 samples are nearer to the modes.
            progress: told how far it is after each step.

        Returns:
            x_0, of the shape.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        device, progress = self.alphas_cumprod.device, progress or Progress()

        def noise() -> torch.Tensor:
            return temperature * torch.randn(*shape, generator=rng).to(device)

        x = noise()
        for done, (now, then) in enumerate(itertools.pairwise(self.timesteps(steps))):
            t = torch.full((shape[0],), now, device=device, dtype=torch.long)
            found = eps(x, t)
            alphabar, before = self.alphas_cumprod[now], self.alphas_cumprod[then]
            sigma = eta * ((1 - before) / (1 - alphabar) * (1 - alphabar / before)).sqrt()
            x = before.sqrt() * self.predict_x0(x, t, found) + (1 - before - sigma**2).clamp_min(0).sqrt() * found
            if eta > 0 and then > 0:
                x = x + sigma * noise()
            progress((done + 1) / steps)
        return x


class TimeEmbedding(nn.Module):
    """Sinusoids of t and two layers (Vaswani et al. 2017; DDPM, appendix B).

    Args:
        width: of the embedding.
        sinusoids: pairs of a sine and a cosine.
    """

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
