"""Whether hands do what is asked: a power grasp of a ball whose parts are named this way and that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.intents import hand_directions
from core.grasps.request import GraspRequest
from core.objects import prepare_object, with_parts
from core.progress import Progress, Stopped
from core.quality.intent import IntentJudge

RADIUS = 0.033  # metres, of the ball that the grasp is of


@pytest.fixture(scope="module")
def thumb_side(hand, ball_grasp):
    return hand_directions(hand(**ball_grasp.parameters()).joints.detach())[0][0].numpy()


def ball_of(names, part_of, radius=RADIUS):
    """A ball with its parts named: `part_of` gives each face's by the unit direction (F, 3) that it is in."""
    mesh = trimesh.creation.icosphere(4, radius)
    faces = mesh.vertices[mesh.faces].mean(1)
    part = part_of(faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(int)
    return with_parts(prepare_object(mesh.vertices, mesh.faces), mesh.vertices, mesh.faces, part, names)


def grade(obj, hand, grasp, intent="use", promise=False):
    judge = IntentJudge(GraspRequest(obj, hand, 1, intent=intent))
    return float(judge.promise(grasp) if promise else judge.grade(grasp))


def test_what_is_held_on_the_wrong_part_does_nothing_of_what_is_asked(hand, ball_grasp):
    def all_one(face):
        return 0 * face[:, 0]

    assert grade(ball_of(("handle",), all_one), hand, ball_grasp) == 1
    assert grade(ball_of(("head",), all_one), hand, ball_grasp) == 0
    assert grade(ball_of(("handle",), all_one), hand, ball_grasp, "handover") == 0
    assert grade(ball_of(("handle",), all_one), hand, ball_grasp, "hold") == 1
    assert grade(ball_of(("edge",), all_one), hand, ball_grasp, "hold") == 0


def test_a_hand_on_the_right_part_that_is_turned_wrongly_does_some(hand, ball_grasp, thumb_side):
    """The thumb's side points to a mouth, or away from it."""
    def upright(sign):
        return ball_of(("handle", "mouth"), lambda face: face @ (sign * thumb_side) > 0.97)

    assert grade(upright(1), hand, ball_grasp) == 1
    assert grade(upright(-1), hand, ball_grasp) == 0.5


def test_a_proposal_that_does_not_touch_yet_may_promise_it(hand, ball_grasp):
    smaller = ball_of(("handle",), lambda face: 0 * face[:, 0], RADIUS - 0.005)
    assert grade(smaller, hand, ball_grasp) == 0
    assert grade(smaller, hand, ball_grasp, promise=True) == 1


def test_the_grade_goes_with_the_grasps(hand, ball_grasp):
    judge = IntentJudge(GraspRequest(ball_of(("handle",), lambda face: 0 * face[:, 0]), hand, 1, intent="use"))
    assert judge.marked(ball_grasp).measures["intent"].tolist() == [1.0]
    assert judge.grade(ball_grasp[torch.zeros(0, dtype=torch.long)]).shape == (0,)


def test_judging_is_stopped(hand, ball_grasp):
    judge = IntentJudge(GraspRequest(ball_of(("handle",), lambda face: 0 * face[:, 0]), hand, 1, intent="use"))
    with pytest.raises(Stopped):
        judge.promise(ball_grasp, Progress(lambda fraction, stage: False))
