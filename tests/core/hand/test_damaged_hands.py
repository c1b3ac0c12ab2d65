"""Hand files that are damaged in their numbers: each loads as a hand, or is refused in a sentence; none ends Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from core.hand import load, load_hand
from core.hand.errors import HandError
from core.hand.load import hand_from_arrays

sys.path.insert(0, str(Path(__file__).parent))
from mano_files import hand_arrays, write_pickle

KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


class Unmade:
    """What stands for a hand that is not made: its numbers are finite and of a hand's shapes."""

    def __init__(self, arrays, _side, _name):
        assert arrays["weights"].shape == (len(arrays["v_template"]), 16)
        assert all(np.isfinite(values).all() for values in arrays.values())
        assert 0 <= arrays["f"].min() <= arrays["f"].max() < len(arrays["v_template"])

    def buffers(self):
        return []


def damaged(arrays, rng):
    """The arrays with one of them damaged in one of many ways."""
    key = KEYS[rng.integers(len(KEYS))]
    values = np.array(arrays[key])
    flat = values.reshape(-1)
    some = rng.integers(0, len(flat), max(1, int(len(flat) * 10.0 ** rng.uniform(-5, 0))))
    ways = (
        lambda: flat.view(np.uint8).__setitem__(some, rng.integers(0, 256, len(some))),
        lambda: flat.__setitem__(some, 0),
        lambda: flat.__setitem__(some, flat[rng.permutation(some)]),
        lambda: flat.__setitem__(some, flat[some] * 2 + 1),
    )
    others = (
        lambda: values[: rng.integers(0, len(values) + 1)],
        lambda: values[..., : rng.integers(0, values.shape[-1] + 1)],
        lambda: values.reshape(-1),
        lambda: np.zeros((0,) * values.ndim),
        lambda: np.float64(3.0),
        lambda: values.astype(str),
        lambda: values.astype(complex),
        lambda: values.T,
        lambda: -values.astype(float),
        lambda: values.astype(float) * 1e30,
        lambda: np.full_like(values, np.nan, float),
    )
    choice = rng.integers(2 * len(ways) + len(others))
    if choice < 2 * len(ways):
        ways[choice % len(ways)]()
        return {**arrays, key: values}
    return {**arrays, key: others[choice - 2 * len(ways)]()}


@pytest.mark.filterwarnings("ignore")
def test_two_hundred_damages_load_right_or_are_refused_in_a_sentence(monkeypatch):
    """Of those that pass the checks the first few are made into hands, which takes a second each."""
    arrays, refused = hand_arrays(), []
    for number in range(200):
        if number == 24:
            monkeypatch.setattr(load, "HandModel", Unmade)
        try:
            hand = hand_from_arrays(damaged(arrays, np.random.default_rng(number)), name="hand.npz")
        except HandError as error:
            refused.append(str(error))
            continue
        if isinstance(hand, Unmade):
            continue
        posed = hand(torch.zeros(1, 3), torch.full((1, 45), 0.1), torch.zeros(1, 3), torch.ones(1, 10))
        assert posed.vertices.isfinite().all(), number
        assert posed.joints.isfinite().all(), number
    assert 100 < len(refused) < 200
    assert all(words.endswith(".") and "hand.npz" in words for words in refused)


@pytest.mark.parametrize("part", ["indices", "indptr", "data", "shape"])
@pytest.mark.parametrize("wrong", ["beyond", "negative", "short", "other kind"])
def test_a_sparse_matrix_that_contradicts_itself_is_refused(tmp_path, part, wrong):
    """What scipy does with such a one may end the process, so that it is not asked."""
    arrays = hand_arrays()
    matrix = sparse.csc_matrix(arrays["J_regressor"])
    if part == "shape":
        matrix._shape = {"beyond": (16, 10**9), "negative": (-16, matrix.shape[1]), "short": (3, matrix.shape[1]),
                         "other kind": (16, 5)}[wrong]
    else:
        values = np.array(getattr(matrix, part))
        if wrong == "short":
            values = values[:-3]
        elif wrong == "other kind":
            values = values.astype(complex if part == "data" else float)
        else:
            values[len(values) // 2] = 10**8 if wrong == "beyond" else -(10**8)
        setattr(matrix, part, values)
    with pytest.raises(HandError, match=r"hand|matrix"):
        load_hand(write_pickle(tmp_path / "MANO_RIGHT.pkl", {**arrays, "J_regressor": matrix}))


@pytest.mark.parametrize("key, values, words", [
    ("weights", lambda found: -found, "weights"),
    ("weights", lambda found: found * 2, "not to one"),
    ("v_template", lambda found: found * 1000, "metres"),
    ("f", lambda found: found[:, ::-1][: len(found) // 2], "closed surface"),
    ("quads", lambda _: np.full((4, 4), 10**6), "quads"),
    ("cap_faces", lambda _: np.full((4, 3), -1), "cap_faces"),
    ("uv", lambda _: np.full((4, 2), np.nan), "uv"),
])
def test_what_is_wrong_is_named(key, values, words):
    arrays = hand_arrays()
    if key == "f":
        faces = arrays["f"].copy()
        faces[: len(faces) // 2] = faces[: len(faces) // 2, ::-1]
        wrong = faces
    else:
        wrong = values(arrays.get(key))
    with pytest.raises(HandError, match=words):
        hand_from_arrays({**arrays, key: wrong}, name="hand.npz")
