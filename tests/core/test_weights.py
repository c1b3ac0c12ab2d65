"""Stored weights come back, and changed or missing ones are refused."""

import json

import pytest
import torch
from torch import nn

from core.weights import known, load_weights, store_weights


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    module.register_buffer("rows", torch.tensor([1, 2]))
    return module, tmp_path, store_weights("tiny", module, tmp_path)


def test_what_is_stored_comes_back(stored):
    module, folder, path = stored
    found = load_weights("tiny", folder)
    assert torch.allclose(found["weight"], module.weight, atol=1e-3)
    assert found["weight"].dtype == torch.float32
    assert found["rows"].tolist() == [1, 2]
    assert known(folder)["tiny"]["bytes"] == path.stat().st_size


def test_one_changed_bit_is_refused(stored):
    _, folder, path = stored
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or were changed"):
        load_weights("tiny", folder)


def test_missing_ones_are_told_apart_from_unknown_ones(stored):
    _, folder, path = stored
    path.unlink()
    with pytest.raises(ValueError, match="are missing"):
        load_weights("tiny", folder)
    with pytest.raises(ValueError, match="no weights named 'other'"):
        load_weights("other", folder)


def test_others_in_the_index_stay(stored):
    _, folder, _ = stored
    store_weights("more", nn.Linear(1, 1), folder)
    assert list(json.loads((folder / "index.json").read_text())) == ["more", "tiny"]


def test_every_weights_file_of_the_project_is_whole_and_has_a_card():
    from core.weights import FOLDER

    for name, entry in known().items():
        load_weights(name)
        assert (FOLDER / entry["card"]).read_text(encoding="utf-8").startswith("# "), name
        assert entry["bytes"] <= 10 * 2**20, name
