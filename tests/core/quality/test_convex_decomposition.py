"""Convex pieces lie on the surface, keep hollows open, and come back from their cache."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from core.files import load_arrays, save_arrays
from core.objects import prepare_object
from core.progress import Progress, Stopped
from core.quality import convex_decomposition as module
from core.quality.convex_decomposition import convex_pieces, decompose, mass_properties


def prepared(mesh):
    return prepare_object(mesh.vertices, mesh.faces)


def surface_points(pieces):
    found = []
    for hull in pieces.hulls:
        found.append(trimesh.sample.sample_surface(trimesh.convex.convex_hull(hull), 60, seed=0)[0])
    return np.concatenate(found)


def test_convex_objects_are_one_piece(ball):
    assert len(decompose(ball).hulls) == 1
    assert len(decompose(prepared(trimesh.creation.box((0.03, 0.05, 0.1)))).hulls) == 1


def test_a_thin_bowl_stays_open_and_whole(bowl, uncovered):
    pieces = decompose(bowl)
    assert bowl.surface.signed(surface_points(pieces))[0].max() < 0.0022
    assert uncovered(pieces, bowl.points.numpy()[:500].astype(float)).max() < 0.0005
    hollow = np.array([[0, 0, -0.02], [0.02, 0, -0.01], [0, -0.03, -0.015]]) - bowl.centroid
    assert uncovered(pieces, hollow).min() > 0.003


def test_a_ring_keeps_its_hole(uncovered):
    ring = prepared(trimesh.creation.torus(0.03, 0.006))
    pieces = decompose(ring)
    assert 4 < len(pieces.hulls) < 60
    assert ring.surface.signed(surface_points(pieces))[0].max() < 0.0022
    assert uncovered(pieces, ring.points.numpy()[:500].astype(float)).max() < 0.0005


def test_mass_properties_agree_with_trimesh():
    mesh = trimesh.creation.cone(0.03, 0.1, sections=64)
    obj = prepared(mesh)
    centre, inertia = mass_properties(obj)
    solid = trimesh.Trimesh(obj.surface.vertices, obj.surface.faces, process=False)
    assert centre == pytest.approx(solid.center_mass, abs=1e-6)
    assert inertia == pytest.approx(solid.moment_inertia / solid.volume, rel=1e-3, abs=1e-9)


def test_an_open_sheet_has_a_possible_inertia():
    sheet = trimesh.creation.box((0.08, 0.06, 0.03))
    sheet.update_faces(sheet.face_normals[:, 2] < 0.5)
    _, inertia = mass_properties(prepared(sheet))
    values = np.linalg.eigvalsh(inertia)
    assert values[0] > 0
    assert values[0] + values[1] >= values[2]


def test_pieces_are_kept(ball, tmp_path, monkeypatch):
    first = convex_pieces(ball, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    monkeypatch.setattr(module, "decompose", lambda obj: pytest.fail("made again"))
    again = convex_pieces(ball, tmp_path)
    assert np.array_equal(first.hulls[0], again.hulls[0])
    assert np.array_equal(first.inertia, again.inertia)


def test_a_damaged_file_is_made_again(ball, tmp_path):
    convex_pieces(ball, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    assert len(convex_pieces(ball, tmp_path).hulls) == 1
    assert len(convex_pieces(ball, tmp_path).hulls) == 1


def test_a_folder_that_cannot_be_made_is_done_without(ball, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert len(convex_pieces(ball, blocked / "below").hulls) == 1


@pytest.mark.parametrize("damage", ["a bit of a length", "no numbers", "cut", "another file"])
def test_damaged_pieces_in_the_cache_are_made_anew(bowl, tmp_path, damage):
    given = convex_pieces(bowl, tmp_path)
    (path,) = tmp_path.iterdir()
    stored = load_arrays(path)
    if damage == "a bit of a length":
        stored["ends"] = stored["ends"] + 1024
    elif damage == "no numbers":
        stored["corners"] = np.full_like(stored["corners"], np.nan)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    else:
        save_arrays(path, {"centre": np.zeros(3)} if damage == "another file" else stored)
    again = convex_pieces(bowl, tmp_path)
    assert all(np.array_equal(one, other) for one, other in zip(given.hulls, again.hulls, strict=True))
    assert np.array_equal(load_arrays(path)["ends"], np.cumsum([len(hull) for hull in given.hulls]))


def test_a_stop_is_heard_while_pieces_are_made(bowl, tmp_path):
    told = []

    def report(fraction, _words):
        told.append(fraction)
        return len(told) < 20

    with pytest.raises(Stopped):
        convex_pieces(bowl, tmp_path, Progress(report))
    assert len(told) == 20
    assert not list(tmp_path.iterdir())
    told.clear()
    decompose(bowl, Progress(lambda fraction, _words: told.append(fraction)))
    assert told == sorted(told)
    assert len(told) > 50


def test_a_rough_surface_is_pieces_all_over_though_few_are_joined(bowl, monkeypatch, uncovered):
    monkeypatch.setattr(module, "MOST_JOINED", 5)
    pieces = decompose(bowl)
    assert len(pieces.hulls) > 100
    assert uncovered(pieces, bowl.points.numpy()[:500].astype(float)).max() < 0.0005


def test_the_folder_of_pieces_stays_within_its_bound(ball, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    for name in ("one", "another"):
        module.kept_pieces(name, tmp_path, Progress(), lambda _: decompose(ball))
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["another"]
