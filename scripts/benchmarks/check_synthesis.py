"""Measures `synthesis` over a folder of meshes.

    python scripts/benchmarks/check_synthesis.py --objects DIR [--turn] [--jobs 2]

Every object gets N grasps as Generate Grasps makes them; they are measured by the strict protocol (core/metrics), not
by the filters that accepted them. Results are kept a line an object, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import MESH_SUFFIXES, ROOT, SAMPLES
from scripts.timing import Watch

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.progress import Progress

FRICTIONS = (0.6, 0.5, 0.7)

# targets: a measure's name, the sentence in the table, the least of every object
PER_OBJECT = (("different", "at least 8 different grasps on every object", 8), ("types", "at least 3 types", 3))
# a measure's name, the sentence in the table, which side of the bound passes, the bound
OVERALL = (
    ("volume_cm3", "mean overlap at most 0.15 cm3", "<=", 0.15),
    ("depth_mm", "mean depth at most 1.2 mm", "<=", 1.2),
    ("bones_crossing", "no finger bone through a wall", "<=", 0),
    ("power_parts", "at least 4 hand parts in contact on every power grasp (share)", ">=", 1.0),
    ("held_0.6", "held at least 85 %", ">=", 0.85),
    ("total_s", "16 grasps in at most 20 s, median of objects", "<=", 20.0),
    ("first_s", "first candidate within 4 s, median of objects", "<=", 4.0),
)


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """One object: prepared, grasped, measured; a record for JSON. What goes wrong stands in `error`."""
    import torch

    torch.set_num_threads(1)
    path = Path(task["path"])
    record: dict[str, Any] = {"object": path.stem, "key": task["key"]}
    try:
        return record | measure_mesh(path, task)
    except Exception as error:  # the other objects must go on
        return record | {"error": f"{type(error).__name__}: {error}"}


def measure_mesh(path: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Grasps of one mesh and their measures."""
    import numpy as np
    import torch
    from scipy.spatial.transform import Rotation

    from core.hand import load_hand
    from core.metrics.strict import strict_measures
    from core.objects import load_mesh, prepare_object
    from core.quality.diversity import most_different
    from core.quality.hold import hold_test
    from core.quality.symmetry import find_symmetry

    hand = load_hand()
    vertices, faces = load_mesh(path)
    if task["turn"]:
        number = int.from_bytes(path.stem.encode()[-6:], "little")
        vertices = Rotation.random(random_state=np.random.default_rng([task["seed"], number])).apply(vertices)
    begin = time.perf_counter()
    obj = prepare_object(vertices, faces)
    prepared = time.perf_counter() - begin
    watch = Watch()
    grasps = generate(obj, hand, task["count"], task["seed"], watch)
    total = time.perf_counter() - begin
    if task["keep"]:
        keep_grasps(Path(task["keep"]) / f"{path.stem}.npz", obj, grasps)
    record: dict[str, Any] = {
        "grasps": len(grasps), "prepare_s": prepared, "total_s": total,
        "first_s": None if watch.first is None else prepared + watch.first, "faces": len(obj.faces),
    }
    if not len(grasps):
        return record | {"different": 0, "types": 0}
    begin = time.perf_counter()
    measures = strict_measures(obj, hand, grasps, hold=False)
    record["measure_s"] = time.perf_counter() - begin
    with torch.no_grad():
        joints = hand(**grasps.parameters()).joints
    symmetry = find_symmetry(obj)
    power = torch.tensor([is_power(name) for name in grasps.type])
    record |= {
        "volume_cm3": measures["volume_cm3"].tolist(), "depth_mm": measures["depth_mm"].tolist(),
        "bones_crossing": measures["bones_crossing"].tolist(), "parts": measures["parts"].sum(1).tolist(),
        "contact": measures["contact"].tolist(), "type": list(grasps.type), "power": power.tolist(),
        "different": len(most_different(joints, symmetry)), "types": len(set(grasps.type)), "symmetry": symmetry.kind,
        "score": grasps.score.tolist(),
    }
    begin = time.perf_counter()
    for friction in FRICTIONS if task["hold"] else ():
        result = hold_test(obj, hand, grasps, friction=friction)
        record[f"held_{friction}"], record[f"slip_{friction}"] = result.held.tolist(), result.slip_cm.tolist()
    record["hold_s"] = time.perf_counter() - begin
    return record


def generate(obj: GraspObject, hand: HandModel, count: int, seed: int, progress: Progress) -> Grasps:
    """`count` grasps, best first, as Generate Grasps makes them."""
    from core.grasps.request import GraspRequest
    from core.pipeline.generate import propose

    return propose(GraspRequest(obj, hand, count), "synthesis", seed, progress)


def is_power(name: str) -> bool:
    from core.grasps.taxonomy import BY_NAME

    return name in BY_NAME and BY_NAME[name].power


