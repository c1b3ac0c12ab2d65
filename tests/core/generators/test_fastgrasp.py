"""FastGrasp's parts do what the paper says; how good its grasps are is for scripts/evaluate.py."""

import json
from dataclasses import replace

import pytest
import torch
import trimesh

from core.generators.adaptation import CHUNK, AdaptationConfig, StiffnessTerm, in_the_way
from core.generators.contact_losses import prior_map
from core.generators.fastgrasp import DIFFUSING, WITHOUT_FIT, Denoiser, FastGrasp, HandLoss, imagined
from core.generators.hand_parameters import BETAS
from core.grasps.request import GraspRequest
from core.hand.skin import COUNT
from core.objects import prepare_object
from core.registry import make_generator
from core.training.configs import SKIN
from core.training.loop import OptimizerConfig, train


def going_on(fraction):
    return True


@pytest.fixture(scope="module")
def batch(mug_batch):
    network = FastGrasp(latent=16)
    return network, *mug_batch(network)


def test_the_true_hand_loses_nothing_but_its_own_contact(batch):
    network, skin, data = batch
    terms = HandLoss()(skin, network, data["code"], data)
    for name in ("param", "mesh", "consistency", "vertices"):
        assert float(terms[name]) == pytest.approx(0, abs=1e-4), name
    assert float(terms["surface"]) == pytest.approx(0, abs=1e-3)
    off = HandLoss()(skin, network, data["code"] + 0.3, data)
    for name in ("param", "mesh", "consistency", "surface", "loss"):
        assert float(off[name]) > float(terms[name]) + 1e-3, name


def test_pushed_into_the_object_it_costs(batch):
    network, skin, data = batch
    deeper = data["code"].clone()
    deeper[:, 60] -= 0.02 / network.code.scale[60]  # along the normal, inward
    terms, off = (HandLoss()(skin, network, code, data) for code in (data["code"], deeper))
    assert float(off["surface"]) > float(terms["surface"]) + 0.5


def test_an_untrained_adaptation_and_decoder_have_the_papers_shapes(batch):
    network, skin, data = batch
    z = network.latents(skin, data["code"])
    assert z.shape == (len(data["code"]), 16)
    assert network.adapted(z, data["window"], data["betas"], skin).shape == z.shape
    assert Denoiser(16, 32)(z, torch.ones(len(z), dtype=torch.long), torch.zeros(len(z), 32)).shape == z.shape


def test_parameters_instead_of_vertices(batch, hand):
    _, skin, data = batch
    network = FastGrasp(latent=16, vertices=False)
    assert network.autoencoder.encode(skin, network, data["code"]).shape == (len(data["code"]), 16)
    assert network.autoencoder.points is None


def test_adaptation_feels_where_the_surface_is(batch, monkeypatch):
    """What f_adapt is told: how far the skin of the hand in question is from the surface."""
    network, skin, data = batch
    z = network.latents(skin, data["code"])
    assert len(skin.rows) == COUNT
    monkeypatch.setattr(network, "decoded", lambda z: data["code"])
    felt = network.felt(z, data["window"], data["betas"], skin)
    assert felt.shape == (len(z), 4 * COUNT)
    touching = (felt[:, :COUNT].abs() < 0.5).sum(1)
    assert (touching >= 3).float().mean() > 0.9
    away = data["window"].clone()
    away[..., 2] -= 3
    assert (network.felt(z, away, data["betas"], skin)[:, :COUNT].abs() > 2).all()
    monkeypatch.undo()
    blind = FastGrasp(latent=16, feels=False)
    assert blind.adapted(z, data["window"], data["betas"], skin).shape == z.shape


@pytest.mark.parametrize("predicted", [0.0, 4.0])
def test_the_hand_that_is_given_counts_whatever_betas_are_predicted(batch, predicted):
    """A thin hand in the code would else seem to be out of the object, and the one that is shown would not be."""
    network, skin, data = batch
    code = data["code"].clone()
    code[:, BETAS] = predicted
    terms, true = HandLoss()(skin, network, code, data), HandLoss()(skin, network, data["code"], data)
    for name in ("vertices", "mesh", "contact", "penetration", "consistency", "surface"):
        assert float(terms[name]) == pytest.approx(float(true[name]), abs=1e-6), name


def test_adaptation_feels_with_the_hand_that_is_given(batch, monkeypatch):
    network, skin, data = batch
    z, thin = network.latents(skin, data["code"]), data["code"].clone()
    thin[:, BETAS] = 3.0
    monkeypatch.setattr(network, "decoded", lambda z: data["code"])
    felt = network.felt(z, data["window"], data["betas"], skin)
    monkeypatch.setattr(network, "decoded", lambda z: thin)
    assert torch.allclose(network.felt(z, data["window"], data["betas"], skin)[:, :COUNT], felt[:, :COUNT], atol=1e-4)
    other = network.felt(z, data["window"], data["betas"] + 3, skin)
    assert (other[:, :COUNT] - felt[:, :COUNT]).abs().mean() > 0.01


