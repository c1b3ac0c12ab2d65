"""Which differences between methods are more than chance over objects would make: for evaluate.py's tables.

    python scripts/benchmarks/compare_methods.py FOLDER [FOLDER ...] --baseline retrieval --methods fastgrasp grasptta

FOLDERs are evaluations; their objects are taken together. A method is compared with the baseline on the objects that
both were measured on, both with the fit where the method is (`jointdiffusion+fit`). Per figure: the mean difference,
bold where it is more than chance; the interval in which 95 % of the means of objects drawn anew lie (scipy's bootstrap,
percentile); and on how many objects it is greater and smaller. Below stands the entropy of the grasps of all the
folders' objects together: of one folder's objects alone it is as much the objects' as the methods'.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts.benchmarks.results import diversity_of, result_path

FIGURES = (("strict", "held"), ("paper", "displacement_cm"), ("strict", "contact"), ("strict", "volume_cm3"),
           ("strict", "depth_mm"), ("strict", "bones_crossing"), ("paper", "volume_cm3"))
Records = dict[tuple[str, str], dict]


def records_of(folders: list[Path]) -> Records:
    """(method, object) -> record of all folders' tables; the object's name has its folder before it."""
    found = {}
    for folder in folders:
        for record in json.loads((folder / "table.json").read_text())["records"]:
            if record["count"]:
                found[record["method"], f"{folder}/{record['object']}"] = record
    return found


def compare(records: Records, method: str, baseline: str) -> list[dict]:
    """A row for each figure; none where the two have fewer than two objects in common."""
    names = sorted(name for other, name in records if other == method and (baseline, name) in records)
    if len(names) < 2:
        return []
    rows = []
    for protocol, figure in FIGURES:
        apart = np.array([records[method, name][protocol][figure] - records[baseline, name][protocol][figure]
                          for name in names])
        low = high = float(apart.mean())
        if np.ptp(apart):
            low, high = bootstrap((apart,), np.mean, method="percentile", rng=0).confidence_interval
        rows.append({"method": method, "baseline": baseline, "figure": f"{protocol} {figure}", "objects": len(names),
                     "difference": float(apart.mean()), "low": float(low), "high": float(high),
                     "greater": int((apart > 0).sum()), "smaller": int((apart < 0).sum())})
    return rows


def entropies(folders: list[Path], methods: list[str]) -> list[tuple[str, int, float]]:
    """Method, objects and entropy of their grasps together, of the methods whose grasps the folders hold."""
    from core.hand import load_hand

    hand, records, rows = load_hand(), {folder: records_of([folder]) for folder in folders}, []
    for method in methods:
        files = [result_path(method, record["object"], argparse.Namespace(out=folder)).with_suffix(".npz")
                 for folder in folders for (other, _), record in records[folder].items() if other == method]
        if files and all(path.is_file() for path in files):
            found = diversity_of(files, hand)
            rows += [(method, len(files), found["entropy_whitened_joints"])] if found else []
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--baseline", default="retrieval")
    parser.add_argument("--methods", nargs="+", required=True)
    options = parser.parse_args(arguments)
    for folder in options.folders:
        if not (folder / "table.json").is_file():
            raise SystemExit(f"{folder} holds no table.json: "
                             f"make it with scripts/benchmarks/evaluate.py --out {folder}.")
    records = records_of(options.folders)
    print("| method | baseline | figure | objects | difference | 95 % | greater / smaller |\n" + "|---" * 7 + "|")
    for method in options.methods:
        rows = compare(records, method, options.baseline + "+fit" * method.endswith("+fit"))
        if not rows:
            raise SystemExit(f"Fewer than two objects have both {method} and its baseline in these folders.")
        for row in rows:
            sure = "**" * (row["low"] > 0 or row["high"] < 0)
            print(f"| `{method}` | `{row['baseline']}` | {row['figure']} | {row['objects']} | "
                  f"{sure}{row['difference']:+.3f}{sure} | {row['low']:+.3f} to {row['high']:+.3f} | "
                  f"{row['greater']} / {row['smaller']} |")
    bases = dict.fromkeys(options.baseline + "+fit" * method.endswith("+fit") for method in options.methods)
    together = entropies(options.folders, [*bases, *options.methods])
    if together:
        print("\n| method | objects | entropy |\n" + "|---" * 3 + "|")
    for method, objects, entropy in together:
        print(f"| `{method}` | {objects} | {entropy:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
