"""DVQ-VAE's parts do what the paper says; how good its grasps are is for scripts/benchmarks/evaluate.py."""

from dataclasses import replace

import pytest
import torch

from core.generators.conditioning import HeldParts
from core.generators.dvqvae import DvqVae, training_config
from core.generators.dvqvae_loss import RECONSTRUCTION, DvqvaeLoss, posture_of
from core.generators.hand_parameters import BETAS, POSE, POSITION, ROTATION
from core.generators.part_codebooks import PALM
from core.generators.pixelcnn import PixelCNN
from core.progress import Progress


@pytest.fixture(scope="module")
def setting(mug_batch):
    torch.manual_seed(0)
    network = DvqVae(count=16).eval()
    return network, *mug_batch(network)


def decoded(network, skin, data, codes, **changed):
    features = network.object_features(data["cloud"])
    return network.decoded(skin, codes, changed.get("features", features), data["betas"])


def some_codes(network, data, seed=0):
    index = torch.randint(16, (len(data["params"]), 6), generator=torch.Generator().manual_seed(seed))
    return network.books.look_up(index)


def test_fingers_are_encoded_as_they_are_bent_and_the_palm_as_it_lies(setting):
    """Where the hand is and how it is turned is the palm's code's business, a finger's pose its own."""
    network, skin, data, _ = setting
    with torch.no_grad():
        z = network.part_features(skin, data["params"], data["betas"])
        moved = data["params"].clone()
        moved[:, POSITION] += 1.0
        moved[:, ROTATION] += 0.3
        found = (network.part_features(skin, moved, data["betas"]) - z).abs().amax((0, 2))
        assert found[PALM] > 1e-2
        assert found[:PALM].max() < 1e-5
        bent = data["params"].clone()
        bent[:, POSE.start:POSE.start + 9] += 1.0  # the index finger
        found = (network.part_features(skin, bent, data["betas"]) - z).abs().amax((0, 2))
        assert found.argmax() == 1


def test_the_position_decoder_sees_the_hand_but_hands_it_no_gradient(setting):
    """Eq. 9."""
    network, skin, data, _ = setting
    codes = some_codes(network, data).detach().requires_grad_()
    params = decoded(network, skin, data, codes)
    (slope,) = torch.autograd.grad(params[:, POSITION].sum() + params[:, ROTATION].sum(), codes, retain_graph=True)
    assert (slope[:, :PALM] == 0).all()
    assert slope[:, PALM].abs().max() > 0
    other = codes.detach().clone()
    other[:, 1] += 5.0  # another index finger
    with torch.no_grad():
        again = decoded(network, skin, data, other)
    assert not torch.allclose(again[:, POSITION], params[:, POSITION], atol=1e-4)


def test_the_type_encoder_decides_the_posture_and_the_pose_encoder_the_position(setting):
    """Sec. 3.2."""
    network, skin, data, _ = setting
    features, codes = network.object_features(data["cloud"]), some_codes(network, data)
    with torch.no_grad():
        before = network.decoded(skin, codes, features, data["betas"])
        other = type(features)(features.z_t, features.z_p + 1)
        after = network.decoded(skin, codes, other, data["betas"])
        assert torch.equal(posture_of(before), posture_of(after))
        assert not torch.allclose(before[:, POSITION], after[:, POSITION], atol=1e-4)
        other = type(features)(features.z_t + 1, features.z_p)
        assert not torch.allclose(posture_of(network.decoded(skin, codes, other, data["betas"])), posture_of(before),
                                  atol=1e-4)


@pytest.mark.parametrize("options", [
    {"order": "position"}, {"order": "once"}, {"encoders": 1}, {"decomposed": False},
    {"decomposed": False, "order": "once", "encoders": 1}, {"palm_places": False}, {"prior_sees": "code"}])
def test_variants_of_table_4_train_and_propose(options, mug_batch):
    config = training_config(1e-6, count=16, **options)
    network = config.network
    skin, data, given = mug_batch(network)
    rng = torch.Generator().manual_seed(0)
    for stage in config.stages:
        terms = stage.loss(skin, data, rng)
        terms["loss"].backward()
        assert terms["loss"].isfinite()
        for part in stage.trained:
            assert any(value.grad is not None for value in network.get_submodule(part).parameters()), part
    with torch.no_grad():
        found = network.eval().propose(given, rng, Progress()).params
    assert found.shape == data["params"].shape
    assert found.isfinite().all()


