"""What the learned generators do alike: draw places, look at the surface there, ask the network, pose the hands."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from core.fitting.pose_fit import hands_in_field
from core.fitting.proposal import Proposal
from core.fitting.representation import inward
from core.generators.adaptation import NO_ADAPTATION
from core.generators.conditioning import TYPE_CONDITIONS, Conditioning, HeldParts, condition_index
from core.generators.hand_parameters import HandNormalizer
from core.generators.local_cloud import POINTS, LocalPointCloud, object_cloud
from core.generators.place_scorer import PlaceScorer, sample_grasp_points
from core.generators.training_config import TrainableNetwork
from core.grasps.heading_frame import LOCAL_RADIUS, frames_of_grasps, mirrored, object_frames
from core.hand import load_hand
from core.hand.skin import SkinSample
from core.hand.tables import PARTS
from core.weights import load_weights

if TYPE_CHECKING:
    import numpy as np

    from core.generators.predicted_field import PredictedField, Prediction
    from core.grasps.batch import Grasps
    from core.grasps.heading_frame import Frames
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.progress import Progress


class Network(TrainableNetwork):
    """A generator's network with what all of them need: the units of the hand parameters.

    Subclasses add their own parts, a loss for each stage of their training, and `propose`. A part's attribute is its
    name in the weights' files and in checkpoints (`code`, `wishes`, `into` ...), so it stays as it was first called.

    Attributes:
        code: the hand parameters' units.
        points: of the local cloud that it looks at.
        object_points: of the whole object's cloud that it looks at beside that; 0 for none.
        noisy_share: the share of what it is trained on that are noisy hands to be refined.
        without_fit: what is done at test time with proposed hands that are shown as they come.
        before_fit: what is done with those that a fit lays on the surface: a fit needs no hands that keep clear, and
            loses holds by it.
        guidance: weight of classifier-free guidance where a grasp type is asked for (`Conditioning`).
        holds_parts: whether it keeps parts of a given hand where it is asked to (`Conditioning.held`).
    """

    points = POINTS
    object_points = 0
    noisy_share = 0.0
    without_fit = before_fit = NO_ADAPTATION
    guidance = 1.0
    holds_parts = False

    def __init__(self) -> None:
        super().__init__()
        self.code = HandNormalizer()

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Predicts N right hands.

        Args:
            conditioning: what the N hands are asked under.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        raise NotImplementedError

    def refine(self, conditioning: Conditioning, anchors: torch.Tensor, rng: torch.Generator,
               progress: Progress) -> PredictedField:
        """Predicts the fields of N hands that are given roughly; only of networks that refine.

        Args:
            conditioning: what the N hands are asked under.
            anchors: (N, 32, 3) of the rough right hands, in their heading frames, metres.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        raise NotImplementedError


    def imagine(self, grasp_type: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor, rng: torch.Generator,
                progress: Progress) -> tuple[torch.Tensor, list[tuple[np.ndarray, np.ndarray] | None]]:
        """Predicts N right hands and an object in each; only of networks that imagine.

        Args:
            grasp_type: (N,) indices into `TYPE_CONDITIONS`.
            intent: (N,) indices into `core.grasps.intents.INTENTS`.
            betas: (N, 10) of the hands.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is.

        Returns:
            Hand parameters (N, 61) as they were sampled; and of each object vertices (V, 3), metres, and faces (F, 3)
            of a closed mesh in the heading frame, None where nothing was imagined.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        raise NotImplementedError

    def laid(self, params: torch.Tensor, conditioning: Conditioning, progress: Progress) -> torch.Tensor:
        """Hands (N, 61) as they were sampled, brought to the surface; only of networks that imagine.

        Args:
            params: (N, 61).
            conditioning: what the N hands are asked under.
            progress: told how far it is.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        raise NotImplementedError


