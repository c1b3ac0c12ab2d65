"""Hands moved by few steps of gradient, each of a given length: a latent, or the hand parameters themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.adaptation import StiffnessTerm, in_chunks, overlap_area
from core.generators.contact_losses import prior_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.conditioning import Conditioning
    from core.generators.hand_parameters import HandNormalizer
    from core.progress import Progress

#: points of the local cloud that hands are adapted on: few large steps need no more
ADAPTED_ON: Final = 512


def take_gradient_steps(z: torch.Tensor, decoded: Callable[[torch.Tensor], torch.Tensor], normalizer: HandNormalizer,
                        conditioning: Conditioning, progress: Progress) -> torch.Tensor:
    """Hands moved by few steps down the adaptation's loss, each of a given length; what they touch is to stay.

    The contact map that is aimed at is that of the hands as they are given.

    Args:
        z: (N, D) what is moved.
        decoded: hand parameters (N, 61) of it.
        normalizer: of those.
        conditioning: of the N hands; its adaptation's step size is the length of the first step, others are shorter
            and shorter.
        progress: told how far it is after each step.

    Returns:
        (N, D).

    Raises:
        core.progress.Stopped: the work was asked to stop.
    """
    hand, betas, adaptation = conditioning.hand, conditioning.betas, conditioning.adaptation
    term = None
    for step in range(adaptation.steps):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            params = decoded(z)
            skin = normalizer.skin(hand, params, betas)
            if term is None:
                overlap = overlap_area(conditioning.cloud, skin)
                sizes = adaptation.step_sizes(overlap)[:, None]
                further = adaptation.clearance.further(conditioning.cloud, overlap)
                term = StiffnessTerm(normalizer, hand, betas, conditioning.cloud.offset(further))
                omega = prior_map(term.points, skin, term.neighbours(skin)).detach()
            (slope,) = torch.autograd.grad(adaptation.loss(term, params, skin, omega).sum(), z)
        z = z - sizes * (1 - step / adaptation.steps) * nn.functional.normalize(slope)
        progress((step + 1) / adaptation.steps)
    return z.detach()


def adapted_parameters(params: torch.Tensor, normalizer: HandNormalizer, conditioning: Conditioning,
                       progress: Progress) -> torch.Tensor:
    """Hand parameters (N, 61) after `take_gradient_steps`, on few of the object's points, some hands at a time.

    Args:
        params: (N, 61) of hands as they were proposed; they stay so where the adaptation has no steps.
        normalizer: of the hand parameters.
        conditioning: of the N hands.
        progress: told how far all are.

    Raises:
        core.progress.Stopped: the work was asked to stop.
    """
    if not conditioning.adaptation.steps:
        return params

    def itself(moved: torch.Tensor) -> torch.Tensor:
        return moved

    few = replace(conditioning, cloud=conditioning.cloud.first(ADAPTED_ON))
    return in_chunks(params, lambda rows, part: take_gradient_steps(params[rows], itself, normalizer, few[rows], part),
                     progress)
