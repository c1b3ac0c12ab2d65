"""Files are written whole or not at all, and damaged ones are told from good ones."""

import errno
import os
import sys
import tempfile
import time
import zipfile
from multiprocessing import get_context

import numpy as np
import pytest

from core.files import ABANDONED_AFTER, load_arrays, save_arrays, save_text, user_cache


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grasps.npz"
    path.write_bytes(b"before")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match=r"grasps\.npz was not written: the disk is full"):
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


def test_no_bit_of_a_damaged_file_ends_in_another_error(tmp_path):
    """Every byte of the zip's own tables and of the arrays' heads, changed in turn."""
    path = tmp_path / "some.npz"
    save_arrays(path, {"a": np.arange(4.0), "b": np.array("text")}, packed=False)
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            load_arrays(path)
        except ValueError:
            refused += 1
    assert refused > len(content) // 2


def test_an_array_that_says_it_is_huge_is_damaged(tmp_path):
    """Its head asks for 800 GB: that is a damaged file, and no lack of memory."""
    head = tmp_path / "head.npy"
    with head.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as packed:
        packed.write(head, "a.npy")
    with pytest.raises(ValueError, match="not as large as it says"):
        load_arrays(tmp_path / "huge.npz")


@pytest.mark.parametrize(("number", "sentence"), [
    (errno.ENOSPC, "the disk is full"), (errno.EROFS, "may not be written"), (errno.EACCES, "may not be written")])
def test_what_cannot_be_written_is_a_sentence_with_the_file(tmp_path, monkeypatch, number, sentence):
    def fails(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    for module, name in ((os, "fsync"), (os, "replace"), (tempfile, "mkstemp")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fails)
            with pytest.raises(OSError, match=sentence) as caught:
                save_text(tmp_path / "table.json", "{}")
        assert str(tmp_path / "table.json") in str(caught.value)
        assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_or_missing_is_a_sentence(tmp_path):
    (tmp_path / "grasps.npz").mkdir()
    with pytest.raises(OSError, match="Name a file in it"):
        save_arrays(tmp_path / "grasps.npz", {})
    with pytest.raises(OSError, match="Make it first"):
        save_text(tmp_path / "no" / "table.json", "")
    assert [path.name for path in tmp_path.iterdir()] == ["grasps.npz"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    flush, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("flushed"), flush(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("named"), move(*names)))
    save_text(tmp_path / "table.json", "{}")
    assert done == ["flushed", "named"]


def test_what_a_killed_writer_left_is_cleaned_by_the_next(tmp_path):
    old, young, other = (tmp_path / name for name in (".a[1].npz.x.part", ".a[1].npz.y.part", ".b.npz.x.part"))
    for left in (old, young, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (0, time.time() - 2 * ABANDONED_AFTER))
    save_arrays(tmp_path / "a[1].npz", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, other.name, "a[1].npz"]


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
