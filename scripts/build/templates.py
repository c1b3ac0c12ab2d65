"""Finds the templates of core/grasps/templates.json: each grasp type closed on ideal bodies of several widths.

Every type starts many times from the posture in core/grasps/taxonomy.py with its thumb and wrist turned at random;
what ends with the least energy becomes the template of that width.

    python scripts/build/templates.py [--types NAME ...] [--starts 64] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from core.fitting.descent import Stage, minimise
from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.fitting.poses import Poses
from core.grasps.taxonomy import TEMPLATES, TYPES, GraspType
from core.hand import HandModel, load_hand
from core.objects import GraspObject, prepare_object
from core.rotations import axis_angle_to_matrix, frame_from

X, Z = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
STAGES = (Stage(60, 0.03, 0.12, 0.0), Stage(160, 0.02, 0.06, 0.04), Stage(70, 0.006, 0.02, 0.012, whole_skin=True))


def body(grasp_type: GraspType, width: float) -> GraspObject:
    """An ideal body: facing along x, its long axis along z (a disc's own axis along x)."""
    import trimesh

    if grasp_type.ideal == "sphere":
        mesh = trimesh.creation.icosphere(subdivisions=4, radius=width / 2)
    elif grasp_type.ideal == "cylinder":
        mesh = trimesh.creation.cylinder(radius=width / 2, height=0.18, sections=64)
    elif grasp_type.ideal == "disc":
        mesh = trimesh.creation.cylinder(radius=width / 2, height=0.03, sections=64)
        mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], [1, 0, 0]))
    else:
        mesh = trimesh.creation.box((width, 0.06, 0.16))
    mesh = mesh.subdivide_to_size(0.01)
    return prepare_object(mesh.vertices, mesh.faces)


def first_poses(grasp_type: GraspType, energy: GraspEnergy, width: float, count: int, rng: torch.Generator) -> Poses:
    posture = torch.deg2rad(torch.tensor(grasp_type.dofs)).expand(count, -1)
    noise = torch.randn(count, 21, generator=rng) * 0.08
    noise[:, 16:] = (torch.rand(count, 5, generator=rng) - 0.5) * 0.9
    noise[0] = 0
    dofs = energy.hand.clamp_dofs(posture + noise)
    hand_points = energy.hand_points
    points = hand_points.posed(energy.transforms(dofs))

    def middle(*names: str) -> torch.Tensor:
        return torch.stack([points[:, hand_points.patches[name].rows].mean(1) for name in names]).mean(0)

    others = [name for name in grasp_type.contact_weights if name.split()[0] not in ("thumb", "palm")]
    palm = middle("palm")
    fingers = middle(*[name for name in others if "tip" in name or "side" in name])
    if grasp_type.ideal == "disc":
        centre = (middle("thumb tip") + fingers) / 2
        facing = palm - centre
    elif grasp_type.power and grasp_type.ideal != "slab":
        volar = torch.tensor([0.0, -1.0, 0.0])
        hooked = ("index prox", "middle prox", "ring prox", "index mid", "middle mid", "ring mid")
        centre = (middle(*hooked) if grasp_type.name == "fixed_hook" else palm) + (width / 2) * volar
        facing = palm - centre
    else:
        thumb = middle("thumb tip")
        centre = (thumb + fingers) / 2
        facing = thumb - centre
    facing = torch.nn.functional.normalize(facing, dim=-1)
    axis = torch.tensor([0.0, 0.0, 1.0]).expand(count, 3) + 0.25 * torch.randn(count, 3, generator=rng)
    if grasp_type.name in ("writing_tripod", "lateral"):
        axis = torch.randn(count, 3, generator=rng)
    hand_frame = frame_from(facing, axis)
    body_frame = frame_from(X, Z)
    wobble = axis_angle_to_matrix(0.15 * torch.randn(count, 3, generator=rng))
    rotation = wobble @ body_frame @ hand_frame.transpose(1, 2)
    wrist = -(rotation @ centre[..., None])[..., 0] + 0.004 * torch.randn(count, 3, generator=rng)
    return Poses(rotation, wrist, dofs, posture.clone(), (grasp_type.name,) * count)


def calibrate(grasp_type: GraspType, width: float, hand: HandModel, hand_points: HandPoints, starts: int,
              rng: torch.Generator) -> dict:
    obj = body(grasp_type, width)
    energy = GraspEnergy(hand, hand_points, torch.zeros(10), obj)
    poses = first_poses(grasp_type, energy, width, starts, rng)
    poses, energies = minimise(energy, poses, STAGES, keep=0.25)
    best = int(energies.argmin())
    rotation, wrist = poses.rotation[best], poses.wrist[best]
    points = energy.points(poses)[best]
    patches = energy.hand_points.patches
    by_palm = grasp_type.power and grasp_type.ideal != "slab" and grasp_type.name != "fixed_hook"
    holder = "palm" if by_palm else "thumb tip"
    place = points[patches[holder].rows].mean(0)
    centre, facing = torch.zeros(3), X
    if grasp_type.ideal == "sphere":
        facing = place
    elif grasp_type.ideal == "cylinder":
        touched = [points[patches[name].rows].mean(0) for name in grasp_type.contact_weights]
        centre = Z * torch.stack(touched).mean(0)[2]
        facing = place * torch.tensor([1.0, 1.0, 0.0])
        if grasp_type.name == "fixed_hook":
            facing = (points[patches["palm"].rows].mean(0)) * torch.tensor([1.0, 1.0, 0.0])
    elif grasp_type.ideal == "slab" and place[0] < 0:
        facing = -X
    facing = torch.nn.functional.normalize(facing, dim=0)
    return {
        "width": round(width, 4),
        "energy": round(float(energies[best]), 3),
        "dofs": [round(float(v), 1) for v in torch.rad2deg(poses.dofs[best])],
        "centre": [round(float(v), 4) for v in rotation.T @ (centre - wrist)],
        "facing": [round(float(v), 4) for v in rotation.T @ facing],
        "axis": [round(float(v), 4) for v in rotation.T @ Z],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="*", default=[grasp_type.name for grasp_type in TYPES])
    parser.add_argument("--starts", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=TEMPLATES)
    arguments = parser.parse_args()
    hand = load_hand()
    hand_points = HandPoints(hand)
    table = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for grasp_type in TYPES:
        if grasp_type.name not in arguments.types:
            continue
        low, high = grasp_type.widths
        rows = []
        for fraction in (0.12, 0.5, 0.88):
            width = low + fraction * (high - low)
            rng = torch.Generator().manual_seed(arguments.seed)
            row = calibrate(grasp_type, width, hand, hand_points, arguments.starts, rng)
            rows.append(row)
            sys.stdout.write(f"{grasp_type.name:20s} {width * 100:5.1f} cm  energy {row['energy']:7.3f}\n")
            sys.stdout.flush()
        table[grasp_type.name] = rows
        ordered = {other.name: table[other.name] for other in TYPES if other.name in table}
        lines = [f'"{name}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n]" for name, rows in ordered.items()]
        arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