class Learned:
    """A trained network behind the generators' interface.

    Args:
        network: trained.
        place_scorer: trained, the same for all.
        name: of the method.
        device: of the network; what is small stays on the processor.
        object_frame: the network was trained in the papers' frame, and sees the whole object; no places are drawn.
    """

    def __init__(self, network: Network, place_scorer: PlaceScorer, name: str, device: torch.device | str = "cpu", *,
                 object_frame: bool = False) -> None:
        self.network, self.place_scorer, self.name = network.eval().to(device), place_scorer.eval(), name
        self.normalizer = copy.deepcopy(network.code).cpu()
        self.device = torch.device(device)
        self.object_frame = object_frame

    @classmethod
    def load(cls, network: Network, name: str, device: torch.device | str = "cpu") -> Learned:
        """The generator with the weights of its name.

        Raises:
            ValueError: the weights are missing, damaged or others than the program expects.
        """
        place_scorer = PlaceScorer()
        place_scorer.load_state_dict(load_weights(PlaceScorer.weights))
        network.load_state_dict(load_weights(name))
        return cls(network, place_scorer, name, device)

    @property
    def skin(self) -> SkinSample:
        """Points of the embedded right hand's skin, on the network's device."""
        return embedded_skin(str(self.device))

    @torch.no_grad()
    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Proposal:
        """`request.count` grasps as they come, unscored; their types are those that were drawn or asked for.

        See `core.generators.base.Generator.sample`.
        """
        progress(0.05, "Choosing places on the object")
        frames, grasp_type = self.places(request, rng)
        conditioning = self.conditioning(request, frames, grasp_type, rng)
        params, field = self.network.propose(conditioning, rng, progress.sub(0.1, 0.95, "Proposing hands"))
        grasps = self.normalizer.grasps(request.hand, params.cpu(), frames, self.name, request.betas)
        # A hand for no type in particular has one nobody knows.
        grasps = replace(grasps, type=tuple(TYPE_CONDITIONS[index] if index else "" for index in grasp_type.tolist()))
        return Proposal(grasps, None if field is None else field.choir(request.object, request.hand, frames))

    def places(self, request: GraspRequest, rng: torch.Generator) -> tuple[Frames, torch.Tensor]:
        """The frames hands are asked for in, and their types (count,) as `TYPE_CONDITIONS` has them."""
        if not self.object_frame and request.keep is None:
            return sample_grasp_points(self.place_scorer, request, request.count, rng)
        if request.keep is None:
            frames = object_frames(request.count, rng)
        else:
            hands = kept_hand(request)[[0] * request.count]
            frames = frames_of_grasps(request.object, request.hand, hands)
        grasp_type = torch.full((request.count,), condition_index(request)[0])
        return mirrored(frames) if request.hand.side == "left" else frames, grasp_type

    def conditioning(self, request: GraspRequest, frames: Frames, grasp_type: torch.Tensor,
                     rng: torch.Generator) -> Conditioning:
        """What the network is asked under at N frames, for types (N,)."""
        radius = math.inf if self.object_frame else LOCAL_RADIUS
        cloud = LocalPointCloud.around(request.object, frames, self.network.points, rng, radius).to(self.device)
        adaptation = self.network.before_fit if request.fitted else self.network.without_fit
        intent = torch.full_like(grasp_type, condition_index(request)[1])
        held = None if request.keep is None else self.held(request, frames)
        whole = None
        if self.network.object_points:
            whole = object_cloud(request.object.points, request.object.normals, frames, self.network.object_points,
                                 rng).to(self.device)
        return Conditioning(
            cloud.offset(adaptation.clearance.before(cloud)), grasp_type.to(self.device), intent.to(self.device),
            request.shape.to(cloud.scaled).expand(len(grasp_type), -1), self.skin, adaptation,
            self.network.guidance if request.type != "any" else 1.0, held, whole)

    def held(self, request: GraspRequest, frames: Frames) -> HeldParts:
        """The hand of which the request keeps parts, as often as there are frames.

        Raises:
            ValueError: the method holds no parts, or no hand or other than six parts are given.
        """
        if not self.network.holds_parts:
            raise ValueError("This method cannot keep parts of a hand: use one that draws a hand part by part.")
        if request.keep is None or len(request.keep) != len(PARTS):
            raise ValueError(f"Which parts of the hand are kept is told for {', '.join(PARTS)}, in that order.")
        hands = kept_hand(request)[[0] * len(frames.origin)]
        params = self.normalizer.encode(request.hand, hands, frames)
        return HeldParts(params.to(self.device), torch.tensor(request.keep))

    @torch.no_grad()
    def refine(self, obj: GraspObject, hand: HandModel, grasps: Grasps, rng: torch.Generator,
               progress: Progress) -> Proposal:
        """Noisy hands to refined ones, of the shape they had (CHOIR, Sec. 3.2, context 1).

        See `core.generators.base.RefiningGenerator.refine`; only of networks that refine.
        """
        frames = frames_of_grasps(obj, hand, grasps)
        if hand.side == "left":
            frames = mirrored(frames)
        anchors = inward(frames, hand.anchors(hand(**grasps.parameters()).vertices))
        cloud = LocalPointCloud.around(obj, frames, self.network.points, rng).to(self.device)
        none = torch.zeros(len(grasps), dtype=torch.long, device=self.device)
        conditioning = Conditioning(cloud, none, none, grasps.betas.to(self.device), self.skin)
        field = self.network.refine(conditioning, anchors.to(self.device), rng, progress).choir(obj, hand, frames)
        return Proposal(replace(hands_in_field(hand, field, grasps), method=self.name), field)


def kept_hand(request: GraspRequest) -> Grasps:
    """The one hand of which the request keeps parts; ValueError where there is none."""
    if request.start is None or not len(request.start):
        raise ValueError("There is no hand of which parts could be kept.")
    return request.start[:1]


@lru_cache(maxsize=4)
def embedded_skin(device: str) -> SkinSample:
    """Points of the embedded right hand's skin, in whose terms all networks think."""
    return SkinSample(load_hand(device=device))
