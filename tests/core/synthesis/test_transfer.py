"""Grasps of one shape as starts on another of its family: where they are laid, which may be used, and what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.dataset.training_grasps import COLUMNS, TYPE_NAMES, TrainingGrasps, load_training, merge, training_object
from core.fitting.descent import Stage
from core.grasps.intents import INTENTS
from core.synthesis import production
from core.synthesis.production import PRODUCTION, Task, produce, work_of
from core.synthesis.transfer import GraspLibrary, TransferConfig, known_shape, load_library, transfer_grasps

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def hammers():
    return {name: training_object(name) for name in ("hammer/0", "hammer/1")}


@pytest.fixture(scope="module")
def known():
    """Grasps of the first hammer by its handle, of those the project has."""
    every = load_training(ROOT / "weights" / "training" / "grasps.npz")
    mine = every.object == every.objects.index("hammer/0")
    return every[np.flatnonzero(mine & (every.intent == INTENTS.index("use")))[:24]]


def labelled(name: str, intent: str = "use", grasp_type: str = "medium_wrap", count: int = 1) -> TrainingGrasps:
    values = {column: np.zeros((count, width) if width > 1 else count) for column, (_, width) in COLUMNS.items()}
    values |= {"intent": np.full(count, INTENTS.index(intent)), "type": np.full(count, TYPE_NAMES.index(grasp_type))}
    return TrainingGrasps((name,), **values)


def test_on_its_own_shape_a_copy_lands_where_it_was(known, hammers, hand):
    exact = TransferConfig(turn=0.0, bend=0.0, move=0.0, wander=0.0)
    copies = transfer_grasps(known, hammers["hammer/0"], hand, torch.zeros(10), torch.Generator().manual_seed(0), exact)
    grasps = known.grasps(hand)
    root = hand.rest(torch.zeros(1, 10))[1][0, 0]
    away = (copies.wrist - (grasps.transl + root)).norm(dim=1)
    assert float(away.median()) < 0.006  # points of a surface lie some millimetres apart
    assert torch.allclose(copies.dofs, torch.from_numpy(known.dofs.astype(np.float32)), atol=0.002)  # half precision
    assert copies.types == grasps.type


def test_on_another_shape_a_copy_is_on_the_same_part(known, hammers, hand):
    other = hammers["hammer/1"]
    copies = transfer_grasps(known, other, hand, torch.zeros(10), torch.Generator().manual_seed(0))
    handle = other.points[other.parts.mask(frozenset({"handle"}))]
    palm = copies.wrist + copies.rotation @ torch.tensor([-0.07, -0.03, 0.0])
    assert float((torch.cdist(palm, handle).amin(1) < 0.05).float().mean()) > 0.9
    again = transfer_grasps(known, other, hand, torch.zeros(10), torch.Generator().manual_seed(0))
    assert torch.equal(copies.wrist, again.wrist)
    assert not torch.equal(copies.dofs, torch.from_numpy(known.dofs.astype(np.float32)))  # bent a little


def test_sources_are_of_the_family_the_split_the_intent_and_the_types():
    every = merge([labelled("mug/0"), labelled("mug/1"), labelled("mug/5"), labelled("mug/11"), labelled("pan/0"),
                   labelled("mug/2", "handover"), labelled("mug/3", grasp_type="lateral"), labelled("mug/4", "hold")])
    grasps = GraspLibrary(every, "0" * 8)

    def names(*asked):
        near = grasps.near(*asked)
        return {near.objects[row] for row in near.object}

    wraps = {"medium_wrap"}
    assert names("mug/1", "use", wraps) == {"mug/0"}
    assert names("mug/5", "use", wraps) == {"mug/11"}  # held-out shapes learn from each other alone
    assert names("mug/0", "handover", wraps) == {"mug/2"}
    assert names("mug/0", "lift", wraps) == {"mug/4"}
    assert names("mug/0", "use", {"lateral"}) == {"mug/3"}
    assert len(grasps.near("mesh/mug.obj", "any", wraps)) == 0


def test_a_round_starts_in_part_from_copies_and_a_seed_repeats_it(known, hammers, hand, monkeypatch, tmp_path):
    short = (Stage(1, 0.04, 0.15, 0.0), Stage(1, 0.025, 0.08, 0.05), Stage(1, 0.007, 0.028, 0.014, whole_skin=True))
    config = replace(PRODUCTION, stages=short, rounds=1, hands=12)
    rounds = []
    original = production.sample_starts
    monkeypatch.setattr(production, "sample_starts", lambda *given: rounds.append(original(*given)) or rounds[-1])
    known.save(tmp_path / "known.npz")
    grasps = load_library(tmp_path / "known.npz")
    task = Task("hammer/1", "use", 0, grasps.digest)
    for given in (grasps, grasps, None):
        produce(task, hammers["hammer/1"], hand, 0, given, config=config)
    assert [len(poses) for poses in rounds] == [12, 12, 12]
    assert torch.equal(rounds[0].wrist, rounds[1].wrist)
    assert not torch.equal(rounds[0].wrist[:4], rounds[2].wrist[:4])
    postures = torch.from_numpy(known.dofs.astype(np.float32))
    apart = torch.cdist(rounds[0].dofs, postures).amin(1)
    assert float(apart[:4].max()) < 0.09 * 21**0.5 * 2  # four of twelve are bent copies


def test_a_slice_says_what_it_was_started_from():
    task = Task("mug/7", "use", 1, "0123abcd")
    assert task.name == "mug_7_use_1~0123abcd"
    assert work_of(task.name) == work_of(Task("mug/7", "use", 1).name) == "mug_7_use_1"
    assert replace(task, seeds="").name == "mug_7_use_1"
    assert task.number(0) != replace(task, seeds="").number(0)


def test_points_of_a_shape_lie_where_its_prepared_object_has_them(hammers):
    shape = known_shape("hammer/0")
    obj = hammers["hammer/0"]
    assert float(obj.grid.query(shape.cloud.points)[0].abs().max()) < 0.001
    head = shape.cloud.points[torch.from_numpy(shape.part == "head")]
    assert float(torch.cdist(head, obj.points[obj.parts.mask(frozenset({"head"}))]).amin(1).max()) < 0.01
