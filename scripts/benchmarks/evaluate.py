"""Methods x objects x protocols in one table and one sheet of pictures.

    python scripts/benchmarks/evaluate.py --out FOLDER

    --methods synthesis synthesis_chosen control_random control_other retrieval npz:NAME=FOLDER; any with +fit
    --objects FOLDER     meshes (without it the sample object); or training:shape, training:family, objects held out
    --count 20           the first so many of each method, none rejected; *_chosen are what the animator is shown
    --turn               every object turned at random; --protocol paper|strict|both; --limit N objects
    --jobs 2             so many objects at a time

A method is one of `python -m core methods`, with _chosen for what the animator is shown, and _to_fit for what it
proposes where a fit follows, which is what +fit lays on the surface; control_random (random wrists, the training
grasps' mean pose); control_other (synthesis's grasps of another object); training (the training grasps themselves, of
training objects); retrieval; or npz:NAME=FOLDER, a file OBJECT.npz of `python -m core generate` for each object.

Each method and object is kept on its own in the folder, so a run that was stopped goes on. The table is table.md and
table.json; the pictures, sheet.png, are random and not picked, their seed stands in them: the same objects for all
methods.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import MESH_SUFFIXES, SAMPLES, TRAINING
from scripts.benchmarks.results import file_of, label_of, provenance, result_path, table

if TYPE_CHECKING:
    import torch

    from core.fitting.representation import Choir
    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.objects import GraspObject

#: objects on the sheet, and pixels of a view there
SHEET_OBJECTS, VIEW = 4, 240
METHODS_HERE = ("control_random", "control_other", "training", "retrieval")


def object_loaders(options: argparse.Namespace) -> dict[str, Callable[[], GraspObject]]:
    """Name -> a function that prepares the object."""
    from core.dataset.training_grasps import load_training, training_object
    from core.objects import cached_object, load_mesh

    if str(options.objects).startswith("training:"):
        held = load_training(options.training).split(str(options.objects).split(":")[1])
        names = [held.objects[i] for i in np.unique(held.object) if (held.object == i).sum() >= options.count]
        rng = np.random.default_rng(options.seed)
        if not names:
            raise SystemExit(f"No object of {options.objects} has {options.count} grasps: use a smaller --count, or "
                             "training:shape or training:family.")
        names = [names[i] for i in rng.permutation(len(names))[: options.limit or len(names)]]

        def build(name: str) -> GraspObject:
            if options.turn:
                return turned_object(name, turn_of(name, options))
            return training_object(name, options.cache or options.out / "objects")

        return {name: partial(build, name) for name in sorted(names)}
    folder = options.objects or SAMPLES
    if not Path(folder).is_dir():
        raise SystemExit(f"There is no folder {folder}.")
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in MESH_SUFFIXES)
    if not files:
        raise SystemExit(f"There is no mesh in {folder}.")
    twice = [path.name for path, other in pairwise(files) if path.stem == other.stem]
    if twice:
        raise SystemExit(f"{folder} holds two meshes of one name, such as {twice[0]}: rename one.")
    files = files[: options.limit]

    def prepare(path: Path) -> GraspObject:
        vertices, faces = load_mesh(path)
        return cached_object(vertices @ turn_of(path.stem, options).T, faces)

    return {path.stem: partial(prepare, path) for path in files}


def turned_object(name: str, turn: np.ndarray) -> GraspObject:
    """A training object, its mesh turned before anything is measured on it."""
    from core.dataset.shapes import make_shape
    from core.objects import cached_object, with_parts

    family, seed = name.split("/")
    if family == "mesh":
        raise ValueError(f"{name} is a mesh of a user's folder: give --objects that folder.")
    shape = make_shape(family, int(seed))
    vertices = shape.vertices @ turn.T
    return with_parts(cached_object(vertices, shape.faces), vertices, shape.faces, shape.part, shape.names, shape.types)


def turned_grasps(hand: HandModel, grasps: Grasps, turn: np.ndarray) -> Grasps:
    """Grasps of an object, for the object turned."""
    import torch

    from core.grasps.heading_frame import Frames, into_frames, out_of_frames

    count = len(grasps)
    back = torch.from_numpy(turn.T.copy()).float().expand(count, 3, 3)
    origin = torch.zeros(count, 3)
    rotation, wrist = into_frames(hand, grasps, Frames(origin, back))
    whole = Frames(origin, torch.eye(3).expand(count, 3, 3))
    there = out_of_frames(hand, whole, rotation, wrist, grasps.hand_pose, grasps.betas, grasps.method)
    return replace(there, score=grasps.score, type=grasps.type)


def turn_of(name: str, options: argparse.Namespace) -> np.ndarray:
    """(3, 3) the rotation that --turn gives an object of this name."""
    if not options.turn:
        return np.eye(3)
    from scipy.spatial.transform import Rotation

    number = int.from_bytes(hashlib.sha256(f"{name}:{options.seed}".encode()).digest()[:4], "big")
    return Rotation.random(random_state=np.random.default_rng(number)).as_matrix()


def propose(method: str, name: str, obj: GraspObject, hand: HandModel, options: argparse.Namespace) -> Grasps:
    """The first grasps of a method on an object."""
    import torch

    from core.grasps.request import GraspRequest
    from core.metrics.controls import of_another, random_wrists
    from core.pipeline.generate import propose as propose_grasps
    from core.progress import Progress

    rng = torch.Generator().manual_seed(options.seed)
    request = GraspRequest(obj, hand, options.count)
    if method.endswith("+fit"):
        from core.fitting.fit import fit

        grasps = kept_or_made(before_fit(method), name, options, hand)[0]
        fields = fields_of(method.removesuffix("+fit"), request, options)
        return fit(obj, hand, grasps, fields=fields, in_fields=True).grasps
    if method == "control_random":
        return random_wrists(obj, hand, options.count, rng, mean_pose(options, hand))
    if method == "control_other":
        other = next_name(name, options)
        return of_another(kept_or_made("synthesis", other, options, hand)[0], options.count)
    if method == "training":
        from core.dataset.training_grasps import load_training

        data = load_training(options.training)
        if name not in data.objects:
            raise ValueError(f"{name} is no training object: use --objects training:shape or training:family.")
        mine = data[data.object == data.objects.index(name)]
        rows = torch.randperm(len(mine), generator=rng)[: options.count]
        return turned_grasps(hand, mine.grasps(hand)[rows], turn_of(name, options))
    if method == "retrieval":
        from core.generators.retrieval import Retrieval

        return Retrieval(index_of(options, hand)).sample(request, rng, Progress()).grasps
    if (given := file_of(method, name)) is not None:
        from core.grasps.storage import read_grasps

        grasps = read_grasps(given).on(obj)[: options.count]
        if grasps.hand != hand.side:
            raise ValueError(f"{name}.npz holds grasps of a {grasps.hand} hand; the table is of {hand.side} hands.")
        return grasps
    chosen = method.endswith("_chosen")
    request = replace(request, fitted=method.endswith("_to_fit"))
    return propose_grasps(request, generator_of(method), options.seed, Progress(), "cpu", raw=not chosen)


def generator_of(method: str) -> str:
    """The generator's name in a method's."""
    return method.removesuffix("_chosen").removesuffix("_to_fit")


def before_fit(method: str) -> str:
    """The method whose grasps NAME+fit lays on the surface."""
    from core.registry import METHODS

    plain = method.removesuffix("+fit")
    return f"{plain}_to_fit" if plain in METHODS and METHODS[plain].learned else plain


def fields_of(method: str, request: GraspRequest, options: argparse.Namespace) -> Choir | None:
    """The fields that a method predicted its raw grasps by, or None; sampled again from the seed."""
    from core.pipeline.generate import propose_raw
    from core.progress import Progress
    from core.registry import METHODS

    return propose_raw(request, method, options.seed, Progress()).field if method in METHODS else None


def index_of(options: argparse.Namespace, hand: HandModel) -> dict[str, np.ndarray]:
    """The retrieval's index, read once."""
    from core.generators.retrieval import load_index

    if options.index is None:
        options.index = load_index(options.training, options.out / "retrieval.npz", hand, options.cache)
    return options.index


