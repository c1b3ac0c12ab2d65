"""What every learned generator does around its network."""

from dataclasses import replace

import pytest
import torch
import trimesh

from core.generators.adaptation import AdaptationConfig, Clearance
from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.dvqvae import DvqVae
from core.generators.fastgrasp import FastGrasp
from core.generators.grasptta import GraspTTA
from core.generators.learned import Learned
from core.generators.place_scorer import PlaceScorer
from core.grasps.heading_frame import LOCAL_RADIUS, frames_of_grasps
from core.hand import load_hand
from core.objects import prepare_object
from core.progress import Progress, Stopped


@pytest.fixture
def learned():
    def make(**options: object) -> Learned:
        torch.manual_seed(0)
        return Learned(GraspTTA(without_fit=AdaptationConfig()), PlaceScorer(), "grasptta", **options)

    return make


def asked(generator, request, monkeypatch):
    """The grasps, and what the network was asked under."""
    given = []
    propose = generator.network.propose
    with monkeypatch.context() as patch:
        patch.setattr(generator.network, "propose", lambda conditioning, *rest: (
            given.append(conditioning), propose(conditioning, *rest))[1])
        grasps = generator.sample(request, torch.Generator().manual_seed(0), Progress()).grasps
    (conditioning,) = given
    return grasps, conditioning


def test_a_finer_mesh_costs_the_network_nothing(learned, request_of, hand, monkeypatch):
    """It is asked once for all candidates, and sees as many points of an object of any number of triangles."""
    mesh = trimesh.creation.box((0.03, 0.05, 0.16)).subdivide_to_size(0.01)
    fine = mesh.subdivide().subdivide()
    request = request_of(6)
    sizes = []
    for one in (mesh, fine):
        obj = prepare_object(one.vertices, one.faces)
        grasps, given = asked(learned(), replace(request, object=obj), monkeypatch)
        sizes.append((tuple(given.cloud.scaled.shape), tuple(obj.points.shape), tuple(obj.grid.values.shape)))
        assert len(grasps) == 6
    assert len(fine.faces) == 16 * len(mesh.faces)
    assert sizes[0] == sizes[1]


def test_networks_see_the_surface_offset_by_their_clearance(learned, request_of, monkeypatch):
    generator = learned()
    clouds = []
    for clearance in (0.0, 0.003):
        adaptation = AdaptationConfig(clearance=Clearance(clearance, full_area=1.0))
        monkeypatch.setattr(generator.network, "without_fit", adaptation)
        clouds.append(asked(generator, request_of(6), monkeypatch)[1].cloud.scaled)
    plain, out = clouds
    assert torch.allclose(out[..., :3], plain[..., :3] + 0.003 / LOCAL_RADIUS * plain[..., 3:], atol=1e-6)


@pytest.mark.parametrize("fitted", [True, False])
def test_hands_that_a_fit_lays_on_the_surface_need_not_keep_clear(learned, request_of, monkeypatch, fitted):
    generator = learned()
    without_fit, before_fit = AdaptationConfig(clearance=Clearance(0.003)), AdaptationConfig()
    for name, adaptation in {"without_fit": without_fit, "before_fit": before_fit}.items():
        monkeypatch.setattr(generator.network, name, adaptation)
    given = asked(generator, request_of(3, fitted=fitted), monkeypatch)[1]
    assert given.adaptation == (before_fit if fitted else without_fit)


@pytest.mark.parametrize("network", [FastGrasp(latent=16, steps=3), GraspTTA(without_fit=AdaptationConfig())])
def test_a_type_that_is_asked_for_is_followed_further(network, request_of, monkeypatch):
    """Than one that was drawn: further along the way from any type."""
    torch.manual_seed(0)
    generator = Learned(network, PlaceScorer(), "fastgrasp")
    with torch.no_grad():
        for value in network.parameters():  # what begins as nothing hides the condition
            if not value.any():
                value.normal_(std=0.05)
    drawn, given = (asked(generator, request_of(4, type=name), monkeypatch)[1] for name in ("any", TYPE_CONDITIONS[3]))
    assert drawn.guidance == 1
    assert given.guidance == network.guidance > 1

    def params(**changes: object) -> torch.Tensor:
        rng = torch.Generator().manual_seed(1)
        with torch.no_grad():
            return network.propose(replace(given, **changes), rng, Progress()).params

    plain = params(grasp_type=0 * given.grasp_type, guidance=1.0)
    one, small, two = (params(guidance=weight) for weight in (1.0, 1.001, 2.0))
    assert (small - one).abs().max() < 0.05 * (two - one).abs().max()
    assert (small - one).abs().max() > 0
    way, further = one - plain, two - one
    assert float((way * further).sum() / (way.norm() * further.norm())) > 0.5


