"""Meshes are cleaned and measured, whole or open; hopeless ones get a sentence."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
import torch
import trimesh

from core.objects import ObjectError, ObjectTooLarge, ObjectTooSmall, load_object, prepare_object, save_object
from core.objects.basis_points import basis_lattice
from core.progress import Progress, Stopped


def arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)


def cube(side: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    return arrays(trimesh.creation.box((side, side, side)))


def hemisphere(radius: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = arrays(trimesh.creation.icosphere(4, radius))
    return vertices, faces[(vertices[faces][:, :, 2] < 1e-9).all(1)]


def signs(obj, points) -> list[bool]:
    """True where inside, by the exact surface; the grid must agree. Points in the caller's frame."""
    own = torch.tensor(np.asarray(points, float) - obj.centroid, dtype=torch.float32)
    exact = obj.signed_distance(own)[0] < 0
    assert ((obj.grid.query(own)[0] < 0) == exact).all()
    return exact.tolist()


def test_cube_has_its_measures():
    vertices, faces = cube()
    obj = prepare_object(vertices + [1, 2, 3], faces)
    assert obj.centroid == pytest.approx([1, 2, 3])
    assert obj.extent.tolist() == pytest.approx([0.06] * 3)
    assert obj.volume == pytest.approx(0.06**3, rel=1e-5)
    assert obj.area == pytest.approx(6 * 0.06**2, rel=1e-5)
    assert obj.watertight
    assert not obj.shell
    assert obj.thickness.numpy() == pytest.approx(0.06, abs=1e-5)
    assert tuple(obj.points.shape) == (4096, 3)
    assert (obj.points.abs().amax(1) - 0.03).abs().max() < 1e-6


@pytest.mark.parametrize("change", ["inside-out", "doubled", "two-sided", "soup", "one flipped", "nan vertex"])
def test_dirty_cube_is_the_same_solid(change: str):
    vertices, faces = cube()
    if change == "inside-out":
        faces = faces[:, ::-1]
    elif change == "doubled":
        faces = np.concatenate([faces, np.roll(faces, 1, axis=1)])
    elif change == "two-sided":
        faces = np.concatenate([faces, faces[:, ::-1]])
    elif change == "soup":
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
    elif change == "one flipped":
        faces[3] = faces[3][::-1]
    else:
        vertices = np.concatenate([vertices, [[np.nan, 0, 0]]])
        faces = np.concatenate([faces, [[0, 1, 8]]])
    obj = prepare_object(vertices, faces)
    assert len(obj.faces) == 12
    assert obj.volume == pytest.approx(0.06**3, rel=1e-5)
    assert signs(obj, [[0, 0, 0], [0.025, 0.025, 0.025], [0.035, 0, 0], [0.2, 0.1, 0]]) == [True, True, False, False]
    assert ((obj.normals * obj.points).sum(1) > 0).all()


def test_overlapping_and_nested_parts():
    first, faces = cube()
    inner, _ = cube(0.02)
    vertices = np.concatenate([first, first + [0.03, 0.01, 0.005], inner])
    parts = np.concatenate([faces, faces + 8, faces[:, ::-1] + 16])
    obj = prepare_object(vertices, parts)
    own = torch.tensor(np.array([[-0.005, 0, 0], [0.015, 0, 0], [0.05, 0, 0], [-0.05, 0, 0]]) - obj.centroid)
    assert (obj.signed_distance(own.float())[0] < 0).tolist() == [True, True, True, False]


def test_single_wall_bowl_is_a_sheet_with_its_hollow_outside():
    vertices, faces = hemisphere()
    obj = prepare_object(vertices, faces)
    assert obj.shell
    assert obj.watertight
    assert signs(obj, [[0, 0, -0.02], [0, 0, -0.05], [0, 0, -0.07]]) == [False, False, False]
    assert obj.thickness.median() == pytest.approx(0.0005, rel=0.1)
    probe = torch.tensor([[0.0, 0.0, -0.03]]) - torch.tensor(obj.centroid).float()
    assert obj.signed_distance(probe)[0].item() == pytest.approx(0.03 - 0.00025, abs=3e-4)


