"""The grasp sheet, on a made-up hand."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from PIL import Image


@pytest.fixture
def grasp_file(tmp_path):
    """A box for a palm and five for fingers, right hand: fingers +Y, palm +Z, thumb +X; bent toward the palm."""
    joints = np.zeros((21, 3))
    parts = []
    for first, tip, x in ((1, 17, 0.03), (4, 18, 0.01), (10, 19, -0.01), (7, 20, -0.03), (13, 16, 0.05)):
        for step, joint in enumerate((first, first + 1, first + 2, tip)):
            joints[joint] = x, 0.09 + 0.025 * step, 0.01 * step**2
            parts.append(trimesh.creation.icosphere(1, 0.011).apply_translation(joints[joint]))
    parts.append(trimesh.creation.box((0.08, 0.09, 0.02)).apply_translation((0, 0.045, 0)))
    hand = trimesh.util.concatenate(parts)
    np.savez(
        tmp_path / "grasps.npz", vertices=hand.vertices[None].repeat(2, 0), joints=joints[None].repeat(2, 0),
        faces=hand.faces, type=np.array(["tripod", ""]), score=np.array([0.5, 0.25]))
    trimesh.creation.box((0.06, 0.06, 0.06)).apply_translation((0, 0.12, 0.06)).export(tmp_path / "box.obj")
    return tmp_path


def test_two_views_of_each_show_hand_and_object(grasp_file, script):
    options = "--size", 96, "--columns", 1
    script("render_grasps.py", grasp_file / "box.obj", grasp_file / "grasps.npz", grasp_file / "sheet.png", *options)
    sheet = np.asarray(Image.open(grasp_file / "sheet.png")).astype(int)
    assert sheet.shape == (192, 192, 3)
    for view in (sheet[:96, :96], sheet[:96, 96:], sheet[96:, :96], sheet[96:, 96:]):
        warmth = view[..., 0] - view[..., 2]
        assert (warmth > 30).sum() > 300  # skin
        assert (warmth < -60).sum() > 300  # the object


def test_no_grasps_is_a_sentence(grasp_file, script):
    file = dict(np.load(grasp_file / "grasps.npz"))
    np.savez(grasp_file / "none.npz", **{k: v if k == "faces" else v[:0] for k, v in file.items()})
    assert "holds no grasps" in script(
        "render_grasps.py", grasp_file / "box.obj", grasp_file / "none.npz", grasp_file / "sheet.png", fails=True)
    assert not (grasp_file / "sheet.png").exists()
