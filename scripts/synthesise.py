"""Makes the training grasps: `python scripts/synthesise.py --out FOLDER [--jobs 2] [--seconds S] [--merge FILE]`.

The work is cut into slices (one object, one intent); each writes its own file, so a run that was stopped, or ended by
--seconds, goes on where it was. --merge adds all slices that are there to one file of grasps, and what that file holds
is not made again. One process a core and one thread a process; --ray on a Ray cluster. --objects adds a folder of
meshes. --seeds FILE starts a third of the hands from the grasps in FILE of other shapes of the same family; a slice's
name says which file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import MESH_SUFFIXES, ROOT

if TYPE_CHECKING:
    from core.hand import HandModel

_HANDS: dict[str, HandModel] = {}


def work(job: dict) -> dict:
    """One slice, made and written; what came of it."""
    sys.path.insert(0, str(ROOT))  # on a Ray cluster this function is sent without its module
    import torch

    from core.dataset.training_grasps import training_object
    from core.hand import load_hand
    from core.objects import ObjectError
    from core.parallel import choose_device
    from core.synthesis.production import Task, produce
    from core.synthesis.transfer import load_library

    torch.set_num_threads(1)
    task, begin = Task(*job["task"]), time.perf_counter()
    record: dict[str, Any] = {"name": task.name, "count": 0, "error": ""}
    try:
        if "hand" not in _HANDS:
            _HANDS["hand"] = load_hand()
        obj = training_object(task.object, job["cache"], job["meshes"])
        seeds = load_library(job["seeds"]) if job["seeds"] else None
        made = produce(task, obj, _HANDS["hand"], job["seed"], seeds, choose_device(job["device"]))
        made.save(Path(job["out"], f"{task.name}.npz"))
        record["count"] = len(made)
    except Exception as problem:  # one slice must not end a run of hours
        expected = isinstance(problem, ObjectError | ValueError)
        record["error"] = str(problem) if expected else traceback.format_exc()
        Path(job["out"], f"{task.name}.failed").write_text(record["error"], encoding="utf-8")
    record["seconds"] = time.perf_counter() - begin
    return record


def jobs_of(options: argparse.Namespace) -> list[dict]:
    """What is still to be done, in order."""
    from core.dataset.shapes import FAMILIES, make_shape
    from core.dataset.training_grasps import load_training
    from core.grasps.intents import HELD
    from core.synthesis.production import Task, plan, work_of
    from core.synthesis.transfer import load_library

    families = options.families or list(FAMILIES)
    held = {name for name in families if HELD & set(make_shape(name, 0).names)}
    tasks = plan(dict.fromkeys(families, options.shapes), held)
    if options.objects:
        files = sorted(path for path in options.objects.iterdir() if path.suffix.lower() in MESH_SUFFIXES)
        tasks += [Task(f"mesh/{path.name}", "any", turn) for turn in range(options.rounds) for path in files]
    shards = options.out / "slices"
    shards.mkdir(parents=True, exist_ok=True)
    done = {work_of(path.stem) for path in shards.iterdir() if path.suffix in (".npz", ".failed")}
    if options.merge and options.merge.exists():
        done |= {work_of(name) for name in load_training(options.merge).slices}
    seeds = load_library(options.seeds).digest if options.seeds else ""
    common = {"out": str(shards), "cache": str(options.cache) if options.cache else None,
              "meshes": str(options.objects) if options.objects else None, "seed": options.seed,
              "seeds": str(options.seeds) if options.seeds else None, "device": options.device}
    return [{**common, "task": (task.object, task.intent, task.round, seeds)} for task in tasks
            if task.name not in done]


def run(jobs: list[dict], options: argparse.Namespace) -> None:
    """Does the jobs until they are done or the time is up; prints rates and yields."""
    begin, count = time.monotonic(), 0
    for done, record in enumerate(results(jobs, options), 1):
        count += record["count"]
        passed = time.monotonic() - begin
        print(f"{passed:7.0f} s  {done}/{len(jobs)} slices  {count} grasps  {count / passed:.2f}/s  "
              f"{record['name']} {record['count']} in {record['seconds']:.1f} s {record['error']}", flush=True)
        if options.seconds and passed > options.seconds:
            break


def results(jobs: list[dict], options: argparse.Namespace) -> Iterator[dict]:
    if options.ray:
        import ray

        ray.init(address=options.ray if options.ray != "local" else None, ignore_reinit_error=True,
                 num_cpus=options.jobs if options.ray == "local" else None, include_dashboard=False)
        have = ray.cluster_resources()
        gpus = have.get("GPU", 0) / have["CPU"] if options.device != "cpu" else 0  # a share for each core
        remote = ray.remote(num_cpus=1, num_gpus=min(1, gpus))(work)
        waiting = [remote.remote(job) for job in jobs]
        try:
            while waiting:
                ready, waiting = ray.wait(waiting)
                yield ray.get(ready[0])
        finally:
            for one in waiting:
                ray.cancel(one, force=True)
            ray.shutdown()
    elif options.jobs == 1:
        yield from map(work, jobs)
    else:
        # glibc gives large tensors back to the system at once and fetches them anew: a tenth of the time.
        os.environ.update(MALLOC_MMAP_THRESHOLD_="4000000000", MALLOC_TRIM_THRESHOLD_="8000000000")
        with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=40) as pool:
            yield from pool.imap_unordered(work, jobs)


def print_summary(path: Path) -> None:
    """Prints what the merged file holds."""
    import numpy as np

    from core.dataset.training_grasps import TYPE_NAMES, load_training
    from core.grasps.intents import INTENTS

    data = load_training(path)
    print(f"{path.name}: {len(data)} grasps of {len(set(data.object.tolist()))} objects, "
          f"{len(set(data.families.tolist()))} families, {path.stat().st_size / 2**20:.2f} MiB")
    for title, names, values in (("type", TYPE_NAMES, data.type), ("intent", INTENTS, data.intent)):
        share = np.bincount(values, minlength=len(names)) / max(1, len(data))
        print(f"  {title}: " + ", ".join(f"{name} {100 * s:.1f} %" for name, s in zip(names, share, strict=True)))
    most = Counter(data.families.tolist()).most_common(5)
    print("  families: " + ", ".join(f"{name} {100 * n / len(data):.1f} %" for name, n in most))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the slices")
    parser.add_argument("--merge", type=Path, help="put all slices into this file, at the end")
    parser.add_argument("--seconds", type=float, help="stop after so long; the same command goes on later")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shapes", type=int, default=16, help="of each family")
    parser.add_argument("--families", nargs="*")
    parser.add_argument("--objects", type=Path, help="a folder of meshes to grasp too")
    parser.add_argument("--rounds", type=int, default=2, help="slices for each mesh of --objects")
    parser.add_argument("--cache", type=Path, help="a folder for prepared objects")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=Path, help="a file of training grasps to start some hands from")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where hands are closed")
    parser.add_argument("--ray", nargs="?", const="local", help="a Ray cluster's address; none starts one here")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from core.parallel import choose_device

    try:
        if not options.ray:  # a cluster's machines have their own
            choose_device(options.device)
        jobs = jobs_of(options)
    except (OSError, ValueError) as problem:
        parser.error(str(problem))
    run(jobs, options)
    if options.merge:
        from dataclasses import replace

        from core.dataset.training_grasps import balanced, kept_level, load_training, merge
        from core.hand import load_hand

        parts = [load_training(options.merge)] if options.merge.exists() else []
        known = set(parts[0].slices) if parts else set()
        paths = sorted(path for path in (options.out / "slices").glob("*.npz") if path.stem not in known)
        parts += [replace(load_training(path), slices=(path.stem,)) for path in paths]
        balanced(kept_level(merge(parts), load_hand())).save(options.merge)
        print_summary(options.merge)
    return 0


if __name__ == "__main__":
    sys.exit(main())
