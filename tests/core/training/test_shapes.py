"""Batches of procedural shapes: distances are those of the shapes, frames on them, and nothing of what is held out."""

import numpy as np
import pytest
import torch

from core.dataset.shapes import HELD_OUT
from core.generators.training_config import OptimizerConfig, Stage, TrainingConfig
from core.grasps.heading_frame import LOCAL_RADIUS
from core.registry import training_config
from core.training import shapes as module
from core.training.run import run
from core.training.shapes import SHAPES, load_shape_data


def nearest(batch):
    """How far the places are from the clouds' points, metres; how far apart those are is some millimetres."""
    return torch.cdist(batch["query"], batch["shape"][..., :3] * LOCAL_RADIUS).amin(-1)


@pytest.mark.parametrize("train", [True, False])
def test_distances_are_those_of_the_shapes_as_they_are_seen(shapes, rng, train):
    batch = shapes.batch(6, rng, train=train)
    assert batch["shape"].shape == (6, 2048, 6)
    assert batch["query"].shape == (6, SHAPES.queries, 3)
    near = batch["distance"].abs() < 0.02
    wrong = (batch["distance"].abs() - nearest(batch)).abs()[near]
    assert float(wrong.mean()) < 0.002
    assert bool((batch["distance"] < 0).any())
    assert torch.allclose(batch["shape"][..., 3:].norm(dim=-1), torch.ones(6, 2048), atol=2e-3)


def test_frames_lie_on_the_surface_and_half_of_the_points_about_them(shapes, rng):
    cloud = shapes.batch(16, rng)["shape"]
    distance = cloud[..., :3].norm(dim=-1) * LOCAL_RADIUS
    assert float(distance.amin(1).max()) < 4 * SHAPES.shift
    assert float(distance[:, :1024].max()) <= LOCAL_RADIUS + 1e-4
    upward = cloud[..., 5].gather(1, distance.argmin(1, keepdim=True))
    assert float(upward.mean()) > 0.7  # z is the normal there


def test_shapes_to_be_trained_on_are_stretched_and_mirrored(shapes, rng):
    kept = shapes.batch(64, rng, train=False, points=4096)["shape"]
    size = [(cloud[:, :3] - cloud[:, :3].mean(0)).square().sum(-1).mean().sqrt() for cloud in (kept[0], kept[1])]
    assert float(size[0]) == pytest.approx(float(size[1]), rel=0.15)  # only "mug/5" is held out
    one = module.ShapeData(*(value[:1] for value in vars(shapes).values()))
    spread = one.batch(64, rng)["shape"][:, 1024:, :3].std(1).norm(dim=1)
    assert float(spread.std() / spread.mean()) > 0.08


def test_held_out_families_are_never_made(monkeypatch, tmp_path):
    asked = []

    made = module.make_columns

    def columns(names, progress):
        asked.extend(names)
        return made(names[:6], progress)
    monkeypatch.setattr(module, "make_columns", columns)
    data = load_shape_data(tmp_path / "shapes.npz")
    assert not {family for family, _ in asked} & set(HELD_OUT)
    assert len(asked) == 60 * SHAPES.seeds
    assert data.train.tolist() == [seed % 6 != 5 for _, seed in asked[:6]]
    again = load_shape_data(tmp_path / "shapes.npz")
    assert len(asked) == 60 * SHAPES.seeds  # they are kept
    assert torch.equal(again.places, data.places)


def test_distances_are_exact_and_outward(shapes):
    from core.dataset.shapes import make_shape
    from core.objects.mesh_query import ExactSurface
    shape = make_shape("mug", 0)
    middle = (shape.vertices.min(0) + shape.vertices.max(0)) / 2
    surface = ExactSurface(shape.vertices - middle, shape.faces)
    places = shapes.places[0, ::64].double().numpy()
    distance, _, closest = surface.signed(places)
    assert np.allclose(shapes.distance[0, ::64].numpy(), distance, atol=2e-4)
    back = places - shapes.away[0, ::64].double().numpy() * distance[:, None]
    assert np.allclose(back, closest, atol=1e-3)


def test_a_training_that_asks_for_shapes_says_so(data, shapes, hand, tmp_path):
    config = training_config("jhod", 1e-6)
    assert config.sees_shapes
    with pytest.raises(ValueError, match="procedural shapes"):
        run(config, data, hand, tmp_path, 1.0, lambda line: None)


def test_a_stage_sees_as_many_shapes_and_grasps_as_it_says(data, shapes, hand, tmp_path):
    seen = []

    def loss(hand, batch, rng):
        seen.append((len(batch["shape"]), len(batch.get("params", ())), "object" in batch))
        return {"loss": network.wishes(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)).sum()}
    network = training_config("jhod", 1e-6).network
    stages = (Stage("alone", ("wishes",), loss, OptimizerConfig(1), 0, shapes=3),
              Stage("both", ("wishes",), loss, OptimizerConfig(1), 4, points=32, shapes=2, object_points=64))
    assert run(TrainingConfig(network, stages), data, hand, tmp_path, 600.0, lambda line: None, shapes=shapes)
    assert seen[0] == (3, 0, False)
    assert seen[2] == (2, 4, True)
    checked = min(512, len(data.rows("shape")))
    assert seen[1] == (checked, 0, False)
    assert seen[3] == (round(checked / 2), checked, True)
