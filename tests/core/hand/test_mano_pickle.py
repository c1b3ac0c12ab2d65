"""MANO files give the same hand; damaged and harmful ones are refused, and run nothing."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.hand import HandError, load_hand

sys.path.insert(0, str(Path(__file__).parent))
from mano_files import hand_arrays, write_pickle


@pytest.mark.parametrize("protocol", [0, 2])
def test_python2_pickle_gives_the_same_hand(tmp_path, protocol):
    hand = load_hand(write_pickle(tmp_path / "MANO_RIGHT.pkl", hand_arrays(), protocol))
    embedded = load_hand()
    assert "chumpy" not in sys.modules
    assert hand.name == "mano"
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "lbs_weights"):
        torch.testing.assert_close(getattr(hand, name), getattr(embedded, name), atol=1e-6, rtol=0)


def test_open_wrist_is_closed_without_new_vertices(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    arrays = hand_arrays(open_wrist=True)
    hand = load_hand(write_pickle(tmp_path / "MANO_RIGHT.pkl", arrays))
    assert len(hand.v_template) == len(arrays["v_template"]) == 1609
    mesh = trimesh.Trimesh(hand.v_template.numpy(), hand.faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 2e-4
    assert len(hand.cap_faces) == 18
    assert hand.quads is None
    assert hand.spheres(hand(*[torch.zeros(1, n) for n in (3, 45, 3, 10)])).shape == (1, 66, 3)
    assert all(len(region) > 4 for region in hand.contact_regions)


def test_left_file_loads_as_left_and_a_right_file_is_mirrored(tmp_path):
    arrays = hand_arrays()
    right = write_pickle(tmp_path / "MANO_RIGHT.pkl", arrays)
    left = dict(arrays, v_template=arrays["v_template"] * [-1, 1, 1], f=arrays["f"][:, ::-1])
    left["shapedirs"] = arrays["shapedirs"] * np.array([-1, 1, 1])[:, None]
    sign = np.outer([-1, 1, 1], [-1, 1, 1]).reshape(-1)
    left["posedirs"] = arrays["posedirs"] * np.array([-1, 1, 1])[:, None] * np.tile(sign, 15)
    own = load_hand(write_pickle(tmp_path / "MANO_LEFT.pkl", left), side="left")
    mirrored = load_hand(right, side="left")
    pose = [torch.randn(2, n, generator=torch.Generator().manual_seed(n)) * 0.3 for n in (3, 45, 3, 10)]
    torch.testing.assert_close(own(*pose).vertices, mirrored(*pose).vertices, atol=1e-6, rtol=0)
    assert own.dof_names == mirrored.dof_names


class _Runs:
    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("kind", ["system", "eval", "open", "getattr", "import", "numpy load"])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path, kind):
    import os

    marker = tmp_path / "ran"
    attack = {
        "system": _Runs(os.system, f"touch {marker}"),
        "eval": _Runs(eval, f"open({str(marker)!r}, 'w')"),
        "open": _Runs(open, str(marker), "w"),
        "getattr": _Runs(getattr, np.ndarray, "tofile"),
        "import": _Runs(__import__, "antigravity"),
        "numpy load": _Runs(np.save, str(marker), np.zeros(1)),
    }[kind]
    for content in (attack, dict(hand_arrays(), extra=attack)):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(pickle.dumps(content, 2))
        with pytest.raises(HandError, match=r"refused.*Nothing in it was run"):
            load_hand(path)
        assert not [file for file in tmp_path.iterdir() if file != path]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "zip", "list"])
def test_damaged_files_get_a_sentence(tmp_path, damage):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", hand_arrays())
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"hello hand",
            "cut": whole[: len(whole) // 2],
            "zip": b"PK\x03\x04" + whole[:99],
            "list": pickle.dumps([1, 2], 2),
        }[damage]
    )
    with pytest.raises(HandError, match=r"MANO_RIGHT\.pkl"):
        load_hand(path)


def test_damaged_npz_and_other_files(tmp_path):
    for name, content in (("hand.npz", b"no zip at all"), ("hand.obj", b"v 0 0 0"), ("empty.npz", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HandError, match=name):
            load_hand(tmp_path / name)
    np.savez(tmp_path / "objects.npz", v_template=np.array([{"a": 1}], dtype=object))
    with pytest.raises(HandError, match="objects"):
        load_hand(tmp_path / "objects.npz")
    with pytest.raises(HandError, match="no hand file"):
        load_hand(tmp_path / "MANO_RIGHT.pkl")
    with pytest.raises(HandError, match="hand"):
        load_hand(tmp_path)
    with pytest.raises(HandError, match="'up'"):
        load_hand(side="up")


@pytest.mark.parametrize("key", ["v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table"])
def test_missing_and_misshapen_arrays(tmp_path, key):
    arrays = hand_arrays()
    missing = {name: value for name, value in arrays.items() if name != key}
    np.savez(tmp_path / "missing.npz", **missing)
    with pytest.raises(HandError, match=f"has no {key}"):
        load_hand(tmp_path / "missing.npz")
    np.savez(tmp_path / "short.npz", **dict(arrays, **{key: arrays[key].reshape(-1)[:-1]}))
    with pytest.raises(HandError, match=r"short\.npz"):
        load_hand(tmp_path / "short.npz")
    nonsense = arrays[key].astype(float).copy()
    nonsense.reshape(-1)[5:] = np.nan
    np.savez(tmp_path / "nan.npz", **dict(arrays, **{key: nonsense}))
    with pytest.raises(HandError, match=r"nan\.npz"):
        load_hand(tmp_path / "nan.npz")


def test_joints_that_hang_otherwise_are_refused(tmp_path):
    arrays = hand_arrays()
    parents = arrays["kintree_table"].copy()
    parents[0, 2] = 0
    np.savez(tmp_path / "other.npz", **dict(arrays, kintree_table=parents))
    with pytest.raises(HandError, match="do not form a hand"):
        load_hand(tmp_path / "other.npz")
