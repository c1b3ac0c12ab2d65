"""Gradient descent on the energy of hands: stages over the wrist, then the fingers too, then the whole skin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.progress import Progress
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.fitting.energy import GraspEnergy
    from core.fitting.poses import Poses


@dataclass(frozen=True)
class Stage:
    """One stage of the descent.

    Attributes:
        steps: of Adam; the rates fall to nothing as a cosine.
        rotation: learning rate of the wrist's rotation, radians.
        translation: learning rate of its place, cm.
        joints: learning rate of the joint angles, radians; 0 keeps the fingers as they are.
        whole_skin: the energy reads the skin's vertices near the object, not sample points.
    """

    steps: int
    rotation: float
    translation: float
    joints: float
    whole_skin: bool = False


#: A moves the wrist, B the fingers too, C reads the whole skin
STAGES: Final = (
    Stage(36, 0.03, 0.12, 0.0),
    Stage(64, 0.02, 0.07, 0.04),
    Stage(32, 0.006, 0.025, 0.012, whole_skin=True),
)
#: for the first candidates, which should appear soon
QUICK: Final = (
    Stage(24, 0.04, 0.15, 0.0),
    Stage(40, 0.025, 0.08, 0.05),
    Stage(22, 0.007, 0.028, 0.014, whole_skin=True),
)


class Adam:
    """Kingma and Ba's Adam (2015, algorithm 1), a rate for each variable.

    Not torch.optim's: constructing that one imports torch's compiler, 1.3 s before the first grasp.

    Args:
        variables: each with its learning rate; those of rate 0 are left out.
        beta1: decay of the gradient's mean.
        beta2: decay of its square's mean.
    """

    def __init__(self, variables: list[tuple[torch.Tensor, float]], beta1: float = 0.9, beta2: float = 0.98) -> None:
        self.variables = [(variable, rate) for variable, rate in variables if rate > 0]
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.first = [torch.zeros_like(variable) for variable, _ in self.variables]
        self.second = [torch.zeros_like(variable) for variable, _ in self.variables]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One step at `factor` times the rates; clears the gradients.

        Raises:
            ValueError: a variable has no gradient.
        """
        self.steps += 1
        for (variable, rate), first, second in zip(self.variables, self.first, self.second, strict=True):
            if variable.grad is None:
                raise ValueError("a variable has no gradient: nothing that depends on it was differentiated")
            gradient = torch.nan_to_num(variable.grad)
            first.lerp_(gradient, 1 - self.beta1)
            second.lerp_(gradient.square(), 1 - self.beta2)
            mean = first / (1 - self.beta1**self.steps)
            spread = (second / (1 - self.beta2**self.steps)).sqrt() + 1e-8
            variable -= factor * rate * mean / spread
            variable.grad = None


def best_of_each_type(types: tuple[str, ...], energies: torch.Tensor, keep: float) -> torch.Tensor:
    """Rows, in order, of the best `keep` share of each type (at least one): types' energies do not compare."""
    rows: list[int] = []
    known = energies.tolist()
    for name in dict.fromkeys(types):
        mine = [i for i, other in enumerate(types) if other == name]
        mine.sort(key=known.__getitem__)
        rows += mine[: max(1, math.ceil(len(mine) * keep))]
    return torch.tensor(sorted(rows))


def minimise(energy: GraspEnergy, poses: Poses, stages: tuple[Stage, ...] = STAGES, progress: Progress | None = None,
             keep: float = 0.6) -> tuple[Poses, torch.Tensor]:
    """Minimises the energy of all poses together; before a whole-skin stage only the best go on.

    Args:
        energy: of the hand on the object.
        poses: B hands, on the energy's device.
        stages: of the descent.
        progress: told the share of all steps done, after each.
        keep: share of each type that goes on.

    Returns:
        The poses that are left, and their (B,) energies.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    total = sum(stage.steps for stage in stages)
    done = 0
    energies = torch.zeros(len(poses), device=energy.device)
    for stage in stages:
        if stage.whole_skin and keep < 1:
            rows = best_of_each_type(poses.types, energies, keep)
            poses, energies = poses[rows], energies[rows]
        part = progress.sub(done / total, (done + stage.steps) / total)
        poses, energies = _run_stage(energy, poses, stage, part)
        done += stage.steps
    return poses, energies


def _run_stage(energy: GraspEnergy, start: Poses, stage: Stage, progress: Progress) -> tuple[Poses, torch.Tensor]:
    """The poses after one stage, and their (B,) energies."""
    turn = torch.zeros_like(start.wrist, requires_grad=True)
    shift = torch.zeros_like(start.wrist, requires_grad=True)
    dofs = start.dofs.clone().requires_grad_(stage.joints > 0)
    adam = Adam([(turn, stage.rotation), (shift, stage.translation), (dofs, stage.joints)])
    targets = energy.contact_targets(start.types)
    fixed = None if stage.joints > 0 else energy.local(dofs.detach())
    vertices = energy.near_vertices(start) if stage.whole_skin else None

    def moved() -> Poses:
        rotation = axis_angle_to_matrix(turn) @ start.rotation
        pivot = (start.rotation @ energy.pivot) + start.wrist
        wrist = pivot + shift / 100 - rotation @ energy.pivot
        return replace(start, rotation=rotation, wrist=wrist, dofs=dofs)

    for step in range(stage.steps):
        energy(moved(), targets, vertices, fixed).sum().backward()
        adam.step(0.5 * (1 + math.cos(math.pi * step / stage.steps)))
        with torch.no_grad():
            dofs.copy_(energy.hand.clamp_dofs(dofs))
        progress((step + 1) / stage.steps)
    with torch.no_grad():
        final = moved()
        energies = energy(final, targets, vertices, fixed)
    return replace(final, dofs=dofs.detach()), energies
