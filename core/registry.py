"""The methods by name. Each is imported when it is asked for, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from core.generators.base import Generator
    from core.generators.learned import Network


@dataclass(frozen=True)
class Method:
    """What a generator is called and where it is.

    Attributes:
        name: the word used in requests. label: what an animator reads. summary: one line.
        module, cls: where its class is; of a learned one, its network's.
        learned: whether it has weights to load.
        fields: whether it predicts CHOIR's fields beside the grasps, which the fit then aims at.
        on_gpu: whether a graphics card helps; others compute on the processor.
        fitted: whether its grasps lie on the surface as they come, so that they need no fit.
        drawn: how many are drawn for each that is asked for: as many as cost a fraction of the fit.
    """

    name: str
    label: str
    summary: str
    module: str
    cls: str
    on_gpu: bool = True
    fitted: bool = False
    learned: bool = False
    fields: bool = False
    drawn: int = 5


METHODS: Final = {
    method.name: method
    for method in (
        Method("synthesis", "Synthesis", "Taxonomy templates closed on the object by optimisation; needs no training.",
               "core.synthesis.generator", "Synthesis", on_gpu=False, fitted=True),
        Method("fastgrasp", "FastGrasp", "Latent diffusion over hands, adapted to the surface in one pass.",
               "core.generators.fastgrasp", "FastGrasp", learned=True, drawn=10),
        Method("grasptta", "GraspTTA", "A variational auto-encoder whose decoder adapts to the object's contact map.",
               "core.generators.grasptta", "GraspTTA", learned=True),
        Method("jointdiffusion", "JointDiffusion", "Diffusion of distances and contacts, which the fit aims at.",
               "core.generators.jointdiffusion", "JointDiffusion", learned=True, fields=True),
    )
}


def make_generator(name: str, device: torch.device | str = "cpu") -> Generator:
    """The generator `name`, on `device` where it can use it.

    Raises:
        ValueError: there is no such method, or its weights are missing or damaged.
    """
    if name not in METHODS:
        raise ValueError(f"There is no method '{name}': use one of {', '.join(METHODS)}.")
    method = METHODS[name]
    made = getattr(import_module(method.module), method.cls)
    device = device if method.on_gpu else "cpu"
    return _loaded(made, name, str(device)) if method.learned else made(device)


@lru_cache(maxsize=8)
def _loaded(network: type[Network], name: str, device: str) -> Generator:
    """A learned generator with its weights, which stay loaded between requests."""
    from core.generators.learned import Learned

    return Learned.load(network(), name, device)
