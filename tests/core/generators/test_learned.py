"""What every learned generator does around its network."""

from dataclasses import replace

import pytest
import torch
import trimesh

from core.generators.adaptation import AdaptationConfig, Clearance
from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.fastgrasp import FastGrasp
from core.generators.grasptta import GraspTTA
from core.generators.learned import Learned
from core.generators.place_scorer import PlaceScorer
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand import load_hand
from core.objects import prepare_object


@pytest.fixture
def learned():
    def make(**options: object) -> Learned:
        torch.manual_seed(0)
        return Learned(GraspTTA(shown=AdaptationConfig()), PlaceScorer(), "grasptta", **options)

    return make


def seen(generator, request, monkeypatch):
    """The grasps, and what the network was shown."""
    class Quiet:
        def __call__(self, fraction, stage):
            return True

    shown = []
    propose = generator.network.propose
    monkeypatch.setattr(generator.network, "propose", lambda seen, *rest: (shown.append(seen.window),
                                                                           propose(seen, *rest))[1])
    grasps = generator.sample(request, torch.Generator().manual_seed(0), Quiet())
    (window,) = shown
    return grasps, window


def test_a_finer_mesh_costs_the_network_nothing(learned, request_of, hand, monkeypatch):
    """It is asked once for all candidates, and sees as many points of an object of any number of triangles."""
    mesh = trimesh.creation.box((0.03, 0.05, 0.16)).subdivide_to_size(0.01)
    fine = mesh.subdivide().subdivide()
    request = request_of(6)
    sizes = []
    for one in (mesh, fine):
        obj = prepare_object(one.vertices, one.faces)
        grasps, window = seen(learned(), replace(request, object=obj), monkeypatch)
        sizes.append((tuple(window.shape), tuple(obj.points.shape), tuple(obj.grid.values.shape)))
        assert len(grasps) == 6
    assert len(fine.faces) == 16 * len(mesh.faces)
    assert sizes[0] == sizes[1]


def test_networks_see_the_surface_stand_out_by_their_clearance(learned, request_of, monkeypatch):
    generator = learned()
    windows = []
    for clearance in (0.0, 0.003):
        monkeypatch.setattr(generator.network, "shown", AdaptationConfig(clearance=Clearance(clearance, large=1.0)))
        windows.append(seen(generator, request_of(6), monkeypatch)[1])
        monkeypatch.undo()
    plain, out = windows
    assert torch.allclose(out[..., :3], plain[..., :3] + 0.003 / LOCAL_RADIUS * plain[..., 3:], atol=1e-6)


@pytest.mark.parametrize("fitted", [True, False])
def test_hands_that_a_fit_lays_on_the_surface_need_not_keep_clear(learned, request_of, monkeypatch, fitted):
    generator = learned()
    shown, laid = AdaptationConfig(clearance=Clearance(0.003)), AdaptationConfig()
    for name, finish in {"shown": shown, "laid": laid}.items():
        monkeypatch.setattr(generator.network, name, finish)
    told = []
    propose = generator.network.propose
    monkeypatch.setattr(generator.network, "propose", lambda *args: (told.append(args[5]), propose(*args))[1])
    generator.sample(request_of(3, fitted=fitted), torch.Generator().manual_seed(0), lambda fraction, stage: True)
    assert told == [laid if fitted else shown]


@pytest.mark.parametrize("network", [FastGrasp(latent=16, steps=3), GraspTTA(shown=AdaptationConfig())])
def test_a_type_that_is_asked_for_is_followed_further(network, request_of, monkeypatch):
    """Than one that was drawn: further along the way from any type."""
    torch.manual_seed(0)
    generator = Learned(network, PlaceScorer(), "fastgrasp")
    with torch.no_grad():
        for value in network.parameters():  # what begins as nothing hides the condition
            if not value.any():
                value.normal_(std=0.05)
    given = []
    propose = network.propose
    monkeypatch.setattr(network, "propose", lambda *args, **options: (given.append((args, options)),
                                                                      propose(*args, **options))[1])

    class Quiet:
        def __call__(self, fraction, stage):
            return True

    for kind in ("any", TYPE_CONDITIONS[3]):
        generator.sample(request_of(4, type=kind), torch.Generator().manual_seed(0), Quiet())
    (_, drawn), (args, asked) = given
    assert drawn == {}
    assert asked == {"guidance": network.guidance}
    assert network.guidance > 1
    seen, kind, intent, betas, skin, finish, _, go_on = args

    def codes(kind: torch.Tensor, guidance: float) -> torch.Tensor:
        with torch.no_grad():
            return propose(seen, kind, intent, betas, skin, finish, torch.Generator().manual_seed(1), go_on, guidance)

    plain, one, small, two = codes(0 * kind, 1), codes(kind, 1), codes(kind, 1.001), codes(kind, 2)
    assert (small - one).abs().max() < 0.05 * (two - one).abs().max()
    assert (small - one).abs().max() > 0
    way, further = one - plain, two - one
    assert float((way * further).sum() / (way.norm() * further.norm())) > 0.5


@pytest.mark.parametrize("side", ["right", "left"])
def test_in_the_papers_frame_the_whole_object_is_seen(learned, request_of, block, side, monkeypatch):
    """Around its middle, anyhow turned; without a scorer."""
    request = request_of(5, hand=load_hand(side=side))
    generator = learned(object_frame=True)
    monkeypatch.setattr(generator.places, "forward", None)
    grasps, window = seen(generator, request, monkeypatch)
    length = window[..., :3].norm(dim=-1).amax(1) * LOCAL_RADIUS
    assert length == pytest.approx(block.points.norm(dim=1).max().expand(5), abs=0.004)
    assert (window[0, :, :3] - window[1, :, :3]).abs().max() > 0.1
    assert torch.isfinite(grasps.transl).all()
    assert grasps.hand == side
