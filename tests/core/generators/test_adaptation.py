"""What hands are moved by at test time: GraspTTA's Eq. 3, and the stiffness that the grasp lacks."""

import threading
from dataclasses import replace

import pytest
import torch
import trimesh

from core.generators.adaptation import (
    CHUNK,
    REUSE,
    AdaptationConfig,
    Clearance,
    StiffnessTerm,
    TouchLoss,
    in_chunks,
    overlap_area,
)
from core.generators.contact_losses import nearest_plane, penetration, prior_distance, prior_map
from core.generators.gradient_steps import adapted_parameters
from core.generators.grasptta import GraspTTA
from core.generators.hand_parameters import BETAS, POSITION
from core.generators.nearest import NearestNeighbours
from core.grasps.request import GraspRequest
from core.hand.squeeze import squeeze
from core.metrics.paper import paper_measures
from core.objects import prepare_object
from core.progress import Progress, Stopped
from core.quality.stiffness import STIFFNESS, grasp_quality
from core.registry import make_generator


@pytest.fixture(scope="module")
def setting(mug_batch):
    """Twelve hands on a mug: their units, their points, parameters, and what they are asked under."""
    network = GraspTTA()
    skin, batch, conditioning = mug_batch(network)
    return network.code, skin, batch["params"][:12], conditioning[:12]


def term_of(setting):
    normalizer, skin, _, given = setting
    return StiffnessTerm(normalizer, skin, given.betas, given.cloud)


def posed(setting, params):
    normalizer, skin, _, given = setting
    return normalizer.skin(skin, params, given.betas)


def deficit(setting, params):
    return term_of(setting).deficit(params, posed(setting, params))


def lifted(setting, metres):
    """The true hands, so far off the surface."""
    normalizer, _, params, _ = setting
    off = params.clone()
    off[:, POSITION.start + 2] += metres / normalizer.scale[POSITION.start + 2]
    return off


def test_the_overlap_is_the_surface_inside_the_hand(setting):
    seen = setting[3].cloud

    def overlap(metres, cloud=seen):
        return overlap_area(cloud, posed(setting, lifted(setting, metres))).mean()

    assert overlap(0.3) == 0
    near, nearer = (overlap(0.0, seen.offset(by)) for by in (0.002, 0.004))
    assert overlap(0.0) < 0.1
    assert nearer > near + 0.5 > 0.5
    small = replace(seen.offset(0.004), area=seen.area / 2)
    assert torch.allclose(overlap(0.0, small), nearer / 2)


def test_the_larger_the_overlap_the_further_off_a_hand_keeps(setting):
    overlap = torch.tensor([0.0, 1.0, 5.0])
    cloud = replace(setting[3].cloud, area=torch.full_like(overlap, 200.0))
    assert torch.allclose(Clearance(0.001, 0.0002, 9.0).further(cloud, overlap), 0.0002 * overlap)
    assert torch.allclose(Clearance(0.001, 9.0, 0.003).further(cloud, overlap), 0.002 * (overlap > 0))
    assert not Clearance().further(cloud, overlap).any()


def test_the_larger_the_overlap_the_further_a_hand_goes():
    config = AdaptationConfig(3, 0.2, per_cm2=0.5)
    most = config.most_overlap
    sizes = config.step_sizes(torch.tensor([0.0, 1.0, most, 9 * most]))
    assert sizes.tolist() == pytest.approx([0.2, 0.3, 0.2 * (1 + most / 2), 0.2 * (1 + most / 2)])
    assert AdaptationConfig(3, 0.2).step_sizes(torch.tensor([9.0])).item() == pytest.approx(0.2)


def test_two_cores_move_two_chunks_at_a_time(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=20)
    hands = torch.randn(2 * CHUNK, 61)

    def moved(rows, progress):
        both.wait()  # breaks where the other chunk is not on its way
        return 2 * hands[rows]

    assert torch.equal(in_chunks(hands, moved, Progress()), 2 * hands)


