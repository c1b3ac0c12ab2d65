"""The hand layer poses as smplx does, on both sides, in batches and with gradients."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.hand import load_hand
from core.hand.articulation import mirror_pose
from core.rotations import axis_angle_to_matrix

sys.path.insert(0, str(Path(__file__).parent))
from mano_files import EMBEDDED, ROOT, hand_arrays


def draw(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scale = (1.0, 0.5, 0.3, 1.5)
    return [s * torch.randn(count, n, generator=generator, dtype=dtype) for n, s in zip((3, 45, 3, 10), scale)]


@pytest.mark.parametrize("open_wrist", [False, True])
@pytest.mark.parametrize("correctives", [False, True])
def test_equal_to_smplx(tmp_path, open_wrist, correctives):
    import smplx

    arrays = hand_arrays(open_wrist)
    if correctives:
        arrays["posedirs"] = np.random.default_rng(0).normal(scale=2e-3, size=arrays["posedirs"].shape)
    (tmp_path / "mano").mkdir()
    path = tmp_path / "mano" / "MANO_RIGHT.npz"
    np.savez(path, **arrays)
    orient, pose, transl, betas = draw(7)
    theirs = smplx.create(
        str(tmp_path), "mano", ext="npz", use_pca=False, flat_hand_mean=True, is_rhand=True, batch_size=7
    )
    expected = theirs(betas=betas, global_orient=orient, hand_pose=pose, transl=transl)
    out = load_hand(path)(orient, pose, transl, betas)
    assert (out.vertices - expected.vertices).abs().max() < 1e-5
    assert (out.joints[:, :16] - expected.joints[:, :16]).abs().max() < 1e-5


def test_works_where_smplx_is_absent():
    code = (
        "import sys\n"
        "for name in ('smplx', 'chumpy', 'anny', 'roma', 'trimesh', 'bpy'): sys.modules[name] = None\n"
        "import torch; from core.hand import load_hand\n"
        "print(load_hand()(*[torch.zeros(1, n) for n in (3, 45, 3, 10)]).vertices.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1610" in done.stdout


def test_left_is_the_mirror():
    right, left = load_hand(), load_hand(side="left")
    orient, pose, transl, betas = draw(5, seed=1)
    mirror = torch.tensor([-1.0, 1, 1])
    a = right(orient, pose, transl, betas)
    b = left(mirror_pose(orient), mirror_pose(pose), transl * mirror, betas)
    torch.testing.assert_close(b.vertices, a.vertices * mirror, atol=1e-6, rtol=0)
    torch.testing.assert_close(b.joints, a.joints * mirror, atol=1e-6, rtol=0)
    torch.testing.assert_close(left.spheres(b), right.spheres(a) * mirror, atol=1e-5, rtol=0)
    assert torch.equal(left.parts, right.parts)
    assert torch.equal(left.tip_vertices, right.tip_vertices)
    dofs = torch.rand(4, 21) * 0.4
    torch.testing.assert_close(left.pose_from_dofs(dofs), mirror_pose(right.pose_from_dofs(dofs)))
    corners = left.v_template[left.faces]
    assert (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() > 0, "faces look outward"


@pytest.mark.parametrize("side", ["right", "left"])
def test_angles_turn_joints_as_their_pose_does(side):
    hand = load_hand(side=side).double()
    low, high = hand.dof_limits.unbind(1)
    dofs = low + (high - low) * torch.rand(5, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    dofs.requires_grad_()
    straight = hand.rotations_from_dofs(dofs)
    around = axis_angle_to_matrix(hand.pose_from_dofs(dofs).reshape(5, 15, 3))
    torch.testing.assert_close(straight, around, atol=1e-7, rtol=0)
    weight = torch.rand_like(around)
    gradients = [torch.autograd.grad((some * weight).sum(), dofs)[0] for some in (straight, around)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=0)


def test_gradients():
    hand = load_hand().double()
    inputs = [value.requires_grad_() for value in draw(1, seed=2, dtype=torch.float64)]
    probe = torch.randn(21, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(lambda *args: (hand(*args).joints * probe).sum(), inputs, atol=1e-6)
    zero = [torch.zeros(1, n, requires_grad=True) for n in (3, 45, 3, 10)]
    load_hand()(*zero).vertices.square().sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in zero), "no trouble at the rest pose"


def test_batch_and_dtype():
    hand = load_hand()
    inputs = draw(6, seed=4)
    together = hand(*inputs)
    for i in (0, 5):
        alone = hand(*[value[i : i + 1] for value in inputs])
        torch.testing.assert_close(alone.vertices[0], together.vertices[i], atol=1e-6, rtol=0)
    assert hand(*[value[:0] for value in inputs]).vertices.shape == (0, 1610, 3)
    exact = load_hand().double()(*[value.double() for value in inputs])
    assert exact.vertices.dtype == torch.float64
    assert (exact.vertices - together.vertices).abs().max() < 2e-6
    assert load_hand().v_template.dtype == torch.float32, "a caller's copy is its own"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda():
    inputs = draw(3)
    out = load_hand(device="cuda")(*[value.cuda() for value in inputs])
    assert (out.vertices.cpu() - load_hand()(*inputs).vertices).abs().max() < 1e-5


def test_outputs_agree_with_each_other():
    hand = load_hand()
    orient, pose, transl, betas = draw(3, seed=5)
    out = hand(orient, pose, transl, betas)
    blend = torch.einsum("vj,bjkl->bvkl", hand.lbs_weights, out.transforms)
    homogeneous = torch.nn.functional.pad(out.rest_vertices, (0, 1), value=1.0)
    torch.testing.assert_close((blend @ homogeneous[..., None])[..., :3, 0], out.vertices, atol=1e-6, rtol=0)
    shaped, joints = hand.rest(betas)
    torch.testing.assert_close(hand.transforms(orient, pose, transl, joints), out.transforms)
    torch.testing.assert_close(shaped, out.shaped_vertices)
    torch.testing.assert_close(out.vertices[:, hand.tip_vertices], out.joints[:, 16:])


def test_the_embedded_file():
    trimesh = pytest.importorskip("trimesh")
    hand = load_hand()
    assert hand.length == pytest.approx(0.190, abs=2e-6)
    mesh = trimesh.Trimesh(hand.v_template.numpy(), hand.faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert 2.5e-4 < mesh.volume < 4e-4
    assert (hand.lbs_weights >= 0).all()
    assert (hand.lbs_weights > 0).sum(1).max() <= 4, "game engines and exporters keep four influences a vertex"
    assert (hand.lbs_weights.sum(1) - 1).abs().max() < 1e-5
    assert (hand.J_regressor >= 0).all()
    assert (hand.J_regressor.sum(1) - 1).abs().max() < 1e-5
    assert hand.quads.shape == (1598, 4)
    assert hand.uvs.shape == (1598, 4, 2)
    assert hand.uvs.min() >= 0
    assert hand.uvs.max() <= 1
    skin = len(hand.faces) - len(hand.cap_faces)
    assert skin == 2 * len(hand.quads)
    folder = EMBEDDED.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 600_000
    digest = hashlib.sha256(EMBEDDED.read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text(), "the card names the file's hash"
