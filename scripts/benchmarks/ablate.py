"""The papers' ablations on our data, short runs side by side.

    python scripts/benchmarks/ablate.py --out FOLDER [--rows ...]

    --rows NAME ...      of those below, adaptation or sampling; all of them without it
    --scale 0.1          of the steps of a whole training, with --batch grasps each; every row gets the same
    --minutes M          stop after so long; the same command goes on where it was
    --objects training:shape --limit 4 --count 16      what the rows are measured on, as in evaluate.py

FastGrasp's Table 1: cvae, diffusion, diffusion_physical, whole; unfelt is the whole with its adaptation as printed. Its
Table 4, of the auto-encoder alone: vertices_physical, vertices, parameters_physical, parameters. GraspTTA's Table 2:
without_tta, with_tta. The frame: object_frame against without_tta. The surface-distance loss:
no_surface against whole, cvae_no_surface against without_tta. CHOIR's Table 3, of refining held-out grasps under the
paper's noise (no samples are drawn): perturbed, keypoints, bps and bps_contacts as the paper has them (only the last
has the second stage of the fit), oriented with how the nearest surface lies beside its distance, as our JointDiffusion
has it, and keypoints_fit and bps_fit with our fit to the exact surface, which takes contacts from the hand. DVQ-VAE's
Table 4, without our correction: vq, vq_dual, dvq, dvq_one, dvq_reverse, dvq_dual; dvq_code with a prior that is told
the object's code alone, and dvq_centred with the palm seen as the fingers are. Its Table 3: masked_50 and masked_90, of
objects of whose points so many in a hundred are hidden from it. Its Sec. 4.6: placed, the true postures of held-out
grasps whose wrists are a little off (`wrists_off`), in the position that the position decoder gives them. JHOD's
Tables 2 and 4, without f: jhod_asynchronous, jhod_synchronous, and jhod_grasped, which sees no shapes but grasped ones.

What rows have in common is trained once. A row's joint error is the mean distance of the 21 joints to those of
held-out grasps, for hands proposed at the true frame under the true conditions (an auto-encoder's: for the hand it was
given). The rest is measured as evaluate.py does, of grasps as they come. `adaptation` and `sampling` are no training:
the shipped GraspTTA with 0, 5, 10 ... steps of test-time adaptation, and the shipped JHOD with 1, 2, 5 ... steps of its
sampler, what a step costs and what it brings.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import TRAINING
from scripts.benchmarks import evaluate
from scripts.benchmarks.results import provenance, table

if TYPE_CHECKING:
    import torch

    from core.generators.dvqvae import DvqVae
    from core.generators.fastgrasp import FastGrasp
    from core.generators.learned import Learned, Network
    from core.generators.training_config import TrainingConfig
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.hand.skin import SkinSample
    from core.objects import GraspObject
    from core.training.shapes import ShapeData

#: held-out grasps of the joint error
COMPARED = 256
COLUMNS = (("paper_volume_cm3", "overlap cm3"), ("paper_displacement_cm", "displacement cm"),
           ("paper_contact", "contact"), ("paper_depth_median_mm", "median depth mm"), ("paper_good", "good"),
           ("paper_entropy_whitened_joints", "entropy"), ("strict_held", "held"), ("strict_contact", "strict contact"))
REFINED = (("MPJPE mm", "MPJPE mm"), ("R-MPJPE mm", "R-MPJPE mm"), ("overlap cm3", "overlap cm3"), ("f1", "F1"),
           ("precision", "precision"), ("recall", "recall"))
#: standard deviation by which wrists that are to be placed anew are off, in units of the hand parameters
WRIST_OFF = 0.3
STEPS = (0, 5, 10, 20, 30, 60)
SAMPLED = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: of which paper, or of what.
        label: what the row is called.
        make: its training config, of the scale.
        stages: how many of the config's are run; all when None.
        owner: another row, of which this one takes stages.
        shared: those stages, by name.
        rebuilt: true hands through the auto-encoder are measured, not proposals.
        masked: share of the object's points that are hidden from the network, on one side of it.
        placed: held-out grasps with wrists a little off are measured, as they are ("off") or placed anew ("anew").
        refined: noisy true hands are measured as they are ("none"), as the network's field has them ("field"), with the
            fit to that field and its contacts ("fields"), or with the fit of the hand alone ("fit").
    """

    table: str
    label: str
    make: Callable[[float], TrainingConfig]
    stages: int | None = None
    owner: str = ""
    shared: tuple[str, ...] = ()
    rebuilt: bool = False
    refined: str = ""
    masked: float = 0.0
    placed: str = ""