def test_bowl_with_two_walls_is_solid_between_them():
    outer, faces = hemisphere(0.06)
    both = trimesh.util.concatenate(trimesh.Trimesh(outer, faces), trimesh.Trimesh(outer * 0.9, faces[:, ::-1]))
    outline = trimesh.Trimesh(outer, faces, process=True).outline().discrete[0][:-1]
    count = len(outline)
    ring = np.concatenate([outline, outline * 0.9])
    step = np.arange(count)
    after = (step + 1) % count
    wall = np.concatenate([np.stack([step, after, step + count], 1), np.stack([after, after + count, step + count], 1)])
    mesh = trimesh.util.concatenate(both, trimesh.Trimesh(ring, wall, process=False))
    obj = prepare_object(*arrays(mesh))
    assert not obj.shell
    assert obj.watertight
    assert signs(obj, [[0, 0, -0.057], [0, 0, -0.03], [0, 0, -0.07]]) == [True, False, False]


def test_small_hole_is_closed_and_large_is_an_opening():
    vertices, faces = arrays(trimesh.creation.icosphere(4, 0.04))
    centre = vertices[faces].mean(1)
    small = prepare_object(vertices, faces[np.linalg.norm(centre - [0, 0, 0.04], axis=1) > 0.008])
    assert not small.watertight
    assert not small.shell
    assert signs(small, [[0, 0, 0], [0, 0, 0.05]]) == [True, False]
    large = prepare_object(vertices, faces[np.linalg.norm(centre - [0, 0, 0.04], axis=1) > 0.03])
    assert large.shell
    assert signs(large, [[0, 0, 0], [0, 0, 0.05]]) == [False, False]


def test_holes_small_for_their_object_do_not_open_it():
    vertices, faces = arrays(trimesh.creation.icosphere(4, 0.15))
    centre = vertices[faces].mean(1)
    obj = prepare_object(vertices, faces[np.linalg.norm(centre - [0, 0, 0.15], axis=1) > 0.03], any_size=True)
    assert not obj.shell
    assert signs(obj, [[0, 0, 0], [0, 0, 0.2]]) == [True, False]


def test_box_without_a_face_is_a_box_one_can_reach_into():
    vertices, faces = cube(0.08)
    up = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])[:, 2]
    obj = prepare_object(vertices, faces[up <= 0])
    assert obj.shell
    assert signs(obj, [[0, 0, 0.01]]) == [False]


def test_lids_that_are_separate_close_a_can():
    can = trimesh.creation.cylinder(0.03, 0.1, sections=48)
    side = np.abs(can.face_normals[:, 2]) < 0.5
    wall = trimesh.Trimesh(can.vertices, can.faces[side])
    lids = [trimesh.creation.cylinder(0.03, 0.1, sections=31)]
    lids = trimesh.Trimesh(lids[0].vertices, lids[0].faces[np.abs(lids[0].face_normals[:, 2]) > 0.5][:, ::-1])
    obj = prepare_object(*arrays(trimesh.util.concatenate(wall, lids)))
    assert not obj.shell
    assert signs(obj, [[0, 0, 0], [0.02, 0, 0.04], [0.04, 0, 0], [0, 0, 0.06]]) == [True, True, False, False]


