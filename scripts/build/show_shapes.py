"""The training objects drawn, parts in colours: `python scripts/build/show_shapes.py --out SHEET.png [--seed N]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

COLOURS = np.array([[0.10, 0.30, 0.62], [0.62, 0.28, 0.06], [0.12, 0.42, 0.16], [0.50, 0.08, 0.10], [0.45, 0.40, 0.08]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", help="some only")
    parser.add_argument("--size", type=int, default=220)
    parser.add_argument("--columns", type=int, default=9)
    options = parser.parse_args()
    from PIL import Image, ImageDraw, ImageFont

    from core.dataset.shapes import FAMILIES, make_shape
    from scripts.render_grasps import CREASE, object_view

    families = options.families or list(FAMILIES)
    size = options.size
    sheet = Image.new("RGB", (size * min(options.columns, len(families)), size * -(-len(families) // options.columns)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(max(10, size // 18))
    for number, family in enumerate(families):
        shape = make_shape(family, options.seed)
        meshes = [(shape.vertices, shape.faces[shape.part == part], COLOURS[part % len(COLOURS)], CREASE)
                  for part in range(len(shape.names)) if (shape.part == part).any()]
        left, top = number % options.columns * size, number // options.columns * size
        sheet.paste(Image.fromarray(object_view(meshes, size, samples=3)), (left, top))
        extent = " x ".join(f"{100 * side:.0f}" for side in np.ptp(shape.vertices, axis=0))
        draw.text((left + 4, top + 2), f"{family}\n{extent} cm", fill=(25, 25, 28), font=font)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
