"""A card of weights says what they were trained on, and keeps what people wrote; its curve is kept as numbers, too."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from PIL import Image
from torch import nn

from core.generators.training_config import OptimizerConfig, Stage, TrainingConfig
from scripts.build.cards import BY_HAND, write_card
from scripts.build.curves import Check, read_curve, write_curve


class Network(nn.Linear):
    """Log odds of something."""

    def loss(self, batch, rng):
        raise NotImplementedError  # the training is over


@pytest.fixture
def training(tmp_path):
    """A finished training of two stages: its folder, config and data."""
    logs = {
        "coarse": [{"step": 10, "loss": 3.0}, {"step": 50, "loss": 2.0, "check_loss": 2.5},
                   {"step": 70, "loss": 1.9}, {"step": 100, "loss": 1.23456, "check_loss": 1.5}],
        "fine": [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 0.9, "check_loss": 0.95}]}
    for name, log in logs.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, log)) + "\n")
    stages = [Stage(name, ("weight",), Network.loss, OptimizerConfig(log[-1]["step"], 0.001), 8, points=256)
              for name, log in logs.items()]
    config = TrainingConfig(Network(1000, 10), tuple(stages))
    data = SimpleNamespace(rows=lambda split: range({"train": 100, "shape": 20, "family": 7}[split]))
    (tmp_path / "grasps.npz").write_bytes(b"grasps")
    return tmp_path, config, data


def written(training, name="mine"):
    folder, config, data = training
    write_card(folder / "README.md", name, config, data, folder / "grasps.npz", folder, "python train.py mine")
    return (folder / "README.md").read_text(encoding="utf-8")


def test_a_card_says_what_the_weights_were_trained_on(training):
    text = written(training)
    assert text.startswith("# mine\n\nLog odds of something.\n")
    assert "100 training grasps" in text
    assert "checked on 20 grasps of held-out shapes. 7 grasps" in text
    assert "| fine | weight | 20 | 8 | 0.001 | 256 |" in text
    assert written(training, "fastgrasp").startswith("# FastGrasp\n")


def test_what_people_wrote_in_a_card_stays(training):
    folder = training[0]
    assert written(training).endswith(f"{BY_HAND}\n\nNot written yet.\n")
    (folder / "README.md").write_text(f"# old\n\nold figures\n\n{BY_HAND}\n\nMugs.\n\n## Limitations\n\nNone.\n")
    text = written(training)
    assert text.endswith(f"{BY_HAND}\n\nMugs.\n\n## Limitations\n\nNone.\n")
    assert "old" not in text


def test_the_curve_is_kept_as_numbers_and_drawn(training):
    written(training)
    folder = training[0]
    assert read_curve(folder / "curve.csv") == [
        Check("coarse", 10, 3.0, None), Check("coarse", 50, 2.0, 2.5), Check("coarse", 100, 1.235, 1.5),
        Check("fine", 20, 0.9, 0.95)]
    with Image.open(folder / "curve.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 16)) > 8
    assert (folder / "curve.png").stat().st_size < 60_000


def test_a_curve_that_is_read_is_written_the_same(tmp_path):
    path = tmp_path / "curve.csv"
    write_curve(path, [Check("one", 5, 0.12345, None), Check("one", 10, 12.3, 0.5)])
    text = path.read_text()
    assert text == "stage,step,loss,held_out_loss\none,5,0.1235,\none,10,12.3,0.5\n"
    write_curve(path, read_curve(path))
    assert path.read_text() == text
