"""Trains a generator: `python scripts/train.py NAME --out FOLDER [--seconds S] [--scale X] [--store]`.

It goes on where it was. The training data (local point clouds and their grasps) are kept as `windows.npz` beside
FOLDER's checkpoints, and so are the procedural shapes of a method that asks for them, as `shapes.npz`; making them
needs the mesh libraries, reading them does not. --store writes the weights into
weights/NAME, in half precision, with their hash and a card.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import TRAINING
from scripts.build.cards import write_card


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--training", type=Path, default=TRAINING)
    parser.add_argument("--windows", type=Path, help="kept training data; FOLDER/windows.npz when left out")
    parser.add_argument("--shapes", type=Path, help="kept procedural shapes; FOLDER/shapes.npz when left out")
    parser.add_argument("--cache", type=Path, help="a folder for prepared objects")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long; the same command goes on")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps of every stage")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--store", action="store_true", help="put the weights into weights/NAME when they are done")
    options = parser.parse_args()
    begin = time.monotonic()
    import torch

    from core.hand import load_hand
    from core.progress import Progress
    from core.registry import TRAINED, training_config
    from core.training.data import load_training_data
    from core.training.run import run
    from core.training.shapes import load_shape_data
    from core.weights import store_weights

    if options.name not in TRAINED:
        parser.error(f"there is no training of '{options.name}': use one of {', '.join(TRAINED)}")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    hand = load_hand()
    options.out.mkdir(parents=True, exist_ok=True)

    printed = -1

    def report(fraction: float, stage: str) -> None:
        nonlocal printed
        if int(20 * fraction) > printed:
            printed = int(20 * fraction)
            print(f"{stage}: {100 * fraction:.0f} %", flush=True)

    data = load_training_data(options.training, options.windows or options.out / "windows.npz", hand,
                              options.cache, Progress(report))
    print(f"{len(data.rows('train'))} grasps to train on, {len(data.names)} objects, "
          f"{time.monotonic() - begin:.0f} s", flush=True)
    config = training_config(options.name, options.scale)
    count = sum(parameter.numel() for parameter in config.network.parameters())
    print(f"{options.name}: {count / 1e6:.2f} M weights", flush=True)
    shapes = None
    if config.sees_shapes:
        printed = -1
        shapes = load_shape_data(options.shapes or options.out / "shapes.npz", Progress(report))
    done = run(config, data, hand, options.out, options.seconds - (time.monotonic() - begin),
               lambda line: print(line, flush=True), options.device, shapes)
    if done and options.store:
        path = store_weights(options.name, config.network)
        command = f"python scripts/train.py {options.name} --out FOLDER --scale {options.scale:g} --store"
        write_card(path.with_name("README.md"), options.name, config, data, options.training, options.out, command)
        print(path)
    return 0 if done else 3


if __name__ == "__main__":
    sys.exit(main())