def rows() -> dict[str, Row]:
    """Name -> row, in the order in which they can be made."""
    from core.generators.adaptation import AdaptationConfig
    from core.generators.grasptta import PRINTED, CvaeLoss
    from core.generators.hand_loss import HandLoss
    from core.generators.jointdiffusion import training_config as jointdiffusion
    from core.generators.keypoints import training_config as keypoints
    from core.registry import training_config

    # As the papers have them, without what is ours and needs no training.
    fastgrasp = partial(training_config, "fastgrasp", without_fit=AdaptationConfig(), steps=20)
    grasptta = partial(training_config, "grasptta", without_fit=AdaptationConfig())
    jhod = partial(training_config, "jhod", without_fit=AdaptationConfig(), passes=0)

    dvqvae = partial(training_config, "dvqvae", without_fit=AdaptationConfig(), passes=0)

    def fields(scale: float) -> TrainingConfig:
        return jointdiffusion(scale, weight=0.0, oriented=0)

    three, joint = "CHOIR, Table 3 (refining perturbed grasps)", ("joint",)
    one, two, four = "FastGrasp, Table 1", "GraspTTA, Table 2", "FastGrasp, Table 4 (auto-encoder)"
    parts, hidden, again = "DVQ-VAE, Table 4", "DVQ-VAE, Table 3", "DVQ-VAE, Sec. 4.6 (re-placing grasps)"
    whole = ("codes", "prior", "grasps")
    both = "JHOD, Tables 2 and 4"
    encoder, prior = ("reconstruction", "autoencoder"), ("reconstruction", "autoencoder", "diffusion")
    plain = HandLoss(contact=0, penetration=0, consistency=0, surface=0)
    return {
        "cvae": Row(one, "CVAE baseline (GraspTTA's Eq. 1)", lambda scale: grasptta(
            scale, loss=CvaeLoss(hand_centric=0, object_centric=0, surface=0)), 1),
        "diffusion": Row(one, "diffusion alone", lambda scale: fastgrasp(scale, passes=0, diffusion=None), 3),
        "diffusion_physical": Row(one, "diffusion with physical loss", lambda scale: fastgrasp(
            scale, passes=0, diffusion=HandLoss()), 3, "diffusion", encoder),
        "whole": Row(one, "whole pipeline", lambda scale: fastgrasp(scale, diffusion=None), 4, "diffusion", prior),
        "skin": Row(one, "whole pipeline, skin and surface judged in the diffusion too", fastgrasp, 4, "diffusion",
                    encoder),
        "vertices_physical": Row(four, "vertices in, with physical losses", fastgrasp, 2, "diffusion", encoder, True),
        "vertices": Row(four, "vertices in, reconstruction alone", lambda scale: fastgrasp(
            scale, autoencoder=plain), 2, "diffusion", encoder[:1], True),
        "parameters_physical": Row(four, "parameters in, with physical losses", lambda scale: fastgrasp(
            scale, vertices=False), 2, rebuilt=True),
        "parameters": Row(four, "parameters in, reconstruction alone", lambda scale: fastgrasp(
            scale, vertices=False, autoencoder=plain), 2, "parameters_physical", encoder[:1], True),
        "without_tta": Row(two, "without adaptation", grasptta, 1),
        "with_tta": Row(two, "with adaptation", lambda scale: grasptta(
            scale, without_fit=PRINTED), 2, "without_tta", ("cvae",)),
        "unfelt": Row(one, "whole pipeline, adaptation as Eq. 9 is printed", lambda scale: fastgrasp(
            scale, sees_surface=False, passes=1, diffusion=None), 4, "diffusion", prior),
        "object_frame": Row("the frame", "GraspCVAE in the papers' object frame", lambda scale: grasptta(
            scale, object_frame=True), 1),
        "no_surface": Row("surface-distance loss", "FastGrasp's adaptation without it", lambda scale: fastgrasp(
            scale, loss=HandLoss(surface=0), diffusion=None), 4, "diffusion", prior),
        "cvae_no_surface": Row("surface-distance loss", "GraspCVAE without it", lambda scale: grasptta(
            scale, loss=CvaeLoss(surface=0)), 1),
        "jhod_asynchronous": Row(both, "JHOD without f", jhod),
        "jhod_synchronous": Row(both, "one noise level for hand and object", lambda scale: jhod(
            scale, asynchronous=False), None, "jhod_asynchronous", ("object", "hand")),
        "jhod_grasped": Row(both, "without shapes that are not grasped", lambda scale: jhod(scale, shapes=0), None,
                            "jhod_asynchronous", ("object", "hand")),
        "perturbed": Row(three, "as perturbed", keypoints, 0, refined="none"),
        "keypoints": Row(three, "keypoints", keypoints, refined="field"),
        "bps": Row(three, "+ BPS", fields, 1, refined="field"),
        "bps_contacts": Row(three, "+ BPS + contacts", lambda scale: jointdiffusion(scale, oriented=0), 1,
                            refined="fields"),
        "oriented": Row(three, "+ BPS, and how the surface lies", lambda scale: jointdiffusion(scale, weight=0.0), 1,
                        refined="field"),
        "keypoints_fit": Row(three, "keypoints, our fit", keypoints, None, "keypoints", joint, refined="fit"),
        "vq": Row(parts, "VQ-VAE", lambda scale: dvqvae(scale, decomposed=False, encoders=1, order="once")),
        "vq_dual": Row(parts, "VQ-VAE + dual-stage (two encoders)", lambda scale: dvqvae(scale, decomposed=False)),
        "dvq": Row(parts, "DVQ-VAE", lambda scale: dvqvae(scale, encoders=1, order="once")),
        "dvq_one": Row(parts, "DVQ-VAE + dual-stage (one encoder)", lambda scale: dvqvae(scale, encoders=1)),
        "dvq_reverse": Row(parts, "DVQ-VAE + dual-stage (reverse)", lambda scale: dvqvae(scale, order="position")),
        "dvq_dual": Row(parts, "DVQ-VAE + dual-stage (two encoders)", dvqvae),
        "dvq_code": Row(parts, "the last, its prior told the object's code alone", lambda scale: dvqvae(
            scale, prior_sees="code"), None, "dvq_dual", ("codes",)),
        "dvq_centred": Row(parts, "the last but one, the palm seen as the fingers are", lambda scale: dvqvae(
            scale, palm_places=False)),
        "masked_50": Row(hidden, "50 % masked", dvqvae, None, "dvq_dual", whole, masked=0.5),
        "masked_90": Row(hidden, "90 % masked", dvqvae, None, "dvq_dual", whole, masked=0.9),
        "off": Row(again, "wrists off", dvqvae, None, "dvq_dual", whole, placed="off"),
        "placed": Row(again, "placed anew", dvqvae, None, "dvq_dual", whole, placed="anew"),
        "bps_fit": Row(three, "+ BPS, our fit", fields, 1, "bps", joint, refined="fit"),
    }


