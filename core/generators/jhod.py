"""JHOD: joint diffusion of hand and object, which makes hands for a given object, or both at once.

Symbols and equation numbers are the paper's: z^H and z^O the latents of hand (1 x 512) and object (4 x 512), E_H, E_O
their encoders and X_H, X_O their decoders, t_H and t_O the steps of their noise, G the denoiser, y_f the distance
field. Everything is in the heading frame. Differences, each an argument or said where it is:

- The object's encoder and decoder are this project's (`core.generators.object_autoencoder`), and decode to a distance
  field, where LION gives points: no alpha shape has to guess the surface between them.
- E_H and X_H are trained before the diffusion, and frozen in it: an encoder that is trained by Eq. 4 learns latents
  that are easily predicted. The hand has the animator's shape, which the denoiser is told.
- G is told the grasp type and the intent, each of which may be left out, and guided by the type.
- G gives the clean latent as a mixture of its input and what the transformer says, by the noise that is left: a latent
  without noise stays what it is.
- Hands of one-call predictions are judged by the surface, too, up to `judge_until` (`judge`; None is the paper).
- What is proposed is corrected by a module f that is told where the surface is as seen from the hand, as FastGrasp's
  f_adapt (`passes`; 0 is the paper).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from core.generators.adaptation import NO_ADAPTATION, AdaptationConfig, Clearance
from core.generators.conditioning import ConditionEmbedding, drop_conditions
from core.generators.contact_losses import CM2, surface_seen
from core.generators.diffusion import NoiseSchedule, TimeEmbedding
from core.generators.gradient_steps import adapted_parameters
from core.generators.hand_loss import PHYSICAL_DIFFUSION, HandLoss
from core.generators.hand_parameters import BETAS, SIZE, mix_hands
from core.generators.learned import Network
from core.generators.object_autoencoder import OBJECT_POINTS, TOKENS, WIDTH, ObjectAutoencoder
from core.generators.pointnet import PointNet, Shortcut, perceptron
from core.generators.predicted_field import Prediction
from core.generators.training_config import COARSE, Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import COUNT
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    import numpy as np

    from core.generators.conditioning import Conditioning
    from core.hand.skin import SkinSample
    from core.progress import Progress

#: y_H: rotation, pose and position, all hand parameters but the betas
HAND: Final = SIZE - BETAS.stop
#: object points nearest to a joint that are in its distance field (Eq. 15)
NEAREST: Final = 10
#: points of the whole object that the diffusion is trained on: what is encoded of them differs little
FEWER_POINTS: Final = 1024
#: f brings hands near the surface; a quarter of them still touch it with one part alone, so all are moved
WITHOUT_FIT: Final = AdaptationConfig(10, 0.1, clearance=Clearance(0.0018, 0.001, 0.005), per_cm2=1.0)
#: a fit takes a hand out of the object itself
BEFORE_FIT: Final = NO_ADAPTATION
#: the share of the progress at which hands are sampled and their adaptation begins
SAMPLING_SHARE: Final = 0.5
#: weights of Eq. 15 and 16, squared centimetres, beside Eq. 11 to 13
FIELD_WEIGHT, JOINT_WEIGHT = 0.02, 0.05


class Denoiser(nn.Module):
    """G_Phi of Eq. 11: a transformer over the five latents, told the noise of each modality and the condition.

    Args:
        width: of the tokens inside.
        layers: of the transformer.
        heads: of its attention.
    """

    def __init__(self, width: int = 256, layers: int = 5, heads: int = 8) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.into_hand, self.into_object = nn.Linear(WIDTH, width), nn.Linear(WIDTH, width)
        self.place = nn.Parameter(0.02 * torch.randn(2 + TOKENS, width))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out_hand, self.out_object = nn.Linear(width, WIDTH), nn.Linear(width, WIDTH)

    def forward(self, z: torch.Tensor, t_hand: torch.Tensor, t_object: torch.Tensor,
                condition: torch.Tensor) -> torch.Tensor:
        """What the clean latents are made of beside the noisy ones.

        Args:
            z: (N, 5, 512) the hand's latent first.
            t_hand: (N,) t_H.
            t_object: (N,) t_O.
            condition: (N, width).

        Returns:
            (N, 5, 512).
        """
        hand = self.into_hand(z[:, :1]) + (self.time(t_hand) + condition)[:, None]
        obj = self.into_object(z[:, 1:]) + self.time(t_object)[:, None]
        tokens = torch.cat([condition[:, None], hand, obj], 1) + self.place
        tokens = self.layers(tokens)
        return torch.cat([self.out_hand(tokens[:, 1:2]), self.out_object(tokens[:, 2:])], 1)


class JHOD(Network):
    """The whole of JHOD.

    Args:
        width: of the denoiser's tokens.
        layers: of the denoiser.
        steps: of the sampler; the paper has as many as the schedule.
        temperature: of the noise that hands for a given object start from.
        imagining: the same, of hand and object together; nearer to 1 there are more kinds of objects, and more shards.
        asynchronous: hand and object have noise levels of their own (Eq. 9); if not, t_O is t_H in training, and a
            given object is noised to the step that the hand is at (Table 4).
        judge_until: hands are judged by `judge` of one-call predictions from steps 1 to this of 1000.
        passes: of the correcting module f, each on what the one before has left; 0 leaves hands as they were sampled.
        without_fit: see `Network`; the hand parameters are adapted after f.
        before_fit: see `Network`.
    """

    guidance = 4.0
    object_points = OBJECT_POINTS
    hand_mean: torch.Tensor
    hand_scale: torch.Tensor

    def __init__(self, width: int = 256, layers: int = 5, steps: int = 10, *, temperature: float = 0.5,
                 imagining: float = 0.8, asynchronous: bool = True, judge_until: int = 400, passes: int = 2,
                 without_fit: AdaptationConfig = WITHOUT_FIT, before_fit: AdaptationConfig = BEFORE_FIT) -> None:
        super().__init__()
        self.without_fit, self.before_fit = without_fit, before_fit
        self.steps, self.asynchronous = steps, asynchronous
        self.temperature, self.imagining = temperature, imagining
        self.judge_until, self.passes = judge_until, passes
        self.object_autoencoder = ObjectAutoencoder()
        self.hand_encoder, self.hand_decoder = Shortcut(HAND, 128, WIDTH), Shortcut(WIDTH, 128, HAND)
        self.wishes, self.shape = ConditionEmbedding(width), nn.Linear(10, width)
        self.denoiser = Denoiser(width, layers)
        self.correct_object = PointNet(6, (48, 96, 256))
        self.correct = perceptron(HAND + 10 + 256 + 4 * COUNT, 256, 256, HAND)
        self.schedule = NoiseSchedule()
        self.register_buffer("hand_mean", torch.zeros(WIDTH))
        self.register_buffer("hand_scale", torch.ones(WIDTH))

    # The two latents (Eq. 7-8).

    def hand_latents(self, params: torch.Tensor) -> torch.Tensor:
        """z^H (N, 1, 512), standardised, of hand parameters (N, 61)."""
        return ((self.hand_encoder(params[:, BETAS.stop:]) - self.hand_mean) / self.hand_scale)[:, None]

    def decoded(self, z: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """X_H: hand parameters (N, 61) of standardised z^H (N, 1, 512), with betas (N, 10) as they are given."""
        return torch.cat([betas, self.hand_decoder(z[:, 0] * self.hand_scale + self.hand_mean)], 1)

    def condition(self, grasp_type: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """(N, width) what the denoiser is told besides, of indices (N,) and betas (N, 10)."""
        return self.wishes(grasp_type, intent) + self.shape(betas)

    def predicted(self, z: torch.Tensor, t_hand: torch.Tensor, t_object: torch.Tensor,
                  condition: torch.Tensor) -> torch.Tensor:
        """G(z_{t_H, t_O}, t_H, t_O), the clean latents (N, 5, 512); arguments as `Denoiser.forward` has them."""
        steps = torch.cat([t_hand[:, None], t_object[:, None].expand(-1, TOKENS)], 1)
        kept = self.schedule.alphas_cumprod[steps][..., None]
        return kept.sqrt() * z + (1 - kept).sqrt() * self.denoiser(z, t_hand, t_object, condition)

    # Training.

    def hand_loss(self, batch: Batch, rng: torch.Generator) -> Terms:
        """E_H and X_H on true and synthetic hands; a little noise on the latent keeps near latents near hands."""
        params = mix_hands(batch["params"], rng)
        z = self.hand_encoder(params[:, BETAS.stop:])
        noise = 0.05 * torch.randn(z.shape, generator=rng).to(z)
        error = (self.hand_decoder(z + noise) - params[:, BETAS.stop:]).square().mean()
        return {"param": error, "loss": error + 1e-3 * z.square().mean()}

    @torch.no_grad()
    def standardise(self, hand: SkinSample, params: torch.Tensor) -> None:
        """Takes mean and scale of the hands' latents from parameters (n, 61) of true hands."""
        z = self.hand_encoder(params[:, BETAS.stop:])
        self.hand_mean.copy_(z.mean(0))
        self.hand_scale.copy_(z.std(0).clamp_min(1e-3))

    def joints(self, hand: SkinSample, params: torch.Tensor) -> torch.Tensor:
        """LBS of Eq. 16: (N, 16, 3) joints, metres, of hand parameters (N, 61)."""
        betas, rotation, pose, wrist = self.code.unpack(params)
        rest = hand.hand.rest_joints(betas)
        rotations = torch.cat([rotation[:, None], axis_angle_to_matrix(pose.unflatten(1, (15, 3)))], 1)
        transforms = hand.hand.chain(rotations, wrist - rest[:, 0], rest)
        return (transforms[:, :, :3, :3] @ rest[..., None])[..., 0] + transforms[:, :, :3, 3]

    def draws(self, z0: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """t_H and t_O (N,) of the conditional draws (Eq. 12), the first half of the latents, and the joint (Eq. 11)."""
        count = len(z0)
        t_hand, t_object = torch.randint(1, self.schedule.steps + 1, (2, count), generator=rng).to(z0.device)
        if not self.asynchronous:
            return t_hand, t_hand
        given = torch.arange(count, device=z0.device) < count // 2
        return t_hand, torch.where(given, 0, t_object)

    def noised(self, z0: torch.Tensor, t_hand: torch.Tensor, t_object: torch.Tensor,
               rng: torch.Generator) -> torch.Tensor:
        """Eq. 10: z_{t_H, t_O} (N, 5, 512) of clean latents."""
        noise = torch.randn(z0.shape, generator=rng).to(z0)
        return torch.cat([self.schedule.add_noise(z0[:, :1], t_hand, noise[:, :1]),
                          self.schedule.add_noise(z0[:, 1:], t_object, noise[:, 1:])], 1)

    def diffusion_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator,
                       judge: HandLoss | None = None) -> Terms:
        """Eq. 17: each grasp is drawn twice, with its object given and without, and shapes alone beside them.

        Args:
            hand: points of the embedded right hand.
            batch: of n grasps, with `object`; and m shapes, `shape`, where there are any.
            rng: of steps, noise and what is left out of the conditions.
            judge: of hands in one-call predictions; None is the paper.
        """
        with torch.no_grad():
            z0 = torch.cat([self.hand_latents(batch["params"]), self.object_autoencoder.encode(batch["object"])], 1)
        twice = {name: torch.cat([value, value]) for name, value in batch.items() if name not in SHAPE_KEYS}
        z0, count = torch.cat([z0, z0]), 2 * len(z0)
        t_hand, t_object = self.draws(z0, rng)
        condition = self.condition(drop_conditions(twice["grasp_type"], rng), drop_conditions(twice["intent"], rng),
                                   twice["betas"])
        z, clean = self.noised(z0, t_hand, t_object, rng), z0
        if "shape" in batch:  # Eq. 13-14: the hand's latent is noise, and nothing is asked of it
            with torch.no_grad():
                alone = self.object_autoencoder.encode(batch["shape"][:, ::2])
            none = torch.zeros(len(alone), dtype=torch.long, device=alone.device)
            t_alone = torch.randint(1, self.schedule.steps + 1, (len(alone),), generator=rng).to(alone.device)
            clean = torch.cat([z0, torch.cat([torch.zeros_like(alone[:, :1]), alone], 1)])
            t_hand, t_object = torch.cat([t_hand, none + self.schedule.steps]), torch.cat([t_object, t_alone])
            z = torch.cat([z, self.noised(clean[count:], none + self.schedule.steps, t_alone, rng)])
            no_betas = torch.zeros(len(alone), 10, device=alone.device)
            condition = torch.cat([condition, self.condition(none, none, no_betas)])
        found = self.predicted(z, t_hand, t_object, condition)
        wrong = (found - clean).square().mean(-1)
        terms = {"conditional": wrong[:count // 2, 0].mean(), "joint": wrong[count // 2:count, 0].mean(),
                 "object": wrong[count // 2:count, 1:].mean()}
        if "shape" in batch:
            terms["alone"] = wrong[count:, 1:].mean()
        params = self.decoded(found[:count, :1], twice["betas"])
        terms |= self.geometric(hand, params, twice)
        weights = {"field": FIELD_WEIGHT, "joints": JOINT_WEIGHT}
        loss = torch.as_tensor(sum(weights.get(name, 1.0) * value for name, value in terms.items()))
        judged = (t_hand[:count] <= self.judge_until) & (t_object[:count] == 0)
        if judge is not None and judged.any():
            physical = judge(hand, self, params[judged], {name: value[judged] for name, value in twice.items()})
            loss = loss + 0.1 * physical.pop("loss")
            terms |= physical
        return terms | {"loss": loss}

    def geometric(self, hand: SkinSample, params: torch.Tensor, batch: Batch) -> Terms:
        """Eq. 15 and 16 of predicted hands (N, 61) against true ones: `field` and `joints`, cm2."""
        with torch.no_grad():
            true_joints = self.joints(hand, batch["params"])
        joints, points = self.joints(hand, params), batch["object"][..., :3] * LOCAL_RADIUS
        wrong = distance_field(joints, points) - distance_field(true_joints, points)
        return {"field": CM2 * wrong.square().sum(-1).mean(),
                "joints": CM2 * (joints - true_joints).square().sum(-1).mean()}

    def corrected(self, params: torch.Tensor, cloud: torch.Tensor, hand: SkinSample) -> torch.Tensor:
        """Hands (N, 61) after the passes of f, on clouds (N, P, 6)."""
        seen = self.correct_object(cloud)
        for _ in range(self.passes):
            params = self.corrected_once(params, seen, cloud, hand)
        return params

    def corrected_once(self, params: torch.Tensor, seen: torch.Tensor, cloud: torch.Tensor,
                       hand: SkinSample) -> torch.Tensor:
        """Hands (N, 61) after one pass of f, told of the object (N, 256) and its surface, as seen from the hand."""
        with torch.no_grad():
            points = self.code.skin(hand, params).points
        surface = surface_seen(cloud[..., :3] * LOCAL_RADIUS, cloud[..., 3:], points)
        betas, own = params[:, BETAS], params[:, BETAS.stop:]
        return torch.cat([betas, own + self.correct(torch.cat([own, betas, seen, surface], 1))], 1)

    def correcting_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: HandLoss) -> Terms:
        """f on one-call predictions, all else frozen; each pass is judged on what the one before has left."""
        with torch.no_grad():
            z_hand, z_object = self.hand_latents(batch["params"]), self.object_autoencoder.encode(batch["object"])
            t = torch.randint(1, self.judge_until + 1, (len(z_hand),), generator=rng).to(z_hand.device)
            z0, none = torch.cat([z_hand, z_object], 1), torch.zeros_like(t)
            c = self.condition(drop_conditions(batch["grasp_type"], rng), drop_conditions(batch["intent"], rng),
                               batch["betas"])
            found = self.predicted(self.noised(z0, t, none, rng), t, none, c)
            params = self.decoded(found[:, :1], batch["betas"])
        seen = self.correct_object(batch["cloud"])
        sums: Terms = {}
        for _ in range(self.passes):
            params = self.corrected_once(params.detach(), seen, batch["cloud"], hand)
            for name, value in weights(hand, self, params, batch).items():
                sums[name] = sums.get(name, 0) + value / self.passes
        return sums

    # Sampling.

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Sec. 3.3.3, "Sampling", for a given object: t_O stays 0; then f, and adaptation by gradient."""
        given = conditioning
        if given.whole is None:
            raise ValueError("JHOD looks at the whole object, and was given none")
        z_object = self.object_autoencoder.encode(given.whole)
        z = self.sampled(self.conditions(given.grasp_type, given.intent, given.betas, given.guidance), len(given), rng,
                         progress.sub(0.0, SAMPLING_SHARE), z_object)
        return Prediction(self.laid(self.decoded(z, given.betas), given, progress.sub(SAMPLING_SHARE, 1.0)))

    def laid(self, params: torch.Tensor, conditioning: Conditioning, progress: Progress) -> torch.Tensor:
        """Hands (N, 61) as sampled, brought to the surface: by f, then by the adaptation."""
        params = self.corrected(params, conditioning.cloud.scaled, conditioning.hand)
        return adapted_parameters(params, self.code, conditioning, progress)

    def imagine(self, grasp_type: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor, rng: torch.Generator,
                progress: Progress) -> tuple[torch.Tensor, list[tuple[np.ndarray, np.ndarray] | None]]:
        """Sec. 3.3.3, "Sampling", of both hand and object; see `Network.imagine`."""
        conditions = self.conditions(grasp_type, intent, betas, self.guidance if bool(grasp_type.any()) else 1.0)
        z = self.sampled(conditions, len(betas), rng, progress.sub(0.0, SAMPLING_SHARE))
        planes = self.object_autoencoder.planes(z[:, 1:])
        meshes = []
        for row in range(len(planes)):
            progress(SAMPLING_SHARE + (1 - SAMPLING_SHARE) * row / len(planes))
            meshes.append(self.object_autoencoder.decoder.mesh(planes[row]))
        return self.decoded(z[:, :1], betas), meshes

    def conditions(self, grasp_type: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                   guidance: float) -> tuple[tuple[float, torch.Tensor], ...]:
        """Weights and conditions (N, width) whose predictions are summed: classifier-free guidance by the type."""
        asked = self.condition(grasp_type, intent, betas)
        if guidance == 1:
            return ((1.0, asked),)
        return (guidance, asked), (1 - guidance, self.condition(0 * grasp_type, intent, betas))

    def sampled(self, conditions: tuple[tuple[float, torch.Tensor], ...], count: int, rng: torch.Generator,
                progress: Progress, z_object: torch.Tensor | None = None) -> torch.Tensor:
        """Clean latents: at each step they are predicted, and noised back to the next.

        Args:
            conditions: of `conditions`.
            count: N.
            rng: of the noise.
            progress: told how far it is.
            z_object: (N, 4, 512) of the given object; None: the object is sampled, too, t_O = t_H.

        Returns:
            (N, 1, 512) of hands, or (N, 5, 512).

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
        held = None if z_object is None else torch.randn(z_object.shape, generator=rng).to(z_object)

        def noise(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            both, t_object = z, t
            if z_object is not None and held is not None:
                t_object = torch.zeros_like(t) if self.asynchronous else t
                both = torch.cat([z, self.schedule.add_noise(z_object, t_object, held)], 1)
            found = [weight * self.predicted(both, t, t_object, each) for weight, each in conditions]
            return self.schedule.noise_of(z, t, torch.stack(found).sum(0)[:, :z.shape[1]])

        given = z_object is not None
        shape = count, 1 if given else 1 + TOKENS, WIDTH
        temperature = self.temperature if given else self.imagining
        return self.schedule.sample(noise, shape, rng, self.steps, temperature=temperature, progress=progress)


#: what a batch holds of shapes
SHAPE_KEYS: Final = frozenset({"shape", "query", "distance"})


def distance_field(joints: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """y_f of Eq. 15.

    Args:
        joints: (N, J, 3) metres.
        points: (N, P, 3) of the object, metres.

    Returns:
        (N, J, 10, 3) metres from each joint to its nearest points, the nearest first.
    """
    with torch.no_grad():
        rows = torch.cdist(joints, points).topk(NEAREST, largest=False).indices
    there = points[:, None].expand(-1, joints.shape[1], -1, -1).gather(2, rows[..., None].expand(-1, -1, -1, 3))
    return there - joints[:, :, None]


def training_config(scale: float = 1.0, *, judge: HandLoss | None = PHYSICAL_DIFFUSION, shapes: int = 12,
                    **options: Any) -> TrainingConfig:
    """JHOD: the object's networks, the hand's, the diffusion with both frozen, and f with all of them frozen.

    Args:
        scale: of the steps.
        judge: of the hands in one-call predictions, in the diffusion; None is the paper.
        shapes: drawn without a grasp, beside 48 grasps (Eq. 13); 0 for no object-only data (Table 2).
        options: of the network; without passes of f its stage falls away.
    """
    network = JHOD(**options)
    last = replace(HandLoss(), mesh=0, param=1.0, penetration=1.0, surface=2.0, depth=20.0)
    stages: tuple[Stage, ...] = (
        Stage("object", ("object_autoencoder",),
              lambda hand, batch, rng: network.object_autoencoder.loss(batch, rng),
              OptimizerConfig(scaled(3500, scale), learning_rate=2e-3), batch=0, shapes=24),
        Stage("hand", ("hand_encoder", "hand_decoder"), lambda hand, batch, rng: network.hand_loss(batch, rng),
              OptimizerConfig(scaled(2000, scale), learning_rate=2e-3), 128, points=1),
        Stage("diffusion", ("wishes", "shape", "denoiser"),
              lambda hand, batch, rng: network.diffusion_loss(hand, batch, rng, judge),
              OptimizerConfig(scaled(3000, scale)), 48, network.standardise, COARSE, shapes, FEWER_POINTS),
        Stage("correction", ("correct_object", "correct"),
              lambda hand, batch, rng: network.correcting_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(800, scale)), 48, points=2 * COARSE, object_points=FEWER_POINTS),
    )
    if not network.passes:
        stages = stages[:-1]
    return TrainingConfig(network, stages)
