"""Methods x objects x protocols in one table and one sheet of pictures: `python scripts/evaluate.py --out FOLDER`.

    --methods synthesis synthesis_chosen control_random control_other retrieval npz:NAME=FOLDER; any with +fit
    --objects FOLDER     meshes (without it the sample object); or training:shape, training:family, objects held out
    --count 20           the first so many of each method, none rejected; *_chosen are what the animator is shown
    --turn               every object turned at random; --protocol paper|strict|both; --limit N objects

Each method and object is kept on its own in the folder, so a run that was stopped goes on. The table is table.md and
table.json; the pictures are random and not picked, their seed stands below them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from watch import Watch

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "scripts" / "samples"
TRAINING = ROOT / "weights" / "training" / "grasps.npz"
MESHES = {".obj", ".ply", ".stl", ".glb", ".gltf", ".off"}
COLUMNS = (
    ("paper", "volume_cm3", "volume cm3"), ("paper", "depth_cm", "depth cm"), ("paper", "contact", "contact"),
    ("paper", "displacement_cm", "displacement cm"), ("paper", "quality", "quality"),
    ("paper", "entropy_whitened_joints", "entropy"), ("paper", "cluster_canonical_joints_cm", "cluster cm"),
    ("strict", "volume_cm3", "volume cm3"), ("strict", "depth_mm", "depth mm"), ("strict", "bones_crossing", "bones"),
    ("strict", "contact", "contact"), ("strict", "parts", "parts"), ("strict", "held", "held"),
    ("strict", "held_0.5", "held 0.5"), ("strict", "held_0.7", "held 0.7"), ("strict", "different", "different"),
    ("fit", "moved_mm", "joints moved mm"),
)


def things(options: argparse.Namespace) -> dict[str, Any]:
    """Name -> a function that prepares the object."""
    from core.objects import load_mesh, prepare_object
    from core.synthesis.dataset import load_training, training_object

    if str(options.objects).startswith("training:"):
        if options.turn:
            raise SystemExit("--turn is for meshes of a folder: training objects are not turned.")
        held = load_training(options.training).split(str(options.objects).split(":")[1])
        names = [held.objects[i] for i in np.unique(held.object) if (held.object == i).sum() >= options.count]
        rng = np.random.default_rng(options.seed)
        names = [names[i] for i in rng.permutation(len(names))[: options.limit or len(names)]]
        return {name: lambda name=name: training_object(name, options.out / "objects") for name in sorted(names)}
    folder = options.objects or SAMPLES
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in MESHES)[: options.limit]
    if not files:
        raise SystemExit(f"There is no mesh in {folder}.")

    def prepare(path: Path) -> Any:
        vertices, faces = load_mesh(path)
        return prepare_object(vertices @ turn_of(path.stem, options).T, faces)

    return {path.stem: lambda path=path: prepare(path) for path in files}


def turn_of(name: str, options: argparse.Namespace) -> np.ndarray:
    """(3, 3) the rotation that --turn gives an object of this name."""
    if not options.turn:
        return np.eye(3)
    from scipy.spatial.transform import Rotation

    number = int.from_bytes(hashlib.sha256(f"{name}:{options.seed}".encode()).digest()[:4], "big")
    return Rotation.random(random_state=np.random.default_rng(number)).as_matrix()


def propose(method: str, name: str, obj: Any, hand: Any, options: argparse.Namespace) -> Any:
    """The first grasps of a method on an object, and what the method needs to know."""
    import torch

    from core.generators.base import GraspRequest
    from core.metrics.controls import of_another, random_wrists
    from core.pipeline import propose as by_the_button

    if method.endswith("+fit"):
        from core.fitting.fit import fit

        return fit(obj, hand, kept_or_made(method.removesuffix("+fit"), name, options, hand)[0]).grasps
    rng = torch.Generator().manual_seed(options.seed)
    request = GraspRequest(obj, hand, options.count)
    if method == "control_random":
        return random_wrists(obj, hand, options.count, rng, mean_pose(options, hand))
    if method == "control_other":
        other = next_name(name, options)
        return of_another(kept_or_made("synthesis", other, options, hand)[0], options.count)
    if method == "training":
        from core.synthesis.dataset import load_training

        data = load_training(options.training)
        mine = data[data.object == data.objects.index(name)]
        rows = torch.randperm(len(mine), generator=rng)[: options.count]
        return mine.grasps(hand)[rows]
    if method == "retrieval":
        from core.generators.retrieval import Retrieval, load_index

        index = load_index(options.training, options.out / "retrieval.npz", hand, options.cache)
        return Retrieval(index).sample(request, rng, Watch())
    if method.startswith("npz:"):
        from core.cli import read_grasps

        return read_grasps(Path(method.partition("=")[2], f"{name}.npz"))[0][: options.count]
    chosen = method.endswith("_chosen")
    return by_the_button(request, method.removesuffix("_chosen"), options.seed, Watch(), "cpu", raw=not chosen)


def mean_pose(options: argparse.Namespace, hand: Any) -> Any:
    """(45,) the mean posture of the training grasps."""
    from core.synthesis.dataset import load_training

    return load_training(options.training).grasps(hand).hand_pose.mean(0)


def next_name(name: str, options: argparse.Namespace) -> str:
    names = list(options.things)
    if len(names) < 2:
        raise SystemExit("control_other needs another object: give --objects a folder of two meshes or more.")
    return names[(names.index(name) + 1) % len(names)]


def place(method: str, name: str, options: argparse.Namespace) -> Path:
    return options.out / "kept" / f"{word_of(method)}__{name.replace('/', '_')}"


def word_of(method: str) -> str:
    """What a method is called in the table; npz:NAME=FOLDER is NAME."""
    plain = method.removesuffix("+fit")
    return plain.partition("=")[0].replace("npz:", "") + method[len(plain):]


def joints_moved(method: str, name: str, options: argparse.Namespace, hand: Any) -> dict[str, float]:
    """How far a fit moved the joints, as a measure of the record; nothing for a method without one."""
    import torch

    if not method.endswith("+fit"):
        return {}
    pair = [kept_or_made(one, name, options, hand)[0] for one in (method, method.removesuffix("+fit"))]
    with torch.no_grad():
        after, before = (hand(**grasps.parameters()).joints for grasps in pair)
    return {"moved_mm": float(1000 * (after - before).norm(dim=-1).mean())}


def kept_or_made(method: str, name: str, options: argparse.Namespace, hand: Any) -> tuple[Any, Any, float]:
    """A method's grasps on an object, the object, and the seconds they took; made at the first call."""
    from core.cli import read_grasps
    from core.files import save_arrays

    path = place(method, name, options).with_suffix(".npz")
    if name not in options.prepared:
        options.prepared[name] = options.things[name]()
    obj = options.prepared[name]
    if path.exists():
        grasps, _ = read_grasps(path)
        with np.load(path, allow_pickle=False) as stored:
            return grasps, obj, float(stored["seconds"])
    begin = time.perf_counter()
    grasps = propose(method, name, obj, hand, options)
    seconds = time.perf_counter() - begin
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: value.detach().cpu().numpy() for key, value in grasps.parameters().items()}
    save_arrays(path, {**arrays, "score": grasps.score.numpy(), "type": np.array(grasps.type, dtype=str),
                       "method": np.array(method), "seed": np.array(str(options.seed)), "hand": np.array(hand.side),
                       "unit": np.array("m"), "seconds": np.array(seconds)})
    return read_grasps(path)[0], obj, seconds


