"""Whether hands hold by the convex pieces near them as they do by all pieces of an object, and what both cost.

    python scripts/benchmarks/check_pieces.py [--meshes FILE ...] [--hands 100]

Without --meshes: a ring of a metre and a wheel of 64 cm. Hands are proposals of --method, fitted. Seconds are the
processor's; the folder of pieces is a new one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

if TYPE_CHECKING:
    from core.grasps.request import GraspRequest


def made() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A lifebuoy and a wheel with five spokes, in metres."""
    import trimesh

    ring = trimesh.creation.torus(0.455, 0.045, major_sections=192, minor_sections=48)
    parts = [trimesh.creation.torus(0.3, 0.018, major_sections=192, minor_sections=24),
             trimesh.creation.cylinder(0.05, 0.05, sections=48)]
    for turn in np.arange(5) * 2 * np.pi / 5:
        spoke = np.array([np.cos(turn), np.sin(turn), 0])
        parts.append(trimesh.creation.cylinder(0.01, segment=np.stack([0.02 * spoke, 0.3 * spoke]), sections=24))
    wheel = cast("trimesh.Trimesh", trimesh.util.concatenate(parts))
    return {name: (np.array(mesh.vertices), np.array(mesh.faces)) for name, mesh in (("ring", ring), ("wheel", wheel))}


def compare(request: GraspRequest, method: str) -> dict[str, float]:
    """How many of a method's fitted hands hold by all pieces and by those near, how many alike, and the seconds."""
    from core.fitting.fit import fit
    from core.pipeline.generate import propose_raw
    from core.progress import Progress
    from core.quality.convex_decomposition import convex_pieces
    from core.quality.hold import FILTER, PROTOCOL, HoldSimulation, squeezed_bodies
    from core.quality.near_pieces import pieces_near

    grasps, field = propose_raw(request, method, 0, Progress())
    grasps = fit(request.object, request.hand, grasps.to("cpu"), fields=field, in_fields=True).grasps
    hands = squeezed_bodies(request.hand, grasps)
    held: dict[str, list[bool]] = {"near": [], "whole": []}
    seconds: dict[str, list[float]] = {"near": [], "whole": []}
    with tempfile.TemporaryDirectory() as folder:
        for bones in hands:
            for name in held:
                begin = time.process_time()
                pieces = (convex_pieces(request.object, folder) if name == "whole"
                          else pieces_near(request.object, np.concatenate(bones), folder))
                seconds[name].append(time.process_time() - begin)
                slip = HoldSimulation(pieces, [bones], FILTER.friction).slip(0, still=FILTER.still)
                held[name].append(slip < PROTOCOL.dropped)
    return {"hands": len(hands), "alike": sum(one == other for one, other in zip(*held.values(), strict=True)),
            **{f"held_{name}": sum(values) for name, values in held.items()},
            **{f"first_{name}": round(values[0], 2) for name, values in seconds.items()},
            **{f"all_{name}": round(sum(values), 2) for name, values in seconds.items()}}


def main() -> int:
    from core.grasps.request import GraspRequest
    from core.hand import load_hand
    from core.objects import load_mesh, prepare_object

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", nargs="+", type=Path, default=[])
    parser.add_argument("--hands", type=int, default=100)
    parser.add_argument("--method", default="jointdiffusion")
    args = parser.parse_args()
    objects = {path.stem: load_mesh(path) for path in args.meshes} or made()
    hand = load_hand()
    for name, (vertices, faces) in objects.items():
        request = GraspRequest(prepare_object(vertices, faces), hand, args.hands)
        print(json.dumps({"object": name, **compare(request, args.method)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