class Bench:
    """What all rows are trained and measured on."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch

        from core.hand import load_hand
        from core.training.data import load_training_data

        self.options, self.begin = options, time.monotonic()
        self.home = options.out / f"scale_{options.scale:g}_{options.batch}"
        torch.set_num_threads(1)
        self.hand = load_hand()
        self.data = load_training_data(options.training, options.windows or options.out / "windows.npz", self.hand,
                                       options.cache)
        self.objects = evaluate.object_loaders(self.measured_with(["training"]))

    def measured_with(self, methods: list[str], protocol: str = "paper") -> argparse.Namespace:
        """scripts/benchmarks/evaluate.py's options for rows that lie in folders."""
        options = self.options
        given = ["--out", self.home / "measured", "--objects", options.objects, "--limit", options.limit, "--count",
                 options.count, "--protocol", protocol, "--training", options.training, "--no-frechet", "--no-sheet",
                 "--methods", *methods]
        if options.cache:
            given += ["--cache", options.cache]
        return evaluate.arguments([str(word) for word in given])

    @cached_property
    def shapes(self) -> ShapeData:
        """The procedural shapes, made where they are not kept."""
        from core.training.shapes import load_shape_data

        return load_shape_data(self.options.shapes or self.options.out / "shapes.npz")

    def left(self) -> float:
        """Seconds until the time is up."""
        return 60 * self.options.minutes - (time.monotonic() - self.begin)

    def measure(self, names: list[str], protocol: str) -> dict[str, dict]:
        """name -> evaluate's row, of the grasps in the folders of that name."""
        options = self.measured_with([f"npz:{name}={self.home / 'grasps' / name}" for name in names], protocol)
        hand = evaluate.prepared(options)
        found = table(evaluate.measure_all(options, hand, None), options, hand)[1]
        return {row["method"]: row for row in found}


