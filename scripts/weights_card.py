"""The card of trained weights: what they were trained on and how, and the curve; what a person wrote is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: What stands from this line on in a card is written by hand.
BY_HAND = "## What one sees"


def write_card(path: Path, name: str, recipe: Any, windows: Any, training: Path, folder: Path, command: str) -> None:
    """Writes weights/NAME/README.md, and leaves what was written by hand in it."""
    from core.files import digest_of

    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    own = kept[kept.index(BY_HAND):] if BY_HAND in kept else f"{BY_HAND}\n\nNot written yet.\n"
    count = sum(value.numel() for value in recipe.network.parameters())
    rows = {split: len(windows.rows(split)) for split in ("train", "shape", "family")}
    lines = [
        f"# {name}", "",
        (recipe.network.__doc__ or "").strip().split("\n")[0], "",
        f"`{name}.safetensors`: {count / 1e6:.2f} M weights in half precision. Made by `{command}`.", "",
        f"**Data.** {rows['train']} training grasps of `weights/training/grasps.npz` (SHA-256 "
        f"{digest_of(training)}...); checked on "
        f"{rows['shape']} grasps of held-out shapes. {rows['family']} grasps of held-out families were not looked at.",
        "", "**Stages.**", "", "| stage | trained | steps | batch | rate | points seen |", "|---|---|---|---|---|---|"]
    for stage in recipe.stages:
        lines.append(f"| {stage.name} | {', '.join(stage.trained)} | {stage.optimizer.steps} | {stage.batch} | "
                     f"{stage.optimizer.learning_rate:g} | {recipe.points_of(stage) or ''} |")
    lines += ["", "**Curve.** Loss of the steps before, and of held-out shapes with the averaged weights.", "",
              "| stage | step | loss | held-out shapes |", "|---|---|---|---|"]
    for stage in recipe.stages:
        log = [json.loads(line) for line in (folder / f"{stage.name}.jsonl").read_text(encoding="utf-8").splitlines()]
        checked = [entry for entry in log if "check_loss" in entry]
        for entry in checked[-1:] if len(checked) < 2 else [log[0], *checked]:
            lines.append(f"| {stage.name} | {entry['step']} | {entry['loss']:.4g} | "
                         f"{entry['check_loss']:.4g} |" if "check_loss" in entry else
                         f"| {stage.name} | {entry['step']} | {entry['loss']:.4g} | |")
    path.write_text("\n".join(lines) + "\n\n" + own, encoding="utf-8")
