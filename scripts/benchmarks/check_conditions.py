"""Whether a generator follows its conditions, intent and grasp type.

    python scripts/benchmarks/check_conditions.py --methods NAME ... [--parts] [--json FILE]
    python scripts/benchmarks/check_conditions.py --methods NAME ... --offered [OBJECT ...]

With the intent `use`: the share of grasps with at least 60 % of their contact on the part that a user's hand is on.
With a grasp type: the share of grasps that are of it. A hand's type is that of most of its nearest neighbours among the
training grasps by finger angles (each angle over its standard deviation); how often that is right for held-out training
grasps stands beside it. The generator does not know the object's parts, unless with --parts.

With --offered: of the hands that the button offers for `use` on objects whose parts are named, how many have that share
on the right part, hold, or both, and the processor time that they took. An object is a training object or `mug`, the
sample with its handle named.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from scripts import TRAINING

if TYPE_CHECKING:
    import torch

    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

NEIGHBOURS, RIGHT_PART = 9, 0.6
OFFERED = ("mug", "pan/11", "teapot/0", "knife/11", "drill/11")
MUG_RADIUS = 0.0415  # metres: what is farther from the mug's axis is its handle


class TypeByNeighbours:
    """Which type a hand's fingers are of, by the training grasps' finger angles.

    Args:
        dofs: (N, 21) radians, of training grasps.
        types: (N,) their types' indices.
    """

    def __init__(self, dofs: torch.Tensor, types: torch.Tensor) -> None:
        self.scale = dofs.std(0)
        self.dofs, self.types = dofs / self.scale, types

    def __call__(self, dofs: torch.Tensor) -> torch.Tensor:
        import torch

        near = torch.cdist(dofs / self.scale, self.dofs).topk(NEIGHBOURS, largest=False).indices
        return self.types[near].mode(1).values


def right_part(obj: GraspObject, hand: HandModel, grasps: Grasps) -> torch.Tensor:
    """(N,) bool: at least 60 % of the contact area on the held parts; what touches nothing does not."""
    import torch

    from core.grasps.intents import Purpose
    from core.hand.skin import vertex_area

    with torch.no_grad():
        hand_vertices = hand(**grasps.parameters()).vertices
    distance = obj.grid.query(hand_vertices)[0]
    contact = Purpose(obj, "any").contact(hand_vertices, distance, vertex_area(hand))
    return contact.held >= RIGHT_PART


def named_mug() -> GraspObject:
    """The sample mug with its handle named, as `scripts/demo_scene.py` names it."""
    import numpy as np

    from core.objects import load_mesh, prepare_object, with_parts
    from scripts import SAMPLES

    vertices, faces = load_mesh(SAMPLES / "mug.obj")
    handle = np.hypot(vertices[:, 0], vertices[:, 2]) > MUG_RADIUS  # the file's up is y
    part = np.where(handle[faces].sum(1) >= 2, 0, -1)
    return with_parts(prepare_object(vertices, faces), vertices, faces, part, ("handle",))


def check_offered(options: argparse.Namespace) -> list[dict]:
    """A row for each object and method on the hands that are offered for `use`."""
    from core.dataset.training_grasps import training_object
    from core.grasps.request import GraspRequest
    from core.hand import load_hand
    from core.pipeline.generate import propose
    from core.progress import Progress

    hand, rows = load_hand(), []
    for name in options.offered or OFFERED:
        obj = named_mug() if name == "mug" else training_object(name, options.cache)
        for method in options.methods:
            begun = time.process_time()
            found = propose(GraspRequest(obj, hand, options.count, intent="use"), method, 0, Progress())
            taken = time.process_time() - begun
            right, holds = right_part(obj, hand, found), found.measures["holds"] > 0
            rows.append({"object": name, "method": method, "offered": len(found), "right_part": int(right.sum()),
                         "hold": int(holds.sum()), "both": int((right & holds).sum()),
                         "processor_seconds": round(taken, 1)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", required=True, help="a name, or NAME+fit")
    parser.add_argument("--training", type=Path, default=TRAINING)
    parser.add_argument("--cache", type=Path, help="a folder for prepared objects")
    parser.add_argument("--count", type=int, default=16, help="grasps of each object and condition")
    parser.add_argument("--objects", type=int, default=12, help="of each split")
    parser.add_argument("--parts", action="store_true", help="the generator knows the object's parts")
    parser.add_argument("--offered", nargs="*", metavar="OBJECT", help="instead: hands as the button offers them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from core.parallel import use_few_threads

    use_few_threads()
    rows = check_all(options) if options.offered is None else check_offered(options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def check_all(options: argparse.Namespace) -> list[dict]:
    """A row for each split and method on hands as they are proposed, or `fit` alone lays them."""
    import numpy as np
    import torch

    from core.dataset.training_grasps import TYPE_NAMES, load_training, training_object
    from core.fitting.fit import fit
    from core.grasps.intents import HELD
    from core.grasps.request import GraspRequest
    from core.hand import load_hand
    from core.pipeline.generate import propose_raw
    from core.progress import Progress

    hand, data = load_hand(), load_training(options.training)
    train = data.split("train")
    classify = TypeByNeighbours(torch.from_numpy(train.dofs.astype(np.float32)),
                                torch.from_numpy(train.type.astype(int)))
    rows = []
    for split in ("shape", "family"):
        held_out = data.split(split)
        classified = classify(torch.from_numpy(held_out.dofs.astype(np.float32)))
        accuracy = float((classified == torch.from_numpy(held_out.type.astype(int))).float().mean())
        names = [data.objects[index] for index in np.unique(held_out.object)]
        rng = np.random.default_rng(0)
        names = [names[index] for index in rng.permutation(len(names))[: options.objects]]
        for method in options.methods:
            used: list[torch.Tensor] = []
            typed: list[torch.Tensor] = []
            plain = method.removesuffix("+fit")
            for name in names:
                obj = training_object(name, options.cache)
                request = GraspRequest(obj if options.parts else replace(obj, parts=None), hand, options.count,
                                       fitted=plain != method)

                def grasps_of(request: GraspRequest, method: str = method, plain: str = plain,
                              obj: GraspObject = obj) -> Grasps:
                    found = propose_raw(request, plain, 0, Progress()).grasps
                    return fit(obj, hand, found).grasps if method.endswith("+fit") else found

                if obj.parts is not None and obj.parts.mask(HELD).any():
                    used.append(right_part(obj, hand, grasps_of(replace(request, intent="use"))).float())
                here = held_out[held_out.object == data.objects.index(name)]
                for grasp_type in np.unique(here.type)[:4]:
                    found = grasps_of(replace(request, type=TYPE_NAMES[grasp_type]))
                    typed.append((classify(hand.dofs_from_pose(found.hand_pose)) == int(grasp_type)).float())
            rows.append({"method": method, "split": split, "objects": len(names), "use_on_part": mean(used),
                         "use_grasps": int(sum(map(len, used))), "of_type": mean(typed),
                         "type_grasps": int(sum(map(len, typed))), "judge_right": accuracy})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def mean(values: list[torch.Tensor]) -> float | None:
    import torch

    return float(torch.cat(values).mean()) if values else None


if __name__ == "__main__":
    sys.exit(main())
