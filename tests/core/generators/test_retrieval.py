"""The baseline: training grasps laid where it looks alike."""

from __future__ import annotations

import numpy as np
import torch
import trimesh

from core.generators import retrieval
from core.generators.retrieval import ARRAYS, WRISTS_APART, Retrieval, load_index
from core.grasps.heading_frame import local_distances, random_frames
from core.grasps.request import GraspRequest
from core.hand import load_hand
from core.objects import prepare_object
from core.progress import Progress


def test_retrieval_finds_the_grasp_of_the_place_it_came_from(hand):
    """An index of one object's own places: what comes back lies where the places were."""
    mesh = trimesh.creation.box((0.03, 0.05, 0.12)).subdivide().subdivide()
    obj, rng = prepare_object(np.asarray(mesh.vertices), np.asarray(mesh.faces)), torch.Generator().manual_seed(3)
    frames = random_frames(obj, 40, 8, rng)
    pose = 0.1 * torch.randn(320, 45, generator=rng)
    index = {"features": local_distances(obj, frames).numpy(), "rotation": np.tile(np.eye(3), (320, 1, 1)),
             "wrist": np.tile([0.0, 0, 0.05], (320, 1)), "hand_pose": pose.numpy(), "type": np.zeros(320, np.uint8)}
    request = GraspRequest(obj, hand, 6)
    grasps, field = Retrieval(index).sample(request, torch.Generator().manual_seed(1), Progress())
    assert field is None
    assert len(grasps) == 6
    wrists = hand(**grasps.parameters()).joints[:, 0]
    assert torch.allclose(obj.grid.query(wrists)[0], torch.full((6,), 0.05), atol=0.012)
    apart = torch.cdist(grasps.transl, grasps.transl) + torch.eye(6)
    assert apart.min() > WRISTS_APART
    assert (grasps.score[:-1] >= grasps.score[1:]).all()
    assert set(grasps.type) == {"large_diameter"}


def test_an_index_counts_for_its_file_and_its_hand(hand, tmp_path, monkeypatch):
    """Another file of the same size is another; so is another hand."""
    made = []

    class Grasps:
        def split(self, name):
            assert name == "train"
            return self

    def build(*_):
        made.append(1)
        return {name: np.full(3, len(made)) for name in ARRAYS}

    monkeypatch.setattr(retrieval, "load_training", lambda _: Grasps())
    monkeypatch.setattr(retrieval, "build_index", build)
    (tmp_path / "a.npz").write_bytes(b"one file")
    (tmp_path / "b.npz").write_bytes(b"not that")
    kept = tmp_path / "index.npz"
    for file, side, count in (("a", "right", 1), ("a", "right", 1), ("b", "right", 2), ("b", "left", 3)):
        index = load_index(tmp_path / f"{file}.npz", kept, load_hand(None, side))
        assert index["features"].tolist() == [count] * 3
    kept.write_bytes(b"damaged")
    assert load_index(tmp_path / "a.npz", kept, hand)["type"].tolist() == [4] * 3