def trained(name: str, row: Row, bench: Bench) -> TrainingConfig | None:
    """The row's training config with its network trained, or None where the time was up before."""
    import torch

    from core.training.run import run

    out = bench.home / "trained"
    torch.manual_seed(0)
    config = row.make(bench.options.scale)
    stages = tuple(replace(stage, batch=bench.options.batch if stage.batch else 0)
                   for stage in config.stages[: row.stages])
    config = replace(config, stages=stages)
    (out / name).mkdir(parents=True, exist_ok=True)
    for stage in row.shared:
        for ending in (".pt", ".jsonl"):
            if not (out / row.owner / f"{stage}{ending}").exists():
                raise SystemExit(f"{name} shares stages with {row.owner}: give --rows that row too.")
            if not (out / name / f"{stage}{ending}").exists():
                shutil.copyfile(out / row.owner / f"{stage}{ending}", out / name / f"{stage}{ending}")
    shapes = bench.shapes if config.sees_shapes else None
    done = run(config, bench.data, bench.hand, out / name, bench.left(), lambda line: print(f"  {line[:100]}"),
               shapes=shapes)
    return config if done else None


def network_of(config: TrainingConfig) -> Network:
    """The network of a row's training; no row trains the scorer of places."""
    return cast("Network", config.network)


def joint_error(row: Row, config: TrainingConfig, bench: Bench) -> float:
    """Millimetres, mean over joints and held-out grasps of hands of mean shape."""
    import torch

    from core.generators.conditioning import Conditioning
    from core.generators.local_cloud import LocalPointCloud, local_cloud, object_cloud
    from core.grasps.heading_frame import LOCAL_RADIUS, object_frames
    from core.hand.skin import SkinSample
    from core.progress import Progress

    data, hand, network = bench.data, bench.hand, network_of(config)
    rng = torch.Generator().manual_seed(0)
    held = data.rows("shape")
    held = held[data.grasps.betas[held].abs().sum(1) == 0]
    held = held[torch.randperm(len(held), generator=rng)[:COMPARED]]
    truth = data.grasps[held]
    frames = object_frames(len(held), rng) if config.object_frame else data.frames[held]
    of = data.object[held]
    scaled = local_cloud(data.points[of].float(), data.normals[of].float(), frames, network.points, rng,
                         math.inf if config.object_frame else LOCAL_RADIUS)
    skin = SkinSample(hand)
    with torch.no_grad():
        if row.rebuilt:
            params = rebuilt(network, skin, network.code.encode(hand, truth, frames))
        else:
            cloud = LocalPointCloud(scaled, frames.object_origin(), torch.zeros(len(held)))  # no area: no clearance
            whole = object_cloud(data.points[of].float(), data.normals[of].float(), frames, network.object_points,
                                 rng) if network.object_points else None
            params = network.propose(Conditioning(cloud, data.grasp_type[held], data.intent[held], truth.betas,
                                                  skin, network.without_fit, whole=whole), rng, Progress()).params
        found = network.code.grasps(hand, params, frames, "ablation")
        joints = [hand(**grasps.parameters()).joints for grasps in (found, truth)]
    return float(1000 * (joints[0] - joints[1]).norm(dim=-1).mean())


