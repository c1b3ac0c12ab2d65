"""DVQ-VAE: a codebook for each part of the hand, a prior over the codes, and a decoder in two stages.

Symbols and equation numbers are the paper's: z_t and z_p what the two object encoders make of the object, z_i of the
parts of a hand, Z the codebooks, l_o and l_h their indices, M_posture and M_position the hand parameters, J keypoints,
G the gate, T the correction, sg a stopped gradient. Hands and objects are in the heading frame. Differences from paper
and published code, each an argument here: local clouds with normals where it takes whole objects; fingers are encoded
in the wrist's own frame, for their codes decode to a posture, which has no orientation; the palm, of which nothing is
left there, is encoded as it lies by the object, and its code tells the position decoder which of the ways of holding
is meant (`palm_places`); the prior is told z_t, of which the index l_o is but a rough name, beside l_o, and type and
intent (`prior_sees`); the hand that was decoded is corrected twice by what its skin sees of the surface (`passes`);
then it is adapted by a few steps of gradient (`without_fit`, `before_fit`). The published grid has a third column,
which nothing decodes. Betas are predicted, but no loss sees a hand made of them: the hand that is shown has the
animator's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig, Clearance, TouchLoss
from core.generators.conditioning import ConditionEmbedding, drop_conditions
from core.generators.contact_losses import surface_seen
from core.generators.dvqvae_loss import (
    POSITION_SIZE,
    POSTURE_SIZE,
    RECONSTRUCTION,
    DvqvaeLoss,
    judged,
    position_of,
    posture_of,
    put_together,
    unseen_loss,
    with_sum,
)
from core.generators.gradient_steps import adapted_parameters
from core.generators.hand_parameters import BETAS, POSE, SIZE
from core.generators.learned import Network
from core.generators.part_codebooks import (
    Codebooks,
    PartEncoder,
    codebook_loss,
    part_points,
    straight_through,
)
from core.generators.pixelcnn import PixelCNN
from core.generators.pointnet import PointNet, Shortcut, perceptron
from core.generators.predicted_field import Prediction
from core.generators.skeleton import Correction
from core.generators.training_config import COARSE, Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import COUNT
from core.hand.tables import PARTS

if TYPE_CHECKING:
    from core.generators.conditioning import Conditioning
    from core.hand.skin import SkinSample
    from core.progress import Progress

#: rows and columns of the cells that the parts' codes stand in, in the order of `core.hand.tables.PARTS`
GRID: Final = (3, 2)
#: as FastGrasp's, but of steps of the hand parameters themselves
WITHOUT_FIT: Final = AdaptationConfig(12, 0.2, clearance=Clearance(0.002, 0.001, 0.005), per_cm2=1.0)
#: a fit takes a hand out of the object, but makes no grasp of one that is far off it
BEFORE_FIT: Final = AdaptationConfig(4, 0.05, TouchLoss(stiffness=3.0))
#: the share of the progress at which hands are drawn and the adaptation by gradient begins
DRAWN_SHARE: Final = 0.4
#: points of a cloud that the object encoders look at, fewer than the correction: they tell roughly where what is
LOOKED_AT: Final = 128


@dataclass(frozen=True)
class ObjectFeatures:
    """What is known of N objects before there is a hand.

    Attributes:
        z_t: (N, width) of the type encoder.
        z_p: (N, width) of the pose encoder.
    """

    z_t: torch.Tensor
    z_p: torch.Tensor


class DvqVae(Network):
    """The whole of DVQ-VAE.

    Args:
        count: codes of each book.
        width: numbers of a part's code.
        features: numbers of z_t and of z_p.
        decomposed: a code for each part; if not, one for the whole hand (Table 4, "VQ-VAE").
        encoders: of the object; with 1 z_p is z_t (Table 4).
        order: what is decoded first, the "posture" (the paper), the "position" (Table 4, "reverse"), or both at once
            (Table 4, without "dual-stage").
        palm_places: the palm is encoded as it lies by the object, and the position decoder is told its code.
        prior_sees: what the prior is told of the object: its code l_o (the paper), or z_t besides.
        passes: of the correction; 0 is the paper.
        temperature: of the prior's draws.
        without_fit: see `Network`: how the hand parameters are adapted after the correction; the paper does not.
        before_fit: see `Network`.
        completions: for a hand some of whose codes are held, how many are drawn that one is chosen from.
    """

    #: by how often hands are of the type that is asked for (docs/results/tried-and-not-kept.md)
    guidance = 3.0
    holds_parts = True

    def __init__(self, count: int = 128, width: int = 16, features: int = 192, *, decomposed: bool = True,
                 encoders: Literal[1, 2] = 2, order: Literal["posture", "position", "once"] = "posture",
                 palm_places: bool = True, prior_sees: Literal["code", "feature"] = "feature", passes: int = 2,
                 temperature: float = 1.0, completions: int = 16, without_fit: AdaptationConfig = WITHOUT_FIT,
                 before_fit: AdaptationConfig = BEFORE_FIT) -> None:
        super().__init__()
        self.without_fit, self.before_fit = without_fit, before_fit
        self.palm_places = palm_places
        self.passes, self.temperature, self.completions = passes, temperature, completions
        books = len(PARTS) if decomposed else 1
        codes = books * width
        # Sec. 3.2 and 3.3.
        self.type_encoder = PointNet(6, (48, 64, features))
        self.pose_encoder = PointNet(6, (48, 64, features)) if encoders == 2 else None
        self.parts = nn.ModuleList(PartEncoder(width) for _ in range(books))
        self.books, self.object_book = Codebooks(books, count, width), Codebooks(1, count, 32)
        self.object_code = nn.Linear(features, 32)
        # Sec. 3.4.
        told = {"posture": 0, "position": POSITION_SIZE, "once": features}[order]
        self.posture = Shortcut(codes + features + told, 512, 512, SIZE if order == "once" else POSTURE_SIZE)
        self.correction = Correction()
        self.hand_encoder = PointNet(6, (24, 48, 96), mean=True) if order == "posture" else None
        seen = features + width * palm_places + (self.hand_encoder.width if self.hand_encoder else 0)
        self.position = None if order == "once" else Shortcut(seen, 512, 256, POSITION_SIZE)
        # The prior, and the correction by what is seen.
        self.label = nn.Embedding(count, 128)
        nn.init.normal_(self.label.weight, std=0.1)
        self.wishes = ConditionEmbedding(128)
        self.into = nn.Linear(features, 128) if prior_sees == "feature" else None
        self.prior = PixelCNN(GRID if decomposed else (1, 1), count, 128)
        self.seen_object = PointNet(6, (48, 64, features))
        self.seen = perceptron(SIZE + features + 4 * COUNT, 384, 384, 256, SIZE - BETAS.stop)
        for value in self.seen[-1].parameters():  # no correction at first
            nn.init.zeros_(value)

    # Encoding.

    def object_features(self, cloud: torch.Tensor) -> ObjectFeatures:
        """z_t and z_p (Sec. 3.2) of clouds (N, P, 6) as `LocalPointCloud.scaled`."""
        cloud = cloud[:, :LOOKED_AT]
        z_t = self.type_encoder(cloud)
        return ObjectFeatures(z_t, z_t if self.pose_encoder is None else self.pose_encoder(cloud))

    def label_of(self, features: ObjectFeatures) -> torch.Tensor:
        """(N,) l_o, the row of Z_o nearest to z_t (Eq. 5)."""
        return self.object_book.nearest(self.object_code(features.z_t)[:, None])[:, 0]

    def part_features(self, hand: SkinSample, params: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """(N, books, width) z_i of the parts of hands of parameters (N, 61) and betas (N, 10)."""
        with torch.no_grad():
            still = self.still_points(hand, params, betas)
            placed = self.code.skin(hand, params, betas).points if self.palm_places else still
            points = part_points(hand, still - still.mean(1, keepdim=True), placed)
            if len(self.parts) == 1:
                points = [torch.cat(points, 1)]
        return torch.stack([encoder(part) for encoder, part in zip(self.parts, points, strict=True)], 1)

    def codes_of(self, hand: SkinSample, params: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """(N, books) l_h of hands, anybody's (Eq. 4); arguments as `part_features` has them."""
        return self.books.nearest(self.part_features(hand, params, betas))

    def still_points(self, hand: SkinSample, params: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """(N, V, 3) metres, the skin of hands of parameters (N, 61) in the wrist's own frame."""
        pose = self.code.unpack(params)[2]
        upright = torch.eye(3).to(pose).expand(len(pose), 3, 3)
        return hand(upright, pose, -hand.hand.rest_joints(betas)[:, 0], betas).points

    # Decoding.

    def decoded(self, hand: SkinSample, codes: torch.Tensor, features: ObjectFeatures,
                betas: torch.Tensor) -> torch.Tensor:
        """Hand parameters (N, 61) of the parts' codes: posture and position (Eq. 8 and 9).

        Args:
            hand: points of the embedded right hand.
            codes: (N, books, width) rows of the codebooks.
            features: of the objects.
            betas: (N, 10) of the hands.
        """
        flat, palm = codes.flatten(1), [codes[:, -1]] if self.palm_places else []
        if self.position is None:
            both = self.posture(torch.cat([flat, features.z_t, features.z_p], 1))
            return put_together(self.corrected_posture(hand, posture_of(both), betas), position_of(both))
        if self.hand_encoder is None:
            position = self.position(torch.cat([features.z_p, *palm], 1))
            posture = self.posture(torch.cat([flat, features.z_t, position.detach()], 1))
            return put_together(self.corrected_posture(hand, posture, betas), position)
        posture = self.corrected_posture(hand, self.posture(torch.cat([flat, features.z_t], 1)), betas)
        return put_together(posture, self.decoded_position(hand, posture, codes, features, betas))

    def decoded_position(self, hand: SkinSample, posture: torch.Tensor, codes: torch.Tensor, features: ObjectFeatures,
                         betas: torch.Tensor) -> torch.Tensor:
        """Eq. 9: M_position (N, 6) of M_posture (N, 55); other arguments as `decoded` has them."""
        with torch.no_grad():
            still = self.still_points(hand, put_together(posture, posture[:, :POSITION_SIZE]), betas)
            seen = torch.cat([still, hand.template.expand_as(still)], -1) / LOCAL_RADIUS
        palm = [codes[:, -1]] if self.palm_places else []
        assert self.hand_encoder is not None  # as those that call it have seen
        assert self.position is not None
        return self.position(torch.cat([self.hand_encoder(seen), features.z_p, *palm], 1))

    def placed_anew(self, hand: SkinSample, params: torch.Tensor, cloud: torch.Tensor,
                    betas: torch.Tensor) -> torch.Tensor:
        """Hands (N, 61), anybody's, in the position that the position decoder gives their postures (Sec. 4.6).

        Args:
            hand: points of the embedded right hand.
            params: (N, 61) in their heading frames.
            cloud: (N, P, 6) as `LocalPointCloud.scaled`.
            betas: (N, 10) of the hands.

        Raises:
            ValueError: the network decodes no position after a posture.
        """
        if self.hand_encoder is None or self.position is None:
            raise ValueError("This network decodes no position after a posture: order is not \"posture\".")
        codes = self.books.look_up(self.codes_of(hand, params, betas))
        return put_together(posture_of(params), self.decoded_position(hand, posture_of(params), codes,
                                                                      self.object_features(cloud), betas))

    def corrected_posture(self, hand: SkinSample, posture: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """Eq. 8: M_posture (N, 55) as the skeleton allows it, of hands with betas (N, 10)."""
        scale, mean = self.code.scale[POSE], self.code.mean[POSE]
        return posture + self.correction(hand.hand, posture, posture[:, 10:] * scale + mean, betas)

    def corrected(self, hand: SkinSample, params: torch.Tensor, cloud: torch.Tensor, betas: torch.Tensor,
                  passes: int | None = None) -> torch.Tensor:
        """Hands (N, 61) moved by what their skin sees of the surface of clouds (N, P, 6)."""
        o = self.seen_object(cloud[:, :LOOKED_AT])
        for _ in range(self.passes if passes is None else passes):
            params = self.corrected_once(hand, params, o, cloud, betas)
        return params

    def corrected_once(self, hand: SkinSample, params: torch.Tensor, o: torch.Tensor, cloud: torch.Tensor,
                       betas: torch.Tensor) -> torch.Tensor:
        """One pass of `corrected`, of the object's features (N, features)."""
        with torch.no_grad():
            points = self.code.skin(hand, params, betas).points
        seen = surface_seen(cloud[..., :3] * LOCAL_RADIUS, cloud[..., 3:], points)
        off = self.seen(torch.cat([params, o, seen], 1))
        return torch.cat([params[:, BETAS], params[:, BETAS.stop:] + off], 1)

    # Training.

    def autoencoder_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: DvqvaeLoss) -> Terms:
        """Eq. 18: codebooks, reconstruction, contact."""
        features = self.object_features(batch["cloud"])
        z, z_o = self.part_features(hand, batch["params"], batch["betas"]), self.object_code(features.z_t)[:, None]
        nearest, nearest_o = (self.looked_up(book, given, rng)
                              for book, given in ((self.books, z), (self.object_book, z_o)))
        params = self.decoded(hand, straight_through(z, nearest), features, batch["betas"])
        codes = (codebook_loss(z, nearest) + codebook_loss(z_o, nearest_o)).mean()
        return with_sum({"codes": codes, **judged(hand, self.code, params, batch, weights)}, weights)

    def looked_up(self, book: Codebooks, z: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """The rows nearest to z (N, books, width), of books without dead rows while they are trained."""
        if book.training and torch.is_grad_enabled():
            book.revive(z, book.nearest(z), rng)
        return book.look_up(book.nearest(z))

    def decoder_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: DvqvaeLoss) -> Terms:
        """Eq. 12 and 17, the codes as they are; of hands reconstructed, and with `unseen` of hands drawn besides."""
        features = self.object_features(batch["cloud"])
        with torch.no_grad():
            codes = self.books.look_up(self.codes_of(hand, batch["params"], batch["betas"]))
        params = self.decoded(hand, codes, features, batch["betas"])
        terms = judged(hand, self.code, params, batch, weights)
        if weights.unseen:
            drawn = self.redrawn(hand, features, batch, rng)
            terms["unseen"] = unseen_loss(hand, self.code, drawn, batch, weights)
        return with_sum(terms, weights)

    def redrawn(self, hand: SkinSample, features: ObjectFeatures, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Hands (N, 61) decoded from codes that the prior draws at the training grasps' places."""
        with torch.no_grad():
            c = self.condition(features, batch["grasp_type"], batch["intent"])
            index = self.drawn(c, torch.rand(len(c), self.prior.cells, generator=rng).to(c))
        return self.decoded(hand, self.books.look_up(index), features, batch["betas"])

    def condition(self, features: ObjectFeatures, grasp_type: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, 128) what the prior is told: l_o, and z_t unless l_o is all that it sees; types and intents (N,)."""
        told = self.label(self.label_of(features)) + self.wishes(grasp_type, intent)
        return told if self.into is None else told + self.into(features.z_t)

    def prior_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator) -> Terms:
        """The parts' codes' negative log-likelihood, the mean over cells; type and intent are dropped at random."""
        with torch.no_grad():
            features = self.object_features(batch["cloud"])
            index = self.codes_of(hand, batch["params"], batch["betas"])
        c = self.condition(features, drop_conditions(batch["grasp_type"], rng), drop_conditions(batch["intent"], rng))
        logits = self.prior(index, c)
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), index.flatten())}

    def correction_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: DvqvaeLoss) -> Terms:
        """Of each pass of `corrected`, Eq. 18's terms; of hands reconstructed, and with `unseen` of hands drawn."""
        with torch.no_grad():
            features = self.object_features(batch["cloud"])
            codes = self.books.look_up(self.codes_of(hand, batch["params"], batch["betas"]))
            params = self.decoded(hand, codes, features, batch["betas"])
            drawn = self.redrawn(hand, features, batch, rng) if weights.unseen else params
        o = self.seen_object(batch["cloud"][:, :LOOKED_AT])
        sums: Terms = {}
        for _ in range(self.passes):
            params = self.corrected_once(hand, params.detach(), o, batch["cloud"], batch["betas"])
            terms = judged(hand, self.code, params, batch, weights)
            if weights.unseen:
                before = drawn.detach()
                drawn = self.corrected_once(hand, before, o, batch["cloud"], batch["betas"])
                kept = (drawn - before).square()[:, BETAS.stop:].mean()
                terms["unseen"] = unseen_loss(hand, self.code, drawn, batch, weights) + kept
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros(())) + value / self.passes
        return with_sum(sums, weights)

    # Sampling.

    def drawn(self, condition: torch.Tensor, uniform: torch.Tensor, untyped: torch.Tensor | None = None,
              guidance: float = 1.0, held: torch.Tensor | None = None) -> torch.Tensor:
        """(N, books) l_h drawn by the prior under conditions (N, 128).

        Args:
            condition: see `condition`.
            uniform: (N, books) in [0, 1), which decide.
            untyped: the same condition without a type, where `guidance` is not 1.
            guidance: see `Conditioning`.
            held: (N, books) codes that are not drawn; -1 for those that are.
        """
        count = len(condition)
        both = condition if untyped is None else torch.cat([condition, untyped])

        def choose(cell: int, logits: torch.Tensor) -> torch.Tensor:
            if untyped is not None:
                logits = logits[count:] + guidance * (logits[:count] - logits[count:])
            share = torch.softmax(logits.double() / self.temperature, 1).cumsum(1)
            codes = (share < uniform[:, cell:cell + 1] * share[:, -1:]).sum(1)
            if held is not None:
                codes = torch.where(held[:, cell] < 0, codes, held[:, cell])
            return codes if untyped is None else codes.repeat(2)

        return self.prior.visit(len(both), both, choose)[:count]

    def completed(self, condition: torch.Tensor, held: torch.Tensor, rng: torch.Generator,
                  untyped: torch.Tensor | None = None, guidance: float = 1.0) -> torch.Tensor:
        """(N, books) l_h of which some are held, the others drawn as they go with those.

        A cell is drawn without a look at those after it. So several completions are drawn for each hand, and of them
        one, by the chance of the held codes after what was drawn (likelihood weighting).

        Args:
            condition: see `drawn`.
            held: see `drawn`.
            rng: of the draws.
            untyped: see `drawn`.
            guidance: see `drawn`.
        """
        count, many = len(condition), self.completions
        c, kept = condition.repeat_interleave(many, 0), held.repeat_interleave(many, 0)
        plain = None if untyped is None else untyped.repeat_interleave(many, 0)
        uniform = torch.rand(len(c), self.prior.cells + 1, generator=rng).to(c)
        index = self.drawn(c, uniform, plain, guidance, kept)
        chance = self.prior(index, c).log_softmax(2).gather(2, index[..., None])[..., 0]
        chance = (chance * (kept >= 0)).sum(1).unflatten(0, (count, many))
        share = torch.softmax(chance, 1).cumsum(1)
        one = (share < uniform[::many, -1:] * share[:, -1:]).sum(1)
        return index.unflatten(0, (count, many))[torch.arange(count, device=index.device), one]

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Sec. 3.1, inference: l_o, l_h from the prior, posture, position; then the correction by what is seen."""
        given, cloud = conditioning, conditioning.cloud.scaled
        features = self.object_features(cloud)
        c = self.condition(features, given.grasp_type, given.intent)
        untyped = None if given.guidance == 1 else self.condition(features, 0 * given.grasp_type, given.intent)
        if given.held is None:
            uniform = torch.rand(len(given), self.prior.cells, generator=rng).to(c)
            index = self.drawn(c, uniform, untyped, given.guidance)
        else:
            kept = self.codes_of(given.hand, given.held.params, given.betas)
            kept = torch.where(given.held.keep.to(kept.device), kept, -1)
            index = self.completed(c, kept, rng, untyped, given.guidance)
        progress(DRAWN_SHARE)
        params = self.decoded(given.hand, self.books.look_up(index), features, given.betas)
        params = self.corrected(given.hand, params, cloud, given.betas)
        return Prediction(adapted_parameters(params, self.code, given, progress.sub(DRAWN_SHARE, 1.0)))


def training_config(scale: float = 1.0, loss: DvqvaeLoss | None = None, *, object_frame: bool = False,
                    **options: Any) -> TrainingConfig:
    """DVQ-VAE: codebooks and decoders, then with contact; the prior; the correction, with all else frozen.

    Args:
        scale: of the steps.
        loss: Eq. 18.
        object_frame: the papers' frame.
        options: of the network; without passes of the correction its stages fall away.
    """
    network = DvqVae(**options)
    weights = loss or DvqvaeLoss()

    def there(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if getattr(network, name) is not None)

    prior, corrects = there("label", "wishes", "into", "prior"), ("seen_object", "seen")
    decoders = there("pose_encoder", "posture", "correction", "hand_encoder", "position")
    whole = ("type_encoder", "parts", "books", "object_book", "object_code", *decoders)
    drawn = replace(weights, depth=8.0, unseen=0.5)
    last = replace(weights, depth=20.0, unseen=1.0, surface=2.0 * weights.surface)
    stages: tuple[Stage, ...] = (
        Stage("codes", whole, lambda hand, batch, rng: network.autoencoder_loss(hand, batch, rng, RECONSTRUCTION),
              OptimizerConfig(scaled(4500, scale), learning_rate=2e-3), points=LOOKED_AT),
        Stage("prior", prior, network.prior_loss, OptimizerConfig(scaled(2000, scale)), points=LOOKED_AT),
        Stage("grasps", decoders, lambda hand, batch, rng: network.decoder_loss(hand, batch, rng, drawn),
              OptimizerConfig(scaled(1000, scale)), points=COARSE),
        Stage("correction", corrects, lambda hand, batch, rng: network.correction_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(1200, scale)), points=COARSE),
        Stage("finest", corrects, lambda hand, batch, rng: network.correction_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(500, scale), learning_rate=7e-4, seed=1), 32),
        Stage("further", corrects, lambda hand, batch, rng: network.correction_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(900, scale), learning_rate=1e-3, seed=2), 32),
    )
    if not network.passes:
        stages = tuple(stage for stage in stages if stage.trained != corrects)
    return TrainingConfig(network, stages, object_frame)
