"""The training file: what goes in comes out, shares are kept, objects are built again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.dataset.training_grasps import (
    COLUMNS,
    TrainingGrasps,
    balanced,
    kept_level,
    load_training,
    merge,
    training_object,
)
from core.grasps.intents import INTENTS, hand_directions
from core.rotations import axis_angle_to_matrix
from core.synthesis.production import PRODUCTION, Task, plan, produce, quaternions


def made(count: int, family: str = "mug", grasp_type: int = 0, seed: int = 0) -> TrainingGrasps:
    rng = np.random.default_rng(seed)
    values = {name: rng.random((count, width) if width > 1 else count) for name, (_, width) in COLUMNS.items()}
    values |= {"object": np.zeros(count), "type": np.full(count, grasp_type), "intent": np.zeros(count)}
    return TrainingGrasps((f"{family}/0",), **values)


@pytest.fixture(scope="module")
def produced(hand):
    task = Task("ball/0", "any")
    obj = training_object(task.object)
    return hand, obj, produce(task, obj, hand, seed=0)


def test_a_slice_gives_grasps_that_touch_and_hold(produced):
    from core.metrics.strict import strict_measures

    hand, obj, made_here = produced
    assert len(made_here) >= 4
    measures = strict_measures(obj, hand, made_here.grasps(hand)[:4])
    assert float(measures["held"].float().mean()) >= 0.75
    assert float(measures["depth_mm"].max()) < 2.5  # half precision costs a few tenths


def test_a_seed_repeats_a_slice_and_another_gives_other_grasps(produced):
    hand, obj, _ = produced
    few = replace(PRODUCTION, hands=32, rounds=1)
    one, again, other = (produce(Task("ball/0", "any"), obj, hand, seed, config=few) for seed in (0, 0, 1))
    assert len(one)
    assert np.array_equal(again.dofs, one.dofs)
    assert np.array_equal(again.transl, one.transl)
    assert len(other)
    assert not np.array_equal(other.transl[:1], one.transl[:1])


def test_half_precision_moves_no_fingertip_by_half_a_millimetre(hand):
    turn = torch.randn(64, 3)
    quaternion = quaternions(turn).half()
    stored = TrainingGrasps(("ball/0",), **{
        name: np.zeros((64, width) if width > 1 else 64) for name, (_, width) in COLUMNS.items()
    } | {"rotation": quaternion.numpy()}).grasps(hand)
    error = axis_angle_to_matrix(stored.global_orient) - axis_angle_to_matrix(turn)
    assert float(error.norm(dim=(1, 2)).max()) * 0.19 < 0.0005


def test_an_intent_without_its_part_gives_nothing(produced):
    hand, obj, _ = produced
    assert len(produce(Task("ball/0", "handover"), obj, hand, seed=0)) == 0


def test_the_file_gives_back_what_was_saved(tmp_path):
    grasps = made(5)
    grasps.save(tmp_path / "a.npz")
    again = load_training(tmp_path / "a.npz")
    assert again.objects == grasps.objects
    for name in COLUMNS:
        assert np.array_equal(getattr(again, name), getattr(grasps, name)), name
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_merging_keeps_each_grasp_with_its_object():
    whole = merge([made(3, "mug"), made(2, "pan"), made(4, "mug", seed=1)])
    assert whole.objects == ("mug/0", "pan/0")
    assert whole.families.tolist() == ["mug"] * 3 + ["pan"] * 2 + ["mug"] * 4


def test_no_type_and_no_family_takes_more_than_its_share():
    parts = [made(400, "mug", 0)] + [made(60, f"f{i}", 1 + i % 16, i) for i in range(30)]
    kept = balanced(merge(parts))
    shares = np.bincount(kept.type) / len(kept)
    _, counts = np.unique(kept.families, return_counts=True)
    assert shares.max() <= 0.2
    assert counts.max() / len(kept) <= 0.08 + 1e-6
    assert len(kept) > 1500
    lowest = kept.score[kept.families == "mug"].min()
    assert (made(400, "mug", 0).score > lowest).sum() <= (kept.families == "mug").sum()  # the best were kept


def test_a_merged_file_holds_no_pan_too_steep_for_use(produced):
    """Grasps of a ball passed off as a pan's: in use only those with a low forearm stay, to hold it all do."""
    hand, _, ball = produced
    pan = replace(ball, objects=("pan/0",))
    distal = hand_directions(hand(**pan.grasps(hand).parameters()).joints.detach())[1][:, 2].abs()
    used = replace(pan, intent=np.full(len(pan), INTENTS.index("use")))
    kept = kept_level(used, hand)
    assert 0 < len(kept) < len(pan)
    assert len(kept) == int((distal <= 0.776).sum())
    assert len(kept_level(pan, hand)) == len(kept_level(replace(used, objects=("mug/0",)), hand)) == len(pan)


def test_splits_are_by_object():
    whole = merge([made(3, "mug"), made(2, "teapot")])
    assert len(whole.split("train")) == 3
    assert set(whole.split("family").families) == {"teapot"}


def test_a_column_of_the_wrong_size_is_refused():
    values = {name: np.zeros((2, width) if width > 1 else 2) for name, (_, width) in COLUMNS.items()}
    with pytest.raises(ValueError, match="dofs"):
        TrainingGrasps(("mug/0",), **values | {"dofs": np.zeros((2, 20))})


def test_the_plan_weighs_handles_and_takes_every_family_in_turn():
    tasks = plan({"mug": 2, "ball": 2}, {"mug"})
    assert [task.object for task in tasks if task.object.endswith("/0")] == [
        task.object for task in tasks][: sum(task.object.endswith("/0") for task in tasks)]
    first = [task for task in tasks if task.object == "mug/0"]
    assert sum(task.intent == "use" for task in first) == 2
    assert "handover" in {task.intent for task in first}
    assert len(first) > len([task for task in tasks if task.object == "ball/0"])
    assert len({task.name for task in tasks}) == len(tasks)


def test_later_shapes_have_two_slices_each_and_a_use_of_the_handle():
    tasks = plan({"mug": 7, "ball": 7}, {"mug"})
    for seed in range(3, 7):
        for family in ("mug", "ball"):
            mine = [task.intent for task in tasks if task.object == f"{family}/{seed}"]
            assert len(mine) == 2
            assert family == "ball" or mine.count("use") == 1
    assert {"handover", "any", "hold", "lift"} <= {task.intent for task in tasks}