def made_row(name: str, row: Row, bench: Bench) -> dict | None:
    """A row that is trained, with its joint error and its grasps in their folder; None where the time was up before."""
    from core.files import save_text

    kept = bench.home / "trained" / name / "row.json"
    drawn = list((bench.home / "grasps" / name).rglob("*.npz"))
    if kept.exists() and (row.refined or len(drawn) == len(bench.objects)):
        return json.loads(kept.read_text(encoding="utf-8"))
    config = trained(name, row, bench)
    if config is None:
        return None
    stages = ", ".join(f"{stage.name} {stage.optimizer.steps}" for stage in config.stages)
    made: dict[str, Any] = {"table": row.table, "name": name, "label": row.label, "steps": stages}
    if row.refined:
        begin = time.perf_counter()
        made |= refined(row, config, bench)
        made["seconds"] = (time.perf_counter() - begin) / len(bench.objects)
    else:
        made |= {"joint_mm": joint_error(row, config, bench), "seconds": sampled(name, row, config, bench)}
    save_text(kept, json.dumps(made))
    return made


def refined(row: Row, config: TrainingConfig, bench: Bench) -> dict:
    """The measures of held-out grasps under the paper's noise, after what the row does to them."""
    import torch

    from core.dataset.training_grasps import load_training
    from core.fitting.fit import fit
    from core.generators.learned import Learned
    from core.generators.place_scorer import PlaceScorer
    from core.progress import Progress
    from scripts.benchmarks import check_fit

    learned = Learned(network_of(config), PlaceScorer(), "ablation")

    def made(obj: GraspObject, hand: HandModel, grasps: Grasps) -> Grasps:
        if row.refined == "none":
            return grasps
        found, field = learned.refine(obj, hand, grasps, torch.Generator().manual_seed(0), Progress())
        if row.refined == "field":
            return found
        return fit(obj, hand, found, fields=field if row.refined == "fields" else None, in_fields=True).grasps

    data = load_training(bench.options.training)
    samples: check_fit.Samples = {}
    for thing, prepare in bench.objects.items():
        mine = data[data.object == data.objects.index(thing)]
        rows = torch.randperm(len(mine), generator=torch.Generator().manual_seed(0))[: bench.options.count]
        samples[thing] = prepare(), mine[rows.numpy()].grasps(bench.hand)
    return check_fit.compared(samples, bench.hand, made, 0)


def rebuilt(network: Network, skin: SkinSample, params: torch.Tensor) -> torch.Tensor:
    """(N, 61) parameters as FastGrasp's auto-encoder gives them back."""
    autoencoder = cast("FastGrasp", network).autoencoder
    return autoencoder.decoder(autoencoder.encode(skin, network, params))


def sampled(name: str, row: Row, config: TrainingConfig, bench: Bench) -> float:
    """Writes the row's grasps on every object; the median of the seconds an object took."""
    import torch

    from core.generators.learned import Learned
    from core.generators.place_scorer import PlaceScorer
    from core.grasps.request import GraspRequest
    from core.progress import Progress
    from core.weights import load_weights

    place_scorer = PlaceScorer()
    place_scorer.load_state_dict(load_weights(PlaceScorer.weights))
    generator = Learned(network_of(config), place_scorer, "ablation", object_frame=config.object_frame)
    folder = bench.home / "grasps" / name

    def proposed(thing: str, obj: GraspObject) -> Grasps:
        rng = torch.Generator().manual_seed(0)
        if row.rebuilt:
            return through_autoencoder(network_of(config), thing, obj, bench)
        if row.placed:
            return wrists_off(network_of(config), thing, obj, bench, anew=row.placed == "anew")
        seen = masked(obj, row.masked, rng) if row.masked else obj
        return generator.sample(GraspRequest(seen, bench.hand, bench.options.count), rng, Progress()).grasps

    return write_grasps(folder, bench, proposed)


def masked(obj: GraspObject, share: float, rng: torch.Generator) -> GraspObject:
    """The object with a share of its points hidden, those on one side: networks see the others, as often as needed."""
    import torch

    rows = (obj.points @ torch.randn(3, generator=rng)).argsort()[: max(1, round((1 - share) * len(obj.points)))]
    rows = rows[torch.randperm(len(rows), generator=rng)][torch.arange(len(obj.points)) % len(rows)]
    return replace(obj, points=obj.points[rows], normals=obj.normals[rows], thickness=obj.thickness[rows])


def held_out(thing: str, bench: Bench) -> Grasps:
    """Held-out grasps of an object, as many as are asked for."""
    import torch

    from core.dataset.training_grasps import load_training

    data = load_training(bench.options.training)
    truth = data[data.object == data.objects.index(thing)].grasps(bench.hand)
    return truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))[: bench.options.count]]


