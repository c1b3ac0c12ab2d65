"""What a grasp is for: rules of parts, on objects whose parts are known and on hands posed by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from core.dataset.shapes import make_shape
from core.dataset.training_grasps import training_object
from core.grasps.intents import Purpose, hand_directions
from core.grasps.request import GraspRequest
from core.grasps.taxonomy import TYPES
from core.objects import load_object, prepare_object, save_object, with_parts
from core.progress import Progress
from core.synthesis.generator import Synthesis


@cache
def thing(family: str, seed: int = 0):
    shape = make_shape(family, seed)
    obj = prepare_object(shape.vertices, shape.faces)
    return with_parts(obj, shape.vertices, shape.faces, shape.part, shape.names, shape.types)


@pytest.fixture(scope="module")
def hammer():
    return thing("hammer")


@pytest.fixture(scope="module")
def pan():
    return training_object("pan/0")


def taken(obj, hand, intent, count=4):
    request = GraspRequest(obj, hand, count, intent=intent)
    return Synthesis().sample(request, torch.Generator().manual_seed(1), Progress()).grasps


def contact_shares(obj, hand, grasps):
    """Shares of the contact on handle and head, measured by the exact surface and not by the filter's grid."""
    skin = hand(**grasps.parameters()).vertices.detach()
    distance = obj.signed_distance(skin.reshape(-1, 3))[0].reshape(skin.shape[:2])
    nearest = torch.cdist(skin.reshape(-1, 3), obj.points).argmin(1).reshape(skin.shape[:2])
    name = np.array(obj.parts.names)[obj.parts.of_points[nearest].numpy()]
    near = (distance < 0.002).numpy()
    return {part: ((name == part) & near).sum(1) / near.sum(1) for part in obj.parts.names}


def test_points_know_their_part(hammer):
    head = hammer.points[hammer.parts.mask(frozenset({"head"}))]
    handle = hammer.points[hammer.parts.mask(frozenset({"handle"}))]
    assert handle[:, 0].max() < head[:, 0].min()


def test_parts_are_stored_with_the_object(hammer, tmp_path):
    save_object(hammer, tmp_path / "hammer.npz")
    again = load_object(tmp_path / "hammer.npz")
    assert again.parts.names == hammer.parts.names
    assert again.parts.types == hammer.parts.types
    assert torch.equal(again.parts.of_points, hammer.parts.of_points)


def test_a_hammer_is_used_by_its_handle_with_the_head_beyond_the_thumb(hammer, hand):
    grasps = taken(hammer, hand, "use")
    assert len(grasps) >= 4
    shares = contact_shares(hammer, hand, grasps)
    assert (shares["handle"] >= 0.55).all()
    assert (shares["head"] <= 0.05).all()
    radial, _ = hand_directions(hand(**grasps.parameters()).joints.detach())
    assert (radial[:, 0] > 0).float().mean() > 0.9  # the head is at +x


def test_a_hammer_is_handed_over_with_its_handle_free(hammer, hand):
    grasps = taken(hammer, hand, "handover", 2)
    assert len(grasps) >= 1
    assert (contact_shares(hammer, hand, grasps)["handle"] <= 0.1).all()


def test_the_edge_of_a_knife_is_left_alone(hand):
    knife = thing("knife")
    grasps = taken(knife, hand, "hold", 2)
    assert len(grasps) >= 2
    assert (contact_shares(knife, hand, grasps)["edge"] <= 0.05).all()


def test_lifting_goes_for_the_middle(hammer):
    purpose = Purpose(hammer, "lift")
    far = torch.tensor([[0.0, 0, 0], [-0.2, 0, 0]])
    assert purpose.may_lie(far).tolist() == [True, False]


def test_a_fist_is_preferred_on_a_handle_that_says_no_more(hammer):
    plain = replace(hammer, parts=replace(hammer.parts, types=()))
    assert all(grasp_type.power for grasp_type in Purpose(plain, "use").suitable_types(list(TYPES)))
    assert len(Purpose(plain, "hold").suitable_types(list(TYPES))) == len(TYPES)


@pytest.mark.parametrize("intent", ["use", "handover"])
def test_without_parts_there_is_a_sentence(hammer, hand, intent):
    with pytest.raises(LookupError, match="vertex group"):
        taken(replace(hammer, parts=None), hand, intent)


def test_hands_are_turned_to_the_ends_of_what_they_use(hammer):
    """The head is at +x: the thumb's side points there, and the fingers of no hand come from there."""
    palm, along = hammer.points[hammer.parts.mask(frozenset({"handle"}))].mean(0)[None], torch.eye(3)
    use = Purpose(hammer, "use")
    assert use.turned_as_used(palm, along[:1], along[1:2])
    assert not use.turned_as_used(palm, -along[:1], along[1:2])
    assert not use.turned_as_used(palm, along[1:2], -along[:1])
    assert Purpose(hammer, "hold").turned_as_used(palm, -along[:1], along[1:2])


