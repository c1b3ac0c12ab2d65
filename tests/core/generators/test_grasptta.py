"""GraspTTA's parts do what the paper says; how good its grasps are is for scripts/benchmarks/evaluate.py."""

from dataclasses import replace

import pytest
import torch

from core.generators.adaptation import CHUNK, AdaptationConfig, TouchLoss
from core.generators.contact_losses import object_centric, prior_distance
from core.generators.grasptta import WITHOUT_FIT, CvaeLoss, GraspTTA
from core.generators.hand_parameters import BETAS
from core.grasps.heading_frame import LOCAL_RADIUS
from core.progress import Progress, Stopped

#: mm: Adam makes much of the last digit, and which point is nearest may hang on it; no eye tells this apart
ALIKE = 0.3


@pytest.fixture(scope="module")
def setting(mug_batch):
    torch.manual_seed(0)
    network = GraspTTA(refresh=3, without_fit=replace(WITHOUT_FIT, steps=6, step_size=1e-3))
    return network, *mug_batch(network)


def latent_of(network, given, count):
    """What the decoder is given for the first candidates, from z of the prior."""
    with torch.no_grad():
        c = network.cvae.condition(given.cloud.scaled[:count], given.grasp_type[:count], given.intent[:count])
    z = torch.randn(len(given), network.cvae.latent, generator=torch.Generator().manual_seed(0))[:count]
    return torch.cat([z, c], 1)


def apart(setting, params, others):
    """Millimetres between the points of hands (N, 61), the most."""
    network, skin = setting[:2]
    betas = torch.zeros(len(params), 10)
    one, other = (network.code.skin(skin, some, betas).points for some in (params, others))
    return 1000 * (one - other).norm(dim=-1).max()


def test_divergence_by_hand(setting, monkeypatch):
    """KL of N(1, e^0.5) from N(0, 1), summed over the latent's numbers."""
    network, skin, data, _ = setting
    like = torch.zeros(len(data["params"]), network.cvae.latent)
    monkeypatch.setattr(network.cvae, "posterior", lambda *_: (like + 1, like + 0.5))
    terms = network.cvae_loss(skin, data, torch.Generator().manual_seed(0), CvaeLoss())
    each = 0.5 * (1 + torch.tensor(0.5).exp() - 1 - 0.5)
    assert float(terms["divergence"]) == pytest.approx(float(each) * network.cvae.latent, rel=1e-4)


def test_every_weight_reaches_the_loss(setting):
    network, skin, data, _ = setting
    with torch.no_grad():
        base = network.cvae_loss(skin, data, torch.Generator().manual_seed(0), CvaeLoss())
    for name in set(CvaeLoss.__dataclass_fields__) - {"unseen"}:
        more = CvaeLoss(**{name: getattr(CvaeLoss(), name) + 10})
        with torch.no_grad():
            terms = network.cvae_loss(skin, data, torch.Generator().manual_seed(0), more)
        assert float(terms["loss"] - base["loss"]) == pytest.approx(10 * float(base[name]), rel=1e-3, abs=1e-5), name


def test_hands_from_the_prior_are_judged_where_that_is_asked_for(setting, monkeypatch):
    network, skin, data, _ = setting
    seen, like = [], torch.zeros(len(data["params"]), network.cvae.latent)
    monkeypatch.setattr(network.cvae, "posterior", lambda *_: (like + 100, like - 9))
    hook = network.cvae.decoder.register_forward_pre_hook(
        lambda _, given: seen.append(given[0][:, : network.cvae.latent]))

    def terms(weights):
        seen.clear()
        with torch.no_grad():
            return network.cvae_loss(skin, data, torch.Generator().manual_seed(0), weights)

    plain = terms(CvaeLoss())
    assert len(seen) == 1
    assert "unseen" not in plain
    more = terms(CvaeLoss(unseen=2.0))
    assert [float(z.abs().max()) < 10 for z in seen] == [False, True]
    assert float(more["unseen"]) > 0
    assert float(more["loss"] - plain["loss"]) == pytest.approx(2 * float(more["unseen"]), rel=1e-4)
    none = CvaeLoss(unseen=2.0, penetration=0, hand_centric=0, surface=1e-9)
    assert float(terms(none)["unseen"]) < 1e-6  # its parts are weighted as those of what is reconstructed
    hook.remove()


def test_contact_maps_follow_their_points(setting):
    """Unlike the published network it is not tied to the order of the points."""
    network, skin, data, _ = setting
    cloud, hand = data["cloud"][:2], network.code.skin(skin, data["params"][:2]).points / LOCAL_RADIUS
    order = torch.randperm(cloud.shape[1], generator=torch.Generator().manual_seed(1))
    found = network.contact(network.contact.object_features(cloud), hand)
    assert found.shape == cloud.shape[:2]
    shuffled = network.contact(network.contact.object_features(cloud[:, order]), hand)
    assert torch.allclose(shuffled, found[:, order], atol=1e-5)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("adapt", ["decoder", "parameters"])