def wrists_off(network: Network, thing: str, obj: GraspObject, bench: Bench, *, anew: bool) -> Grasps:
    """Held-out grasps of an object whose wrists are off, and where DVQ-VAE's position decoder puts them, if `anew`."""
    import torch

    from core.generators.hand_parameters import POSITION, ROTATION
    from core.generators.local_cloud import local_cloud
    from core.grasps.heading_frame import frames_of_grasps
    from core.hand.skin import SkinSample

    truth, rng = held_out(thing, bench), torch.Generator().manual_seed(0)
    frames = frames_of_grasps(obj, bench.hand, truth)
    params = network.code.encode(bench.hand, truth, frames)
    for some in (ROTATION, POSITION):
        params[:, some] += WRIST_OFF * torch.randn(len(params), 3, generator=rng)
    if anew:
        cloud = local_cloud(obj.points, obj.normals, frames, network.points, rng)
        with torch.no_grad():
            params = cast("DvqVae", network).placed_anew(SkinSample(bench.hand), params, cloud, truth.betas)
    return network.code.grasps(bench.hand, params, frames, "ablation")


def through_autoencoder(network: Network, thing: str, obj: GraspObject, bench: Bench) -> Grasps:
    """Held-out grasps of an object as the auto-encoder gives them back, each in its heading frame."""
    import torch

    from core.grasps.heading_frame import frames_of_grasps
    from core.hand.skin import SkinSample

    truth = held_out(thing, bench)
    frames = frames_of_grasps(obj, bench.hand, truth)
    with torch.no_grad():
        params = rebuilt(network, SkinSample(bench.hand), network.code.encode(bench.hand, truth, frames))
    return network.code.grasps(bench.hand, params, frames, "ablation")


def write_grasps(folder: Path, bench: Bench, proposed: Callable[[str, GraspObject], Grasps]) -> float:
    """OBJECT.npz for every object, where it is not there; the median of the seconds one took."""
    import numpy as np

    from core.files import save_arrays

    folder.mkdir(parents=True, exist_ok=True)
    times = []
    for thing, prepare in bench.objects.items():
        path = folder / f"{thing}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                times.append(float(stored["seconds"]))
            continue
        obj = prepare()
        begin = time.perf_counter()
        grasps = proposed(thing, obj)
        times.append(time.perf_counter() - begin)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {
            **{key: value.detach().numpy() for key, value in grasps.parameters().items()},
            "score": grasps.score.numpy(), "centroid": obj.centroid,
            "hand": np.array(bench.hand.side), "method": np.array("ablation"),
            "seed": np.array("0"), "unit": np.array("m"), "seconds": np.array(times[-1])})
    return float(np.median(times))


def adaptation_curve(bench: Bench) -> list[dict]:
    """The shipped GraspTTA with so many steps of adaptation: what they cost and what they bring."""
    from core.generators.grasptta import WITHOUT_FIT, GraspTTA
    from core.generators.learned import Learned

    return curve(bench, "test-time adaptation of the shipped GraspTTA", "steps", STEPS, WITHOUT_FIT.steps,
                 lambda steps: Learned.load(GraspTTA(without_fit=replace(WITHOUT_FIT, steps=steps)), "grasptta"))


def sampling_curve(bench: Bench) -> list[dict]:
    """The shipped JHOD with so many steps of its sampler, all else as it is."""
    from core.generators.jhod import JHOD
    from core.generators.learned import Learned

    return curve(bench, "steps of the sampler of the shipped JHOD", "sampled", SAMPLED, JHOD().steps,
                 lambda steps: Learned.load(JHOD(steps=steps), "jhod"))


#: what is measured of the shipped weights, without training
CURVES: Final = {"adaptation": adaptation_curve, "sampling": sampling_curve}


