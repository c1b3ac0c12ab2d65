"""Measures the fit and CHOIR's representation: `python scripts/benchmarks/check_fit.py --out FOLDER [--parts ...]`.

    --parts representation   the hand out of its representation: joint error, contact's agreement
            proposals        strict protocol before and after the fit of each as `python -m core fit` does it, holds
                             kept: perturbed grasps, controls, retrieval, --methods
            benchmark        refinement of held-out grasps with the paper's noise: perturbed input, fit alone, and
                             each method that refines, by itself and with the fit
            time             --count candidates, warm: the bare fit, and as `python -m core fit` does it
            grip             (only where it is named) what predicts which of --methods' proposals hold once fitted: the
                             chance that one that does ranks above one that does not (0.5: nothing; mean over
                             objects), by the proposal's stiffness, and by stiffness and wrench test of the fitted hand
            steps            how many steps of sampling, and how warm, --steps (only where it is named)
    --split shape|family --limit N --count N   of the training objects held out; --meshes FOLDER --limit N real ones

Nothing is rejected or drawn again. Tables go to the screen and to FOLDER/check_fit.md and .json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import MESH_SUFFIXES, TRAINING

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.generators.base import RefiningGenerator
    from core.generators.field_diffusion import FieldDiffusion
    from core.generators.learned import Learned
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: a rough proposal: a centimetre and some degrees off a good one, as `core.training.noise` has it
ROUGH = (0.01, 0.15, 0.10)
#: cm3: more overlap than this calls for a fit; by so much more the strict protocol calls a grasp worse
LARGE, MORE = 1.0, 0.3
#: mm: by so much more depth it does, too
DEEPER = 1.0

Samples = dict[str, tuple["GraspObject", "Grasps | None"]]


def load_samples(options: argparse.Namespace, hand: HandModel) -> Samples:
    """Name -> object and its true grasps: held-out training objects, then the meshes (which have none)."""
    from core.dataset.training_grasps import load_training, training_object
    from core.objects import load_mesh, prepare_object

    data = load_training(TRAINING).split(options.split)
    rng = np.random.default_rng(options.seed)
    numbers = np.unique(data.object)
    numbers = [n for n in rng.permutation(numbers) if (data.object == n).sum() >= options.count][: options.limit]
    found: Samples = {}
    for number in sorted(numbers):
        mine = data[data.object == number]
        rows = np.sort(rng.permutation(len(mine))[: options.count])
        found[data.objects[number]] = training_object(data.objects[number], options.cache), mine[rows].grasps(hand)
    if options.meshes:
        paths = sorted(path for path in options.meshes.iterdir() if path.suffix.lower() in MESH_SUFFIXES)
        for path in [paths[i] for i in sorted(rng.permutation(len(paths))[: options.limit])]:
            found[path.stem] = prepare_object(*load_mesh(path)), None
    return found


def representation(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row: joints of hands solved from their representations, and the contact map read back."""
    from core.fitting.pose_fit import hands_in_field
    from core.fitting.representation import (
        anchor_regions,
        contact_map,
        contact_weights,
        in_contact,
        inward,
        represent,
    )
    from core.grasps.heading_frame import frames_of_grasps
    from core.metrics.truth import joint_error_mm

    region, errors, agreement = anchor_regions(hand), [], []
    for obj, grasps in samples.values():
        if grasps is None:
            continue
        with torch.no_grad():
            choir = represent(obj, hand, grasps, frames_of_grasps(obj, hand, grasps))
            nowhere = replace(grasps, hand_pose=torch.zeros_like(grasps.hand_pose),
                              transl=torch.zeros_like(grasps.transl), global_orient=torch.zeros_like(grasps.transl))
            truth = hand(**grasps.parameters())
            found = hand(**hands_in_field(hand, choir, nowhere).parameters())
            errors.append(joint_error_mm(found.joints, truth.joints)[0])
            raw = contact_weights(obj, truth.vertices, hand.faces) > 0
            read = in_contact(contact_map(choir.gaussians, inward(choir.window, found.vertices),
                                          inward(choir.window, hand.anchors(found.vertices)), region))
        agreement.append(2 * (raw & read).sum(1) / (raw.sum(1) + read.sum(1)).clamp_min(1))
    error = torch.cat(errors)
    return [{"grasps": len(error), "joint error mm": float(error.mean()), "largest": float(error.max()),
             "contact F1": float(torch.cat(agreement).mean())}]