def keep_grasps(path: Path, obj: GraspObject, grasps: Grasps) -> None:
    """The grasps as an npz, in the object's frame, for pictures."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: value.numpy() for name, value in grasps.parameters().items()}
    np.savez(path, **arrays, score=grasps.score.numpy(), type=np.array(grasps.type), centroid=obj.centroid,
             vertices=obj.vertices.numpy(), faces=obj.faces.numpy())


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: one row an object, the means, and each target with what was measured."""
    columns = ("object", "n", "different", "types", "symmetry", "volume cm3", "depth mm", "bones", "parts (power)",
               "held .6/.5/.7 %", "prepare s", "first s", "total s")
    rows = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for record in records:
        if "error" in record:
            rows.append(f"| {record['object']} | {record['error']} |" + " |" * (len(columns) - 2))
            continue
        held = "/".join(percent(record.get(f"held_{friction}")) for friction in FRICTIONS)
        power = [parts for parts, is_one in zip(record.get("parts", []), record.get("power", [])) if is_one]
        cells = (
            record["object"], record["grasps"], record["different"], record["types"], record.get("symmetry", ""),
            mean(record.get("volume_cm3"), 3), mean(record.get("depth_mm"), 2), sum(record.get("bones_crossing", [])),
            f"{mean(record.get('parts'), 1)} ({mean(power, 1)})", held, mean(record["prepare_s"], 1),
            mean(record["first_s"], 1), mean(record["total_s"], 1))
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over all grasps, medians of times, and the targets: {name: {asked, measured, passed}}."""
    good = [record for record in records if "error" not in record]
    pooled = {name: [value for record in good for value in record.get(name, [])]
              for name in ("volume_cm3", "depth_mm", "bones_crossing", *(f"held_{f}" for f in FRICTIONS))}
    power = [parts for record in good for parts, is_one in zip(record.get("parts", []), record.get("power", []))
             if is_one]
    values: dict[str, float | None] = {
        name: statistics.fmean(numbers) if numbers else None for name, numbers in pooled.items()}
    values["bones_crossing"] = float(sum(pooled["bones_crossing"]))
    values["power_parts"] = statistics.fmean(parts >= 4 for parts in power) if power else None
    for name in ("prepare_s", "first_s", "total_s"):
        times = [record[name] for record in good if record[name] is not None]
        values[name] = statistics.median(times) if times else None
    targets: dict[str, dict[str, Any]] = {}
    for name, asked, least in PER_OBJECT:
        short = [f"{record['object']} {record.get(name, 0)}" for record in records if record.get(name, 0) < least]
        targets[name] = {"asked": asked, "measured": "short: " + ", ".join(short) if short else "all",
                         "passed": not short}
    for name, asked, sign, bound in OVERALL:
        value = values[name]
        passed = value is not None and (value <= bound if sign == "<=" else value >= bound)
        targets[name] = {"asked": asked, "measured": value, "passed": passed}
    failed = [record["object"] for record in records if "error" in record]
    targets["errors"] = {"asked": "no object fails", "measured": ", ".join(failed) or "none", "passed": not failed}
    return {"objects": len(records), "grasps": sum(record["grasps"] for record in good), "values": values,
            "targets": targets}


def mean(values: list[float] | float | None, digits: int) -> str:
    if values is None or values == []:
        return "-"
    return f"{statistics.fmean(values) if isinstance(values, list) else values:.{digits}f}"


def percent(values: list[bool] | None) -> str:
    return f"{100 * statistics.fmean(values):.0f}" if values else "-"


def read_done(path: Path, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Records of earlier runs with the same settings; a line that was cut off and errors are measured again."""
    done: dict[str, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("key") in keys and "error" not in record:
                done[record["key"]] = record
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, action="append", help="folder of meshes in metres; may be repeated")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names; others are left out")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turn", action="store_true", help="turn every object by a random rotation (of the seed)")
    parser.add_argument("--no-hold", action="store_true", help="leave the hold test out")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread")
    parser.add_argument("--keep", type=Path, help="folder for the grasps as npz")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "check_synthesis.jsonl", help="records, a line each")
    parser.add_argument("--fresh", action="store_true", help="forget records of earlier runs")
    options = parser.parse_args()
    folders = options.objects or [SAMPLES]
    paths = sorted(path for folder in folders for path in folder.iterdir() if path.suffix.lower() in MESH_SUFFIXES)
    paths = [path for path in paths if not options.only or any(part in path.stem for part in options.only)]
    if not paths:
        parser.error(f"no mesh ({', '.join(sorted(MESH_SUFFIXES))}) in {', '.join(map(str, folders))}")
    settings = f"{options.count}|{options.seed}|{'turned' if options.turn else 'upright'}|{not options.no_hold}"
    tasks = [{"path": str(path), "key": f"{path.resolve()}|{settings}", "count": options.count, "seed": options.seed,
              "turn": options.turn, "hold": not options.no_hold, "keep": options.keep and str(options.keep)}
             for path in paths]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        options.out.unlink(missing_ok=True)
    done = read_done(options.out, {task["key"] for task in tasks})
    left = [task for task in tasks if task["key"] not in done]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(max(1, min(options.jobs, len(left)))) as pool:
        for record in pool.imap_unordered(measure, left):
            done[record["key"]] = record
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(table([record]).splitlines()[-1], flush=True)
    records = [done[task["key"]] for task in tasks]
    result = summary(records)
    print("\n" + table(records) + "\n")
    values = result["values"]
    print(f"{result['objects']} objects, {result['grasps']} grasps; means: " + ", ".join(
        f"{name} {value:.3g}" for name, value in values.items() if value is not None) + "\n")
    for target in result["targets"].values():
        measured = target["measured"]
        shown = f"{measured:.3g}" if isinstance(measured, float) else measured
        print(f"- {'pass' if target['passed'] else 'FAIL'}: {target['asked']}: {shown}")
    options.out.with_suffix(".json").write_text(json.dumps(result | {"records": records}, indent=1), encoding="utf-8")
    return 0 if all(target["passed"] for target in result["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