def test_imagined_hands_are_near_true_ones_and_differ(batch):
    _, _, data = batch
    code, rng = data["code"], torch.Generator().manual_seed(0)
    made = imagined(code, rng)
    assert made.shape == code.shape
    wrist = (made - code)[:, 58:]
    assert 0.05 < float(wrist.std()) < 0.3
    swapped = ((made - code)[:, 13:58].abs().mean(1) > 0.4).float().mean()
    assert 0.2 < float(swapped) < 0.8


def test_without_the_module_hands_are_as_the_diffusion_gives_them(batch, monkeypatch):
    network, skin, data = batch

    def proposed() -> torch.Tensor:
        with torch.no_grad():
            return network.propose(data["seen"], data["kind"], data["intent"], data["betas"], skin,
                                   network.shown, torch.Generator().manual_seed(0), lambda fraction: True)

    whole, asked = proposed(), []
    monkeypatch.setattr(network, "passes", 0)
    monkeypatch.setattr(network.adapt, "forward", asked.append)
    plain = proposed()
    assert not asked
    assert plain.shape == whole.shape
    assert not torch.allclose(plain, whole)


def test_a_hand_with_more_in_its_way_goes_further(batch):
    network, skin, data = batch
    z = network.latents(skin, data["code"]).detach()
    finish = AdaptationConfig(1, 0.2, longer=1.0)
    with torch.no_grad():
        way = in_the_way(data["seen"], network.code.skin(skin, network.decoded(z), data["betas"]))
        moved = (network.settled(z, data["seen"], data["betas"], skin, finish, going_on) - z).norm(dim=1)
    assert way.max() > way.min()
    assert torch.allclose(moved, finish.strides(way), atol=1e-4)


def test_settling_lowers_its_loss_a_hand_at_a_time(batch):
    network, skin, data = batch
    finish = replace(WITHOUT_FIT, steps=3, stride=0.3, longer=0.0)  # more leads an untrained network anywhere
    z = network.latents(skin, data["code"]).detach()
    known = [data[name] for name in ("seen", "betas")]
    with torch.no_grad():
        before = network.code.skin(skin, network.decoded(z), data["betas"])
        way = in_the_way(data["seen"], before)
        gripping = StiffnessTerm(network.code, skin, data["betas"],
                            data["seen"].grown(finish.clearance.further(data["seen"], way)))
        omega = prior_map(gripping.cloud, before)

        def loss(z):
            code = network.decoded(z)
            return finish.touch(gripping, code, network.code.skin(skin, code, data["betas"]), omega)

        after = network.settled(z, *known, skin, finish, going_on)
        assert loss(after).mean() < loss(z).mean()
        alone = network.settled(z[:1], *(value[:1] for value in known), skin, finish, going_on)
        assert torch.allclose(alone, after[:1], atol=1e-3)


def test_hands_settle_some_at_a_time_and_no_more_once_told(batch, monkeypatch):
    network, skin, data = batch
    rows, sizes = torch.arange(CHUNK + 3) % len(data["code"]), []
    given = [data[name][rows] for name in ("seen", "kind", "intent", "betas")]
    settled = network.settled
    monkeypatch.setattr(network, "settled", lambda z, *rest: (sizes.append(len(z)), settled(z, *rest))[1])

    def proposed(go_on, finish=WITHOUT_FIT):
        with torch.no_grad():
            return network.propose(*given, skin, finish, torch.Generator().manual_seed(0), go_on)

    told = []
    proposed(lambda share: told.append(share) or True)
    assert sorted(sizes) == [3, CHUNK]  # side by side
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    sizes.clear()
    monkeypatch.setattr("core.parallel.AT_ONCE", 1)
    stopped = proposed(lambda share: share < DIFFUSING + 0.01)
    assert sizes == [CHUNK]
    assert torch.allclose(stopped[CHUNK:], proposed(going_on, AdaptationConfig())[CHUNK:], atol=1e-5)


@pytest.mark.parametrize("count", [3, 48])
def test_candidates_go_through_the_denoiser_together(batch, count, monkeypatch):
    network, skin, data = batch
    sizes = []
    denoise = network.denoiser.forward
    monkeypatch.setattr(network.denoiser, "forward", lambda z, t, c: (sizes.append(len(z)), denoise(z, t, c))[1])
    rows = torch.arange(count) % len(data["code"])
    with torch.no_grad():
        network.propose(*(data[name][rows] for name in ("seen", "kind", "intent", "betas")), skin, WITHOUT_FIT,
                        torch.Generator().manual_seed(0), lambda fraction: True)
    assert sizes == [count] * network.steps


