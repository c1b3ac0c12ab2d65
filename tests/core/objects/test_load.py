"""Mesh files are read in their units and places; what cannot be read gets a sentence."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import trimesh

from core.objects import ObjectError, load_mesh


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb", "off"])
def test_formats_and_units(tmp_path, kind: str):
    trimesh.creation.box((2, 4, 6)).export(tmp_path / f"box.{kind}")
    vertices, faces = load_mesh(tmp_path / f"box.{kind}", unit="cm")
    assert sorted(np.ptp(vertices, axis=0)) == pytest.approx([0.02, 0.04, 0.06])
    assert vertices.dtype == np.float64
    assert faces.dtype == np.int64
    assert len(faces) == 12


def test_polygons_become_triangles(tmp_path):
    (tmp_path / "five.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv .5 1.5 0\nv 0 1 0\nf 1 2 3 4 5\n")
    assert load_mesh(tmp_path / "five.obj")[1].shape == (3, 3)


def test_scene_parts_stand_where_their_nodes_place_them(tmp_path):
    scene = trimesh.Scene()
    box = trimesh.creation.box((1, 1, 1))
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix((5, 0, 0)))
    scene.add_geometry(box, transform=trimesh.transformations.scale_matrix(2))
    scene.export(tmp_path / "scene.glb")
    vertices, faces = load_mesh(tmp_path / "scene.glb")
    assert len(faces) == 24
    assert vertices[:, 0].max() == pytest.approx(5.5)
    assert vertices[:, 0].min() == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "name", ["missing.obj", "empty.obj", "points.obj", "noise.stl", "noise.glb", "text.xyz1", "bare"]
)
def test_unreadable_files_get_a_sentence(tmp_path, name: str):
    if name == "points.obj":
        (tmp_path / name).write_text("v 0 0 0\nv 1 0 0\n")
    elif name != "missing.obj":
        (tmp_path / name).write_bytes(b"" if name == "empty.obj" else b"\x00\xffno mesh at all")
    with pytest.raises(ObjectError, match=name.split(".")[0]):
        load_mesh(tmp_path / name)


def test_pickles_and_wrong_units_are_refused(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ObjectError, match=r"'\.pkl'"):
        load_mesh(tmp_path / "evil.pkl")
    with pytest.raises(ObjectError, match="furlong"):
        load_mesh(tmp_path / "evil.obj", unit="furlong")
    with pytest.raises(ObjectError, match="folder"):
        load_mesh(tmp_path)


@pytest.mark.parametrize(("extension", "words"), [
    ("KHR_draco_mesh_compression", "Draco compression"), ("EXT_meshopt_compression", "meshopt compression"),
    ("KHR_mesh_quantization", "quantised coordinates")])
@pytest.mark.parametrize("kind", ["glb", "gltf"])
def test_a_compression_that_cannot_be_read_is_named(tmp_path, kind, extension, words):
    path = tmp_path / f"packed.{kind}"
    content = json.dumps({"asset": {"version": "2.0"}, "extensionsRequired": [extension]}).encode()
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(content), len(content), 0x4E4F534A)
    path.write_bytes(content if kind == "gltf" else head + content)
    with pytest.raises(ObjectError, match=rf"packed\.{kind} is saved with {words}.*Save it again without"):
        load_mesh(path)


def test_a_ply_that_mixes_polygons_is_told_how_to_be_saved(tmp_path):
    path = tmp_path / "mixed.ply"
    head = ("ply\nformat binary_little_endian 1.0\nelement vertex 5\nproperty float x\nproperty float y\n"
            "property float z\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n")
    corners = np.random.default_rng(0).random((5, 3)).astype("<f4")
    faces = struct.pack("<B4i", 4, 0, 1, 2, 3) + struct.pack("<B5i", 5, 0, 1, 2, 3, 4)
    path.write_bytes(head.encode() + corners.tobytes() + faces)
    with pytest.raises(ObjectError, match="Save it as triangles, or as ASCII"):
        load_mesh(path)
