"""What hands are moved by at test time: GraspTTA's Eq. 3, and the grip."""

import threading
from dataclasses import replace

import pytest
import torch

from core.generators.adaptation import (
    CHUNK,
    EVERY,
    LOOK,
    MUCH,
    AdaptationConfig,
    Clearance,
    StiffnessTerm,
    TouchLoss,
    in_chunks,
    in_the_way,
)
from core.generators.contact_losses import nearest_plane, penetration, prior_distance, prior_map
from core.generators.grasptta import GraspTTA
from core.generators.hand_parameters import BETAS, PLACE
from core.generators.nearest import Nearest
from core.grasps.request import GraspRequest
from core.hand.articulation import squeeze
from core.metrics.paper import paper_measures
from core.objects import prepare_object
from core.quality.stiffness import STIFFNESS, grasp_quality
from core.registry import make_generator


@pytest.fixture(scope="module")
def setting(mug_batch):
    network = GraspTTA()
    skin, data = mug_batch(network)
    return network.code, skin, {name: value[:12] for name, value in data.items()}


def gripping_of(setting):
    code, skin, data = setting
    return StiffnessTerm(code, skin, data["betas"], data["seen"])


def lacking(setting, hands):
    code, skin, data = setting
    return gripping_of(setting).lacking(hands, code.skin(skin, hands, data["betas"]))


def lifted(setting, metres):
    """The true hands, so far off the surface."""
    code, _, data = setting
    off = data["code"].clone()
    off[:, PLACE.start + 2] += metres / code.scale[PLACE.start + 2]
    return off


def test_surface_is_in_the_way_of_a_hand_that_is_in_it(setting):
    code, skin, data = setting

    def way(metres, seen=data["seen"]):
        return in_the_way(seen, code.skin(skin, lifted(setting, metres), data["betas"])).mean()

    assert way(0.3) == 0
    near, nearer = (way(0.0, data["seen"].grown(by)) for by in (0.002, 0.004))
    assert way(0.0) < 0.1
    assert nearer > near + 0.5 > 0.5
    small = replace(data["seen"].grown(0.004), area=data["seen"].area / 2)
    assert torch.allclose(way(0.0, small), nearer / 2)


def test_the_more_is_in_the_way_the_further_off_a_hand_keeps(setting):
    way = torch.tensor([0.0, 1.0, 5.0])
    seen = replace(setting[2]["seen"], area=torch.full_like(way, 200.0))
    assert torch.allclose(Clearance(0.001, 0.0002, 9.0).further(seen, way), 0.0002 * way)
    assert torch.allclose(Clearance(0.001, 9.0, 0.003).further(seen, way), 0.002 * (way > 0))
    assert not Clearance().further(seen, way).any()


def test_the_more_is_in_the_way_the_further_a_hand_goes():
    strides = AdaptationConfig(3, 0.2, longer=0.5).strides(torch.tensor([0.0, 1.0, MUCH, 9 * MUCH]))
    assert strides.tolist() == pytest.approx([0.2, 0.3, 0.2 * (1 + MUCH / 2), 0.2 * (1 + MUCH / 2)])
    assert AdaptationConfig(3, 0.2).strides(torch.tensor([9.0])).item() == pytest.approx(0.2)


def test_two_cores_move_two_chunks_at_a_time(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=20)
    hands = torch.randn(2 * CHUNK, 61)

    def moved(rows, go_on):
        both.wait()  # breaks where the other chunk is not on its way
        return 2 * hands[rows]

    assert torch.equal(in_chunks(hands, moved, lambda share: True), 2 * hands)


@pytest.mark.parametrize("name", ["fastgrasp", "grasptta"])
def test_hands_are_the_same_on_one_core_and_on_more(name, hand, monkeypatch):
    import trimesh

    mesh = trimesh.creation.box((0.05, 0.06, 0.12))
    obj = prepare_object(mesh.vertices, mesh.faces)
    generator = make_generator(name)

    def hands(cores):
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        rng = torch.Generator().manual_seed(0)
        return generator.sample(GraspRequest(obj, hand, 2 * CHUNK + 3), rng, lambda fraction, stage: True)

    one, more = hands(1), hands(4)
    for part, value in one.parameters().items():
        assert torch.equal(value, more.parameters()[part])


def test_small_things_are_kept_clear_of_by_less(setting):
    seen = replace(setting[2]["seen"], area=torch.tensor([10.0, 40.0, 160.0]))
    assert Clearance(0.002, large=40.0).before(seen).tolist() == pytest.approx([0.0005, 0.002, 0.002])


def test_one_table_of_distances_is_as_good_as_several(setting):
    code, skin, data = setting
    posed, seen = code.skin(skin, data["code"], data["betas"]), data["seen"]
    near = Nearest.between(seen.cloud, posed)
    assert torch.allclose(prior_distance(seen.cloud, posed, near), prior_distance(seen.cloud, posed), atol=1e-5)
    assert torch.allclose(penetration(seen.cloud, seen.facing, posed, near),
                          penetration(seen.cloud, seen.facing, posed), atol=1e-7)
    for one, other in zip(nearest_plane(seen.cloud, seen.facing, posed.points, near),
                          nearest_plane(seen.cloud, seen.facing, posed.points), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_hand_drawn_off_its_object_lacks_more_of_a_grip(setting):
    true = setting[2]["code"]
    assert (lacking(setting, lifted(setting, 0.04)) > lacking(setting, true) + 0.5).float().mean() > 0.8


def test_its_slope_leads_to_a_firmer_grip(setting):
    true = setting[2]["code"].clone().requires_grad_()
    before = lacking(setting, true)
    (slope,) = torch.autograd.grad(before.sum(), true)
    slope[:, BETAS] = 0
    step = 0.002 * slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-9)
    loose = before > 0.1
    assert loose.sum() > 3
    assert (lacking(setting, true - step) < before)[loose].float().mean() > 0.7


