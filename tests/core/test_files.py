import os
import sys
from multiprocessing import get_context

import numpy as np
import pytest

from core.files import load_arrays, save_arrays, save_text, user_cache


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grasps.npz"
    path.write_bytes(b"before")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        save_arrays(path, {"a": np.zeros(3)})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def write_often(path):
    for value in range(200):
        save_arrays(path, {"a": np.full(300, value)})


def test_processes_may_write_the_same_file_at_once(tmp_path):
    path = tmp_path / "object.npz"
    with get_context("spawn").Pool(2) as pool:
        pool.map(write_often, [path, path])
    with np.load(path, allow_pickle=False) as stored:
        assert (stored["a"] == 199).all()
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_come_back_and_a_missing_file_is_one(tmp_path):
    given = {"a": np.arange(6).reshape(2, 3), "b": np.array("text")}
    save_arrays(tmp_path / "some.npz", given)
    found = load_arrays(tmp_path / "some.npz")
    assert list(found) == list(given)
    assert all(np.array_equal(found[name], given[name]) for name in given)
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none.npz")


@pytest.mark.parametrize("damage", ["cut", "bytes changed", "another format", "pickled", "a folder"])
def test_arrays_of_a_damaged_file_are_a_value_error(tmp_path, damage):
    path = tmp_path / "some.npz"
    save_arrays(path, {"a": np.random.default_rng(0).random(3000)})
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "bytes changed":
        path.write_bytes(content[:5000] + bytes(8000) + content[13000:])
    elif damage == "another format":
        np.save(tmp_path / "one.npy", np.zeros(3))
        path = tmp_path / "one.npy"
    elif damage == "pickled":
        np.savez(path, a=np.array([{}], dtype=object))
    else:
        path = tmp_path
    with pytest.raises(ValueError):  # noqa: PT011  the sentence is the caller's
        load_arrays(path)


def test_others_may_read_what_was_written(tmp_path):
    mask = os.umask(0o022)
    try:
        save_text(tmp_path / "table.json", "{}\n")
    finally:
        os.umask(mask)
    assert (tmp_path / "table.json").stat().st_mode & 0o777 == 0o644


def test_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("pieces") == tmp_path / "generate-grasps" / "pieces"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert user_cache("pieces") == tmp_path / "local" / "generate-grasps" / "pieces"
