"""Prepared objects in a folder: the same again, made anew where needed, and never more than the folder may hold."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import trimesh

from core.objects import ObjectTooLarge, cache, cached_object, prepare_object

BOX = trimesh.creation.box((0.03, 0.04, 0.05)).apply_translation((1, 2, 3))


def take(folder, any_size=False, scale=1.0):
    return cached_object(BOX.vertices * scale, BOX.faces, any_size, folder)


def test_what_is_kept_is_what_is_prepared(tmp_path, monkeypatch):
    first = take(tmp_path)
    monkeypatch.setattr(cache, "prepare_object", lambda *_, **__: pytest.fail("prepared again"))
    again, plain = take(tmp_path), prepare_object(BOX.vertices, BOX.faces)
    for obj in (first, again):
        for name in (field.name for field in fields(plain)):
            mine, other = getattr(obj, name), getattr(plain, name)
            if name == "grid":
                assert torch.equal(mine.values, other.values)
                assert (mine.spacing, mine.origin.tolist()) == (other.spacing, other.origin.tolist())
            elif isinstance(other, torch.Tensor | np.ndarray):
                assert np.array_equal(mine, other)
            else:
                assert mine == other


def test_another_mesh_or_another_program_is_prepared(tmp_path, monkeypatch):
    take(tmp_path)
    take(tmp_path, scale=1.1)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(cache, "program_digest", lambda: "another version")
    take(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_file_is_made_again_and_a_blocked_folder_done_without(tmp_path):
    take(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:500])
    take(tmp_path)
    assert path.stat().st_size > 1000
    (tmp_path / "file").write_text("in the way")
    assert take(tmp_path / "file" / "below").digest == take(tmp_path).digest


def test_what_was_kept_of_any_size_is_still_too_large_to_grasp(tmp_path):
    take(tmp_path, True, 40)
    with pytest.raises(ObjectTooLarge):
        take(tmp_path, False, 40)


def test_the_folder_stays_within_its_bound(tmp_path, monkeypatch):
    sizes = []
    for scale in (1.0, 1.1, 1.2):
        take(tmp_path, scale=scale)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
        for path in tmp_path.iterdir():  # as if time had passed
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 100))
    first = take(tmp_path).digest  # used now, so the second is what was not used for longest
    (tmp_path / ".x.npz.1.part").write_bytes(b"half")
    (tmp_path / ".y.npz.2.part").write_bytes(b"half")
    os.utime(tmp_path / ".x.npz.1.part", (0, time.time() - 2 * cache.ABANDONED_AFTER))
    cache.make_room(tmp_path, sizes[-1] - 1)
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 3
    assert ".y.npz.2.part" in left
    monkeypatch.setattr(cache, "prepare_object", lambda *_, **__: pytest.fail("prepared again"))
    assert take(tmp_path).digest == first
    take(tmp_path, scale=1.2)
    cache.make_room(tmp_path, 0)
    assert len(list(tmp_path.glob("*.npz"))) == 1  # what is in use is left


def test_two_processes_may_keep_one_object(tmp_path):
    with get_context("spawn").Pool(2) as pool:
        one, two = pool.map(take, [tmp_path, tmp_path])
    assert one.digest == two.digest == take(tmp_path).digest
    assert len(list(tmp_path.iterdir())) == 1
