"""Draws the loss curves of trained weights: `python scripts/build/curves.py [NAME ...]` makes weights/NAME/curve.png.

What is drawn is weights/NAME/curve.csv, one row a check: the stage, its step, the mean training loss since the check
before, and the loss of held-out shapes with the averaged weights (empty where it was not measured).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights"
TRAINING, HELD_OUT = "#4c6fb1", "#c8553d"
SIZE, DPI = (8.4, 2.7), 110  # inches, and dots an inch
COLOURS = 64  # of the picture's palette: a third of the bytes


class Check(NamedTuple):
    """One line of a training log.

    Attributes:
        stage: name of the training stage.
        step: optimiser steps done in this stage.
        loss: mean training loss since the check before.
        held_out: loss of held-out shapes with the averaged weights; None where it was not measured.
    """

    stage: str
    step: int
    loss: float
    held_out: float | None


def read_curve(path: Path) -> list[Check]:
    """The checks of a curve.csv, in their order."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [Check(row["stage"], int(row["step"]), float(row["loss"]),
                      float(row["held_out_loss"]) if row["held_out_loss"] else None) for row in csv.DictReader(lines)]


def write_curve(path: Path, checks: Sequence[Check]) -> None:
    """Writes a curve.csv, losses with four digits."""
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("stage", "step", "loss", "held_out_loss"))
        for check in checks:
            held_out = "" if check.held_out is None else f"{check.held_out:.4g}"
            writer.writerow((check.stage, check.step, f"{check.loss:.4g}", held_out))


def draw_curve(checks: Sequence[Check], title: str, path: Path) -> None:
    """Draws losses over the steps of all stages, one after another, as a PNG.

    Losses of different stages are of different terms, so every stage has its own axis of loss.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    stages = [(name, list(of_stage)) for name, of_stage in groupby(checks, key=lambda check: check.stage)]
    figure, axes = pyplot.subplots(
        1, len(stages), figsize=SIZE, dpi=DPI, squeeze=False, layout="constrained",
        width_ratios=[max(of_stage[-1].step, 0.3 * max(c.step for c in checks)) for _, of_stage in stages])
    for axis, (name, of_stage) in zip(axes[0], stages, strict=True):
        held_out = [check for check in of_stage if check.held_out is not None]
        axis.plot([check.step for check in of_stage], [check.loss for check in of_stage], color=TRAINING, lw=1.2,
                  label="training")
        axis.plot([check.step for check in held_out], [check.held_out for check in held_out], color=HELD_OUT, lw=1.2,
                  label="held-out shapes")
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.set_xticks([0, of_stage[-1].step])
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("loss", fontsize=8)
    figure.supxlabel("steps of the stage", fontsize=8)
    figure.suptitle(title, fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", fontsize=7, frameon=False, ncols=2)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    pyplot.close(figure)
    Image.open(picture).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="weights; all that have a curve.csv when left out")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of NAME/curve.csv and NAME/curve.png")
    options = parser.parse_args()
    for name in options.names or sorted(path.parent.name for path in options.weights.glob("*/curve.csv")):
        folder = options.weights / name
        draw_curve(read_curve(folder / "curve.csv"), f"{name}: loss", folder / "curve.png")
        print(folder / "curve.png")


if __name__ == "__main__":
    main()