def test_flat_plane_is_a_sheet():
    vertices = np.array([[0, 0, 0], [0.2, 0, 0], [0.2, 0.1, 0], [0, 0.1, 0]], float)
    obj = prepare_object(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    assert obj.shell
    assert obj.volume == pytest.approx(0.2 * 0.1 * 0.0005, rel=0.01)
    distance, normal = obj.grid.query(torch.tensor([[0.0, 0.0, 0.01], [0.0, 0.0, -0.01]]))
    assert distance.numpy() == pytest.approx(0.00975, abs=2e-4)
    assert normal[:, 2].tolist() == pytest.approx([1, -1], abs=1e-3)


@pytest.mark.parametrize("mesh", [trimesh.creation.icosahedron(), trimesh.creation.cone(0.03, 0.06, sections=4)])
def test_few_faces(mesh: trimesh.Trimesh):
    mesh.apply_scale(0.07 / mesh.extents.max())
    obj = prepare_object(*arrays(mesh))
    assert obj.volume == pytest.approx(mesh.volume, rel=1e-4)


def test_six_triangles():
    vertices = np.array([[0, 0, 1], [1, 0, 0], [-0.5, 0.8, 0], [-0.5, -0.8, 0], [0, 0, -1]]) * 0.04
    upper = [[0, 1, 2], [0, 2, 3], [0, 3, 1]]
    faces = np.array(upper + [[4, *face[:0:-1]] for face in upper])
    obj = prepare_object(vertices, faces)
    assert len(obj.faces) == 6
    assert obj.watertight
    assert signs(obj, [[0, 0, 0], [0, 0, 0.05]]) == [True, False]


def test_million_faces_are_made_lighter_and_stay_the_same_ball():
    obj = prepare_object(*arrays(trimesh.creation.icosphere(8, 0.04)))
    assert len(obj.faces) < 400_000
    assert (obj.vertices.norm(dim=1) - 0.04).abs().max() < 1e-5
    assert obj.volume == pytest.approx(4 / 3 * np.pi * 0.04**3, rel=1e-3)


@pytest.mark.parametrize(
    ("vertices", "faces", "words"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "no faces"),
        (np.zeros((4, 3)), np.array([[0, 1, 2]]), "no surface"),
        (np.full((3, 3), np.nan), np.array([[0, 1, 2]]), "finite"),
        (np.eye(3), np.array([[0, 1, 5]]), "damaged"),
        (np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]]), np.array([[0, 1, 2]]), "no surface"),
        (np.zeros((4, 2)), np.array([[0, 1, 2]]), "shape"),
    ],
)
def test_hopeless_meshes_get_a_sentence(vertices: np.ndarray, faces: np.ndarray, words: str):
    with pytest.raises(ObjectError, match=words):
        prepare_object(vertices, faces)


def test_sizes_no_hand_takes():
    with pytest.raises(ObjectTooLarge, match="2 m across, 11 hand lengths") as large:
        prepare_object(*cube(2.0))
    assert large.value.extent == pytest.approx(2.0)
    prepare_object(*cube(2.0 * large.value.suggested_scale))
    with pytest.raises(ObjectTooSmall, match="Hand Length") as small:
        prepare_object(*cube(0.003))
    prepare_object(*cube(0.003 * small.value.suggested_scale))
    prepare_object(*arrays(trimesh.creation.box((1.2, 0.8, 0.03))))  # a table top, by its edge
    prepare_object(*cube(2.0), any_size=True)


def test_no_ray_is_lost():
    obj = prepare_object(*arrays(trimesh.creation.cylinder(0.03, 0.1, sections=64)))
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(20000, 3))
    origins = obj.points.numpy()[rng.integers(4096, size=20000)] * 0.9
    length, _ = obj.surface.first_hit(origins, directions / np.linalg.norm(directions, axis=1, keepdims=True))
    assert np.isfinite(length).mean() > 0.9999
    assert length.max() < 0.12
    assert (obj.thickness < 0.11).all()


def test_moving_the_object_changes_nothing():
    vertices, faces = arrays(trimesh.creation.torus(0.04, 0.012))
    here = prepare_object(vertices, faces, seed=3)
    there = prepare_object(vertices + [5, -3, 2], faces, seed=3)
    assert there.centroid - here.centroid == pytest.approx([5, -3, 2], abs=1e-12)
    for name in ("vertices", "points", "normals"):
        assert (getattr(here, name) - getattr(there, name)).abs().max() < 1e-7
    assert (here.grid.values[..., 0] - there.grid.values[..., 0]).abs().max() < 1e-6


