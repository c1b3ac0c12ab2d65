"""The training grasps' card: `python scripts/build/describe_training.py [--training FILE] [--renders 60] --out FOLDER`.

Counts, shares and variety go into FOLDER's README.md between two marks (and to the screen); their distributions are
drawn (distributions.png), and random grasps (renders.jpg); a synergy basis is fitted on them (synergies.npz).
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import TRAINING

if TYPE_CHECKING:
    import torch
    from PIL.ImageDraw import ImageDraw as Draw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from core.dataset.training_grasps import TrainingGrasps
    from core.hand import HandModel

#: Between these marks a card's figures stand.
BEGIN, END = "<!-- figures: scripts/build/describe_training.py -->", "<!-- end of figures -->"
#: Postures between which files of different sizes are compared: of each type, and of all (as many as the project's
#: first prototype had, whose types read 1.3 to 8.7 degrees).
ALIKE_OF, PROTOTYPE = 100, 6647


def bars(draw: Draw, font: FreeTypeFont | ImageFont, left: int, top: int, title: str, names: list[str],
         values: np.ndarray) -> None:
    """A chart of horizontal bars."""
    draw.text((left, top), title, fill=(20, 20, 24), font=font)
    most = max(float(values.max()), 1e-9)
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        y = top + 22 + 15 * row
        draw.text((left, y), name, fill=(60, 60, 66), font=font)
        draw.rectangle((left + 150, y + 2, left + 150 + int(190 * value / most), y + 12), fill=(66, 110, 170))
        draw.text((left + 346, y), f"{100 * value:.1f} %", fill=(60, 60, 66), font=font)


def histogram(values: np.ndarray, edges: list[float], unit: str) -> tuple[list[str], np.ndarray]:
    share = np.histogram(values, [*edges, np.inf])[0] / max(1, len(values))
    names = [*(f"{a:g} to {b:g} {unit}" for a, b in pairwise(edges)), f"from {edges[-1]:g} {unit}"]
    return names, share


def listed(apart: dict[str, torch.Tensor]) -> str:
    return ", ".join(f"{name} {float(value.median()):.1f}" for name, value in apart.items())


def figures(data: TrainingGrasps) -> str:
    """Counts and shares, as Markdown."""
    from core.dataset.shapes import FAMILIES
    from core.dataset.training_grasps import TYPE_NAMES
    from core.grasps.intents import CONFIG, INTENTS

    total, share = len(data), data.held_share.astype(float)
    types, families, of_family = shares(data)
    used = (data.intent == INTENTS.index("use")) & (share > 0)
    over = data.intent == INTENTS.index("handover")
    able = np.unique(data.families[used])  # whose shapes have a part to hold
    below = used & (share < CONFIG.held_share)
    counts = {intent: {family: int((mask & (data.families == family)).sum()) for family in able}
              for intent, mask in (("use", used), ("handover", over))}

    def fewest(intent: str) -> str:
        family = min(counts[intent], key=counts[intent].__getitem__)
        return f"{family} has fewest, {counts[intent][family]}"

    lines = [
        f"{total} grasps of {len(np.unique(data.object))} objects in {len(families)} of {len(FAMILIES)} families "
        f"(train {len(data.split('train'))}, held-out shapes {len(data.split('shape'))}, held-out families "
        f"{len(data.split('family'))}).", "",
        f"- most of one type {100 * types.max():.1f} % ({TYPE_NAMES[types.argmax()]}), most of one family "
        f"{100 * of_family.max():.1f} % ({families[of_family.argmax()]})",
        f"- depth of the hand in the object: mean {data.depth_mm.astype(float).mean():.2f} mm, overlap: mean "
        f"{data.overlap_cm3.astype(float).mean():.3f} cm3",
        f"- hands of other shapes: {100 * (np.abs(data.betas.astype(float)).max(1) > 0).mean():.0f} %"]
    if len(able):
        pistols = f" ({', '.join(np.unique(data.families[below]))}: the rest is on the trigger and what is over the " \
            f"grip, at least {100 * share[below].min():.0f} % on the grip)" if below.any() else ""
        lines += [
            f"- {len(able)} families have a part to hold: in `use` {100 * share[used].mean():.0f} % of the contact is "
            f"on it, and in {100 * (1 - below.sum() / used.sum()):.1f} % of these grasps at least "
            f"{100 * CONFIG.held_share:.0f} %{pistols}; {fewest('use')}",
            f"- `handover` leaves it free: {100 * share[over].mean() if over.any() else 0:.1f} % of the contact is on "
            f"it; {fewest('handover')}"]
    return "\n".join(lines)


def variety(data: TrainingGrasps, seed: int) -> str:
    """How far postures of a type lie apart, as Markdown."""
    import torch

    from core.dataset.training_grasps import TYPE_NAMES
    from core.metrics.diversity import nearest_neighbour_degrees

    dofs, rng = torch.from_numpy(data.dofs.astype(np.float32)), np.random.default_rng(seed)
    rows = {name: np.flatnonzero(data.type == place) for place, name in enumerate(TYPE_NAMES)}
    few = np.isin(np.arange(len(data)), rng.permutation(len(data))[:PROTOTYPE])
    drawn = {
        "Root-mean-square angle from each posture to the most alike of its type, degrees (median)": rows,
        f"The same among {PROTOTYPE} grasps drawn of all": {name: mine[few[mine]] for name, mine in rows.items()},
        f"The same among {ALIKE_OF} drawn of each type": {
            name: rng.permutation(mine)[:ALIKE_OF] for name, mine in rows.items()}}
    return "\n\n".join(f"{title}: " + listed({name: nearest_neighbour_degrees(dofs[mine]) for name, mine in of.items()
                                              if len(mine) > 1}) + "." for title, of in drawn.items()) + "\n"


def shares(data: TrainingGrasps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each type's share; the families, and the share of each."""
    from core.dataset.training_grasps import TYPE_NAMES

    families, counts = np.unique(data.families, return_counts=True)
    return np.bincount(data.type, minlength=len(TYPE_NAMES)) / len(data), families, counts / len(data)