def test_reversed_the_posture_follows_the_position(mug_batch):
    torch.manual_seed(0)
    network = DvqVae(count=16, order="position").eval()
    skin, data, _ = mug_batch(network)
    codes = some_codes(network, data)
    with torch.no_grad():
        before = decoded(network, skin, data, codes)
        network.position.bent[-1].bias += 1.0
        after = decoded(network, skin, data, codes)
    assert not torch.allclose(posture_of(before), posture_of(after), atol=1e-4)


def test_every_weight_reaches_the_loss(setting):
    network, skin, data, _ = setting

    def terms(weights):
        with torch.no_grad():
            return network.autoencoder_loss(skin, data, torch.Generator().manual_seed(0), weights)

    base = terms(DvqvaeLoss())
    for name in set(DvqvaeLoss.__dataclass_fields__) - {"unseen", "depth"}:
        more = terms(DvqvaeLoss(**{name: getattr(DvqvaeLoss(), name) + 10}))
        assert float(more["loss"] - base["loss"]) == pytest.approx(10 * float(base[name]), rel=1e-3, abs=1e-5), name
    assert set(terms(RECONSTRUCTION)) == {"codes", "posture", "position", "vertices", "loss"}


def test_hands_drawn_from_the_prior_are_judged_where_that_is_asked_for(setting):
    network, skin, data, _ = setting
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        plain = network.decoder_loss(skin, data, rng, DvqvaeLoss())
        more = network.decoder_loss(skin, data, rng, DvqvaeLoss(unseen=2.0))
    assert "unseen" not in plain
    assert float(more["loss"] - plain["loss"]) == pytest.approx(2 * float(more["unseen"]), rel=1e-3)


def test_the_prior_learns_the_codes_that_hands_have(setting):
    """Its loss is the mean over cells of the negative log-likelihood; an even guess has log 16."""
    network, skin, data, _ = setting
    with torch.no_grad():
        loss = network.prior_loss(skin, data, torch.Generator().manual_seed(0))["loss"]
    assert float(loss) == pytest.approx(torch.tensor(16.0).log().item(), abs=0.6)
    index = network.codes_of(skin, data["params"], data["betas"])
    c = torch.zeros(len(index), 128)
    with torch.no_grad():
        logits = network.prior(index, c).log_softmax(2)
        each = logits.gather(2, index[..., None])[..., 0]
        monkey = network.condition
        network.condition = lambda *_: c
        again = network.prior_loss(skin, data, torch.Generator().manual_seed(0))["loss"]
        network.condition = monkey
    assert float(again) == pytest.approx(float(-each.mean()), rel=1e-5)


def test_codes_are_drawn_with_the_chances_that_the_prior_gives(setting):
    network, _, _, _ = setting
    c = torch.randn(1, 128, generator=torch.Generator().manual_seed(3)).expand(4000, -1)
    with torch.no_grad():
        index = network.drawn(c, torch.rand(4000, 6, generator=torch.Generator().manual_seed(0)))
        share = torch.softmax(network.prior(index[:1], c[:1])[0, 0], 0)
    seen = torch.nn.functional.one_hot(index[:, 0], 16).float().mean(0)
    assert (seen - share).abs().max() < 0.03


