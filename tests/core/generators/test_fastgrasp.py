"""FastGrasp's parts do what the paper says; how good its grasps are is for scripts/benchmarks/evaluate.py."""

import json
from dataclasses import replace

import pytest
import torch
import trimesh

from core.generators.adaptation import CHUNK, AdaptationConfig, StiffnessTerm, overlap_area
from core.generators.contact_losses import prior_map
from core.generators.fastgrasp import (
    DIFFUSION_SHARE,
    PHYSICAL_DIFFUSION,
    WITHOUT_FIT,
    Denoiser,
    FastGrasp,
    HandLoss,
    mix_hands,
)
from core.generators.hand_parameters import BETAS
from core.generators.training_config import OptimizerConfig
from core.grasps.request import GraspRequest
from core.hand.skin import COUNT
from core.objects import prepare_object
from core.progress import Progress, Stopped
from core.registry import make_generator
from core.training.loop import train


@pytest.fixture(scope="module")
def batch(mug_batch):
    network = FastGrasp(latent=16)
    return network, *mug_batch(network)


def test_the_true_hand_loses_nothing_but_its_own_contact(batch):
    network, skin, data, _ = batch
    terms = HandLoss()(skin, network, data["params"], data)
    for name in ("param", "mesh", "consistency", "vertices"):
        assert float(terms[name]) == pytest.approx(0, abs=1e-4), name
    assert float(terms["surface"]) == pytest.approx(0, abs=1e-3)
    off = HandLoss()(skin, network, data["params"] + 0.3, data)
    for name in ("param", "mesh", "consistency", "surface", "loss"):
        assert float(off[name]) > float(terms[name]) + 1e-3, name


def test_pushed_into_the_object_it_costs(batch):
    network, skin, data, _ = batch
    deeper = data["params"].clone()
    deeper[:, 60] -= 0.02 / network.code.scale[60]  # along the normal, inward
    terms, off = (HandLoss()(skin, network, params, data) for params in (data["params"], deeper))
    assert float(off["surface"]) > float(terms["surface"]) + 0.5


def test_an_untrained_adaptation_and_decoder_have_the_papers_shapes(batch):
    network, skin, data, _ = batch
    z = network.latents(skin, data["params"])
    assert z.shape == (len(data["params"]), 16)
    assert network.adapted(z, data["cloud"], data["betas"], skin).shape == z.shape
    assert Denoiser(16, 32)(z, torch.ones(len(z), dtype=torch.long), torch.zeros(len(z), 32)).shape == z.shape


def test_parameters_instead_of_vertices(batch, hand):
    _, skin, data, _ = batch
    network = FastGrasp(latent=16, vertices=False)
    assert network.autoencoder.encode(skin, network, data["params"]).shape == (len(data["params"]), 16)
    assert network.autoencoder.points is None


def test_adaptation_sees_where_the_surface_is(batch, monkeypatch):
    """What f_adapt is told: how far the skin of the hand in question is from the surface."""
    network, skin, data, _ = batch
    z = network.latents(skin, data["params"])
    assert len(skin.rows) == COUNT
    monkeypatch.setattr(network, "decoded", lambda z: data["params"])
    seen = network.surface_seen(z, data["cloud"], data["betas"], skin)
    assert seen.shape == (len(z), 4 * COUNT)
    touching = (seen[:, :COUNT].abs() < 0.5).sum(1)
    assert (touching >= 3).float().mean() > 0.9
    away = data["cloud"].clone()
    away[..., 2] -= 3
    assert (network.surface_seen(z, away, data["betas"], skin)[:, :COUNT].abs() > 2).all()
    monkeypatch.undo()
    blind = FastGrasp(latent=16, sees_surface=False)
    assert blind.adapted(z, data["cloud"], data["betas"], skin).shape == z.shape


@pytest.mark.parametrize("predicted", [0.0, 4.0])
def test_the_hand_that_is_given_counts_whatever_betas_are_predicted(batch, predicted):
    """A thin hand that is predicted would else seem to be out of the object, and the one that is shown would not be."""
    network, skin, data, _ = batch
    params = data["params"].clone()
    params[:, BETAS] = predicted
    terms, true = HandLoss()(skin, network, params, data), HandLoss()(skin, network, data["params"], data)
    for name in ("vertices", "mesh", "contact", "penetration", "consistency", "surface"):
        assert float(terms[name]) == pytest.approx(float(true[name]), abs=1e-6), name


