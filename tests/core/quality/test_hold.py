from __future__ import annotations

import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.batch import Grasps
from core.hand.articulation import squeeze
from core.metrics.strict import strict_measures
from core.objects import prepare_object
from core.quality import hold
from core.quality.convex_decomposition import convex_pieces
from core.quality.hold import NEARLY_STILL, STILL, Bench, hold_test, squeezed_bodies


@pytest.fixture(scope="module")
def cube(pieces_folder):
    mesh = trimesh.creation.box((0.04, 0.04, 0.04))
    return convex_pieces(prepare_object(mesh.vertices, mesh.faces), pieces_folder)


def plates(gap):
    """Two plates left and right of a 4 cm cube, `gap` metres off it each (negative: squeezing)."""
    plate = trimesh.creation.box((0.01, 0.06, 0.06)).vertices
    return [plate + [sign * (0.025 + gap), 0, 0] for sign in (-1, 1)]


@pytest.mark.parametrize("friction, gap, held", [(0.6, -0.001, True), (0.0, -0.001, False), (0.6, 0.003, False)])
def test_a_cube_between_plates(cube, friction, gap, held):
    slip = Bench(cube, [plates(gap)], friction).slip(0)
    assert (slip < 0.02) == held


def test_free_fall_ends_at_once(cube):
    """Nothing holds: the test stops in the first ten steps beyond two centimetres, where s = g t^2 / 2 says."""
    bench = Bench(cube, [[plate + [1.0, 0, 0] for plate in plates(0.0)]], 0.6)
    slip = bench.slip(0)
    assert 0.02 <= slip < 0.02 + np.sqrt(2 * 9.81 * 0.02) * 0.021 + 0.002
    assert bench._data.time == pytest.approx(0.2 + np.sqrt(2 * 0.02 / 9.81), abs=0.021)


def test_one_model_holds_many_hands_apart(cube):
    good, none = plates(-0.001), [plate + [1.0, 0, 0] for plate in plates(0.0)]
    bench = Bench(cube, [none, good, none], 0.6)
    assert [bench.slip(index) < 0.02 for index in (0, 1, 2, 1)] == [False, True, False, True]
    assert bench.slip(1) == Bench(cube, [good], 0.6).slip(0)


def test_the_constants(cube):
    import mujoco

    model = Bench(cube, [plates(0.0)], 0.6)._model
    body = model.body("object").id
    assert model.body_mass[body] == pytest.approx(0.2)
    assert model.body_inertia[body] == pytest.approx([0.2 * 0.04**2 / 6] * 3, rel=1e-3)
    assert model.opt.timestep == pytest.approx(0.002)
    assert model.opt.impratio == 5
    assert model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert (model.geom_condim == 4).all()
    assert model.geom_friction[:, 0] == pytest.approx(0.6)
    assert model.geom_solref == pytest.approx(np.tile([0.01, 1.0], (model.ngeom, 1)))
    assert model.geom_solimp[:, :3] == pytest.approx(np.tile([0.8, 0.95, 0.003], (model.ngeom, 1)))


def test_a_grasped_ball_is_held_and_a_ball_beside_the_hand_is_not(ball, hand, ball_grasp, pieces_folder):
    beside = replace(ball_grasp, transl=ball_grasp.transl + torch.tensor([[0.0, 0.15, 0.0]]))
    result = hold_test(ball, hand, Grasps.cat([beside, ball_grasp]), cache=pieces_folder)
    assert result.held.tolist() == [False, True]
    assert result.slip_cm[0] >= 2 > result.slip_cm[1]
    measures = strict_measures(ball, hand, ball_grasp, cache=pieces_folder)
    assert measures["held"].tolist() == [True]
    assert measures["slip_cm"][0] == result.slip_cm[1]


def test_fewer_directions_never_see_more(ball, hand, ball_grasp, pieces_folder):
    one = hold_test(ball, hand, ball_grasp, directions=1, cache=pieces_folder)
    six = hold_test(ball, hand, ball_grasp, directions=6, cache=pieces_folder)
    assert one.slip_cm[0] <= six.slip_cm[0]
    with pytest.raises(ValueError, match="1 to 6"):
        hold_test(ball, hand, ball_grasp, directions=7, cache=pieces_folder)


def test_physics_that_fails_is_no_hold(cube, tmp_path, monkeypatch, capfd):
    """MuJoCo starts again from the beginning where a number is none; a hand must not be said to hold for that."""
    monkeypatch.chdir(tmp_path)
    bench = Bench(cube, [plates(-0.001)], 0.6)
    bench.slip(0)
    bench._data.qvel[:] = np.nan
    assert bench._run(100, np.zeros(3)) >= 0.02
    assert not list(tmp_path.iterdir())  # MuJoCo's own way is to write a log there
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("away", [12.0, 1e6, 1e30])
def test_a_hand_far_away_does_not_disturb_the_others(cube, away):
    """Hands that wait their turn stand ten metres up: one that is as far below comes not on the object."""
    good, far = plates(-0.001), [plate - [0, 0, away] for plate in plates(-0.001)]
    bench = Bench(cube, [far, good, [points + [0, 0, 2.0] for points in far]], 0.6)
    assert [bench.slip(index) < 0.02 for index in (0, 1, 2)] == [False, True, False]
    assert bench.slip(1) == Bench(cube, [good], 0.6).slip(0)


