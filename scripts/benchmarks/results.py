"""The table that scripts/benchmarks/evaluate.py writes: where its records are kept, its rows, and how it was made."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts import ROOT

if TYPE_CHECKING:
    from core.hand import HandModel

COLUMNS = (
    ("paper", "volume_cm3", "volume cm3"), ("paper", "depth_cm", "depth cm"),
    ("paper", "depth_median_mm", "median depth mm"), ("paper", "contact", "contact"), ("paper", "good", "good"),
    ("paper", "displacement_cm", "displacement cm"), ("paper", "quality", "quality"),
    ("paper", "entropy_whitened_joints", "entropy"), ("paper", "cluster_canonical_joints_cm", "cluster cm"),
    ("strict", "volume_cm3", "volume cm3"), ("strict", "depth_mm", "depth mm"), ("strict", "bones_crossing", "bones"),
    ("strict", "contact", "contact"), ("strict", "parts", "parts"), ("strict", "held", "held"),
    ("strict", "held_0.5", "held 0.5"), ("strict", "held_0.7", "held 0.7"), ("strict", "different", "different"),
    ("fit", "moved_mm", "joints moved mm"),
    ("frechet", "angles_shape", "angles rad2, shapes"), ("frechet", "angles_family", "angles rad2, families"),
    ("frechet", "contact_shape", "contact cm2, shapes"), ("frechet", "contact_family", "contact cm2, families"),
)
PROTOCOLS = {"paper": "paper", "strict": "strict", "fit": "fit", "frechet": "Frechet"}
NOTE = """
Means over the objects, of all grasps as they came. Entropy and cluster size are over all objects' grasps together.
Good: less than 5 mm deep, and thumb or palm and another part within 5 mm; the median depth is over all grasps.
Frechet is the distance between Gaussians of the method's grasps and of the training grasps on held-out shapes and
held-out families: of the 21 joint angles, and of the distances of the hand's 32 anchors to the object, at most 3 cm. It
is no FID, and comes out larger for few grasps: compare rows of like numbers of grasps.
"""


def label_of(method: str) -> str:
    """What a method is called in the table: npz:NAME=FOLDER is NAME."""
    plain = method.removesuffix("+fit")
    return plain.partition("=")[0].removeprefix("npz:") + method[len(plain):]


def file_of(method: str, name: str) -> Path | None:
    """The file of an npz: method's grasps on an object; None of another method."""
    return Path(method.removesuffix("+fit").partition("=")[2], f"{name}.npz") if method.startswith("npz:") else None


def result_path(method: str, name: str, options: argparse.Namespace) -> Path:
    """Where a method's work on an object is kept, without an ending that says what it is."""
    return options.out / "kept" / f"{label_of(method)}__{name.replace('/', '_')}.x"


def table(records: list[dict], options: argparse.Namespace, hand: HandModel) -> tuple[str, list[dict]]:
    """Markdown and rows: one method a row, the means of its objects; diversity over all of them together."""
    rows = []
    for method in options.methods:
        every = [record for record in records if record["method"] == label_of(method)]
        mine = [record for record in every if record["count"]]
        if not mine:
            continue
        row: dict[str, Any] = {"method": label_of(method), "objects": len(mine), "objects_tried": len(every),
                               "grasps": sum(record["count"] for record in mine),
                               "seconds": float(np.median([record["seconds"] for record in mine])),
                               "evaluation_seconds": float(np.median([one["evaluation_seconds"] for one in mine]))}
        for protocol in ("paper", "strict", "fit"):
            found = [record.get(protocol, {}) for record in mine]
            values = {name: [one[name] for one in found if name in one] for one in found for name in one}
            row |= {f"{protocol}_{name}": float(np.mean(numbers)) for name, numbers in values.items()
                    if not name.startswith(("entropy_", "cluster_"))}  # over all objects, below
        row |= together(method, mine, options, hand)
        rows.append(row)
    columns = [(f"{protocol}_{name}", f"{PROTOCOLS[protocol]}: {label}") for protocol, name, label in COLUMNS
               if any(f"{protocol}_{name}" in row for row in rows)]
    lines = ["| method | objects | grasps | s an object | evaluated in s | "
             + " | ".join(label for _, label in columns) + " |", "|---" * (5 + len(columns)) + "|"]
    for row in rows:
        objects = str(row["objects"]) + (f" of {row['objects_tried']}" if row["objects_tried"] > row["objects"] else "")
        cells = [row["method"], objects, str(row["grasps"]), f"{row['seconds']:.1f}",
                 f"{row['evaluation_seconds']:.0f}",
                 *(f"{row[name]:.3g}" if name in row else "" for name, _ in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + NOTE, rows


def together(method: str, records: list[dict], options: argparse.Namespace, hand: HandModel) -> dict[str, float]:
    """A row's figures that are of all its objects' grasps together: diversity, and the Frechet distances."""
    from core.metrics.frechet import SPACES, SPLITS, frechet_distances, held_out_features

    paths = [result_path(method, record["object"], options) for record in records]
    row: dict[str, float] = {}
    if options.protocol != "strict":
        found = diversity_of([path.with_suffix(".npz") for path in paths], hand)
        row |= {f"paper_{name}": value for name, value in found.items()}
        depths = [depth for record in records for depth in record.get("depths_mm", ())]
        row |= {"paper_depth_median_mm": float(np.median(depths))} if depths else {}
    if options.no_frechet:
        return row
    stored = [np.load(path.with_suffix(".features.npz"), allow_pickle=False) for path in paths]
    features = {space: np.concatenate([one[space] for one in stored]) for space in SPACES}
    for split in SPLITS:
        try:
            reference = held_out_features(options.training, split, hand, objects=options.cache)
        except ValueError as problem:  # a training file without that split
            print(problem, file=sys.stderr)
            continue
        found = frechet_distances(features, reference)
        row |= {f"frechet_{space}_{split}": value for space, value in found.items()}
    return row


def diversity_of(files: list[Path], hand: HandModel) -> dict[str, float]:
    """`diversity` of the grasps in these files together."""
    import torch

    from core.grasps.storage import read_grasps
    from core.metrics.evaluate import diversity

    grasps = [read_grasps(path).grasps for path in files]
    with torch.no_grad():
        joints = [hand(**one.parameters()).joints for one in grasps]
    return diversity(joints, [torch.cat(list(one.parameters().values()), 1) for one in grasps])


def provenance(options: argparse.Namespace, script: str = "benchmarks/evaluate.py") -> dict[str, str]:
    """How a table was made: command, machine, commit, date, and the training grasps' content."""
    from core.files import digest_of

    system = f"{platform.system()}, Python {platform.python_version()}"
    return {"Command": f"python scripts/{script} " + " ".join(map(_without_folders, sys.argv[1:])),
            "Machine": f"{os.cpu_count()} cores, {processor()}, {system}",
            "Commit": commit(),
            "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "Training grasps": digest_of(options.training)}


def commit() -> str:
    """The commit this runs from, with -dirty where files differ from it."""
    try:
        asked = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT,
                               capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return asked.stdout.strip() or "unknown"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _without_folders(argument: str) -> str:
    """A command's word without the folders of this machine: those of the project are kept from its root on."""
    before, is_given, path = argument.rpartition("=")
    if not Path(path).is_absolute():
        return argument
    inside = Path(path).is_relative_to(ROOT)
    return before + is_given + (Path(path).relative_to(ROOT).as_posix() if inside else Path(path).name)
