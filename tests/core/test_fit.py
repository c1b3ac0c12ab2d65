"""The fit behind its doors: the worker's request, the shell's command, the option of every method."""

from __future__ import annotations

import sys
import time
import types

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from core import cli
from core.fitting.proposal import Proposal
from core.grasps.batch import Grasps
from core.grasps.posed import pose_hands
from core.grasps.request import GraspRequest
from core.grasps.storage import write_grasps
from core.metrics.controls import random_wrists
from core.objects import prepare_object
from core.pipeline.generate import propose
from core.pipeline.refine import REFINE
from core.progress import Progress
from core.registry import METHODS, Method

CM = 100.0


class Watch(Progress):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.fractions: list[float] = []
        super().__init__(self._note)

    def _note(self, fraction: float, stage: str) -> None:
        self.stages.append(stage)
        self.fractions.append(fraction)


@pytest.fixture(scope="module")
def tin(can):
    return prepare_object(can["vertices"], can["faces"])


def rough(hand, depth: float = 0.0) -> Grasps:
    """A half open hand laid around the can's wall from +x, `depth` metres too far in."""
    dofs = torch.zeros(1, 21)
    dofs[:, [0, 4, 8, 12]] = 0.6
    dofs[:, [2, 6, 10, 14]] = 0.7
    dofs[:, 16:] = torch.tensor([0.6, 0.7, 0.1, 0.1, 0.2])
    turn = Rotation.from_matrix(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]))  # the back of the hand toward +x
    joints = hand.rest(torch.zeros(1, 10))[1][0].double().numpy()
    palm = 0.2 * joints[0] + 0.8 * joints[4]
    place = np.array([0.033 + 0.022 - depth, 0.0, 0.0]) - joints[0] - turn.apply(palm - joints[0])
    turned, placed = (torch.tensor(vector[None]).float() for vector in (turn.as_rotvec(), place))
    return Grasps(turned, hand.pose_from_dofs(dofs), placed, torch.zeros(1, 10), torch.zeros(1))


def request_of(hand, tin, grasps, can, **wishes):
    """The message and arrays of a fit request, in centimetres, away from the origin."""
    posed = pose_hands(hand, grasps, tin, CM)
    away = np.array([30.0, -20.0, 50.0])
    return ({"type": "fit", "hand_length": 19.0, **wishes},
            {"vertices": can["vertices"] * CM + away, "faces": can["faces"], "rotations": posed.rotations,
             "translation": posed.translation + away}, away)


def outside(vertices):
    """Signed distance, metres, of points in centimetres to the can at the origin."""
    radial = np.linalg.norm(vertices[..., :2], axis=-1) - 3.3
    return np.maximum(radial, np.abs(vertices[..., 2]) - 5.0) / CM


def test_a_rough_pose_is_laid_on_the_object_first_then_others_near_it(engine, hand, tin, can):
    message, arrays, away = request_of(hand, tin, rough(hand, 0.012), can, count=3, seed=4)
    replies = list(engine.replies(engine.send(message, arrays)))
    result, order = replies[-1][0], replies[-1][1]["order"]
    assert result["type"] == "result", result
    found = [reply for reply in replies if reply[0]["type"] == "candidate"]
    assert result["count"] == len(order) == 3
    given = outside(pose_hands(hand, rough(hand, 0.012), tin, CM).vertices[0])
    assert given.min() < -0.008
    first = outside(found[order[0]][1]["vertices"] - away)
    assert -0.0016 < first.min() < 0
    assert {"overlap_cm3", "depth_mm", "contacts"} <= set(found[order[0]][0]["measures"])
    joints = np.stack([found[place][1]["joints"] for place in order])
    apart = np.linalg.norm(joints[:, None] - joints[None], axis=-1).mean(-1) / CM
    assert (apart[np.triu_indices(3, 1)] > 0.005).all()
    assert (apart < 0.06).all()  # around the pose
    again = [reply for reply in engine.replies(engine.send(message, arrays)) if reply[0]["type"] == "candidate"]
    for (_, one), (_, other) in zip(found, again, strict=True):
        assert np.array_equal(one["vertices"], other["vertices"])


def test_a_method_there_is_not_is_told(engine, hand, tin, can):
    message, arrays, _ = request_of(hand, tin, rough(hand), can, method="magic")
    reply = engine.ask(message, arrays)[0]
    assert reply["type"] == "error"
    assert "There is no method 'magic'" in reply["message"]


def test_a_method_that_refines_makes_some_of_the_candidates(engine, hand, tin, can):
    found, first = {}, {}
    for method in ("synthesis", "jointdiffusion"):
        message, arrays, _ = request_of(hand, tin, rough(hand, 0.012), can, count=3, seed=4, method=method)
        replies = list(engine.replies(engine.send(message, arrays)))
        assert replies[-1][0]["type"] == "result", replies[-1][0]
        order = replies[-1][1]["order"]
        shown = [reply for reply in replies if reply[0]["type"] == "candidate"]
        found[method], first[method] = [shown[place][1]["vertices"] for place in order], shown[0][1]["vertices"]
    assert np.array_equal(first["synthesis"], first["jointdiffusion"])
    for method, hands in found.items():  # the fit of the pose itself, which is seen at once, stays among them
        assert any(np.array_equal(one, first[method]) for one in hands)
    assert not all(map(np.array_equal, found["synthesis"], found["jointdiffusion"]))


def test_a_hand_far_away_is_told_so(engine, hand, tin, can):
    message, arrays, _ = request_of(hand, tin, rough(hand, -0.4), can)
    reply = engine.ask(message, arrays)[0]
    assert reply["type"] == "error"
    assert "cm from the object: move it closer than 10 cm" in reply["message"]
    assert REFINE.reach == 0.10