def put(card: Path, text: str) -> None:
    """Puts `text` between the marks of a card; a card without them gets both at its end."""
    from core.files import save_text

    known = card.read_text(encoding="utf-8") if card.exists() else "# The training grasps\n"
    before, _, rest = known.partition(BEGIN)
    after = rest.partition(END)[2]
    save_text(card, f"{before.rstrip()}\n\n{BEGIN}\n{text}{END}{after or chr(10)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, default=TRAINING)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--renders", type=int, default=60)
    parser.add_argument("--cache", type=Path, help="a folder for prepared objects")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch
    from PIL import Image, ImageDraw, ImageFont

    from core.dataset.synergies import fit_synergies
    from core.dataset.training_grasps import TYPE_NAMES, load_training
    from core.grasps.intents import INTENTS
    from core.hand import load_hand

    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    data, hand = load_training(options.training), load_hand()
    types, families, of_family = shares(data)
    intents = np.bincount(data.intent, minlength=len(INTENTS)) / len(data)
    weight = 1 / np.bincount(data.type, minlength=len(TYPE_NAMES)).clip(1)
    synergies = fit_synergies(data.dofs.astype(np.float64), weight[data.type])
    synergies.save(options.out / "synergies.npz")
    text = figures(data)
    text += f"\n- six synergies explain {100 * synergies.explained[5]:.0f} % of the finger angles' variance\n"
    text += "\n" + variety(data, options.seed)
    print(text)
    put(options.out / "README.md", text)

    font = ImageFont.load_default(11)
    chart = Image.new("RGB", (1240, 420), (244, 245, 247))
    draw = ImageDraw.Draw(chart)
    bars(draw, font, 16, 10, "type", list(TYPE_NAMES), types)
    bars(draw, font, 426, 10, "intent", list(INTENTS), intents)
    bars(draw, font, 426, 130, "depth", *histogram(data.depth_mm.astype(float), [0, 0.3, 0.6, 0.9, 1.2, 1.5], "mm"))
    bars(draw, font, 426, 260, "overlap", *histogram(data.overlap_cm3.astype(float), [0, 0.02, 0.05, 0.1, 0.2], "cm3"))
    order = of_family.argsort()[::-1][:25]
    bars(draw, font, 836, 10, "families, the 25 most", families[order].tolist(), of_family[order])
    chart.save(options.out / "distributions.png")

    if options.renders:
        renders(options, data, hand, ImageFont.load_default(11))
    return 0


def renders(options: argparse.Namespace, data: TrainingGrasps, hand: HandModel,
            font: FreeTypeFont | ImageFont) -> None:
    """Random grasps, two views each."""
    import torch
    from PIL import Image, ImageDraw

    from core.dataset.training_grasps import TYPE_NAMES, training_object
    from core.grasps.intents import INTENTS
    from scripts.render_grasps import two_views

    size, columns = 170, 6
    picked = np.random.default_rng(options.seed).permutation(len(data))[: options.renders]
    sheet = Image.new("RGB", (2 * size * columns, size * -(-len(picked) // columns)))
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(picked):
        name = data.objects[data.object[row]]
        obj = training_object(name, options.cache)
        with torch.no_grad():
            posed = hand(**data[np.array([row])].grasps(hand).parameters())
        left, top = place % columns * 2 * size, place // columns * size
        views = two_views(obj.vertices.numpy(), obj.faces.numpy(), posed.vertices[0].numpy(), hand.faces.numpy(),
                          posed.joints[0].numpy(), size, 2, seed=place)
        sheet.paste(Image.fromarray(views), (left, top))
        draw.text((left + 3, top + 1), f"{name} {INTENTS[data.intent[row]]} {TYPE_NAMES[data.type[row]]}",
                  fill=(20, 20, 24), font=font)
    sheet.save(options.out / "renders.jpg", quality=80)


if __name__ == "__main__":
    sys.exit(main())