def test_many_are_drawn_as_one_by_one_each_with_its_own_label(setting):
    network, _, data, given = setting
    uniform = torch.rand(len(data["params"]), 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        c = network.condition(network.object_features(data["cloud"]), given.grasp_type, given.intent)
        c = c + torch.randn(c.shape, generator=torch.Generator().manual_seed(1))
        together = network.drawn(c, uniform)
        alone = torch.cat([network.drawn(c[row, None], uniform[row, None]) for row in range(len(c))])
    assert torch.equal(together, alone)
    assert len({tuple(row) for row in together.tolist()}) > 1


def test_temperature_and_guidance_sharpen_the_draws(setting, monkeypatch):
    network, _, _, _ = setting
    c = torch.randn(200, 128, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(200, 6, generator=torch.Generator().manual_seed(1))

    def variety():
        with torch.no_grad():
            return len({tuple(row) for row in network.drawn(c[:1].expand(200, -1), uniform).tolist()})

    warm = variety()
    monkeypatch.setattr(network, "temperature", 0.005)
    assert variety() < 0.5 * warm
    monkeypatch.setattr(network, "temperature", 1.0)
    with torch.no_grad():
        plain = network.drawn(c, uniform)
        assert torch.equal(network.drawn(c, uniform, c.flip(0), 1.0), plain)
        assert torch.equal(network.drawn(c, uniform, c, 3.0), plain)
        assert not torch.equal(network.drawn(c, uniform, c.flip(0), 3.0), plain)


def test_hands_are_corrected_by_what_their_skin_sees(setting, monkeypatch):
    network, skin, data, _ = setting
    with torch.no_grad():
        assert torch.allclose(network.corrected(skin, data["params"], data["cloud"], data["betas"]), data["params"])
        monkeypatch.setattr(network.seen[-1].bias, "data", torch.full((51,), 0.25))
        moved = network.corrected(skin, data["params"], data["cloud"], data["betas"])
        assert torch.allclose(moved[:, BETAS.stop:], data["params"][:, BETAS.stop:] + 0.5, atol=1e-5)  # two passes
        assert torch.equal(moved[:, BETAS], data["params"][:, BETAS])
        asked = []
        monkeypatch.setattr(network, "passes", 0)
        monkeypatch.setattr(network.seen, "forward", asked.append)
        assert torch.equal(network.corrected(skin, data["params"], data["cloud"], data["betas"]), data["params"])
        assert not asked


def test_without_the_correction_its_stages_fall_away():
    assert [stage.name for stage in training_config(passes=0).stages] == ["codes", "prior", "grasps"]


def test_rows_are_only_revived_in_training(setting, monkeypatch):
    network, skin, data, _ = setting
    asked = []
    monkeypatch.setattr(network.books, "revive", lambda *_: asked.append(1))
    rng = torch.Generator().manual_seed(0)
    network.autoencoder_loss(skin, data, rng, RECONSTRUCTION)
    with torch.no_grad():
        network.train()
        network.autoencoder_loss(skin, data, rng, RECONSTRUCTION)
    assert not asked
    network.autoencoder_loss(skin, data, rng, RECONSTRUCTION)
    network.eval()
    assert asked


def test_the_grid_has_a_cell_for_each_part():
    network = DvqVae(count=16)
    assert isinstance(network.prior, PixelCNN)
    assert network.prior.cells == len(network.parts) == 6
    assert DvqVae(count=16, decomposed=False).prior.cells == 1


def test_held_codes_stay_and_the_others_are_drawn_as_they_go_with_them(setting):
    """Against all grids of two cells, by Bayes: the first cell's chances where the second is held."""
    network, _, _, _ = setting
    torch.manual_seed(0)
    small, network_prior = PixelCNN((1, 2), 3, 128), network.prior
    with torch.no_grad():
        for weight in (*(head.weight for head in small.out), small.embedding.weight):
            weight.mul_(16)  # an untrained network's cells hardly depend on one another
        c = torch.randn(1, 128)
        pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
        chance = small(pairs, c.expand(9, -1)).log_softmax(2).gather(2, pairs[..., None]).sum((1, 2)).exp()
        wanted = chance[pairs[:, 1] == 2] / chance[pairs[:, 1] == 2].sum()
        prior = small(pairs[:1], c)[0, 0].softmax(0)
        assert (wanted - prior).abs().max() > 0.1  # the held cell says something of the one before it
        network.prior = small
        found = network.completed(c.expand(3000, -1), torch.tensor([[-1, 2]]).expand(3000, -1),
                                  torch.Generator().manual_seed(0))
        network.prior = network_prior
    assert (found[:, 1] == 2).all()
    seen = torch.nn.functional.one_hot(found[:, 0], 3).float().mean(0)
    assert (seen - wanted).abs().max() < 0.05


def test_proposals_have_the_codes_of_the_parts_that_are_kept(setting, monkeypatch):
    network, skin, data, given = setting
    keep = torch.tensor([True, False, False, True, False, True])
    asked = replace(given, held=HeldParts(data["params"], keep))
    drawn = []
    look_up = network.books.look_up
    monkeypatch.setattr(network.books, "look_up", lambda index: (drawn.append(index), look_up(index))[1])
    with torch.no_grad():
        network.propose(asked, torch.Generator().manual_seed(0), Progress())
        kept = network.codes_of(skin, data["params"], data["betas"])
    assert torch.equal(drawn[0][:, keep], kept[:, keep])
    assert (drawn[0][:, ~keep] != kept[:, ~keep]).any()