@pytest.mark.parametrize("name", ["fastgrasp", "grasptta"])
def test_hands_are_the_same_on_one_core_and_on_more(name, hand, monkeypatch):
    mesh = trimesh.creation.box((0.05, 0.06, 0.12))
    obj = prepare_object(mesh.vertices, mesh.faces)
    generator = make_generator(name)
    adaptation = generator.network.without_fit
    monkeypatch.setattr(generator.network, "without_fit", replace(adaptation, steps=min(adaptation.steps, 6)))

    def hands(cores):
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        rng = torch.Generator().manual_seed(0)
        return generator.sample(GraspRequest(obj, hand, 2 * CHUNK + 3), rng, Progress()).grasps

    one, more = hands(1), hands(4)
    for part, value in one.parameters().items():
        assert torch.equal(value, more.parameters()[part])


def test_small_things_are_kept_clear_of_by_less(setting):
    cloud = replace(setting[3].cloud, area=torch.tensor([10.0, 40.0, 160.0]))
    assert Clearance(0.002, full_area=40.0).before(cloud).tolist() == pytest.approx([0.0005, 0.002, 0.002])


def test_one_table_of_distances_is_as_good_as_several(setting):
    skin, points, normals = posed(setting, setting[2]), setting[3].cloud.points, setting[3].cloud.normals
    near = NearestNeighbours.between(points, skin)
    assert torch.allclose(prior_distance(points, skin, near), prior_distance(points, skin), atol=1e-5)
    assert torch.allclose(penetration(points, normals, skin, near), penetration(points, normals, skin), atol=1e-7)
    for one, other in zip(nearest_plane(points, normals, skin.points, near),
                          nearest_plane(points, normals, skin.points), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_hand_drawn_off_its_object_has_a_larger_deficit(setting):
    assert (deficit(setting, lifted(setting, 0.04)) > deficit(setting, setting[2]) + 0.5).float().mean() > 0.8


def test_the_deficits_slope_leads_to_a_stiffer_grasp(setting):
    true = setting[2].clone().requires_grad_()
    before = deficit(setting, true)
    (slope,) = torch.autograd.grad(before.sum(), true)
    slope[:, BETAS] = 0
    step = 0.002 * slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-9)
    lacking = before > 0.1
    assert lacking.sum() > 3
    assert (deficit(setting, true - step) < before)[lacking].float().mean() > 0.7


def test_fingers_close_as_in_the_hold_test(setting, hand):
    normalizer, sample, params, given = setting
    skin = posed(setting, params)
    found = term_of(setting).closing(params, skin)
    _, rotation, pose, wrist = normalizer.unpack(params)
    root = hand.rest_joints(given.betas)[:, 0]
    exact = sample(rotation, squeeze(hand, pose, STIFFNESS.closing_degrees), wrist - root, given.betas).points
    exact = exact - skin.points
    assert exact.norm(dim=-1).max() > 0.01
    assert (found - exact).norm(dim=-1).max() < 0.25 * exact.norm(dim=-1).max()


def test_how_the_skin_closes_is_kept_for_some_steps(setting, monkeypatch):
    term, asked = term_of(setting), []
    closing = term.closing
    monkeypatch.setattr(term, "closing", lambda *given: (asked.append(1), closing(*given))[1])
    for _ in range(REUSE.closing + 1):
        term.deficit(setting[2], posed(setting, setting[2]))
    assert len(asked) == 2


def test_nearest_neighbours_are_kept_for_some_steps(setting):
    term = term_of(setting)
    near, deep = posed(setting, setting[2]), posed(setting, lifted(setting, -0.01))
    first = term.neighbours(near)
    for _ in range(REUSE.neighbours - 1):
        assert term.neighbours(deep) is first
    again = term.neighbours(deep)
    assert torch.equal(again.hand, NearestNeighbours.between(term.points, deep).hand)
    assert not torch.equal(again.hand, first.hand)


