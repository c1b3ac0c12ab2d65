"""What Imagine Object and Grasp makes: closed meshes, hands on them by the strict protocol, and a sheet to look at.

    python scripts/benchmarks/check_imagined.py --out FOLDER [--count 16] [--seed 0] [--fitted]

Hands are raw, as they come with their objects; with --fitted as the operator offers them. sheet.png shows each object
without its hand, then with it; whether a person can name the objects is for a person to say. table.json has the
figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts.benchmarks.results import commit

if TYPE_CHECKING:
    from core.generators.imagination import Imagined
    from core.hand import HandModel

#: pixels of a view; pairs in a row of the sheet
VIEW, COLUMNS = 240, 4
FIGURES = ("volume_cm3", "depth_mm", "bones_crossing", "contact", "held")


def measured(found: list[Imagined], asked: int, hand: HandModel) -> dict[str, Any]:
    """Means over the pairs by the strict protocol, and how many objects are closed."""
    from core.metrics.evaluate import evaluate

    each = [evaluate(one.object, hand, one.grasps, "strict").strict for one in found]
    return {"asked": asked, "pairs": len(found), "watertight": sum(bool(one.object.watertight) for one in found),
            **{name: float(np.mean([record[name] for record in each])) for name in FIGURES}}


def sheet(found: list[Imagined], hand: HandModel, path: Path) -> None:
    """Each object alone, and from the thumb's side with its hand."""
    import torch
    from PIL import Image, ImageDraw

    from scripts.render_grasps import BLUE, CREASE, object_view, two_views

    whole = Image.new("RGB", (2 * VIEW * COLUMNS, VIEW * -(-len(found) // COLUMNS)))
    draw = ImageDraw.Draw(whole)
    for number, one in enumerate(found):
        left, top = number % COLUMNS * 2 * VIEW, number // COLUMNS * VIEW
        vertices, faces = one.object.vertices.double().numpy(), one.object.faces.numpy()
        alone = object_view([(vertices, faces, BLUE, CREASE)], VIEW, samples=2)
        with torch.no_grad():
            posed = hand(**one.grasps.parameters())
        held = two_views(vertices, faces, posed.vertices[0].numpy(), hand.faces.numpy(), posed.joints[0].numpy(),
                         VIEW, samples=2)[:, :VIEW]
        whole.paste(Image.fromarray(np.concatenate([alone, held], 1)), (left, top))
        draw.text((left + 4, top + 3), str(number + 1), fill=(25, 25, 28))
    whole.save(path)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fitted", action="store_true")
    options = parser.parse_args(given)
    if options.count < 1 or options.seed < 0:
        parser.error("--count is a whole number from 1, --seed one from 0")
    import torch

    from core.files import save_text
    from core.generators.imagination import ImaginationRequest
    from core.hand import load_hand
    from core.pipeline.imagine import imagine
    from core.progress import Progress

    torch.set_num_threads(1)
    hand = load_hand()
    begin = time.perf_counter()
    found = imagine(ImaginationRequest(hand, options.count, fitted=options.fitted), options.seed, Progress())
    row = {"commit": commit(), "seconds": time.perf_counter() - begin, **measured(found, options.count, hand)}
    options.out.mkdir(parents=True, exist_ok=True)
    save_text(options.out / "table.json", json.dumps(row, indent=1))
    print(json.dumps(row, indent=1))
    sheet(found, hand, options.out / "sheet.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