def test_seed_decides_the_points():
    first, again, other = (prepare_object(*cube(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points, other.points)
    assert first.digest == other.digest


def test_saved_object_comes_back(tmp_path):
    obj = prepare_object(*cube())
    save_object(obj, tmp_path / "cube.npz")
    back = load_object(tmp_path / "cube.npz")
    for name in ("vertices", "faces", "points", "normals", "thickness"):
        assert torch.equal(getattr(obj, name), getattr(back, name))
    assert torch.equal(obj.grid.values, back.grid.values)
    assert (back.area, back.digest, back.shell) == (obj.area, obj.digest, obj.shell)
    (tmp_path / "bad.npz").write_bytes((tmp_path / "cube.npz").read_bytes()[:1000])
    for name in ("bad.npz", "missing.npz"):
        with pytest.raises(ObjectError, match=name):
            load_object(tmp_path / name)


def test_basis_points():
    lattice = basis_lattice()
    assert tuple(lattice.shape) == (4096, 3)
    assert lattice[0].tolist() == pytest.approx([-0.1] * 3)


def test_preparing_ends_where_it_is_stopped():
    told = []

    def report(fraction, stage):
        told.append(fraction)
        return fraction < 0.2

    with pytest.raises(Stopped):
        prepare_object(*cube(), progress=Progress(report))
    assert told[0] == 0.0
    assert [fraction for fraction in told if fraction >= 0.2] == told[-1:]  # nothing is done after it


@pytest.mark.parametrize("size", [12.0, 348.0])
def test_a_large_sheet_is_a_sentence_with_its_size_before_any_work(size):
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * size
    told = []
    with pytest.raises(ObjectTooLarge, match=rf"a sheet {size:.0f} m across"):
        prepare_object(corners, np.array([[0, 1, 2], [0, 2, 3]]), progress=Progress(lambda done, _: told.append(done)))
    assert max(told) < 0.3


@pytest.mark.parametrize("count", [30_000, 100_000])
def test_thousands_of_loose_pieces_are_a_sentence_at_once(count):
    rng = np.random.default_rng(0)
    soup = (0.1 * rng.random((count, 1, 3)) + 0.004 * rng.normal(size=(count, 3, 3))).reshape(-1, 3)
    begin = time.process_time()
    with pytest.raises(ObjectError, match=rf"{count:,} loose pieces.*Remesh"):
        prepare_object(soup, np.arange(3 * count).reshape(-1, 3))
    assert time.process_time() - begin < 10


def test_a_stop_is_heard_while_distances_are_measured():
    begun = []

    def report(_fraction, words):
        begun.append(words == "Measuring distances")
        return sum(begun) < 4

    mesh = trimesh.creation.icosphere(4, 0.04)
    with pytest.raises(Stopped):
        prepare_object(mesh.vertices, mesh.faces, progress=Progress(report))
    assert sum(begun) == 4


def rough_and_open(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rough ball of 20,000 triangles with a fifth of them missing, and open leaves about it."""
    vertices, faces = arrays(trimesh.creation.icosphere(5, 0.05))
    vertices = vertices * (1 + 0.02 * rng.normal(size=(len(vertices), 1)))
    leaves = rng.normal(size=(60, 1, 3)) * 0.04 + rng.normal(size=(60, 3, 3)) * 0.004
    return (np.concatenate([vertices, leaves.reshape(-1, 3)]),
            np.concatenate([faces[rng.random(len(faces)) < 0.8], len(vertices) + np.arange(180).reshape(-1, 3)]))


def test_every_stage_of_a_hard_mesh_reports_often_and_ends_at_a_stop():
    vertices, faces = rough_and_open(np.random.default_rng(0))
    told: list[tuple[float, float, str]] = []
    prepare_object(vertices, faces, progress=Progress(
        lambda share, stage: told.append((share, time.thread_time(), stage))))
    assert [share for share, _, _ in told] == sorted(share for share, _, _ in told)
    gaps = [after[1] - before[1] for before, after in pairwise(told)]
    assert max(gaps) < 0.25, told[int(np.argmax(gaps))]
    stages = [stage for _, _, stage in told]
    for name in ("Cleaning the object", "Sampling the surface", "Measuring distances"):
        assert stages.count(name) > 5
        heard: list[float] = []

        def stop(share: float, stage: str, name: str = name, heard: list[float] = heard) -> bool:
            heard.append(share)
            return len(heard) < stages.index(name) + 4

        with pytest.raises(Stopped):
            prepare_object(vertices, faces, progress=Progress(stop))
        assert len(heard) == stages.index(name) + 4


def test_a_soup_of_many_faces_is_measured_on_fewer_cells():
    """Inside tests among faces that cross each other all over would take half a minute."""
    rng = np.random.default_rng(1)
    corners = rng.normal(size=(600, 1, 3)) * 0.03 + rng.normal(size=(600, 3, 3)) * 0.03
    begin = time.process_time()
    obj = prepare_object(corners.reshape(-1, 3), np.arange(1800).reshape(-1, 3), any_size=True)
    assert time.process_time() - begin < 10
    assert obj.grid.values.isfinite().all()
    assert np.prod(obj.grid.shape) < 400_000