@pytest.mark.parametrize("change, word", [
    ({"rotations": None}, "rotations"),
    ({"rotations": np.zeros((1, 16, 3))}, "16 rotations"),
    ({"rotations": np.zeros((1, 16, 4))}, "rotation that is none"),
    ({"translation": np.full((1, 3), np.nan)}, "NaN"),
    ({"vertices": None}, "vertices"),
])
def test_what_is_no_pose_is_told_in_a_sentence(engine, hand, tin, can, change, word):
    message, arrays, _ = request_of(hand, tin, rough(hand), can)
    arrays = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    reply = engine.ask(message, arrays)[0]
    assert reply["type"] == "error"
    assert word in reply["message"]


def test_a_fit_is_cancelled_within_a_second(engine, hand, tin, can):
    message, arrays, _ = request_of(hand, tin, rough(hand, 0.012), can, count=64)
    number = engine.send(message, arrays)
    for reply, _ in engine.replies(number):
        if reply["type"] == "progress" and reply["fraction"] > 0.05:
            begin = time.monotonic()
            engine.send({"type": "cancel", "target": number})
            break
    last = list(engine.replies(number))[-1][0]
    assert time.monotonic() - begin < 1.5
    assert last["type"] == "result"
    assert last["cancelled"]


def test_the_shell_fits_a_file_of_grasps(tmp_path, hand, tin, can):
    mesh, before, after = tmp_path / "can.ply", tmp_path / "before.npz", tmp_path / "after.npz"
    trimesh.Trimesh(can["vertices"] * 1000, can["faces"], process=False).export(mesh)
    write_grasps(before, hand, tin, rough(hand, 0.012), "mm")
    assert cli.main(["fit", str(mesh), str(before), "--out", str(after)]) == 0
    with np.load(before, allow_pickle=False) as one, np.load(after, allow_pickle=False) as other:
        assert set(one.files) == set(other.files)
        assert str(other["unit"]) == "mm"
        assert outside(one["vertices"] / 10).min() < -0.008
        assert -0.0016 < outside(other["vertices"] / 10).min() < 0
        assert np.array_equal(one["betas"], other["betas"])


def test_the_shell_refines_by_a_method_that_can(tmp_path, hand, tin, can, capsys):
    mesh, before, after = tmp_path / "can.ply", tmp_path / "before.npz", tmp_path / "after.npz"
    trimesh.Trimesh(can["vertices"], can["faces"], process=False).export(mesh)
    write_grasps(before, hand, tin, rough(hand, -0.03), "m")
    arguments = ["fit", str(mesh), str(before), "--out", str(after), "--method"]
    assert cli.main([*arguments, "fastgrasp"]) == 1
    assert "'fastgrasp' refines no hands: use fit or jointdiffusion" in capsys.readouterr().err
    assert cli.main([*arguments, "jointdiffusion"]) == 0
    with np.load(after, allow_pickle=False) as one:
        refined = one["vertices"]
    assert cli.main([*arguments, "fit"]) == 0
    with np.load(after, allow_pickle=False) as one:
        assert not np.array_equal(one["vertices"], refined)
    assert outside(refined * CM).min() > -0.004


def test_the_shell_tells_what_does_not_fit(tmp_path, hand, tin, can, capsys):
    mesh, file = tmp_path / "can.ply", tmp_path / "before.npz"
    trimesh.Trimesh(can["vertices"], can["faces"], process=False).export(mesh)
    write_grasps(file, hand, tin, rough(hand), "m")
    out = tmp_path / "out.npz"
    assert cli.main(["fit", str(mesh), str(file), "--hand", "left", "--out", str(out)]) == 1
    assert "its hand is right, not left" in capsys.readouterr().err
    write_grasps(file, hand, tin, rough(hand)[[]], "m")
    assert cli.main(["fit", str(mesh), str(file), "--out", str(out)]) == 1
    assert "no grasps" in capsys.readouterr().err
    assert not out.exists()


class Control:
    """A method that knows nothing: random wrists."""

    asked, fitted = 0, None

    def __init__(self, device) -> None:
        pass

    def sample(self, request, rng, progress) -> Proposal:
        Control.asked, Control.fitted = request.count, request.fitted
        mean = request.hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
        return Proposal(random_wrists(request.object, request.hand, request.count, rng, mean))


def test_the_fit_is_an_option_of_every_method(monkeypatch, hand, tin):
    module = types.ModuleType("a_control")
    module.Control = Control
    monkeypatch.setitem(sys.modules, "a_control", module)
    monkeypatch.setitem(METHODS, "control", Method("control", "Control", "", "", "a_control", "Control", on_gpu=False))
    request, watch = GraspRequest(tin, hand, 3), Watch()
    plain = propose(request, "control", 5, watch, fit=False)
    assert (Control.asked, Control.fitted) == (3, False)
    assert "Fitting the hand to the object" not in watch.stages
    fitted = propose(request, "control", 5, watch)
    assert Control.asked == 15  # five for each that is asked for, of which the stiffest are fitted
    assert Control.fitted
    assert len(plain) == len(fitted) == 3
    assert watch.fractions == sorted(watch.fractions)
    assert (fitted.score[:-1] >= fitted.score[1:]).all()
    assert fitted.measures["overlap_cm3"].mean() < 1.0
    raw = propose(request, "control", 5, watch, raw=True)
    assert torch.equal(raw.transl, plain.transl)
    assert not Control.fitted