def fist(wrist: tuple[float, float, float], knuckles: tuple[float, float, float]) -> torch.Tensor:
    """(1, 21, 3) joints of which only the way of the palm counts."""
    joints = torch.zeros(1, 21, 3)
    joints[:, 0], joints[:, 1:] = torch.tensor(wrist), torch.tensor(knuckles)
    joints[:, 1, 1] += 0.02
    joints[:, 7, 1] -= 0.02
    return joints


@pytest.mark.parametrize(("rise", "level"), [(0.0, True), (0.10, True), (0.14, False), (-0.14, False), (9.0, False)])
def test_a_pan_is_kept_level_by_a_forearm_that_is_nearly_so(pan, rise, level):
    """A wrist 0.1 m beside the knuckles: 45 degrees are well, 54 are not, from above or below."""
    purpose = Purpose(pan, "use")
    steep = purpose.steep(fist((0.1, 0.0, rise), (0.0, 0.0, 0.0)))
    assert (float(steep) == 0) == level
    assert float(Purpose(pan, "hold").steep(fist((0.0, 0.0, 0.1), (0.0, 0.0, 0.0)))) == 0  # only in use
    plain = Purpose(replace(pan, parts=replace(pan.parts, up=None)), "use")
    assert float(plain.steep(fist((0.0, 0.0, 0.1), (0.0, 0.0, 0.0)))) == 0


def test_up_is_stored_with_the_object(tmp_path):
    iron = training_object("iron/0", tmp_path)
    assert iron.parts.up == (0.0, 0.0, 1.0)
    save_object(iron, tmp_path / "iron.npz")
    assert load_object(tmp_path / "iron.npz").parts.up == iron.parts.up
    old = replace(iron, parts=replace(iron.parts, up=None))
    save_object(old, tmp_path / "iron_0.npz")  # as an earlier version left it in the cache
    assert training_object("iron/0", tmp_path).parts.up == iron.parts.up


def test_whoever_irons_keeps_the_forearm_low(hand):
    iron = training_object("iron/0")
    grasps = taken(iron, hand, "use", 4)
    assert len(grasps) >= 4
    _, distal = hand_directions(hand(**grasps.parameters()).joints.detach())
    assert (distal[:, 2].abs() <= 0.767).all()


def test_in_line_tells_a_hammer_from_a_saw(hammer):
    assert Purpose(hammer, "use").in_line
    assert not Purpose(thing("saw"), "use").in_line


def test_a_dumbbell_has_no_working_end():
    assert Purpose(thing("dumbbell"), "use").toward is None


def test_fingers_go_through_a_closed_handle(hand):
    """A ring's hole is known, and a straight finger laid through its middle or beside it is told apart."""
    saw = thing("saw")
    purpose = Purpose(saw, "use")
    centre, normal, radius = purpose.holes
    assert len(centre) > 20
    assert (saw.grid.query(centre)[0] > 0.004).all()  # free space
    joints = torch.zeros(2, 21, 3)
    joints += centre[0] + 0.3 * normal[0]
    joints[:, 1:4] = centre[0] + torch.tensor([[0.03], [0.0], [-0.03]]) * normal[0]
    joints[1] += 1.5 * radius[0] * torch.nn.functional.normalize(torch.linalg.cross(normal[0], torch.ones(3)), dim=0)
    joints[1] += 0.3
    assert purpose.threads(joints).tolist() == [True, False]


def test_no_hole_in_a_hammer(hammer):
    assert len(Purpose(hammer, "use").holes[0]) == 0


def test_scissors_are_taken_through_a_loop(hand):
    scissors = thing("scissors")
    grasps = taken(scissors, hand, "use", 2)
    assert len(grasps) >= 2
    joints = hand(**grasps.parameters()).joints.detach()
    assert Purpose(scissors, "use").threads(joints).all()


@pytest.mark.parametrize("family", ["pen", "remote"])
def test_of_what_is_all_handle_the_half_by_the_working_end_stays_free(family):
    obj = training_object(f"{family}/0")
    purpose, use = Purpose(obj, "handover"), Purpose(obj, "use")
    share = purpose.handle.float().mean() / use.held.float().mean()
    assert 0.3 < float(share) < 0.7
    assert not (purpose.handle & purpose.allowed).any()
    assert (use.handle == use.held).all()
    work = obj.points[~use.held].mean(0)
    near, far = ((obj.points[use.held & mask] - work).norm(dim=1).mean() for mask in (purpose.handle, ~purpose.handle))
    assert near < far


def test_a_hammers_whole_handle_stays_free():
    purpose = Purpose(training_object("hammer/0"), "handover")
    assert (purpose.handle == purpose.held).all()