def measured(method: str, name: str, options: argparse.Namespace, hand: Any) -> dict:
    """The record of a method on an object, kept in the folder."""
    from core.metrics.evaluate import evaluate

    path = place(method, name, options).with_suffix(f".{options.protocol}.json")
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if "error" not in kept:
            return kept
    try:
        grasps, obj, seconds = kept_or_made(method, name, options, hand)
        begin = time.perf_counter()
        found = evaluate(obj, hand, grasps, options.protocol)
        record = {"method": method, "object": name, "count": found.count, "paper": found.paper, "strict": found.strict,
                  "fit": joints_moved(method, name, options, hand),
                  "seconds": seconds, "evaluation_seconds": time.perf_counter() - begin}
    except (ValueError, LookupError, OSError) as problem:
        record = {"method": method, "object": name, "count": 0, "error": str(problem)}
    path.write_text(json.dumps(record), encoding="utf-8")
    return record


def table(records: list[dict], options: argparse.Namespace, hand: Any) -> tuple[str, list[dict]]:
    """Markdown and rows: one method a row, the means of its objects; diversity over all of them together."""
    import torch

    from core.cli import read_grasps
    from core.metrics.evaluate import diversity

    rows = []
    for method in options.methods:
        mine = [record for record in records if record["method"] == method and record["count"]]
        if not mine:
            continue
        row: dict[str, Any] = {"method": word_of(method), "objects": len(mine),
                               "grasps": sum(record["count"] for record in mine),
                               "seconds": float(np.median([record["seconds"] for record in mine]))}
        for protocol in ("paper", "strict", "fit"):
            names = mine[0].get(protocol, {})
            row |= {f"{protocol}_{name}": float(np.mean([record[protocol][name] for record in mine])) for name in names}
        grasps = [read_grasps(place(method, record["object"], options).with_suffix(".npz"))[0] for record in mine]
        with torch.no_grad():
            joints = [hand(**one.parameters()).joints for one in grasps]
        if mine[0].get("paper"):
            every = diversity(joints, [torch.cat(list(one.parameters().values()), 1) for one in grasps])
            row |= {f"paper_{name}": value for name, value in every.items()}
        rows.append(row)
    columns = [(f"{protocol}_{name}", f"{protocol}: {label}") for protocol, name, label in COLUMNS
               if any(f"{protocol}_{name}" in row for row in rows)]
    lines = ["| method | objects | grasps | s an object | " + " | ".join(label for _, label in columns) + " |",
             "|---" * (4 + len(columns)) + "|"]
    lines += ["| " + " | ".join([row["method"], str(row["objects"]), str(row["grasps"]), f"{row['seconds']:.1f}",
                                 *(f"{row[name]:.3g}" if name in row else "" for name, _ in columns)]) + " |"
              for row in rows]
    return "\n".join(lines) + "\n", rows


