"""A batch of grasps: the one form in which every generator, the fit and the metrics hand them on."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import torch


@dataclass(frozen=True)
class Grasps:
    """N grasps of one hand in the object's frame (metres, axis-angle radians, MANO's order).

    Attributes:
        global_orient: (N, 3) rotation of the wrist.
        hand_pose: (N, 45) fifteen joint rotations.
        transl: (N, 3) translation, added after the rotation about the wrist.
        betas: (N, 10) hand shape.
        score: (N,), higher is better.
        type: N names of Feix's taxonomy (`core.grasps.taxonomy`), "" where unknown.
        measures: name to (N,) values that are shown beside a candidate, e.g. overlap in cm3; `holds` is 1 or 0;
            `intent` is 1, 0.5 or 0 (`core.grasps.intents.Purpose.grade`), where one was asked for.
        method: the generator's name.
        seed: the seed of the draw.
        hand: "right" or "left".

    Raises:
        ValueError: a tensor has another shape, or there are not as many types as grasps.
    """

    global_orient: torch.Tensor
    hand_pose: torch.Tensor
    transl: torch.Tensor
    betas: torch.Tensor
    score: torch.Tensor
    type: tuple[str, ...] = ()
    measures: dict[str, torch.Tensor] = field(default_factory=dict)
    method: str = ""
    seed: int = 0
    hand: str = "right"

    def __post_init__(self) -> None:
        count = len(self.global_orient)
        for name, width in (("global_orient", 3), ("hand_pose", 45), ("transl", 3), ("betas", 10)):
            shape = tuple(getattr(self, name).shape)
            if shape != (count, width):
                raise ValueError(f"{name} has shape {shape}, expected {(count, width)}")
        if tuple(self.score.shape) != (count,):
            raise ValueError(f"score has shape {tuple(self.score.shape)}, expected {(count,)}")
        if not self.type:
            object.__setattr__(self, "type", ("",) * count)
        if len(self.type) != count:
            raise ValueError(f"{len(self.type)} types for {count} grasps")

    def __len__(self) -> int:
        return len(self.global_orient)

    def __getitem__(self, index: int | slice | list[int] | torch.Tensor) -> Grasps:
        """The grasps at `index` (an int gives a batch of one)."""
        chosen = torch.arange(len(self))[index].reshape(-1)
        rows = chosen.to(self.global_orient.device)
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in TENSORS},
            type=tuple(self.type[i] for i in chosen.tolist()),
            measures={name: values[rows] for name, values in self.measures.items()},
        )

    def with_measure(self, name: str, values: torch.Tensor) -> Grasps:
        """The same grasps with (N,) values, as numbers, among what is shown beside them."""
        return replace(self, measures={**self.measures, name: values.float()})

    def to(self, device: torch.device | str) -> Grasps:
        """The same grasps with their tensors on `device`."""
        return replace(
            self,
            **{name: getattr(self, name).to(device) for name in TENSORS},
            measures={name: values.to(device) for name, values in self.measures.items()},
        )

    def parameters(self) -> dict[str, torch.Tensor]:
        """The arguments of `HandModel.forward`, by name."""
        return {name: getattr(self, name) for name in TENSORS if name != "score"}

    @staticmethod
    def cat(parts: list[Grasps]) -> Grasps:
        """All grasps of `parts` in order; method, seed and hand are the first's, measures those all have."""
        shared = set.intersection(*(set(part.measures) for part in parts))
        tensors: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
        return replace(
            parts[0],
            **tensors,
            type=tuple(name for part in parts for name in part.type),
            measures={name: torch.cat([part.measures[name] for part in parts]) for name in sorted(shared)},
        )

    @staticmethod
    def empty(method: str = "", seed: int = 0, hand: str = "right") -> Grasps:
        """No grasps."""
        return Grasps(
            torch.zeros(0, 3), torch.zeros(0, 45), torch.zeros(0, 3), torch.zeros(0, 10), torch.zeros(0),
            method=method, seed=seed, hand=hand,
        )


#: names of the fields that hold a tensor of one row a grasp
TENSORS: Final = tuple(f.name for f in fields(Grasps) if f.type == "torch.Tensor")