def test_every_weight_reaches_the_loss(setting):
    deep = lifted(setting, -0.01)
    skin = posed(setting, deep)
    omega = 0.5 * prior_map(setting[3].cloud.points, skin)

    def loss(**weights):
        none = dict.fromkeys(TouchLoss.__dataclass_fields__, 0.0)
        return TouchLoss(**(none | weights))(term_of(setting), deep, skin, omega)

    parts = [loss(**{name: 2.0}) for name in TouchLoss.__dataclass_fields__]
    assert all(part.abs().sum() > 0 for part in parts)
    together = loss(**dict.fromkeys(TouchLoss.__dataclass_fields__, 2.0))
    assert torch.allclose(together, sum(parts), rtol=1e-4)


def test_without_its_weight_no_deficit_is_computed(setting, monkeypatch):
    term, skin = term_of(setting), posed(setting, setting[2])
    monkeypatch.setattr(term, "deficit", lambda *_: pytest.fail("asked for the deficit"))
    TouchLoss(stiffness=0.0)(term, setting[2], skin, prior_map(term.points, skin))


def test_the_area_of_the_points_is_that_of_the_skin(setting):
    skin = setting[1]
    assert len(skin.area) == len(skin.rows)
    assert 250 < float(skin.area.sum()) < 700  # cm2, a hand cut at the wrist
    assert (skin.area > 0).all()


@pytest.mark.parametrize("name", ["fastgrasp", "grasptta"])
def test_shipped_hands_are_clear_of_the_object_and_hold_it(name, hand, monkeypatch):
    """Those without a fit are less in it than without clearance, and stiffer than without that in their loss.

    Those that a fit lays on it are stiffer than those that are not adapted.
    """
    mesh = trimesh.creation.capsule(height=0.1, radius=0.035)
    obj = prepare_object(mesh.vertices, mesh.faces)
    generator = make_generator(name)

    def hands(adaptation):
        with monkeypatch.context() as patch:
            patch.setattr(generator.network, "without_fit", adaptation)
            rng = torch.Generator().manual_seed(0)
            return generator.sample(GraspRequest(obj, hand, 24), rng, Progress()).grasps

    def quality(grasps):
        return grasp_quality(obj, hand, grasps).log().mean()

    ours, before_fit = generator.network.without_fit, generator.network.before_fit
    clear, close, soft, fitted, plain = (hands(one) for one in (
        ours, replace(ours, clearance=Clearance()), replace(ours, loss=TouchLoss(stiffness=0.0)), before_fit,
        AdaptationConfig()))
    overlap = [float(paper_measures(obj, hand, one, simulate=False)["volume_cm3"].mean()) for one in (clear, close)]
    assert overlap[0] < 0.8 * overlap[1]
    assert quality(clear) > quality(soft)
    assert quality(fitted) > quality(plain)


#: few steps of the 61 parameters themselves, of a given length
STEPS = AdaptationConfig(4, 0.1)


def test_parameters_adapted_by_few_steps_lower_the_loss_and_go_no_further_than_told(setting):
    normalizer, _, _, given = setting
    deep = lifted(setting, -0.006)
    term = term_of(setting)
    omega = prior_map(term.points, posed(setting, deep))

    def adapted(rows):
        return adapted_parameters(deep[rows], normalizer, replace(given[rows], adaptation=STEPS), Progress())

    moved = adapted(torch.arange(12))
    before, after = (STEPS.loss(term_of(setting), hands, posed(setting, hands), omega) for hands in (deep, moved))
    assert (after < before).float().mean() > 0.8
    assert after.mean() < 0.95 * before.mean()
    assert torch.equal(moved[:, BETAS], deep[:, BETAS])  # the hand is the animator's
    assert (moved - deep).norm(dim=1).max() < STEPS.step_size * (1 + 0.75 + 0.5 + 0.25) + 1e-5
    assert torch.allclose(adapted(torch.arange(1)), moved[:1], atol=1e-3)


def test_parameters_stay_without_steps_and_the_work_stops_when_told(setting, recorder):
    normalizer, _, params, given = setting
    still = replace(given, adaptation=AdaptationConfig())
    assert torch.equal(adapted_parameters(params, normalizer, still, Progress()), params)
    with pytest.raises(Stopped):
        adapted_parameters(params, normalizer, replace(given, adaptation=STEPS), recorder(stop_at=0.5))