def test_adaptation_moves_nothing_of_the_prior(batch):
    network, skin, data = batch
    network.requires_grad_(False)
    for part in (network.adapt, network.adapt_object):
        part.requires_grad_(True)
    network.adaptation_loss(skin, data, torch.Generator().manual_seed(0), HandLoss())["loss"].backward()
    moved = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert moved == {"adapt", "adapt_object"}
    network.requires_grad_(True)
    network.zero_grad(set_to_none=True)


def test_the_denoiser_is_told_the_hands_shape(batch):
    network, _, data = batch

    def proposed(betas: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network.condition(data["window"], data["kind"], data["intent"], betas)

    assert (proposed(data["betas"] + 2) - proposed(data["betas"])).abs().mean() > 0.01


def test_hands_are_judged_in_the_diffusion_where_the_estimate_is_one_hand(batch, monkeypatch):
    """The estimate from much noise is an average of hands; its skin says nothing of any of them."""
    network, skin, data = batch
    judged = []

    def judge(hand, network, code, some):
        judged.append((len(code), {len(value) for value in some.values()}))
        return SKIN(hand, network, code, some)

    terms = network.diffusion_loss(skin, data, torch.Generator().manual_seed(0), judge)
    t = network.noised(skin, data, torch.Generator().manual_seed(0), network.schedule.steps)[1]
    few = int((t <= network.judge_until).sum())
    assert 0 < few < len(t)
    assert judged == [(few, {few})]
    assert float(terms["loss"].detach()) > float(terms["noise"].detach())
    monkeypatch.setattr(network, "judge_until", 0)
    terms = network.diffusion_loss(skin, data, torch.Generator().manual_seed(0), judge)
    assert len(judged) == 1
    assert float(terms["loss"].detach()) == float(terms["noise"].detach())


def test_only_what_is_weighed_is_reckoned(batch):
    network, skin, data = batch
    assert set(SKIN(skin, network, data["code"], data)) == {"param", "vertices", "surface", "loss"}


def test_it_learns_one_object(batch, tmp_path):
    """A few seconds bring the auto-encoder back to a mug's grasps, and the denoiser's error down."""
    network, skin, data = batch
    torch.manual_seed(0)

    def rows(rng, size=32):
        pick = torch.randint(len(data["code"]), (size,), generator=rng)
        return {key: value[pick] for key, value in data.items()}

    plain = HandLoss(mesh=0, contact=0, penetration=0, consistency=0, surface=0)
    course = OptimizerConfig(120, rate=3e-3, warmup=5, average=0.9, every=60)
    train(network.autoencoder, lambda rng: network.autoencoder_loss(skin, rows(rng), rng, plain), course, tmp_path,
          "autoencoder")
    with torch.no_grad():
        network.standardise(network.autoencoder.encode(skin, network, data["code"]))
        again = network.decoded(network.latents(skin, data["code"]))
    assert float((again - data["code"]).square().mean()) < 0.5 * float(data["code"].square().mean())
    course = OptimizerConfig(80, rate=2e-3, warmup=5, average=0, every=20)
    train(network, lambda rng: network.diffusion_loss(skin, rows(rng), rng), course, tmp_path, "diffusion")
    log = [json.loads(line)["loss"] for line in (tmp_path / "diffusion.jsonl").read_text().splitlines()]
    assert log[-1] < 0.9 * log[0]
    with torch.no_grad():
        code, again = (network.propose(
            *(data[name] for name in ("seen", "kind", "intent", "betas")), skin, WITHOUT_FIT,
            torch.Generator().manual_seed(1), lambda fraction: True) for _ in range(2))
    assert torch.isfinite(code).all()
    assert torch.equal(code, again)


@pytest.mark.parametrize("passes", [2, 4])
def test_the_shipped_adaptation_leaves_no_thumb_deep_in_a_ball(hand, passes, monkeypatch):
    """It once did, the more the more often it passed: what the palm touched was taken for something inside the hand."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.037)
    obj = prepare_object(ball.vertices, ball.faces)
    generator = make_generator("fastgrasp")
    for name, value in {"passes": passes, "shown": AdaptationConfig()}.items():
        monkeypatch.setattr(generator.network, name, value)
    request, rng = GraspRequest(obj, hand, 16), torch.Generator().manual_seed(0)
    grasps = generator.sample(request, rng, lambda fraction, stage: True)
    with torch.no_grad():
        skin = hand(**grasps.parameters()).vertices
    deepest = -1000 * obj.grid.query(skin.reshape(-1, 3))[0].reshape(len(grasps), -1).amin(1)
    assert deepest.mean() < 2
    assert deepest.max() < 4