def mean_pose(options: argparse.Namespace, hand: HandModel) -> torch.Tensor:
    """(45,) the mean posture of the training grasps."""
    from core.dataset.training_grasps import load_training

    return load_training(options.training).grasps(hand).hand_pose.mean(0)


def next_name(name: str, options: argparse.Namespace) -> str:
    names = list(options.loaders)
    if len(names) < 2:
        raise SystemExit("control_other needs another object: give --objects a folder of two meshes or more.")
    return names[(names.index(name) + 1) % len(names)]


def joints_moved(method: str, name: str, options: argparse.Namespace, hand: HandModel) -> dict[str, float]:
    """How far a fit moved the joints, as a measure of the record; nothing for a method without one."""
    import torch

    if not method.endswith("+fit"):
        return {}
    pair = [kept_or_made(one, name, options, hand)[0] for one in (method, before_fit(method))]
    with torch.no_grad():
        after, before = (hand(**grasps.parameters()).joints for grasps in pair)
    return {"moved_mm": float(1000 * (after - before).norm(dim=-1).mean())}


def kept_or_made(method: str, name: str, options: argparse.Namespace, hand: HandModel,
                 ) -> tuple[Grasps, GraspObject, float]:
    """A method's grasps on an object, the object, and the seconds they took; made at the first call."""
    from core.files import save_arrays
    from core.grasps.storage import read_grasps

    path = result_path(method, name, options).with_suffix(".npz")
    if name not in options.prepared:
        options.prepared[name] = options.loaders[name]()
    obj = options.prepared[name]
    if path.exists():
        grasps = read_grasps(path).grasps  # kept in the object's frame
        with np.load(path, allow_pickle=False) as stored:
            return grasps, obj, float(stored["seconds"])
    if method == "retrieval":
        index_of(options, hand)  # made once, and none of an object's time
    begin = time.perf_counter()
    grasps = propose(method, name, obj, hand, options)
    seconds = time.perf_counter() - begin
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: value.detach().cpu().numpy() for key, value in grasps.parameters().items()}
    save_arrays(path, {**arrays, "score": grasps.score.numpy(), "type": np.array(grasps.type, dtype=str),
                       "method": np.array(method), "seed": np.array(str(options.seed)), "hand": np.array(hand.side),
                       "unit": np.array("m"), "seconds": np.array(seconds)})
    return read_grasps(path).grasps, obj, seconds


