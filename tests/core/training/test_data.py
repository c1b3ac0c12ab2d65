"""The training grasps as networks see them."""

import pytest
import torch

from core.dataset.training_grasps import load_training
from core.generators.hand_parameters import HandNormalizer
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import SkinSample
from core.training import data as training_data
from core.training.data import load_training_data


def test_splits_are_kept_apart(data):
    names = {split: {data.names[index].split("/")[0] for index in data.object[data.rows(split)].tolist()}
             for split in training_data.SPLITS}
    assert names["train"] == {"mug", "can"}
    assert names["shape"] == {"mug"}
    assert len(names["family"]) == 1


def test_they_are_made_anew_only_when_the_grasps_change(files, data, monkeypatch, hand):
    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(training_data, "make_columns", never)
    again = load_training_data(files / "grasps.npz", files / "windows.npz", hand)
    assert torch.equal(again.points, data.points)
    load_training(files / "grasps.npz")[:5].save(files / "fewer.npz")
    with pytest.raises(AssertionError, match="made again"):
        load_training_data(files / "fewer.npz", files / "windows.npz", hand)


def test_a_batch_shows_the_hand_on_its_surface(data, hand):
    """However the frame was jittered, hands and clouds belong together: true hands touch the cloud's points."""
    normalizer = HandNormalizer()
    rows = data.rows("train")
    normalizer.fit(hand, data.grasps[rows], data.frames[rows])
    one, two = (data.batch(rows, hand, normalizer, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert (one["params"] - two["params"]).abs().max() > 0.01
    for batch in (one, two):
        skin = normalizer.skin(SkinSample(hand), batch["params"]).points
        near = torch.cdist(skin, batch["cloud"][..., :3] * LOCAL_RADIUS).amin((1, 2))
        assert near.max() < 0.008
    repeated = data.batch(rows, hand, normalizer, torch.Generator().manual_seed(1))
    assert all(torch.equal(value, one[key]) for key, value in repeated.items())


def test_the_papers_frame_turns_anyhow(data, hand):
    normalizer = HandNormalizer()
    rows = data.rows("train")
    normalizer.fit(hand, data.grasps[rows], data.frames[rows])
    batch = data.batch(rows, hand, normalizer, torch.Generator().manual_seed(1), object_frame=True)
    spread = batch["cloud"][..., :3].mean(1).norm(dim=1)
    assert batch["cloud"].shape[2] == 6
    assert torch.isfinite(batch["params"]).all()
    assert spread.max() < 1.0


def test_hands_to_refine_are_seen_from_where_they_are(data, hand):
    """Their frames, clouds and truths belong together, contact too; the rest of the batch is as it was."""
    normalizer = HandNormalizer()
    rows = data.rows("train")
    normalizer.fit(hand, data.grasps[rows], data.frames[rows])
    batch = data.batch(rows, hand, normalizer, torch.Generator().manual_seed(2), 1024, noisy_share=0.5)
    given = batch["given"]
    assert given.any()
    assert not given.all()
    sample = SkinSample(hand)
    place, noisy, true = batch["cloud"][..., :3] * LOCAL_RADIUS, *(
        normalizer.skin(sample, batch[key]).points for key in ("noisy", "params"))
    middle = (noisy.mean(1) - place.mean(1)).norm(dim=1)
    assert middle[given].median() < 0.12  # the cloud is around the noisy hand
    moved = (noisy - true).norm(dim=-1).mean(1)
    assert 0.05 < float(moved.mean()) < 0.13
    near = torch.cdist(true, place).amin((1, 2))
    assert near[~given].max() < 0.008
    # Contact turns with the frames: where a Gaussian lies from its anchor, the surface is near.
    anchored = SkinSample(hand, anchored=True)
    anchors = anchored.anchors(normalizer.skin(anchored, batch["params"]))
    there = batch["contacts"][..., 3:].abs().amax(-1) > 0
    away = torch.cdist(anchors + batch["contacts"][..., :3], place).amin(2)
    assert away[there & ~given[:, None]].median() < 0.006
    plain = torch.cdist(anchors, place).amin(2)
    assert away[there & ~given[:, None]].mean() < plain[there & ~given[:, None]].mean()
