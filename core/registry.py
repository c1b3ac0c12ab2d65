"""The methods by name, and what is trained. Each is imported when it is asked for, so that listing them costs nothing.

An added generator is a file, an entry here and a card: no other module of the engine names one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

    from core.generators.base import Generator
    from core.generators.learned import Network
    from core.generators.training_config import TrainingConfig


@dataclass(frozen=True)
class Method:
    """What a generator is called, where it is and how it is used.

    Attributes:
        name: the word used in requests; of a learned one also the name of its weights.
        label: what an animator reads.
        summary: one line, what it is.
        good_for: a sentence for animators: when it is the one to take.
        module: where its class is; of a learned one, its network's, and beside it the function `training_config`.
        cls: the class.
        on_gpu: whether a graphics card helps; others compute on the processor.
        fitted: whether its grasps lie on the surface as they come, so that they need no fit.
        learned: whether it has weights to load and a training.
        refines: whether it makes better hands of rough ones (`core.generators.base.RefiningGenerator`).
        keeps: whether it keeps parts of a hand that is given, and draws the others anew (`GraspRequest.keep`).
        imagines: whether it makes objects with hands on them, too (`core.generators.base.ImaginingGenerator`).
        drawn: how many are drawn for each that is asked for: as many as cost a fraction of the fit.
    """

    name: str
    label: str
    summary: str
    good_for: str
    module: str
    cls: str
    on_gpu: bool = True
    fitted: bool = False
    learned: bool = False
    refines: bool = False
    keeps: bool = False
    imagines: bool = False
    drawn: int = 5


METHODS: Final = {
    method.name: method
    for method in (
        Method("synthesis", "Synthesis", "Taxonomy templates closed on the object by optimisation; needs no training.",
               "The surest, and the lightest touch, in known grasp types; the slowest.",
               "core.synthesis.generator", "Synthesis", on_gpu=False, fitted=True),
        Method("fastgrasp", "FastGrasp", "Latent diffusion over hands, adapted to the surface in one pass.",
               "What it proposes slips least: for things that are hard to hold.",
               "core.generators.fastgrasp", "FastGrasp", learned=True, drawn=10),
        Method("grasptta", "GraspTTA", "A variational auto-encoder whose decoder adapts to the object's contact map.",
               "Hugs the surface closely: for more hands to choose from.",
               "core.generators.grasptta", "GraspTTA", learned=True),
        Method("dvqvae", "DVQ-VAE", "A code for each part of the hand, drawn for the object; posture, then place.",
               "A good first choice: the quickest, and keeps the fingers you like.",
               "core.generators.dvqvae", "DvqVae", learned=True, keeps=True),
        Method("jointdiffusion", "JointDiffusion", "Diffusion of distances and contacts, which the fit aims at.",
               "For Refine Grasp: it also says what your rough pose may mean.",
               "core.generators.jointdiffusion", "JointDiffusion", learned=True, refines=True),
        Method("jhod", "JHOD", "Joint diffusion of hand and object, which can imagine both.",
               "Nearly as quick; looks at the whole object, and can imagine one.",
               "core.generators.jhod", "JHOD", learned=True, imagines=True),
    )
}
#: weights that can be trained -> the module whose `training_config` says how: the scorer of places, which all learned
#: generators ask, and these
TRAINED: Final = {
    "places": "core.generators.place_scorer",
    **{method.name: method.module for method in METHODS.values() if method.learned},
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
    return loaded_generator(made, name, str(device)) if method.learned else made(device)


@lru_cache(maxsize=8)
def loaded_generator(network: type[Network], name: str, device: str) -> Generator:
    """A learned generator with its weights, which stay loaded between requests."""
    from core.generators.imagination import Imagining
    from core.generators.learned import Learned

    return (Imagining if METHODS[name].imagines else Learned).load(network(), name, device)


def training_config(name: str, scale: float = 1.0, **options: Any) -> TrainingConfig:
    """How the weights `name` are trained, with an untrained network.

    Args:
        name: one of `TRAINED`.
        scale: of the steps of every stage.
        options: of the module's own `training_config`.

    Raises:
        ValueError: there are no such weights.
    """
    if name not in TRAINED:
        raise ValueError(f"There is no training of '{name}': use one of {', '.join(TRAINED)}.")
    return import_module(TRAINED[name]).training_config(scale, **options)