def test_fingers_close_as_in_the_hold_test(setting, hand):
    code, skin, data = setting
    posed = code.skin(skin, data["code"], data["betas"])
    found = gripping_of(setting).closing(data["code"], posed)
    _, rotation, pose, wrist = code.unpack(data["code"])
    root = hand.rest_joints(data["betas"])[:, 0]
    exact = skin(rotation, squeeze(hand, pose, STIFFNESS.closing_degrees), wrist - root, data["betas"]).points - posed.points
    assert exact.norm(dim=-1).max() > 0.01
    assert (found - exact).norm(dim=-1).max() < 0.25 * exact.norm(dim=-1).max()


def test_how_the_skin_closes_is_asked_now_and_then(setting, monkeypatch):
    code, skin, data = setting
    gripping, asked = gripping_of(setting), []
    closing = gripping.closing
    monkeypatch.setattr(gripping, "closing", lambda *given: (asked.append(1), closing(*given))[1])
    for _ in range(EVERY + 1):
        gripping.lacking(data["code"], code.skin(skin, data["code"], data["betas"]))
    assert len(asked) == 2


def test_what_is_nearest_stands_for_some_steps(setting, monkeypatch):
    code, skin, data = setting
    gripping = gripping_of(setting)
    near, deep = (code.skin(skin, given, data["betas"]) for given in (data["code"], lifted(setting, -0.01)))
    first = gripping.nearest(near)
    for _ in range(LOOK - 1):
        assert gripping.nearest(deep) is first
    again = gripping.nearest(deep)
    assert torch.equal(again.skin, Nearest.between(gripping.cloud, deep).skin)
    assert not torch.equal(again.skin, first.skin)


def test_every_weight_reaches_the_loss(setting):
    code, skin, data = setting
    deep = lifted(setting, -0.01)
    posed = code.skin(skin, deep, data["betas"])
    omega = 0.5 * prior_map(data["seen"].cloud, posed)

    def loss(**weights):
        none = dict.fromkeys(TouchLoss.__dataclass_fields__, 0.0)
        return TouchLoss(**(none | weights))(gripping_of(setting), deep, posed, omega)

    parts = [loss(**{name: 2.0}) for name in TouchLoss.__dataclass_fields__]
    assert all(part.abs().sum() > 0 for part in parts)
    together = loss(**dict.fromkeys(TouchLoss.__dataclass_fields__, 2.0))
    assert torch.allclose(together, sum(parts), rtol=1e-4)


def test_without_its_weight_no_grip_is_reckoned(setting, monkeypatch):
    code, skin, data = setting
    gripping = gripping_of(setting)
    monkeypatch.setattr(gripping, "lacking", lambda *_: pytest.fail("asked for a grip"))
    posed = code.skin(skin, data["code"], data["betas"])
    TouchLoss(grip=0.0)(gripping, data["code"], posed, prior_map(gripping.cloud, posed))


def test_the_area_of_the_points_is_that_of_the_skin(setting):
    _, skin, _ = setting
    assert len(skin.area) == len(skin.rows)
    assert 250 < float(skin.area.sum()) < 700  # cm2, a hand cut at the wrist
    assert (skin.area > 0).all()


@pytest.mark.parametrize("name", ["fastgrasp", "grasptta"])
def test_shipped_hands_are_clear_of_the_object_and_grip_it(name, hand, monkeypatch):
    """Shown ones are less in it than without clearance, and firmer than without the grip in their loss.

    Those that a fit lays on it are firmer than those left as they come.
    """
    import trimesh

    mesh = trimesh.creation.capsule(height=0.1, radius=0.035)
    obj = prepare_object(mesh.vertices, mesh.faces)
    generator = make_generator(name)

    def hands(finish):
        with monkeypatch.context() as patch:
            patch.setattr(generator.network, "shown", finish)
            rng = torch.Generator().manual_seed(0)
            return generator.sample(GraspRequest(obj, hand, 24), rng, lambda fraction, stage: True)

    shown, laid = generator.network.shown, generator.network.laid
    tried = (shown, replace(shown, clearance=Clearance()), replace(shown, touch=TouchLoss(grip=0.0)), laid, AdaptationConfig())
    ours, near, shy, ready, plain = (hands(one) for one in tried)
    overlap = [float(paper_measures(obj, hand, one, simulate=False)["volume_cm3"].mean()) for one in (ours, near)]
    assert overlap[0] < 0.8 * overlap[1]
    firm, of_shy, of_ready, of_plain = (grasp_quality(obj, hand, one).log().mean() for one in (ours, shy, ready, plain))
    assert firm > of_shy
    assert of_ready > of_plain
