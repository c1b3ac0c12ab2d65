"""Each of the engine's packages installs, imports and does something small, on whatever Python runs this.

scripts/check_python.py runs it on other Pythons than the suites'; there torch may be missing, and is skipped.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
MUG = ROOT / "scripts" / "samples" / "mug.obj"
BALL = "<mujoco><worldbody><body pos='0 0 1'><freejoint/><geom size='0.1'/></body></worldbody></mujoco>"
BOX = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
BOX_FACES = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
                      [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])


def requirements() -> dict[str, str]:
    """Name -> the line of core/requirements.txt that asks for it."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "core" / "requirements.txt").read_text().splitlines())
    return {re.split("[=<>]", line)[0]: line for line in lines if line}


def test_torch_differentiates():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]


def test_numpy_and_scipy_find_the_nearest_point():
    from scipy.spatial import cKDTree

    distance, index = cKDTree(BOX).query([0.9, 1.0, 0.1])
    assert BOX[index].tolist() == [1, 1, 0]
    assert distance == pytest.approx(0.02**0.5)


def test_safetensors_reads_what_it_wrote():
    from safetensors.numpy import load, save

    assert np.array_equal(load(save({"corners": BOX}))["corners"], BOX)


def test_trimesh_reads_the_mug():
    import trimesh

    mug = trimesh.load(MUG, force="mesh", process=False)
    assert mug.is_watertight


def test_libigl_tells_inside_from_outside():
    import igl

    tree = igl.AABB()
    tree.init(BOX, BOX_FACES)
    squared, *_ = tree.squared_distance(BOX, BOX_FACES, np.array([[0.5, 0.5, 0.9], [0.5, 0.5, 1.5]]))
    assert np.asarray(squared) == pytest.approx([0.01, 0.25])


def test_embreex_meets_the_front_of_a_box():
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, BOX[BOX_FACES].astype(np.float32))
    found = scene.run(np.array([[0.4, 0.3, 3.0]], np.float32), np.array([[0, 0, -1]], np.float32), query="DISTANCE")
    assert found == pytest.approx([2.0])


def test_mujoco_lets_a_ball_fall():
    import mujoco

    model = mujoco.MjModel.from_xml_string(BALL)
    data = mujoco.MjData(model)
    for _ in range(100):
        mujoco.mj_step(model, data)
    assert data.qpos[2] == pytest.approx(1 - 9.81 * data.time**2 / 2, abs=0.02)


def test_vhacdx_makes_a_box_of_a_box():
    from vhacdx import compute_vhacd

    faces = np.column_stack([np.full(len(BOX_FACES), 3), BOX_FACES]).ravel().astype(np.uint32)
    (part,) = compute_vhacd(BOX, faces)
    assert np.ptp(part[0], axis=0) == pytest.approx([1, 1, 1], abs=0.05)


def test_huggingface_hub_names_a_file():
    from huggingface_hub import hf_hub_url

    assert hf_hub_url("owner/weights", "a.safetensors").endswith("/owner/weights/resolve/main/a.safetensors")


@pytest.mark.parametrize("name", requirements())
def test_what_is_installed_is_what_is_pinned(name):
    if name == "torch":
        pytest.importorskip("torch")
    line = requirements()[name]
    if "==" in line:
        assert version(name).partition("+")[0] == line.partition("==")[2]  # torch's tells its build after a +
    else:
        packaging = pytest.importorskip("packaging.requirements")
        assert version(name) in packaging.Requirement(line).specifier


def test_core_can_be_read_by_this_python():
    for path in sorted((ROOT / "core").rglob("*.py")):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
