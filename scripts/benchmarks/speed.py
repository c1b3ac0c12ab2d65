"""Speed by method and count, in seconds and in M.

    python scripts/benchmarks/speed.py [--methods synthesis] [--counts 1 16]

M is one float32 product of two 2048 x 2048 matrices with two threads, timed in the same run on the same machine, so
that times of two machines can be compared as ratios. Each figure is the median of --repeats runs, warm, on the mug.

    --counts 16 256      what more candidates cost: below the table stands how much for how many times as many
    --raw, --to-fit      proposals only: those that are shown as they come, or those that a fit follows
    --bare               proposals only, as networks give them, without test-time adaptation
    --faces 5000 1000000 the mesh subdivided to about so many triangles; what the last costs against the first
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import SAMPLES
from scripts.benchmarks.results import processor
from scripts.timing import Watch

if TYPE_CHECKING:
    from core.generators.learned import Learned
    from core.objects import GraspObject

MUG = SAMPLES / "mug.obj"
#: rows and columns of the matrices of which M is one product
SIDE = 2048


def unit() -> float:
    """Seconds of one product M, the median of nine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    one, two = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    one @ two
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        one @ two
        times.append(time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return statistics.median(times)


def finer(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same surface, every triangle divided by four again and again while that brings their number near `count`."""
    import trimesh

    while 2 * len(faces) < count:
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    return vertices, faces


def loaded_twice(vertices: np.ndarray, faces: np.ndarray) -> tuple[GraspObject, list[dict]]:
    """An object, and rows of what it took to prepare it, and to read it where it was kept."""
    from core.objects import cached_object

    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for what in ("object prepared", "object loaded again"):
            begin = time.perf_counter()
            obj = cached_object(vertices, faces, folder=folder)
            rows.append({"what": what, "seconds": time.perf_counter() - begin})
    return obj, rows


def growth(rows: list[dict]) -> list[dict]:
    """How much more a method takes for its most candidates, and its finest mesh, than for its fewest and coarsest."""
    found = []
    for method in dict.fromkeys(row["what"] for row in rows):
        mine = [row for row in rows if row["what"] == method]
        for of, other in (("count", "faces"), ("faces", "count")):
            for value in sorted({row[other] for row in mine}):
                line = sorted((row for row in mine if row[other] == value), key=lambda row: row[of])
                if line[-1][of] > line[0][of]:
                    found.append({"what": f"{method}, {other} {value}", "of": of, "times": line[-1][of] / line[0][of],
                                  "costs": line[-1]["seconds"] / line[0]["seconds"]})
    return found


def leave_bare(methods: list[str], device: str) -> None:
    """Takes from networks, in this process, what is done with their proposals at test time.

    Raises:
        ValueError: a method is none of networks.
    """
    from core.generators.adaptation import NO_ADAPTATION
    from core.registry import METHODS, make_generator

    for method in methods:
        if not METHODS[method].learned:
            raise ValueError(f"'{method}' has no network: --bare is for methods that have one.")
        cast("Learned", make_generator(method, device)).network.without_fit = NO_ADAPTATION


def main() -> int:
    from core.registry import METHODS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mesh", type=Path, default=MUG)
    parser.add_argument("--faces", nargs="+", type=int, default=[], help="triangles to subdivide the mesh to")
    parser.add_argument("--device", default="auto")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--raw", action="store_true", help="proposals only: nothing fitted, nothing chosen")
    only.add_argument("--to-fit", action="store_true", help="proposals only, for a fit to lay on the surface")
    only.add_argument("--bare", action="store_true", help="proposals only, as networks give them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from core.files import save_text
    from core.grasps.request import GraspRequest
    from core.hand import load_hand
    from core.objects import load_mesh
    from core.parallel import choose_device, use_few_threads
    from core.pipeline.generate import check_request, propose
    from core.progress import Progress

    use_few_threads()
    if options.repeats < 1:
        raise SystemExit(f"--repeats is a whole number from 1, not {options.repeats}.")
    try:
        for method in options.methods:
            for count in options.counts:
                check_request(method, count, "any", "any")
        device = choose_device(options.device)
        if options.bare:
            leave_bare(options.methods, device)
        mesh = load_mesh(options.mesh)
        hand = load_hand()
        meshes = [finer(*mesh, faces) for faces in options.faces] or [mesh]
        objects, rows = [], []
        for vertices, faces in meshes:
            obj, timed = loaded_twice(vertices, faces)
            objects.append(obj)
            rows += [{"count": 1, "faces": len(faces), "first": None, **row} for row in timed]
    except (ValueError, OSError) as problem:
        raise SystemExit(str(problem)) from problem
    products, alone = [unit()], options.raw or options.to_fit or options.bare
    for method in options.methods:
        for obj, (_, faces) in zip(objects, meshes, strict=True):
            propose(GraspRequest(obj, hand, 1, fitted=options.to_fit), method, 0, Progress(), device, alone)  # warm
            for count in options.counts:
                took, first = [], []
                for seed in range(options.repeats):
                    watch = Watch()
                    request = GraspRequest(obj, hand, count, fitted=options.to_fit)
                    propose(request, method, seed, watch, device, alone)
                    took.append(time.perf_counter() - watch.begin)
                    first.append(watch.first if watch.first is not None else took[-1])
                rows.append({"what": method, "count": count, "faces": len(faces), "seconds": statistics.median(took),
                             "first": statistics.median(first)})
                products.append(unit())
    product = statistics.median(products)
    machine = f"{os.cpu_count()} cores, {processor()}"
    print(f"{options.mesh.name} on {device}, {machine}; M = {1000 * product:.0f} ms "
          f"({1000 * min(products):.0f} to {1000 * max(products):.0f} in this run)\n")
    print("| what | triangles | count | s | M | first shown, s |\n|---|---|---|---|---|---|")
    for row in rows:
        row["M"] = row["seconds"] / product
        shown = "" if row["first"] is None else f"{row['first']:.2f}"
        print(f"| {row['what']} | {row['faces']} | {row['count']} | {row['seconds']:.2f} | {row['M']:.1f} | "
              f"{shown} |")
    ratios = growth([row for row in rows if row["what"] in options.methods])
    print()
    for one in ratios:
        print(f"{one['what']}: {one['times']:.0f} times the {one['of']} cost {one['costs']:.2f} times as much  ")
    if options.json:
        save_text(options.json, json.dumps({"M_seconds": product, "device": device, "machine": machine,
                                            "mesh": options.mesh.name, "rows": rows, "growth": ratios}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