def test_another_engine_agrees_on_the_plates(tmp_path):
    """PyBullet: the same cube between the same fixed plates, pulled down for 1.2 s."""
    pybullet = pytest.importorskip("pybullet")

    def stays(friction, gap):
        client = pybullet.connect(pybullet.DIRECT)
        try:
            pybullet.setPhysicsEngineParameter(fixedTimeStep=0.002, physicsClientId=client)
            box = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[0.02] * 3, physicsClientId=client)
            body = pybullet.createMultiBody(0.2, box, physicsClientId=client)
            pybullet.changeDynamics(body, -1, lateralFriction=friction, physicsClientId=client)
            for plate in plates(gap):
                side = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=np.ptp(plate, 0) / 2,
                                                     physicsClientId=client)
                fixed = pybullet.createMultiBody(0, side, basePosition=plate.mean(0), physicsClientId=client)
                pybullet.changeDynamics(fixed, -1, lateralFriction=1.0, physicsClientId=client)
            pybullet.setGravity(0, 0, -9.81, physicsClientId=client)
            for _ in range(600):
                pybullet.stepSimulation(physicsClientId=client)
            place, _ = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
            return float(np.linalg.norm(place)) < 0.02
        finally:
            pybullet.disconnect(client)

    mesh = trimesh.creation.box((0.04, 0.04, 0.04))
    pieces = convex_pieces(prepare_object(mesh.vertices, mesh.faces), tmp_path)
    for friction, gap in ((0.6, -0.001), (0.0, -0.001), (0.6, 0.003)):
        assert (Bench(pieces, [plates(gap)], friction).slip(0, directions=1) < 0.02) == stays(friction, gap)


def test_no_grasps(ball, hand):
    assert len(hold_test(ball, hand, Grasps.empty()).held) == 0


def test_squeeze_is_flexion_of_knuckles_and_middle_joints(hand):
    dofs = torch.deg2rad(torch.tensor([[30.0, 5, 40, 20] * 4 + [20, 30, 5, 10, 20]]))
    more = torch.rad2deg(hand.dofs_from_pose(squeeze(hand, hand.pose_from_dofs(dofs))) - dofs)[0]
    expected = torch.tensor([2.0, 0, 1.4, 0] * 4 + [0, 0, 0, 2.0, 1.4])
    assert torch.allclose(more, expected, atol=0.02)


def test_sixteen_bodies_of_all_vertices(hand, ball_grasp):
    (bodies,) = squeezed_bodies(hand, ball_grasp)
    assert len(bodies) == 16
    assert sum(map(len, bodies)) == len(hand.v_template)


@pytest.mark.parametrize(("still", "share", "off"), [(STILL, 0.7, 0.4), (NEARLY_STILL, 0.4, 1.0)])
def test_an_early_end_says_the_same(ball, hand, ball_grasp, pieces_folder, still, share, off):
    whole = hold_test(ball, hand, ball_grasp, cache=pieces_folder)
    begin = time.perf_counter()
    whole = hold_test(ball, hand, ball_grasp, cache=pieces_folder)
    middle = time.perf_counter()
    short = hold_test(ball, hand, ball_grasp, cache=pieces_folder, still=still)
    assert time.perf_counter() - middle < share * (middle - begin)
    assert torch.equal(short.held, whole.held)
    assert torch.allclose(short.slip_cm[whole.held], whole.slip_cm[whole.held], atol=off)


@pytest.mark.parametrize(("place", "ends"), [(0.010, 60), (0.013, 470)])
def test_what_would_be_dropped_if_it_crept_on_is_watched_on(monkeypatch, place, ends):
    """An object that creeps by 0.9 mm in 60 steps: from 10 mm it is left at 19, from 13 it is seen to drop."""
    import mujoco

    bench, steps = Bench.__new__(Bench), []
    bench._body = 0
    bench._data = types.SimpleNamespace(time=0.0, xipos=np.array([[place, 0.0, 0.0]]))

    def step(model, data, nstep):
        steps.append(nstep)
        data.time += nstep * hold.TIMESTEP
        data.xipos[0, 0] += nstep * 0.0009 / 60

    bench._model = None
    monkeypatch.setattr(mujoco, "mj_step", step)
    worst = bench._run(600, np.zeros(3), NEARLY_STILL)
    assert sum(steps) == ends
    assert (worst >= hold.DROPPED) == (place > 0.012)