def measured(method: str, name: str, options: argparse.Namespace, hand: HandModel) -> dict:
    """The record of a method on an object, kept in the folder; what came from a file is read again once it changed."""
    from core.files import digest_of, save_arrays, save_text
    from core.metrics.evaluate import evaluate
    from core.metrics.frechet import grasp_features

    path = result_path(method, name, options).with_suffix(f".{options.protocol}.json")
    given = file_of(method, name)
    source = digest_of(given) if given is not None and given.is_file() else ""
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if "error" not in kept and kept.get("source", "") == source:
            return kept
    if given is not None:
        result_path(method, name, options).with_suffix(".npz").unlink(missing_ok=True)
    record: dict[str, Any] = {"method": label_of(method), "object": name}
    try:
        grasps, obj, seconds = kept_or_made(method, name, options, hand)
        begin = time.perf_counter()
        found = evaluate(obj, hand, grasps, options.protocol)
        took = time.perf_counter() - begin
        save_arrays(result_path(method, name, options).with_suffix(".features.npz"), grasp_features(obj, hand, grasps))
        record |= {"count": found.count, "paper": found.paper, "strict": found.strict,
                   "fit": joints_moved(method, name, options, hand), "seconds": seconds,
                   "evaluation_seconds": took, "source": source}
        if "paper" in found.each:
            record["depths_mm"] = [round(10 * depth, 3) for depth in found.each["paper"]["depth_cm"].tolist()]
    except (ValueError, LookupError, OSError) as problem:
        record |= {"count": 0, "error": str(problem)}
    except ImportError as problem:
        raise SystemExit(str(problem)) from problem
    path.parent.mkdir(parents=True, exist_ok=True)
    save_text(path, json.dumps(record))
    return record