def test_adaptation_lowers_its_loss_and_leaves_the_network_alone(setting, adapt, monkeypatch):
    """The consistency of Eq. 3 alone, which unlike the others has no threshold that points cross."""
    network, skin, _, given = setting
    alone = TouchLoss(hand_centric=0.0, penetration=0.0, stiffness=0.0)
    some = replace(given[:4], adaptation=AdaptationConfig(8, 3e-4, alone))
    for name, value in {"adapt": adapt, "refresh": 100}.items():
        monkeypatch.setattr(network, name, value)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start = latent_of(network, given, 4)
    with torch.no_grad():
        first = network.cvae.decoder(start)
        points = network.code.skin(skin, first, some.betas).points
        omega = network.contact(network.contact.object_features(some.cloud.scaled), points / LOCAL_RADIUS)
    after = network.adapted(start, some, Progress())

    def loss(params):
        posed = network.code.skin(skin, params, some.betas)
        return float(object_centric(prior_distance(some.cloud.points, posed), omega).sum().detach())

    assert loss(after) < loss(first)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_adaptation_judges_the_hand_that_is_given(setting, monkeypatch):
    """Making the predicted hand thin corrects nothing, for it is not the one that is shown."""
    network, _, _, given = setting
    monkeypatch.setattr(network, "adapt", "parameters")
    start, some = latent_of(network, given, 3), given[:3]
    with torch.no_grad():
        first = network.cvae.decoder(start)
    after = network.adapted(start, some, Progress())
    assert torch.equal(after[:, BETAS], first[:, BETAS])
    assert (after - first)[:, BETAS.stop:].abs().amax() > 1e-3
    other = network.adapted(start, replace(some, betas=some.betas + 3), Progress())
    assert (after - other).abs().amax() > 1e-3


def test_a_candidate_does_not_depend_on_how_many_were_asked_for(setting):
    network, _, _, given = setting
    # Of a network that has learned nothing the decoder is soon astray.
    given = replace(given, adaptation=replace(network.without_fit, step_size=3e-4))
    few, more = (network.adapted(latent_of(network, given, count), given[:count], Progress()) for count in (2, 5))
    assert apart(setting, few, more[:2]) < ALIKE
    assert apart(setting, few, network.cvae.decoder(latent_of(network, given, 2))) > 1


def test_without_steps_it_is_the_decoder(setting):
    network, _, data, given = setting
    params = proposed(setting, len(given), Progress(), AdaptationConfig())
    z = torch.randn(len(given), network.cvae.latent, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        c = network.cvae.condition(data["cloud"], data["grasp_type"], data["intent"])
        assert torch.allclose(params, network.cvae.decoder(torch.cat([z, c], 1)), atol=1e-6)


@pytest.mark.parametrize("count", [2, 12])
def test_candidates_are_adapted_together(setting, count, monkeypatch):
    """And the contact network is asked for new targets at every `refresh`th step only."""
    network, _, _, given = setting
    sizes = []
    criticise = network.contact.forward
    monkeypatch.setattr(network.contact, "forward", lambda features, hand: (sizes.append(len(hand)),
                                                                            criticise(features, hand))[1])
    network.adapted(latent_of(network, given, count), given[:count], Progress())
    assert sizes == [count] * (network.without_fit.steps // network.refresh)


def test_a_stop_ends_the_adaptation_within_a_step(setting, recorder):
    network, _, _, given = setting
    progress = recorder(0.0)
    with pytest.raises(Stopped):
        network.adapted(latent_of(network, given, 2), given[:2], progress)
    assert len(progress.fractions) == 1


def proposed(setting, count, progress, adaptation=None):
    network, _, _, given = setting
    some = given[torch.arange(count) % len(given)]
    with torch.no_grad():
        return network.propose(replace(some, adaptation=adaptation or network.without_fit),
                               torch.Generator().manual_seed(3), progress).params


@pytest.fixture
def chunk_sizes(setting, monkeypatch):
    """How many candidates were adapted together, each time."""
    network, sizes = setting[0], []
    adapted = network.adapted
    monkeypatch.setattr(network, "adapted", lambda latent, *rest: (sizes.append(len(latent)),
                                                                   adapted(latent, *rest))[1])
    return sizes


def test_many_candidates_are_adapted_some_at_a_time(setting, chunk_sizes, monkeypatch, recorder):
    progress = recorder()
    # Of a network that has learned nothing a hand is soon astray.
    calm = replace(setting[0].without_fit, step_size=3e-4)
    many = proposed(setting, CHUNK + 3, progress, calm)
    assert sorted(chunk_sizes) == [3, CHUNK]  # side by side
    assert progress.fractions == sorted(progress.fractions)
    assert progress.fractions[-1] == pytest.approx(1.0)
    monkeypatch.setattr("core.generators.adaptation.CHUNK", 2 * CHUNK)
    assert apart(setting, many, proposed(setting, CHUNK + 3, Progress(), calm)) < ALIKE


def test_stopped_in_one_chunk_the_next_does_not_begin(setting, chunk_sizes, monkeypatch, recorder):
    monkeypatch.setattr("core.parallel.AT_ONCE", 1)
    with pytest.raises(Stopped):
        proposed(setting, CHUNK + 3, recorder(0.0))
    assert chunk_sizes == [CHUNK]