def curve(bench: Bench, title: str, prefix: str, numbers: Sequence[int], default: int,
          made: Callable[[int], Learned]) -> list[dict]:
    """The rows of a generator that is made with each of some numbers of steps.

    Args:
        bench: what it is measured on.
        title: of the table.
        prefix: of the rows' names.
        numbers: of steps.
        default: the number that is shipped.
        made: the generator with so many.
    """
    import torch

    from core.grasps.request import GraspRequest
    from core.progress import Progress

    names: list[str] = []
    times: dict[str, float] = {}
    for steps in numbers:
        generator = made(steps)

        def proposed(thing: str, obj: GraspObject, generator: Learned = generator) -> Grasps:
            rng = torch.Generator().manual_seed(0)
            return generator.sample(GraspRequest(obj, bench.hand, bench.options.count), rng, Progress()).grasps

        name = f"{prefix}_{steps}"
        times[name] = write_grasps(bench.home / "grasps" / name, bench, proposed)
        names.append(name)
    measured = bench.measure(names, "both")
    return [{"table": title, "name": name, **measured.get(name, {}),
             "label": f"{steps} steps" + " (the default)" * (steps == default), "seconds": times[name]}
            for steps, name in zip(numbers, names, strict=True)]


def written(found: list[dict], options: argparse.Namespace, made: dict[str, str]) -> str:
    """The tables in Markdown."""
    lines = [f"Short runs: {options.scale:g} of the steps of a whole training, with {options.batch} grasps each, for "
             "every row; compare rows with each other and with nothing else. Grasps as they come, none chosen.\n"]
    for title in dict.fromkeys(row["table"] for row in found):
        mine = [row for row in found if row["table"] == title]
        columns = [("joint_mm", "joint error mm"), *COLUMNS, *REFINED]
        columns = [(name, label) for name, label in columns if any(name in row for row in mine)]
        heads = " | ".join(["", "steps trained", "s an object", *(label for _, label in columns)])
        lines += [f"**{title}**\n", f"|{heads} |", "|---" * (3 + len(columns)) + "|"]
        lines += ["| " + " | ".join([row["label"], row.get("steps", ""), f"{row['seconds']:.2f}", *(
            f"{row[name]:.3g}" if name in row else "" for name, _ in columns)]) + " |" for row in mine]
        lines.append("")
    return "\n".join(lines) + "\n" + "\n".join(f"{name}: {value}  " for name, value in made.items()) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=32, help="grasps in one step; whole trainings take 64")
    parser.add_argument("--objects", default="training:shape")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--training", type=Path, default=TRAINING)
    parser.add_argument("--windows", type=Path, help="kept training data; FOLDER/windows.npz when left out")
    parser.add_argument("--shapes", type=Path, help="kept procedural shapes; FOLDER/shapes.npz when left out")
    parser.add_argument("--cache", type=Path, help="a folder for prepared training objects")
    options = parser.parse_args()
    from core.files import save_text

    known = rows()
    wanted = options.rows or [*known, *CURVES]
    unknown = sorted(set(wanted) - {*known, *CURVES})
    if unknown:
        raise SystemExit(f"There is no row {unknown[0]}: use {', '.join([*known, *CURVES])}.")
    if not options.training.is_file():
        raise SystemExit(f"There is no file of training grasps {options.training}.")
    if options.scale <= 0 or options.minutes <= 0 or min(options.count, options.limit, options.batch) < 1:
        raise SystemExit("--scale and --minutes are more than nothing; --count, --limit and --batch are whole numbers "
                         "from 1.")
    options.out.mkdir(parents=True, exist_ok=True)
    bench, done, complete = Bench(options), [], True
    for name in (name for name in known if name in wanted):
        begin = time.process_time()
        print(f"{name}: {known[name].label}", flush=True)
        row = made_row(name, known[name], bench)
        if row is None:
            complete = False
            break
        done.append(row)
        error = done[-1].get("joint_mm", done[-1].get("MPJPE mm"))
        print(f"  joint error {error:.1f} mm, {time.process_time() - begin:.0f} s", flush=True)
    if drawn := [row["name"] for row in done if not known[row["name"]].refined]:
        measured = bench.measure(drawn, "paper")
        done = [row | measured.get(row["name"], {}) | {"seconds": row["seconds"]} for row in done]
    for name, drawn_curve in CURVES.items():
        if name in wanted and complete:
            done += drawn_curve(bench)
    made = provenance(options, "benchmarks/ablate.py")
    text = written(done, options, made)
    save_text(options.out / "ablations.md", text)
    save_text(options.out / "ablations.json", json.dumps({"scale": options.scale, "made": made, "rows": done},
                                                         indent=1))
    print(text)
    return 0 if complete else 3


if __name__ == "__main__":
    sys.exit(main())