def sheet(options: argparse.Namespace, hand: HandModel, path: Path) -> None:
    """A row for each method: a random grasp of it on each of up to four random objects, the same for all methods."""
    import torch
    from PIL import Image, ImageDraw, ImageFont

    from scripts.render_grasps import two_views

    rng = np.random.default_rng(options.seed)
    names = [str(name) for name in rng.permutation(list(options.loaders))[:SHEET_OBJECTS]]
    picked = {name: int(rng.integers(options.count)) for name in names}
    methods = [method for method in options.methods
               if any(result_path(method, name, options).with_suffix(".npz").exists() for name in names)]
    whole = Image.new("RGB", (2 * VIEW * len(names), VIEW * len(methods)))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(max(10, VIEW // 20))
    for top, method in enumerate(methods):
        for left, name in enumerate(names):
            if not result_path(method, name, options).with_suffix(".npz").exists():
                continue
            grasps, obj, _ = kept_or_made(method, name, options, hand)
            row = picked[name] % len(grasps)
            with torch.no_grad():
                posed = hand(**grasps[row : row + 1].parameters())
            views = two_views(obj.vertices.numpy(), obj.faces.numpy(), posed.vertices[0].numpy(), hand.faces.numpy(),
                              posed.joints[0].numpy(), VIEW, samples=2)
            whole.paste(Image.fromarray(views), (2 * VIEW * left, VIEW * top))
            text = f"{label_of(method)} on {name}, random, seed {options.seed}"
            draw.text((2 * VIEW * left + 4, VIEW * top + 3), text, fill=(25, 25, 28), font=font)
    whole.save(path)


def check_methods(options: argparse.Namespace) -> None:
    """Ends the run with a sentence where a method is unknown, or two would be one row."""
    from core.registry import METHODS

    for method in (given.removesuffix("+fit") for given in options.methods):
        if method.startswith("npz:"):
            word, _, folder = method.removeprefix("npz:").partition("=")
            if not re.fullmatch(r"[\w.+-]+", word) or not Path(folder).is_dir() or not folder:
                raise SystemExit(f"{method} is not npz:NAME=FOLDER, with a name of letters and digits and a folder "
                                 "that is there.")
            if generator_of(word) in (*METHODS, *METHODS_HERE):
                raise SystemExit(f"{method} has the name of another method, {word}: choose another name.")
        elif method not in METHODS_HERE and generator_of(method) not in METHODS:
            raise SystemExit(f"There is no method '{method}': use {', '.join([*METHODS, *METHODS_HERE])} or "
                             "npz:NAME=FOLDER.")
    words = [label_of(method) for method in options.methods]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise SystemExit(f"Two methods are called {twice[0]}: give every npz: a name of its own.")


def same_settings(options: argparse.Namespace, hand: HandModel) -> None:
    """Ends the run where the folder holds results of other settings, which a table would pass off as these."""
    from core.files import digest_of, save_text

    now = {"count": options.count, "seed": options.seed, "turn": options.turn,
           "objects": str(options.objects or SAMPLES), "names": list(options.loaders),
           "training": digest_of(options.training), "hand": hand.digest}
    path = options.out / "settings.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in now.items() if before.get(name) != value]
        if other:
            raise SystemExit(f"{options.out} holds results with another {', '.join(other)}: name another --out.")
    elif (options.out / "kept").exists():
        raise SystemExit(f"{options.out} holds results whose settings are not known: name another --out.")
    save_text(path, json.dumps(now))


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The options, of the command line where none are given; ends the run with a sentence where they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["synthesis", "control_random"])
    parser.add_argument("--objects")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--protocol", choices=("paper", "strict", "both"), default="both")
    parser.add_argument("--turn", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--training", type=Path, default=TRAINING)
    parser.add_argument("--cache", type=Path, help="a folder for prepared training objects")
    parser.add_argument("--no-frechet", action="store_true", help="leave out the distances to held-out grasps")
    parser.add_argument("--no-sheet", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="objects measured at a time, each on one thread")
    options = parser.parse_args(given)
    if not options.training.is_file():
        raise SystemExit(f"There is no file of training grasps {options.training}.")
    if options.count < 1 or options.seed < 0 or (options.limit is not None and options.limit < 1) or options.jobs < 1:
        raise SystemExit("--count, --limit and --jobs are whole numbers from 1, --seed one from 0.")
    return options


def prepared(options: argparse.Namespace) -> HandModel:
    """The hand; gives the options what measuring needs."""
    import torch

    from core.hand import load_hand

    torch.set_num_threads(1)
    check_methods(options)
    options.out.mkdir(parents=True, exist_ok=True)
    options.loaders, options.prepared, options.index = object_loaders(options), {}, None
    hand = load_hand()
    same_settings(options, hand)
    return hand


def measure_object(options: argparse.Namespace, hand: HandModel, name: str) -> list[dict]:
    """The records of all methods on one object."""
    records = []
    for method in options.methods:
        record = measured(method, name, options, hand)
        records.append(record)
        print(f"{method} on {name}: {record['count']} grasps {record.get('error', '')}", flush=True)
    if len(options.prepared) > 3:
        options.prepared.pop(next(iter(options.prepared)))
    return records


_WORKER: dict[str, Any] = {}


def measure_in_worker(given: list[str], name: str) -> list[dict]:
    """`measure_object` in a process that keeps its hand and options from one object to the next."""
    if _WORKER.get("given") != given:
        options = arguments(given)
        _WORKER.update(given=given, options=options, hand=prepared(options))
    return measure_object(_WORKER["options"], _WORKER["hand"], name)


def measure_all(options: argparse.Namespace, hand: HandModel, given: list[str] | None) -> list[dict]:
    """The records of all methods on all objects, `options.jobs` objects at a time."""
    if options.jobs == 1:
        return [record for name in options.loaders for record in measure_object(options, hand, name)]
    if {"retrieval", "retrieval+fit"} & set(options.methods):
        index_of(options, hand)  # once, not in every process
    given = sys.argv[1:] if given is None else given
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        found = pool.starmap(measure_in_worker, [(given, name) for name in options.loaders], chunksize=1)
    return [record for records in found for record in records]


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    hand = prepared(options)
    from core.files import save_text

    records = measure_all(options, hand, given)
    made = provenance(options)
    text, rows = table(records, options, hand)
    text += "\n" + "\n".join(f"{name}: {value}  " for name, value in made.items()) + "\n"
    save_text(options.out / "table.md", text)
    save_text(options.out / "table.json", json.dumps({"seed": options.seed, "turned": options.turn, "made": made,
                                                      "rows": rows, "records": records}, indent=1))
    print(text)
    if not options.no_sheet:
        sheet(options, hand, options.out / "sheet.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