def test_adaptation_sees_with_the_hand_that_is_given(batch, monkeypatch):
    network, skin, data, _ = batch
    z, thin = network.latents(skin, data["params"]), data["params"].clone()
    thin[:, BETAS] = 3.0
    monkeypatch.setattr(network, "decoded", lambda z: data["params"])
    seen = network.surface_seen(z, data["cloud"], data["betas"], skin)
    monkeypatch.setattr(network, "decoded", lambda z: thin)
    of_thin = network.surface_seen(z, data["cloud"], data["betas"], skin)
    assert torch.allclose(of_thin[:, :COUNT], seen[:, :COUNT], atol=1e-4)
    other = network.surface_seen(z, data["cloud"], data["betas"] + 3, skin)
    assert (other[:, :COUNT] - seen[:, :COUNT]).abs().mean() > 0.01


def test_mixed_hands_are_near_true_ones_and_differ(batch):
    _, _, data, _ = batch
    params, rng = data["params"], torch.Generator().manual_seed(0)
    made = mix_hands(params, rng)
    assert made.shape == params.shape
    wrist = (made - params)[:, 58:]
    assert 0.05 < float(wrist.std()) < 0.3
    swapped = ((made - params)[:, 13:58].abs().mean(1) > 0.4).float().mean()
    assert 0.2 < float(swapped) < 0.8


def test_without_the_module_hands_are_as_the_diffusion_gives_them(batch, monkeypatch):
    network, _, _, given = batch

    def proposed() -> torch.Tensor:
        with torch.no_grad():
            return network.propose(given, torch.Generator().manual_seed(0), Progress()).params

    whole, asked = proposed(), []
    monkeypatch.setattr(network, "passes", 0)
    monkeypatch.setattr(network.adapt, "forward", asked.append)
    plain = proposed()
    assert not asked
    assert plain.shape == whole.shape
    assert not torch.allclose(plain, whole)


def test_a_hand_with_a_larger_overlap_goes_further(batch):
    network, skin, data, given = batch
    z = network.latents(skin, data["params"]).detach()
    adaptation = AdaptationConfig(1, 0.2, per_cm2=1.0)
    with torch.no_grad():
        overlap = overlap_area(given.cloud, network.code.skin(skin, network.decoded(z), given.betas))
        moved = (network.descended(z, replace(given, adaptation=adaptation), Progress()) - z).norm(dim=1)
    assert overlap.max() > overlap.min()
    assert torch.allclose(moved, adaptation.step_sizes(overlap), atol=1e-4)


def test_adaptation_by_gradient_lowers_its_loss_a_hand_at_a_time(batch):
    network, skin, data, given = batch
    # More leads an untrained network anywhere.
    adaptation = replace(WITHOUT_FIT, steps=3, step_size=0.3, per_cm2=0.0)
    z, some = network.latents(skin, data["params"]).detach(), replace(given, adaptation=adaptation)
    with torch.no_grad():
        before = network.code.skin(skin, network.decoded(z), given.betas)
        further = adaptation.clearance.further(given.cloud, overlap_area(given.cloud, before))
        term = StiffnessTerm(network.code, skin, given.betas, given.cloud.offset(further))
        omega = prior_map(term.points, before)

        def loss(z):
            params = network.decoded(z)
            return adaptation.loss(term, params, network.code.skin(skin, params, given.betas), omega)

        after = network.descended(z, some, Progress())
        assert loss(after).mean() < loss(z).mean()
        alone = network.descended(z[:1], some[:1], Progress())
        assert torch.allclose(alone, after[:1], atol=1e-3)


def test_hands_are_adapted_some_at_a_time_and_no_more_once_stopped(batch, monkeypatch, recorder):
    network, _, _, given = batch
    some, sizes = given[torch.arange(CHUNK + 3) % len(given)], []
    descended = network.descended
    monkeypatch.setattr(network, "descended", lambda z, *rest: (sizes.append(len(z)), descended(z, *rest))[1])

    def propose(progress):
        with torch.no_grad():
            return network.propose(some, torch.Generator().manual_seed(0), progress)

    progress = recorder()
    propose(progress)
    assert sorted(sizes) == [3, CHUNK]  # side by side
    assert progress.fractions == sorted(progress.fractions)
    assert progress.fractions[-1] == pytest.approx(1.0)
    sizes.clear()
    monkeypatch.setattr("core.parallel.AT_ONCE", 1)
    with pytest.raises(Stopped):
        propose(recorder(DIFFUSION_SHARE + 0.01))
    assert sizes == [CHUNK]


@pytest.mark.parametrize("count", [3, 48])
def test_candidates_go_through_the_denoiser_together(batch, count, monkeypatch):
    network, _, _, given = batch
    sizes = []
    denoise = network.denoiser.forward
    monkeypatch.setattr(network.denoiser, "forward", lambda z, t, c: (sizes.append(len(z)), denoise(z, t, c))[1])
    with torch.no_grad():
        network.propose(given[torch.arange(count) % len(given)], torch.Generator().manual_seed(0), Progress())
    assert sizes == [count] * network.steps


