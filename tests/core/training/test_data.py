import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.dataset.training_grasps import load_training, merge
from core.generators.fastgrasp import HandLoss
from core.generators.hand_parameters import HandNormalizer
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand import load_hand
from core.hand.skin import SkinSample
from core.training import data as training_data
from core.training.configs import CONFIGS, Stage, fastgrasp, run
from core.training.data import load_training_data
from core.training.loop import OptimizerConfig


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A few grasps of two training shapes, of one held out, and of a family held out."""
    folder = tmp_path_factory.mktemp("windows")
    every = load_training("weights/training/grasps.npz")
    parts = []
    for name in ("mug/0", "can/0", "mug/5", next(n for n in every.objects if every.split("family").families.size
                                               and n.split("/")[0] in set(every.split("family").families.tolist()))):
        parts.append(every[np.flatnonzero(every.object == every.objects.index(name))[:12]])
    merge(parts).save(folder / "grasps.npz")
    return folder


@pytest.fixture(scope="module")
def windows(files):
    return load_training_data(files / "grasps.npz", files / "windows.npz", load_hand())


def test_splits_are_kept_apart(windows):
    names = {split: {windows.names[index].split("/")[0] for index in windows.object[windows.rows(split)].tolist()}
             for split in training_data.SPLITS}
    assert names["train"] == {"mug", "can"}
    assert names["shape"] == {"mug"}
    assert len(names["family"]) == 1


def test_they_are_made_anew_only_when_the_grasps_change(files, windows, monkeypatch):
    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(training_data, "_make", never)
    again = load_training_data(files / "grasps.npz", files / "windows.npz", load_hand())
    assert torch.equal(again.points, windows.points)
    load_training(files / "grasps.npz")[:5].save(files / "fewer.npz")
    with pytest.raises(AssertionError, match="made again"):
        load_training_data(files / "fewer.npz", files / "windows.npz", load_hand())


def test_a_batch_shows_the_hand_on_its_surface(windows):
    """However the frame was jittered, code and window belong together: true hands touch the window's points."""
    hand, code = load_hand(), HandNormalizer()
    rows = windows.rows("train")
    code.fit(hand, windows.grasps[rows], windows.frames[rows])
    one, two = (windows.batch(rows, hand, code, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert (one["code"] - two["code"]).abs().max() > 0.01
    for batch in (one, two):
        skin = code.skin(SkinSample(hand), batch["code"]).points
        near = torch.cdist(skin, batch["window"][..., :3] * LOCAL_RADIUS).amin((1, 2))
        assert near.max() < 0.008
    repeated = windows.batch(rows, hand, code, torch.Generator().manual_seed(1))
    assert all(torch.equal(value, one[key]) for key, value in repeated.items())


def test_the_papers_frame_turns_anyhow(windows):
    hand, code = load_hand(), HandNormalizer()
    rows = windows.rows("train")
    code.fit(hand, windows.grasps[rows], windows.frames[rows])
    batch = windows.batch(rows, hand, code, torch.Generator().manual_seed(1), object_frame=True)
    spread = batch["window"][..., :3].mean(1).norm(dim=1)
    assert batch["window"].shape[2] == 6
    assert torch.isfinite(batch["code"]).all()
    assert spread.max() < 1.0


@pytest.mark.parametrize("options, stages, terms", [
    ({"passes": 0}, ["reconstruction", "autoencoder", "diffusion", "finer"], set()),
    ({"diffusion": HandLoss()}, ["reconstruction", "autoencoder", "diffusion", "adaptation", "finer", "finest"],
     {"penetration", "noise"}),
    ({"object_frame": True, "vertices": False, "passes": 0}, ["reconstruction", "autoencoder", "diffusion", "finer"],
     set()),
])
def test_the_ablations_variants_are_trained(windows, tmp_path, options, stages, terms):
    recipe = fastgrasp(0.0001, **options)
    assert [stage.name for stage in recipe.stages] == stages
    assert run(recipe, windows, load_hand(), tmp_path, 600.0, lambda line: None)
    log = json.loads((tmp_path / "diffusion.jsonl").read_text().splitlines()[-1])
    assert terms <= set(log)
    assert ("penetration" in log) == ("penetration" in terms)
    assert recipe.object_frame == options.get("object_frame", False)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_each_recipe_runs_stops_and_goes_on(windows, tmp_path, name):
    hand = load_hand()
    lines = []
    scale = 0.0001 if name == "jointdiffusion" else 0.001
    recipe = CONFIGS[name](scale)
    assert not run(recipe, windows, hand, tmp_path, 0.0, lines.append)
    assert run(CONFIGS[name](scale), windows, hand, tmp_path, 600.0, lines.append)
    for stage in recipe.stages:
        assert (tmp_path / f"{stage.name}.jsonl").exists()
    for value in recipe.network.state_dict().values():
        assert torch.isfinite(value).all()


def test_a_stage_sees_as_many_points_as_it_says(windows, tmp_path):
    seen = {}

    def loss(name):
        def of(hand, batch, rng):
            seen[name] = batch["window"].shape[1]
            return {"loss": recipe.network.wishes(batch["kind"], batch["intent"]).square().mean()}
        return of

    recipe = CONFIGS["jointdiffusion"](0.0001)
    stages = tuple(Stage(name, ("wishes",), loss(name), OptimizerConfig(1), 4, points=points)
                   for name, points in (("few", 32), ("own", None)))
    recipe = replace(recipe, stages=stages)
    assert run(recipe, windows, load_hand(), tmp_path, 600.0, lambda line: None)
    assert seen == {"few": 32, "own": recipe.network.points}
    assert [recipe.points_of(stage) for stage in stages] == [32, recipe.network.points]


def test_grown_data_leaves_the_units_of_what_was_learned(windows, tmp_path):
    hand = load_hand()
    first, then = CONFIGS["fastgrasp"](0.0001), CONFIGS["fastgrasp"](0.0001)
    run(first, windows, hand, tmp_path, 0.0, lambda line: None)
    grown = replace(windows, grasps=replace(windows.grasps, transl=windows.grasps.transl * 1.1))
    run(then, grown, hand, tmp_path, 0.0, lambda line: None)
    assert torch.equal(then.network.code.mean, first.network.code.mean)
    assert torch.equal(then.network.code.scale, first.network.code.scale)
    fresh = CONFIGS["fastgrasp"](0.0001)
    run(fresh, grown, hand, tmp_path / "fresh", 0.0, lambda line: None)
    assert not torch.equal(fresh.network.code.mean, first.network.code.mean)


def test_hands_to_refine_are_seen_from_where_they_are(windows):
    """Their frames, clouds and truths belong together, contact too; the rest of the batch is as it was."""
    hand, code = load_hand(), HandNormalizer()
    rows = windows.rows("train")
    code.fit(hand, windows.grasps[rows], windows.frames[rows])
    batch = windows.batch(rows, hand, code, torch.Generator().manual_seed(2), 1024, noisy=0.5)
    given = batch["given"]
    assert given.any()
    assert not given.all()
    sample = SkinSample(hand)
    place, rough, true = batch["window"][..., :3] * LOCAL_RADIUS, *(
        code.skin(sample, batch[key]).points for key in ("noisy", "code"))
    middle = (rough.mean(1) - place.mean(1)).norm(dim=1)
    assert middle[given].median() < 0.12  # the window is around the noisy hand
    moved = (rough - true).norm(dim=-1).mean(1)
    assert 0.05 < float(moved.mean()) < 0.13
    near = torch.cdist(true, place).amin((1, 2))
    assert near[~given].max() < 0.008
    # Contact turns with the frames: where a Gaussian lies from its anchor, the surface is near.
    anchored = SkinSample(hand, anchored=True)
    anchors = anchored.anchors(code.skin(anchored, batch["code"]))
    there = batch["contacts"][..., 3:].abs().amax(-1) > 0
    away = torch.cdist(anchors + batch["contacts"][..., :3], place).amin(2)
    assert away[there & ~given[:, None]].median() < 0.006
    plain = torch.cdist(anchors, place).amin(2)
    assert away[there & ~given[:, None]].mean() < plain[there & ~given[:, None]].mean()
