"""The hold test: on plates whose answer is known, on real hands, and against another engine."""

from __future__ import annotations

import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.hand.squeeze import squeeze
from core.metrics.strict import strict_measures
from core.objects import prepare_object
from core.progress import Progress, Stopped
from core.quality import hold
from core.quality.convex_decomposition import convex_pieces
from core.quality.hold import FILTER, PROTOCOL, HoldSimulation, hold_mask, hold_test, squeezed_bodies


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
    slip = HoldSimulation(cube, [plates(gap)], friction).slip(0)
    assert (slip < 0.02) == held


def test_free_fall_ends_at_once(cube):
    """Nothing holds: the test stops in the first ten steps beyond two centimetres, where s = g t^2 / 2 says."""
    simulation = HoldSimulation(cube, [[plate + [1.0, 0, 0] for plate in plates(0.0)]], 0.6)
    slip = simulation.slip(0)
    assert 0.02 <= slip < 0.02 + np.sqrt(2 * 9.81 * 0.02) * 0.021 + 0.002
    assert simulation.data.time == pytest.approx(0.2 + np.sqrt(2 * 0.02 / 9.81), abs=0.021)


def test_one_model_holds_many_hands_apart(cube):
    good, none = plates(-0.001), [plate + [1.0, 0, 0] for plate in plates(0.0)]
    simulation = HoldSimulation(cube, [none, good, none], 0.6)
    assert [simulation.slip(index) < 0.02 for index in (0, 1, 2, 1)] == [False, True, False, True]
    assert simulation.slip(1) == HoldSimulation(cube, [good], 0.6).slip(0)


def test_the_constants(cube):
    import mujoco

    model = HoldSimulation(cube, [plates(0.0)], 0.6).model
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
    simulation = HoldSimulation(cube, [plates(-0.001)], 0.6)
    simulation.slip(0)
    simulation.data.qvel[:] = np.nan
    assert simulation.travel(100, np.zeros(3)) >= 0.02
    assert not list(tmp_path.iterdir())  # MuJoCo's own way is to write a log there
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("away", [12.0, 1e6, 1e30])
def test_a_hand_far_away_does_not_disturb_the_others(cube, away):
    """Hands that wait their turn stand ten metres up: one that is as far below comes not on the object."""
    good, far = plates(-0.001), [plate - [0, 0, away] for plate in plates(-0.001)]
    simulation = HoldSimulation(cube, [far, good, [points + [0, 0, 2.0] for points in far]], 0.6)
    assert [simulation.slip(index) < 0.02 for index in (0, 1, 2)] == [False, True, False]
    assert simulation.slip(1) == HoldSimulation(cube, [good], 0.6).slip(0)


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
        assert (HoldSimulation(pieces, [plates(gap)], friction).slip(0, directions=1) < 0.02) == stays(friction, gap)


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


@pytest.fixture
def counted_steps(monkeypatch):
    """How many timesteps the physics made, a number for each call."""
    import mujoco

    steps, made = [], mujoco.mj_step

    def step(model, data, nstep):
        steps.append(nstep)
        made(model, data, nstep=nstep)

    monkeypatch.setattr(mujoco, "mj_step", step)
    return steps


@pytest.mark.parametrize(("still", "share", "off"), [(FILTER.still, 0.7, 0.4), (FILTER.nearly_still, 0.4, 1.0)])
def test_an_early_end_says_the_same(ball, hand, ball_grasp, pieces_folder, counted_steps, still, share, off):
    whole = hold_test(ball, hand, ball_grasp, cache=pieces_folder)
    all_steps = sum(counted_steps)
    counted_steps.clear()
    short = hold_test(ball, hand, ball_grasp, cache=pieces_folder, still=still)
    assert sum(counted_steps) < share * all_steps
    assert torch.equal(short.held, whole.held)
    assert torch.allclose(short.slip_cm[whole.held], whole.slip_cm[whole.held], atol=off)