def test_adaptation_moves_nothing_of_the_prior(batch):
    network, skin, data, _ = batch
    network.requires_grad_(False)
    for part in (network.adapt, network.adapt_object):
        part.requires_grad_(True)
    network.adaptation_loss(skin, data, torch.Generator().manual_seed(0), HandLoss())["loss"].backward()
    moved = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert moved == {"adapt", "adapt_object"}
    network.requires_grad_(True)
    network.zero_grad(set_to_none=True)


def test_the_denoiser_is_told_the_hands_shape(batch):
    network, _, data, _ = batch

    def proposed(betas: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network.condition(data["cloud"], data["grasp_type"], data["intent"], betas)

    assert (proposed(data["betas"] + 2) - proposed(data["betas"])).abs().mean() > 0.01


def test_hands_are_judged_where_the_prediction_is_one_hand(batch, monkeypatch):
    """The prediction from much noise is an average of hands; its points say nothing of any of them."""
    network, skin, data, _ = batch
    judged = []

    def judge(hand, network, params, some):
        judged.append((len(params), {len(value) for value in some.values()}))
        return PHYSICAL_DIFFUSION(hand, network, params, some)

    terms = network.diffusion_loss(skin, data, torch.Generator().manual_seed(0), judge)
    t = network.noised_latents(skin, data, torch.Generator().manual_seed(0), network.schedule.steps)[1]
    few = int((t <= network.judge_until).sum())
    assert 0 < few < len(t)
    assert judged == [(few, {few})]
    assert float(terms["loss"].detach()) > float(terms["noise"].detach())
    monkeypatch.setattr(network, "judge_until", 0)
    terms = network.diffusion_loss(skin, data, torch.Generator().manual_seed(0), judge)
    assert len(judged) == 1
    assert float(terms["loss"].detach()) == float(terms["noise"].detach())


def test_only_what_has_a_weight_is_computed(batch):
    network, skin, data, _ = batch
    assert set(PHYSICAL_DIFFUSION(skin, network, data["params"], data)) == {"param", "vertices", "surface", "loss"}


def test_it_learns_one_object(batch, tmp_path):
    """A few seconds bring the auto-encoder back to a mug's grasps, and the denoiser's error down."""
    network, skin, data, given = batch
    torch.manual_seed(0)

    def rows(rng, size=32):
        pick = torch.randint(len(data["params"]), (size,), generator=rng)
        return {key: value[pick] for key, value in data.items()}

    plain = HandLoss(mesh=0, contact=0, penetration=0, consistency=0, surface=0)
    optimizer = OptimizerConfig(120, 3e-3, warmup=5, ema_decay=0.9, log_every=60)
    train(network.autoencoder, lambda rng: network.autoencoder_loss(skin, rows(rng), rng, plain), optimizer, tmp_path,
          "autoencoder")
    with torch.no_grad():
        network.standardise(skin, data["params"])
        again = network.decoded(network.latents(skin, data["params"]))
    assert float((again - data["params"]).square().mean()) < 0.5 * float(data["params"].square().mean())
    optimizer = OptimizerConfig(80, 2e-3, warmup=5, ema_decay=0, log_every=20)
    train(network, lambda rng: network.diffusion_loss(skin, rows(rng), rng), optimizer, tmp_path, "diffusion")
    log = [json.loads(line)["loss"] for line in (tmp_path / "diffusion.jsonl").read_text().splitlines()]
    assert log[-1] < 0.9 * log[0]
    with torch.no_grad():
        params, again = (network.propose(given, torch.Generator().manual_seed(1), Progress()).params for _ in range(2))
    assert torch.isfinite(params).all()
    assert torch.equal(params, again)


@pytest.mark.parametrize("passes", [2, 4])
def test_the_shipped_adaptation_leaves_no_thumb_deep_in_a_ball(hand, passes, monkeypatch):
    """It once did, the more the more often it passed: what the palm touched was taken for something inside the hand."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.037)
    obj = prepare_object(ball.vertices, ball.faces)
    generator = make_generator("fastgrasp")
    for name, value in {"passes": passes, "without_fit": AdaptationConfig()}.items():
        monkeypatch.setattr(generator.network, name, value)
    request, rng = GraspRequest(obj, hand, 16), torch.Generator().manual_seed(0)
    grasps = generator.sample(request, rng, Progress()).grasps
    with torch.no_grad():
        skin = hand(**grasps.parameters()).vertices
    deepest = -1000 * obj.grid.query(skin.reshape(-1, 3))[0].reshape(len(grasps), -1).amin(1)
    assert deepest.mean() < 2
    assert deepest.max() < 4
