"""What the learned generators do alike: find places, look at the surface there, ask the network, pose the hands."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig
from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.hand_parameters import HandNormalizer
from core.generators.local_cloud import POINTS, LocalPointCloud
from core.generators.place_scorer import PlaceScorer, condition_index, sample_grasp_points
from core.grasps.batch import Grasps
from core.grasps.heading_frame import LOCAL_RADIUS, mirrored, object_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps.heading_frame import Frames
    from core.grasps.request import GraspRequest, Progress
    from core.hand.skin import SkinSample


class Network(nn.Module):
    """A generator's network with what all of them need: the code of the hand.

    Subclasses add their own parts, a loss for each stage of their training, and `propose`.

    Attributes:
        points: of the window that it looks at.
        noisy: the share of what it is trained on that are noisy hands to be refined.
        shown, laid: what is done with proposed hands that are shown as they come, and with those that a fit lays on the
            surface: a fit needs no hands that keep clear, and loses holds by it.
        guidance: how far a network goes the way that a type asked for leads, 1 being as it was trained (Ho and Salimans
            2022, with 1 + their w); a network that has another takes it as `propose`'s `guidance`.
    """

    points = POINTS
    noisy = 0.0
    shown = laid = AdaptationConfig()
    guidance = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.code = HandNormalizer()

    def propose(self, seen: LocalPointCloud, kind: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, rng: torch.Generator,
                go_on: Callable[[float], bool]) -> torch.Tensor:
        """(N, 61) codes of right hands of shapes (N, 10) for what is seen at N places and wishes (N,)."""
        raise NotImplementedError


class Learned:
    """A trained network behind the generators' interface.

    Args:
        network: trained. places: the scorer, the same for all. name: of the method.
        device: of the network; what is small stays on the processor.
        object_frame: the network was trained in the papers' frame, and sees the whole object; no places are chosen.
    """

    def __init__(self, network: Network, places: PlaceScorer, name: str, device: torch.device | str = "cpu", *,
                 object_frame: bool = False) -> None:
        self.network, self.places, self.name = network.eval().to(device), places.eval(), name
        self.code = copy.deepcopy(network.code).cpu()
        self.device = torch.device(device)
        self.object_frame = object_frame

    @classmethod
    def load(cls, network: Network, name: str, device: torch.device | str = "cpu") -> Learned:
        """The generator with the weights of its name.

        Raises:
            ValueError: the weights are missing, damaged or others than the program expects.
        """
        from core.weights import load_weights

        places = PlaceScorer()
        places.load_state_dict(load_weights("places"))
        network.load_state_dict(load_weights(name))
        return cls(network, places, name, device)

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Grasps:
        """`request.count` grasps as they come, unscored; their types are those that were drawn or asked for."""
        if not progress(0.05, "Choosing places on the object"):
            return Grasps.empty(self.name, hand=request.hand.side)
        frames, kind = self.chosen(request, rng)
        code = self.codes(request, frames, kind, rng, lambda fraction: progress(
            0.1 + 0.85 * fraction, "Proposing hands"))
        return replace(self.code.grasps(request.hand, code, frames, self.name, request.betas),
                       type=tuple(TYPE_CONDITIONS[index] for index in kind.tolist()))

    def chosen(self, request: GraspRequest, rng: torch.Generator) -> tuple[Frames, torch.Tensor]:
        """The frames hands are asked for in, and (count,) their types as `TYPE_CONDITIONS` has them."""
        if not self.object_frame:
            return sample_grasp_points(self.places, request, request.count, rng)
        frames = object_frames(request.count, rng)
        kind = torch.full((request.count,), condition_index(request)[0])
        return mirrored(frames) if request.hand.side == "left" else frames, kind

    @torch.no_grad()
    def codes(self, request: GraspRequest, frames: Frames, kind: torch.Tensor, rng: torch.Generator,
              go_on: Callable[[float], bool]) -> torch.Tensor:
        """(N, 61) codes of hands at the frames."""
        obj = request.object
        reach = math.inf if self.object_frame else LOCAL_RADIUS
        seen = LocalPointCloud.around(obj, frames, self.network.points, rng, reach).to(self.device)
        intent = torch.full_like(kind, condition_index(request)[1])
        asked = request.type != "any" and self.network.guidance != 1
        options = {"guidance": self.network.guidance} if asked else {}
        finish = self.network.laid if request.fitted else self.network.shown
        return self.network.propose(seen.grown(finish.clearance.before(seen)), kind.to(self.device),
                                    intent.to(self.device), request.shape.to(seen.window).expand(len(kind), -1),
                                    embedded_skin(str(self.device)), finish, rng, go_on, **options).cpu()


@lru_cache(maxsize=4)
def embedded_skin(device: str) -> SkinSample:
    """The embedded right hand, in whose terms all networks think."""
    from core.hand import load_hand
    from core.hand.skin import SkinSample

    return SkinSample(load_hand(device=device))