@pytest.mark.parametrize(("position", "ends"), [(0.010, 60), (0.013, 470)])
def test_an_object_that_would_creep_out_of_the_hand_is_watched_on(cube, monkeypatch, position, ends):
    """An object that creeps by 0.9 mm in 60 steps: from 10 mm it is left at 19, from 13 its drop is noticed."""
    import mujoco

    simulation, steps = HoldSimulation(cube, [plates(0.0)], 0.6), []
    positions = np.zeros((simulation.model.nbody, 3))
    positions[:, 0] = position
    simulation.data = types.SimpleNamespace(time=0.0, xipos=positions)

    def step(model, data, nstep):
        steps.append(nstep)
        data.time += nstep * PROTOCOL.timestep
        data.xipos[:, 0] += nstep * 0.0009 / 60

    monkeypatch.setattr(mujoco, "mj_step", step)
    worst = simulation.travel(600, np.zeros(3), FILTER.nearly_still)
    assert sum(steps) == ends
    assert (worst >= PROTOCOL.dropped) == (position > 0.012)


@pytest.mark.parametrize("reports", [1, 7, 60])
def test_a_stop_is_heard_before_and_within_each_grasp_of_the_hold_test(ball, hand, ball_grasp, pieces_folder, reports):
    shares = []

    def stop(share: float, stage: str) -> bool:
        shares.append(share)
        return len(shares) < reports

    with pytest.raises(Stopped):
        hold_test(ball, hand, Grasps.cat([ball_grasp] * 4), directions=1, cache=pieces_folder, progress=Progress(stop))
    assert len(shares) == reports
    assert shares == sorted(shares)


@pytest.fixture
def three_tested(ball, hand, ball_grasp, monkeypatch):
    """A request, three grasps and the scores of those whose hold was tested; the second does not hold."""
    many = replace(Grasps.cat([ball_grasp] * 3), score=torch.arange(3.0))
    tested = []

    def passes(request, one, still, *_):
        tested.append(float(one.score))
        return float(one.score) != 1

    monkeypatch.setattr(hold, "passes_hold_test", passes)
    monkeypatch.setattr(hold.os, "cpu_count", lambda: 1)
    return GraspRequest(ball, hand, 3), many, tested


def test_rows_that_hold_are_told_in_order_and_the_others_not_tested(three_tested):
    request, grasps, tested = three_tested
    found = []
    held = hold_mask(request, grasps, torch.ones(3, dtype=torch.bool), Progress(), found=found.append)
    assert held.tolist() == [True, False, True]
    assert found == [0, 2]
    tested.clear()
    assert hold_mask(request, grasps, torch.tensor([False, False, True]), Progress()).tolist() == [False, False, True]
    assert tested == [2.0]


def test_a_stop_ends_the_tests_that_have_not_begun(three_tested, monkeypatch):
    """What was found to hold before has been told; a single test at most is still made."""
    request, grasps, tested = three_tested
    slow = hold.passes_hold_test
    monkeypatch.setattr(hold, "passes_hold_test", lambda *given: (time.sleep(0.1), slow(*given))[1])
    found = []
    with pytest.raises(Stopped):
        hold_mask(request, grasps, torch.ones(3, dtype=torch.bool), Progress(lambda share, stage: share < 0.3),
                  found=found.append)
    assert found == [0]
    assert len(tested) < 3


def test_a_stop_ends_the_tests_that_run(three_tested, monkeypatch):
    """Each would run for half a minute if it did not hear of the stop."""
    request, grasps, _ = three_tested
    ended = []

    def endless(_request, _one, _still, progress):
        for _ in range(600):
            try:
                progress(0.0)
            except Stopped:
                ended.append(True)
                raise
            time.sleep(0.05)

    monkeypatch.setattr(hold, "passes_hold_test", endless)
    told = []

    def stop(share: float, stage: str) -> bool:
        told.append(share)
        return len(told) < 4

    with pytest.raises(Stopped):
        hold_mask(request, grasps, torch.ones(3, dtype=torch.bool), Progress(stop))
    assert told == [0.0] * 4
    assert ended == [True]
