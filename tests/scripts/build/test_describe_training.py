"""The card of the training grasps says what is in the file, and leaves what people wrote."""

from dataclasses import replace

import numpy as np

from core.dataset.training_grasps import COLUMNS, TrainingGrasps, merge
from core.grasps.intents import INTENTS
from scripts.build import describe_training


def made(family: str, intent: str, shares: list[float], seed: int = 0) -> TrainingGrasps:
    rng, count = np.random.default_rng(seed), len(shares)
    values = {name: rng.random((count, width) if width > 1 else count) for name, (_, width) in COLUMNS.items()}
    values |= {"object": np.zeros(count, int), "type": np.zeros(count, int), "held_share": np.array(shares),
               "intent": np.full(count, INTENTS.index(intent))}
    return TrainingGrasps((f"{family}/0",), **values)


def together(*parts: TrainingGrasps) -> TrainingGrasps:
    return merge([replace(part, slices=(f"slice{place}",)) for place, part in enumerate(parts)])


def test_use_and_handover_are_counted_where_there_is_a_part_to_hold():
    text = describe_training.figures(together(made("drill", "use", [0.5, 0.9]), made("mug", "use", [0.9, 0.9, 0.8]),
                                        made("mug", "handover", [0.1]), made("ball", "use", [0.0])))
    assert "7 grasps of 3 objects in 3 of" in text
    assert "2 families have a part to hold: in `use` 80 % of the contact is on it" in text
    assert "in 80.0 % of these grasps at least 60 %" in text
    assert "(drill: the rest is on the trigger" in text
    assert "at least 50 % on the grip" in text
    assert "drill has fewest, 2" in text
    assert "10.0 % of the contact is on it; drill has fewest, 0" in text


def test_postures_that_are_the_same_lie_nowhere_apart():
    one = made("mug", "use", [0.9] * 4)
    assert "large_diameter 0.0" in describe_training.variety(replace(one, dofs=np.zeros((4, 21))), 0)
    assert "large_diameter 0.0" not in describe_training.variety(one, 0)


def test_the_figures_are_put_between_their_marks(tmp_path):
    begin, end, put = describe_training.BEGIN, describe_training.END, describe_training.put
    card = tmp_path / "README.md"
    card.write_text(f"# Grasps\n\nMine.\n\n{begin}\nold\n{end}\n\nMine too.\n", encoding="utf-8")
    put(card, "new\n")
    put(card, "newer\n")
    assert card.read_text(encoding="utf-8") == f"# Grasps\n\nMine.\n\n{begin}\nnewer\n{end}\n\nMine too.\n"
    put(tmp_path / "other.md", "first\n")
    assert (tmp_path / "other.md").read_text(encoding="utf-8").endswith(f"{begin}\nfirst\n{end}\n")