@pytest.mark.parametrize("side", ["right", "left"])
def test_in_the_papers_frame_the_whole_object_is_seen(learned, request_of, block, side, monkeypatch):
    """Around its middle, anyhow turned; without a scorer."""
    request = request_of(5, hand=load_hand(side=side))
    generator = learned(object_frame=True)
    monkeypatch.setattr(generator.place_scorer, "forward", None)
    grasps, given = asked(generator, request, monkeypatch)
    cloud = given.cloud.scaled
    length = cloud[..., :3].norm(dim=-1).amax(1) * LOCAL_RADIUS
    assert length == pytest.approx(block.points.norm(dim=1).max().expand(5), abs=0.004)
    assert (cloud[0, :, :3] - cloud[1, :, :3]).abs().max() > 0.1
    assert torch.isfinite(grasps.transl).all()
    assert grasps.hand == side


def test_a_stop_ends_the_proposing_with_nothing(learned, request_of, recorder):
    for stop_at in (0.0, 0.5):
        progress = recorder(stop_at)
        generator = learned()
        generator.network.without_fit = AdaptationConfig(3, 1e-4)
        with pytest.raises(Stopped):
            generator.sample(request_of(3), torch.Generator().manual_seed(0), progress)
        assert sum(fraction >= stop_at for fraction in progress.fractions) == 1


def test_a_network_that_predicts_no_fields_proposes_none(learned, request_of):
    assert learned().sample(request_of(2), torch.Generator().manual_seed(0), Progress()).field is None


KEEP = (True, False, False, False, False, True)


@pytest.mark.parametrize("side", ["right", "left"])
def test_where_parts_are_kept_the_hand_is_asked_for_in_its_own_place(side, learned, request_of, monkeypatch):
    """Whoever made it: all are asked for in the frame of the hand given, which is handed on in the network's terms."""
    hand = load_hand(side=side)
    request = request_of(5, hand=hand)
    given = learned().sample(request, torch.Generator().manual_seed(1), Progress()).grasps
    torch.manual_seed(0)
    generator = Learned(DvqVae(count=8, without_fit=AdaptationConfig()), PlaceScorer(), "parts")
    again = replace(request, start=given[3], keep=KEEP, count=4)
    made, told = asked(generator, again, monkeypatch)
    assert made.type == ("",) * 4  # nobody knows
    frames = frames_of_grasps(request.object, hand, given[3])
    assert torch.allclose(told.cloud.middle, frames.object_origin() * torch.tensor(
        [1.0 if side == "right" else -1.0, 1.0, 1.0]), atol=1e-5)
    assert told.held.keep.tolist() == list(KEEP)
    back = generator.normalizer.grasps(hand, told.held.params, generator.places(again, torch.Generator())[0], "test")
    joints = hand(**given[3].parameters()).joints
    assert (hand(**back.parameters()).joints - joints).norm(dim=-1).max() < 1e-3


def test_parts_are_kept_of_one_hand_by_methods_that_hold_them(learned, request_of):
    request = request_of(2)
    given = learned().sample(request, torch.Generator().manual_seed(1), Progress()).grasps

    def sampled(generator, **changed):
        return generator.sample(replace(request, **changed), torch.Generator().manual_seed(0), Progress())

    with pytest.raises(ValueError, match="cannot keep parts of a hand: use one"):
        sampled(learned(), start=given, keep=KEEP)
    generator = Learned(DvqVae(count=8), PlaceScorer(), "parts")
    with pytest.raises(ValueError, match="no hand of which parts could be kept"):
        sampled(generator, keep=KEEP)
    with pytest.raises(ValueError, match="told for thumb, index, middle, ring, little, palm, in that order"):
        sampled(generator, start=given, keep=(True, False))