def sheet(options: argparse.Namespace, hand: Any, path: Path) -> None:
    """Random grasps of every method, four a row; a row's seed is the run's."""
    import torch
    from render_grasps import render_sheet

    rng = np.random.default_rng(options.seed)
    from PIL import Image

    strips = []
    for method in options.methods:
        for name in rng.permutation(list(options.things))[:1]:
            if not place(method, str(name), options).with_suffix(".npz").exists():
                continue
            grasps, obj, _ = kept_or_made(method, str(name), options, hand)
            rows = torch.from_numpy(rng.permutation(len(grasps))[:4])
            with torch.no_grad():
                posed = hand(**grasps[rows].parameters())
            strip = path.with_name(f".strip{len(strips)}.png")
            label = word_of(method)
            render_sheet(strip, obj.vertices.numpy(), obj.faces.numpy(), list(posed.vertices.numpy()),
                         hand.faces.numpy(), list(posed.joints.numpy()),
                         captions=[f"{label} on {name}, random, seed {options.seed}"] * len(rows), size=240, samples=2)
            strips.append(strip)
    pictures = [Image.open(strip).convert("RGB") for strip in strips]
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
    top = 0
    for picture, strip in zip(pictures, strips, strict=True):
        whole.paste(picture, (0, top))
        top += picture.height
        strip.unlink()
    whole.save(path)


def same_settings(options: argparse.Namespace) -> None:
    """Ends the run where the folder holds results of other settings, which a table would pass off as these."""
    now = {"count": options.count, "seed": options.seed, "turn": options.turn,
           "objects": str(options.objects or SAMPLES), "names": list(options.things)}
    path = options.out / "settings.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in now.items() if before.get(name) != value]
        if other:
            raise SystemExit(f"{options.out} holds results with another {', '.join(other)}: name another --out.")
    elif (options.out / "kept").exists():
        raise SystemExit(f"{options.out} holds results whose settings are not known: name another --out.")
    path.write_text(json.dumps(now), encoding="utf-8")


def main() -> int:
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
    parser.add_argument("--no-sheet", action="store_true")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
    import torch

    from core.hand import load_hand

    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    options.things, options.prepared = things(options), {}
    same_settings(options)
    hand = load_hand()
    records = []
    for name in options.things:
        for method in options.methods:
            record = measured(method, name, options, hand)
            records.append(record)
            print(f"{method} on {name}: {record['count']} grasps {record.get('error', '')}", flush=True)
        if len(options.prepared) > 3:
            options.prepared.pop(next(iter(options.prepared)))
    text, rows = table(records, options, hand)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    (options.out / "table.json").write_text(json.dumps({"seed": options.seed, "turned": options.turn, "rows": rows,
                                                        "records": records}, indent=1), encoding="utf-8")
    print(text)
    if not options.no_sheet:
        sheet(options, hand, options.out / "sheet.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
