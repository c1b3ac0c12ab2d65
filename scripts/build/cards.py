"""The card of trained weights: what they were trained on and how, and the loss curve; what a person wrote is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.generators.training_config import TrainingConfig
    from core.training.data import TrainingData

#: From this heading on a card is written by hand.
BY_HAND = "## Intended use"


def write_card(path: Path, name: str, config: TrainingConfig, data: TrainingData, training: Path, folder: Path,
               command: str) -> None:
    """Writes weights/NAME/README.md with curve.csv and curve.png beside it, and leaves what was written by hand.

    Args:
        path: the card.
        name: of the weights.
        config: network and stages of the training.
        data: the training data.
        training: the file of training grasps.
        folder: where the training left STAGE.jsonl, its log.
        command: the command line that makes the weights.
    """
    from core.files import digest_of
    from core.registry import METHODS
    from scripts.build.curves import Check, draw_curve, write_curve

    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    own = kept[kept.index(BY_HAND):] if BY_HAND in kept else f"{BY_HAND}\n\nNot written yet.\n"
    network = config.network
    method = METHODS.get(name)
    title = method.label if method else name
    summary = method.summary if method else (network.__doc__ or "").strip().split("\n")[0]
    count = sum(value.numel() for value in network.parameters())
    rows = {split: len(data.rows(split)) for split in ("train", "shape", "family")}
    lines = [
        f"# {title}", "", summary, "", "| | |", "|---|---|",
        f"| file | `{name}.safetensors`, {count / 1e6:.2f} M weights in half precision |",
        f"| made by | `{command}` |",
        f"| code | `{type(network).__module__.replace('.', '/')}.py` |",
        "| licence | GPL-3.0-or-later, as the repository |", "", "## Training data", "",
        f"{rows['train']} training grasps of `weights/training/grasps.npz` (SHA-256 {digest_of(training)}...), made by "
        f"this project\n([card](../training/README.md)); checked on {rows['shape']} grasps of held-out shapes. "
        f"{rows['family']} grasps of held-out families were not looked at.", "", "## Training procedure", "",
        "| stage | trained | steps | batch | learning rate | points |", "|---|---|---|---|---|---|"]
    checks = []
    for stage in config.stages:
        lines.append(f"| {stage.name} | {', '.join(stage.trained)} | {stage.optimizer.steps} | {stage.batch} | "
                     f"{stage.optimizer.learning_rate:g} | {config.points_of(stage) or ''} |")
        log = [json.loads(line) for line in (folder / f"{stage.name}.jsonl").read_text(encoding="utf-8").splitlines()]
        checked = [entry for entry in log if "check_loss" in entry]
        checks += [Check(stage.name, entry["step"], entry["loss"], entry.get("check_loss"))
                   for entry in (checked[-1:] if len(checked) < 2 else [log[0], *checked])]
    lines += ["", '"Points" is how many points of the local point cloud the network sees.', "",
              "![Loss of the training shapes and of held-out shapes, by stage](curve.png)", "",
              "Loss since the check before, and loss of held-out shapes with the averaged weights; the numbers are in "
              "[curve.csv](curve.csv), drawn by\n`python scripts/build/curves.py`."]
    write_curve(path.with_name("curve.csv"), checks)
    draw_curve(checks, f"{name}: loss", path.with_name("curve.png"))
    path.write_text("\n".join(lines) + "\n\n" + own, encoding="utf-8")
