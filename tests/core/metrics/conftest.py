"""Objects made of primitives, and one real grasp: a hand closed on a ball by gradient descent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.batch import Grasps
from core.hand import load_hand
from core.objects import prepare_object


def prepared(mesh):
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="session")
def hand():
    return load_hand()


@pytest.fixture(scope="session")
def ball():
    return prepared(trimesh.creation.icosphere(4, 0.033))


@pytest.fixture(scope="session")
def ball_grasp(hand):
    """One power grasp of the ball, 0.7 mm deep at the pads."""
    degrees = torch.tensor([40.0, 0, 40, 25] * 4 + [36, 54, 3, 8, 20])
    start = torch.deg2rad(degrees)[None]
    turn = torch.zeros(1, 3)
    with torch.no_grad():
        out = hand(turn, hand.pose_from_dofs(start), turn, torch.zeros(1, 10))
    pads = [out.vertices[0, region].mean(0) for region in hand.contact_regions]
    centre = torch.stack([pads[0], torch.stack(pads[1:5]).mean(0), pads[5]]).mean(0)
    dofs, transl = start.clone().requires_grad_(), (-centre[None]).clone().requires_grad_()
    adam = torch.optim.Adam([{"params": [dofs], "lr": 0.02}, {"params": [transl], "lr": 0.001}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 150)
    for _ in range(150):
        adam.zero_grad()
        vertices = hand(turn, hand.pose_from_dofs(dofs), transl, torch.zeros(1, 10)).vertices[0]
        distance = vertices.norm(dim=1) - 0.033
        nearest = torch.stack([distance[region].min() for region in hand.contact_regions])
        deep = (-0.0007 - distance).relu()
        loss = ((nearest + 0.0005) * 100).square().sum() + 3 * (deep * 100).square().sum()
        loss = loss + 0.02 * (dofs - start).square().sum()
        loss.backward()
        adam.step()
        schedule.step()
    pose = hand.pose_from_dofs(dofs).detach()
    return Grasps(turn, pose, transl.detach(), torch.zeros(1, 10), torch.zeros(1), type=("power_sphere",))


@pytest.fixture(scope="session")
def bowl():
    """Half a hollow ball of 8 cm with a wall of one millimetre, open upward."""
    angle = np.linspace(0, np.pi / 2, 33)
    arc = np.stack([np.sin(angle), -np.cos(angle)], 1)
    return prepared(trimesh.creation.revolve(np.concatenate([0.040 * arc, 0.039 * arc[::-1]]), sections=96))


@pytest.fixture(scope="session")
def pieces_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pieces")