def proposals(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of each kind of proposal before and after the fit, all of them and those with a large overlap."""
    from core.dataset.training_grasps import load_training
    from core.generators.retrieval import Retrieval, load_index
    from core.grasps.request import GraspRequest
    from core.metrics.controls import of_another, random_wrists
    from core.metrics.strict import strict_measures
    from core.pipeline.fit_each import fit_keeping_holds
    from core.pipeline.generate import propose_raw
    from core.progress import Progress
    from core.training.noise import perturbed

    every = load_training(TRAINING)
    mean = every.grasps(hand).hand_pose.mean(0)
    index = Retrieval(load_index(TRAINING, options.out / "retrieval.npz", hand, options.cache))
    by_source: dict[str, dict[str, list[torch.Tensor]]] = {}
    for number, (name, (obj, grasps)) in enumerate(samples.items()):
        rng = torch.Generator().manual_seed(options.seed + number)
        other = every[every.object == int(np.random.default_rng(number).integers(len(every.objects)))]
        given = {"control_random": random_wrists(obj, hand, options.count, rng, mean),
                 "control_other": of_another(other.grasps(hand), options.count),
                 "retrieval": index.sample(GraspRequest(obj, hand, options.count), rng, Progress()).grasps}
        if grasps is not None:
            given |= {"perturbed": perturbed(hand, grasps, ROUGH, rng), "true": grasps}
        fields: dict[str, Choir | None] = {}
        for method in options.methods:
            request = GraspRequest(obj, hand, options.count, fitted=True)
            given[method], fields[method] = propose_raw(request, method, options.seed + number, Progress())
        for source, proposed in given.items():
            if not len(proposed):
                continue
            request = GraspRequest(obj, hand, len(proposed))
            fitted = fit_keeping_holds(request, proposed, options.seed, Progress(), fields.get(source))
            before, after = (strict_measures(obj, hand, one) for one in (proposed, fitted.grasps))
            columns = by_source.setdefault(source, {})
            for when, measures in (("before", before), ("after", after)):
                for key, value in measures.items():
                    if key != "parts":
                        columns.setdefault(f"{key} {when}", []).append(value.float())
            columns.setdefault("moved", []).append(fitted.moved_mm)
            columns.setdefault("changed", []).append(fitted.changed.float())
        print(f"proposals: {name}", file=sys.stderr, flush=True)
    rows = []
    for source, columns in by_source.items():
        values = {key: torch.cat(parts) for key, parts in columns.items()}
        rows += [strict_row(source, values, torch.ones_like(values["moved"], dtype=torch.bool)),
                 strict_row(f"{source}, over {LARGE:g} cm3", values, values["volume_cm3 before"] > LARGE)]
    return [row for row in rows if row["grasps"]]


def strict_row(source: str, values: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, Any]:
    mine = {key: value[rows] for key, value in values.items()}
    row: dict[str, Any] = {"proposals": source, "grasps": int(rows.sum())}
    for key, label in (("volume_cm3", "overlap cm3"), ("depth_mm", "depth mm"), ("bones_crossing", "bones"),
                       ("contact", "contact"), ("held", "held")):
        row[f"{label} before"], row[label] = (float(mine[f"{key} {when}"].mean()) for when in ("before", "after"))
    worse = made_worse(mine)
    return row | {"moved mm": float(mine["moved"].mean()), "changed": float(mine["changed"].mean()),
                  "worse": float(torch.stack(list(worse.values())).any(0).float().mean()),
                  **{f"worse: {why}": float(which.float().mean()) for why, which in worse.items()}}


def made_worse(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Why -> (N,) bool: what the strict protocol finds worse after the fit, whatever it finds better."""
    before, after = ({key.rpartition(" ")[0]: value for key, value in values.items() if key.endswith(when)}
                     for when in (" before", " after"))
    return {"bones": after["bones_crossing"] > before["bones_crossing"],
            "contact": after["contact"] < before["contact"], "held": after["held"] < before["held"],
            "overlap": after["volume_cm3"] > before["volume_cm3"] + MORE,
            "depth": after["depth_mm"] > before["depth_mm"] + DEEPER}


def refiners() -> dict[str, Callable[[GraspObject, HandModel, Grasps], Grasps]]:
    """Name -> what it makes of perturbed grasps; a row each in the benchmark."""
    from core.pipeline.fit_each import fit_each
    from core.progress import Progress
    from core.registry import METHODS

    rows: dict[str, Callable[[GraspObject, HandModel, Grasps], Grasps]] = {
        "perturbed input": lambda obj, hand, grasps: grasps, "fit alone": partial(fit_each, progress=Progress())}
    for name, method in METHODS.items():
        if method.refines:
            rows[method.label] = partial(refined_by, name)
            rows[f"{method.label} with fit"] = partial(fit_each, progress=Progress(), method=name)
    return rows


def refined_by(method: str, obj: GraspObject, hand: HandModel, grasps: Grasps) -> Grasps:
    """The grasps as a method that refines makes them of these, without a fit."""
    from core.progress import Progress
    from core.registry import make_generator

    generator = cast("RefiningGenerator", make_generator(method))
    return generator.refine(obj, hand, grasps, torch.Generator().manual_seed(0), Progress()).grasps


def benchmark(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of what refines: joints and contact against the truth, overlap by the strict protocol."""
    return [{"method": method, **compared(samples, hand, refine, options.seed)}
            for method, refine in refiners().items()]


def compared(samples: Samples, hand: HandModel, refine: Callable[[GraspObject, HandModel, Grasps], Grasps],
             seed: int) -> dict[str, Any]:
    """What comes of true grasps under the paper's noise: joints and contact against the truth, overlap."""
    from core.metrics.strict import strict_measures
    from core.metrics.truth import contact_scores, joint_error_mm
    from core.training.noise import PAPER, perturbed

    columns: dict[str, list[torch.Tensor]] = {}
    for number, (obj, grasps) in enumerate(samples.values()):
        if grasps is None:
            continue
        rng = torch.Generator().manual_seed(seed + number)
        refined = refine(obj, hand, perturbed(hand, grasps, PAPER, rng))
        with torch.no_grad():
            mine, truth = hand(**refined.parameters()), hand(**grasps.parameters())
        plain, relative = joint_error_mm(mine.joints, truth.joints)
        found = {"MPJPE mm": plain, "R-MPJPE mm": relative,
                 "overlap cm3": strict_measures(obj, hand, refined, hold=False)["volume_cm3"],
                 **contact_scores(obj, hand, mine.vertices, truth.vertices)}
        for key, value in found.items():
            columns.setdefault(key, []).append(value)
    return {"grasps": sum(map(len, columns["f1"])),
            **{key: float(torch.cat(value).mean()) for key, value in columns.items()}}


def steps(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of how many steps of sampling, and at what temperature: proposals as they come, and refined hands."""
    from core.grasps.request import GraspRequest
    from core.metrics.strict import strict_measures
    from core.metrics.truth import joint_error_mm
    from core.progress import Progress
    from core.registry import METHODS, make_generator
    from core.training.noise import PAPER, perturbed

    rows = []
    for name in (name for name, method in METHODS.items() if method.refines):
        generator = cast("Learned", make_generator(name))
        network = cast("FieldDiffusion", generator.network)
        usual = network.proposing, network.refining
        for count, temperature in options.steps:
            network.proposing = network.refining = (int(count), temperature)
            columns: dict[str, list[torch.Tensor]] = {}
            for number, (obj, grasps) in enumerate(samples.values()):
                rng = torch.Generator().manual_seed(options.seed + number)
                found = generator.sample(GraspRequest(obj, hand, options.count), rng, Progress()).grasps
                measures = strict_measures(obj, hand, found, hold=False)
                for key, label in (("volume_cm3", "overlap cm3"), ("depth_mm", "depth mm"), ("contact", "contact")):
                    columns.setdefault(label, []).append(measures[key].float())
                columns.setdefault("bones", []).append(measures["bones_crossing"].float())
                with torch.no_grad():
                    joints = hand(**found.parameters()).joints
                apart = torch.cdist(joints.flatten(1), joints.flatten(1)) / 21**0.5
                columns.setdefault("apart mm", []).append(1000 * apart[~torch.eye(len(joints)).bool()])
                if grasps is not None:
                    refined = generator.refine(obj, hand, perturbed(hand, grasps, PAPER, rng), rng, Progress()).grasps
                    with torch.no_grad():
                        pair = [hand(**some.parameters()).joints for some in (refined, grasps)]
                    columns.setdefault("refined MPJPE mm", []).append(joint_error_mm(*pair)[0])
            rows.append({"method": name, "steps": int(count), "temperature": temperature,
                         **{key: float(torch.cat(value).mean()) for key, value in columns.items()}})
            print(rows[-1], file=sys.stderr, flush=True)
        network.proposing, network.refining = usual
    return rows


def stiffness(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of how well the grasp's stiffness predicts the hold test, a row each method."""
    from scipy.stats import mannwhitneyu

    from core.fitting.fit import fit
    from core.grasps.request import GraspRequest
    from core.hand.squeeze import SQUEEZE
    from core.pipeline.generate import propose_raw
    from core.progress import Progress
    from core.quality.bones import bones_crossing
    from core.quality.hold import hold_test
    from core.quality.stiffness import grasp_quality

    rows = []
    for method in options.methods:
        ranks: dict[str, list[float]] = {"grip of the proposal": [], "grip fitted": [], "wrench test fitted": []}
        holding, stiffest, palms = [], [], []
        for number, (obj, _) in enumerate(samples.values()):
            request = GraspRequest(obj, hand, options.count, fitted=True)
            given, fields = propose_raw(request, method, options.seed + number, Progress())
            fitted = fit(obj, hand, given, fields=fields, in_fields=True)
            held = hold_test(obj, hand, fitted.grasps).held
            before = grasp_quality(obj, hand, given)
            predictors = (before, grasp_quality(obj, hand, fitted.grasps, SQUEEZE), -fitted.after.residual)
            for name, value in zip(ranks, predictors, strict=True):
                if held.any() and not held.all():
                    above = mannwhitneyu(value[held].numpy(), value[~held].numpy()).statistic
                    ranks[name].append(float(above) / (int(held.sum()) * int((~held).sum())))
            with torch.no_grad():
                joints = hand(**given.parameters()).joints
            palms.append(bones_crossing(obj, joints, palm=True) > bones_crossing(obj, joints))
            holding.append(held)
            stiffest.append(held[before.argsort(descending=True)[: max(1, len(held) // 4)]])
        rows.append({"method": method, "grasps": sum(map(len, holding)),
                     "held": float(torch.cat(holding).float().mean()),
                     "held of the firmest quarter": float(torch.cat(stiffest).float().mean()),
                     **{name: statistics.mean(values) if values else float("nan") for name, values in ranks.items()},
                     "palm in the object": float(torch.cat(palms).float().mean())})
    return rows


def timing(samples: Samples, hand: HandModel, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds in which `options.count` candidates are fitted, warm: the bare fit, and what `python -m core fit` does.

    The candidates are hands at random places on each object ("thrown"), and each method's proposals.
    """
    from core.fitting.fit import fit
    from core.fitting.proposal import Proposal
    from core.grasps.request import GraspRequest
    from core.metrics.controls import random_wrists
    from core.pipeline.fit_each import fit_keeping_holds
    from core.pipeline.generate import propose_raw
    from core.progress import Progress
    from core.quality.hold import passes_hold_test

    pose = hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
    seconds: dict[tuple[str, str], list[float]] = {}
    for number, (obj, _) in enumerate(samples.values()):
        rng = torch.Generator().manual_seed(options.seed + number)
        request = GraspRequest(obj, hand, options.count, fitted=True)
        given = {"thrown": Proposal(random_wrists(obj, hand, options.count, rng, pose))}
        for method in options.methods:
            given[method] = propose_raw(request, method, options.seed + number, Progress())
        for source, (proposed, fields) in given.items():
            fit(obj, hand, proposed[:1])
            passes_hold_test(request, proposed[:1])
            ways: dict[str, Callable[[], object]] = {
                "fit": partial(fit, obj, hand, proposed, fields=fields, in_fields=True),
                "fit, holds kept": partial(fit_keeping_holds, request, proposed, options.seed, Progress(), fields)}
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                seconds.setdefault((source, name), []).append(time.perf_counter() - begin)
    return [{"hands": source, "way": way, "candidates": options.count, "objects": len(taken),
             "seconds, median": statistics.median(taken), "mean": statistics.mean(taken), "largest": max(taken)}
            for (source, way), taken in seconds.items()]


PARTS = {"representation": representation, "proposals": proposals, "benchmark": benchmark, "time": timing,
         "grip": stiffness, "steps": steps}


def markdown(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    shown = [[row.get(name, "") for name in names] for row in rows]
    lines += ["| " + " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row) + " |"
              for row in shown]
    return "\n".join(lines) + "\n"


def main() -> int:
    from core.files import save_text
    from core.hand import load_hand

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS)[:-2])
    parser.add_argument("--steps", nargs="+", type=lambda text: tuple(map(float, text.split(":"))),
                        default=[(1, 1.0), (2, 1.0), (5, 1.0), (10, 1.0), (20, 1.0), (50, 1.0)],
                        help="of sampling, STEPS:TEMPERATURE")
    parser.add_argument("--split", choices=("shape", "family"), default="shape")
    parser.add_argument("--meshes", type=Path)
    parser.add_argument("--limit", type=int, default=8, help="objects of each kind")
    parser.add_argument("--count", type=int, default=12, help="grasps of each object")
    parser.add_argument("--methods", nargs="*", default=[], help="whose proposals are fitted too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="a folder for prepared training objects")
    options = parser.parse_args()
    if "grip" in options.parts and not options.methods:
        parser.error("--parts grip is about proposals: say whose with --methods, such as fastgrasp")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    hand = load_hand()
    samples = load_samples(options, hand)
    found, text = {}, ""
    for part in options.parts:
        found[part] = PARTS[part](samples, hand, options)
        text += f"{part}\n\n{markdown(found[part])}\n"
    settings = {name: str(value) for name, value in vars(options).items()}
    save_text(options.out / "check_fit.md", text)
    save_text(options.out / "check_fit.json", json.dumps({"settings": settings, **found}, indent=1) + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
