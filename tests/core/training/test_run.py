"""Every training runs, stops and goes on; stages see what they say; units of what was learned stay."""

import json
from dataclasses import replace

import pytest
import torch

from core.generators import keypoints
from core.generators.hand_loss import HandLoss
from core.generators.training_config import OptimizerConfig, Stage
from core.registry import TRAINED, training_config
from core.training.run import run


@pytest.mark.parametrize("options, stages, terms", [
    ({"passes": 0}, ["reconstruction", "autoencoder", "diffusion", "finer"], set()),
    ({"diffusion": HandLoss()}, ["reconstruction", "autoencoder", "diffusion", "adaptation", "finer", "finest"],
     {"penetration", "noise"}),
    ({"object_frame": True, "vertices": False, "passes": 0}, ["reconstruction", "autoencoder", "diffusion", "finer"],
     set()),
])
def test_the_ablations_variants_are_trained(data, tmp_path, options, stages, terms, hand):
    config = training_config("fastgrasp", 0.0001, **options)
    assert [stage.name for stage in config.stages] == stages
    assert run(config, data, hand, tmp_path, 600.0, lambda line: None)
    log = json.loads((tmp_path / "diffusion.jsonl").read_text().splitlines()[-1])
    assert terms <= set(log)
    assert ("penetration" in log) == ("penetration" in terms)
    assert config.object_frame == options.get("object_frame", False)


@pytest.mark.parametrize("name", list(TRAINED))
def test_each_training_runs_stops_and_goes_on(data, shapes, tmp_path, name, hand):
    lines = []
    config, again = (training_config(name, 0.0001) for _ in range(2))
    assert not run(config, data, hand, tmp_path, 0.0, lines.append, shapes=shapes)
    assert run(again, data, hand, tmp_path, 600.0, lines.append, shapes=shapes)
    for stage in config.stages:
        assert (tmp_path / f"{stage.name}.jsonl").exists()
    for value in again.network.state_dict().values():
        assert torch.isfinite(value).all()


def test_a_stage_sees_as_many_points_as_it_says(data, tmp_path, hand):
    seen = {}

    def loss(name):
        def of(hand, batch, rng):
            seen[name] = batch["cloud"].shape[1]
            return {"loss": config.network.wishes(batch["grasp_type"], batch["intent"]).square().mean()}
        return of

    config = keypoints.training_config(0.0001)
    stages = tuple(Stage(name, ("wishes",), loss(name), OptimizerConfig(1), 4, points=points)
                   for name, points in (("few", 32), ("own", None)))
    config = replace(config, stages=stages)
    assert run(config, data, hand, tmp_path, 600.0, lambda line: None)
    assert seen == {"few": 32, "own": config.network.points}
    assert [config.points_of(stage) for stage in stages] == [32, config.network.points]


def test_grown_data_leaves_the_units_of_what_was_learned(data, tmp_path, hand):
    first, then, fresh = (training_config("fastgrasp", 0.0001) for _ in range(3))
    run(first, data, hand, tmp_path, 0.0, lambda line: None)
    grown = replace(data, grasps=replace(data.grasps, transl=data.grasps.transl * 1.1))
    run(then, grown, hand, tmp_path, 0.0, lambda line: None)
    assert torch.equal(then.network.code.mean, first.network.code.mean)
    assert torch.equal(then.network.code.scale, first.network.code.scale)
    run(fresh, grown, hand, tmp_path / "fresh", 0.0, lambda line: None)
    assert not torch.equal(fresh.network.code.mean, first.network.code.mean)
