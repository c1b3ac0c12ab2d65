"""Speed by method and count, in seconds and in M: `python scripts/benchmark.py [--methods synthesis] [--counts 1 16]`.

M is one float32 product of two 2048 x 2048 matrices with two threads, timed in the same run on the same machine, so
that times of two machines can be compared as ratios. Each figure is the median of --repeats runs, warm, on the mug.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from results import processor
from watch import Watch

ROOT = Path(__file__).resolve().parent.parent
MUG = ROOT / "scripts" / "samples" / "mug.obj"


def unit() -> float:
    """Seconds of one product M, the median of nine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    one, two = torch.randn(2048, 2048), torch.randn(2048, 2048)
    one @ two
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        one @ two
        times.append(time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return statistics.median(times)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from core.generators import METHODS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mesh", type=Path, default=MUG)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--raw", action="store_true", help="proposals only: nothing fitted, nothing chosen")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from core.files import save_text
    from core.generators.base import GraspRequest
    from core.hand import load_hand
    from core.objects import load_mesh, prepare_object
    from core.pipeline import check_wishes, choose_device, propose, use_few_threads

    use_few_threads()
    if options.repeats < 1:
        raise SystemExit(f"--repeats is a whole number from 1, not {options.repeats}.")
    try:
        for method in options.methods:
            for count in options.counts:
                check_wishes(method, count, "any", "any")
        device = choose_device(options.device)
        mesh = load_mesh(options.mesh)
        hand = load_hand()
        begin = time.perf_counter()
        obj = prepare_object(*mesh)
    except (ValueError, OSError) as problem:
        raise SystemExit(str(problem)) from problem
    rows = [{"what": "object prepared", "count": 1, "seconds": time.perf_counter() - begin, "first": None}]
    products = [unit()]
    for method in options.methods:
        propose(GraspRequest(obj, hand, 1), method, 0, Watch(), device, options.raw)  # warm
        for count in options.counts:
            took, first = [], []
            for seed in range(options.repeats):
                watch = Watch()
                propose(GraspRequest(obj, hand, count), method, seed, watch, device, options.raw)
                took.append(time.perf_counter() - watch.begin)
                first.append(watch.first if watch.first is not None else took[-1])
            rows.append({"what": method, "count": count, "seconds": statistics.median(took),
                         "first": statistics.median(first)})
            products.append(unit())
    product = statistics.median(products)
    machine = f"{os.cpu_count()} cores, {processor()}"
    print(f"{options.mesh.name} on {device}, {machine}; M = {1000 * product:.0f} ms "
          f"({1000 * min(products):.0f} to {1000 * max(products):.0f} in this run)\n")
    print("| what | count | s | M | first shown, s |\n|---|---|---|---|---|")
    for row in rows:
        row["M"] = row["seconds"] / product
        shown = "" if row["first"] is None else f"{row['first']:.2f}"
        print(f"| {row['what']} | {row['count']} | {row['seconds']:.2f} | {row['M']:.0f} | {shown} |")
    if options.json:
        save_text(options.json, json.dumps({"M_seconds": product, "device": device, "machine": machine,
                                            "mesh": options.mesh.name, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
