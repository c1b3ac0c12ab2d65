"""JHOD's parts do what the paper says; how good its grasps are is for scripts/benchmarks/evaluate.py."""

import pytest
import torch

from core.generators import jhod
from core.generators.hand_loss import PHYSICAL_DIFFUSION
from core.generators.hand_parameters import BETAS
from core.generators.imagination import ImaginationRequest, Imagining
from core.generators.jhod import JHOD, TOKENS, WIDTH, distance_field
from core.generators.place_scorer import PlaceScorer
from core.progress import Progress, Stopped


@pytest.fixture(scope="module")
def batch(mug_batch):
    torch.manual_seed(0)
    network = JHOD(width=32, layers=1)
    skin, data, conditioning = mug_batch(network)
    network.standardise(skin, data["params"])
    return network.eval().requires_grad_(False), skin, data, conditioning


def latents(count, rng):
    return torch.randn(count, 1 + TOKENS, WIDTH, generator=rng)


def perfect(network, clean):
    """A denoiser that makes `predicted` give the clean latents (N, 5, 512)."""
    def of(z, t_hand, t_object, condition):
        steps = torch.cat([t_hand[:, None], t_object[:, None].expand(-1, TOKENS)], 1)
        kept = network.schedule.alphas_cumprod[steps][..., None]
        return (clean[:len(z)] - kept.sqrt() * z) / (1 - kept).sqrt().clamp_min(1e-9)
    return of


def test_hand_and_object_are_one_and_four_latents(batch):
    network, _, data, _ = batch
    assert network.hand_latents(data["params"]).shape == (len(data["params"]), 1, 512)
    assert network.object_autoencoder.encode(data["object"]).shape == (len(data["params"]), 4, 512)


def test_each_modality_is_noised_to_its_own_step(batch, rng):
    network = batch[0]
    z0 = latents(3, rng)
    t_hand, t_object = torch.tensor([1000, 0, 300]), torch.tensor([0, 1000, 600])
    z = network.noised(z0, t_hand, t_object, torch.Generator().manual_seed(1))
    noise = torch.randn(z0.shape, generator=torch.Generator().manual_seed(1))
    kept = network.schedule.alphas_cumprod
    assert torch.equal(z[0, 1:], z0[0, 1:])
    assert torch.equal(z[1, 0], z0[1, 0])
    assert torch.allclose(z[2, 0], kept[300].sqrt() * z0[2, 0] + (1 - kept[300]).sqrt() * noise[2, 0], atol=1e-5)
    assert torch.allclose(z[2, 1:], kept[600].sqrt() * z0[2, 1:] + (1 - kept[600]).sqrt() * noise[2, 1:], atol=1e-5)


def test_half_of_the_draws_are_conditional_and_the_steps_independent(batch, rng):
    t_hand, t_object = batch[0].draws(torch.zeros(4000, 5, 512), rng)
    assert not t_object[:2000].any()
    assert int(t_hand.min()) >= 1
    assert int(t_hand.max()) == 1000
    joint = torch.stack([t_hand[2000:], t_object[2000:]]).float()
    assert abs(float(torch.corrcoef(joint)[0, 1])) < 0.08
    t_hand, t_object = JHOD(width=32, layers=1, asynchronous=False).draws(torch.zeros(40, 5, 512), rng)
    assert torch.equal(t_hand, t_object)
    assert int(t_object.min()) > 0


def test_a_latent_without_noise_stays_what_it_is(batch, rng):
    network = batch[0]
    z, none = latents(2, rng), torch.zeros(2, dtype=torch.long)
    c = network.condition(none, none, torch.zeros(2, 10))
    found = network.predicted(z, none + 500, none, c)
    assert torch.equal(found[:, 1:], z[:, 1:])
    assert not torch.allclose(found[:, 0], z[:, 0], atol=0.1)


def test_each_token_hears_both_steps_and_the_condition(batch, rng):
    network = batch[0]
    z, some = latents(1, rng), torch.tensor([500])
    c = network.condition(0 * some, 0 * some, torch.zeros(1, 10))
    found = network.denoiser(z, some, some, c)
    for other in (network.denoiser(z, some + 300, some, c), network.denoiser(z, some, some + 300, c),
                  network.denoiser(z, some, some, network.condition(some // 500, 0 * some, torch.zeros(1, 10)))):
        assert ((other - found).abs().amax(-1) > 1e-4).all()


def test_a_perfect_denoiser_loses_nothing_and_shapes_ask_nothing_of_the_hand(batch, monkeypatch, rng):
    network, skin, data, _ = batch
    count = len(data["params"])
    z0 = torch.cat([network.hand_latents(data["params"]), network.object_autoencoder.encode(data["object"])], 1)
    alone = network.object_autoencoder.encode(data["object"][:2, ::2])
    clean = torch.cat([z0, z0, torch.cat([7 + torch.zeros(2, 1, WIDTH), alone], 1)])
    seen = {}

    def of(z, t_hand, t_object, condition):
        seen.update(z=z, t_hand=t_hand, t_object=t_object)
        return perfect(network, clean)(z, t_hand, t_object, condition)
    monkeypatch.setattr(network.denoiser, "forward", of)
    monkeypatch.setattr(network, "decoded", lambda z, betas: torch.cat([data["params"], data["params"]]))
    terms = network.diffusion_loss(skin, data | {"shape": data["object"][:2]}, rng)
    for name in ("conditional", "joint", "object", "alone", "field", "joints"):
        assert float(terms[name]) == pytest.approx(0, abs=1e-3), name
    assert (seen["t_hand"][2 * count:] == 1000).all()  # Eq. 14: its hand is noise
    assert abs(float(seen["z"][2 * count:, 0].mean())) < 0.1
    clean[2 * count:, 1:] += 1
    assert float(network.diffusion_loss(skin, data | {"shape": data["object"][:2]}, rng)["alone"]) > 0.9


def test_the_loss_is_the_sum_of_its_terms(batch, rng):
    network, skin, data, _ = batch
    terms = network.diffusion_loss(skin, data | {"shape": data["object"][:2]}, rng)
    parts = sum(float(terms[name]) for name in ("conditional", "joint", "object", "alone"))
    parts += jhod.FIELD_WEIGHT * float(terms["field"]) + jhod.JOINT_WEIGHT * float(terms["joints"])
    assert float(terms["loss"]) == pytest.approx(parts, rel=1e-4)
    judged = network.diffusion_loss(skin, data, torch.Generator().manual_seed(5), PHYSICAL_DIFFUSION)
    assert {"surface", "vertices"} <= set(judged)
    assert "alone" not in judged


def test_only_conditional_draws_with_little_noise_are_judged(batch):
    network, skin, data, _ = batch
    seen = []

    def judge(hand, network, params, some):
        seen.append(len(params))
        return {"loss": params.sum()}
    network.diffusion_loss(skin, data, torch.Generator().manual_seed(3), judge)
    t_hand, t_object = network.draws(torch.zeros(2 * len(data["params"]), 5, 512), torch.Generator().manual_seed(3))
    assert seen == [int(((t_hand <= network.judge_until) & (t_object == 0)).sum())]
    assert 0 < seen[0] < len(data["params"])


def test_the_distance_field_is_the_way_to_the_ten_nearest():
    points = torch.stack([torch.arange(1.0, 21.0), torch.zeros(20), torch.zeros(20)], 1)[None].flip(1)
    field = distance_field(torch.tensor([[[0.0, 1.0, 0.0]]]), points)
    assert field.shape == (1, 1, 10, 3)
    assert torch.equal(field[0, 0, :, 0], torch.arange(1.0, 11.0))
    assert (field[0, 0, :, 1] == -1).all()


def test_joints_are_the_hands(batch, mug_grasps, hand):
    network, skin, data, _ = batch
    _, grasps, frames = mug_grasps
    joints = network.joints(skin, data["params"])
    there = hand(**grasps.parameters()).joints[:, :16]
    assert torch.allclose(frames.to_object(joints), there, atol=1e-4)
    moved = data["params"].clone()
    moved[:, 58:] += 0.01 / network.code.scale[58:] / 3**0.5  # all of the hand, by a centimetre
    terms = network.geometric(skin, moved, data)
    assert float(terms["joints"]) == pytest.approx(1, rel=1e-3)
    assert float(terms["field"]) > 0


def watched(network, clean, monkeypatch):
    """A perfect denoiser in the place of the network's; what it is asked: object latents, t_H, t_O."""
    seen = []

    def of(z, t_hand, t_object, condition):
        seen.append((z[:, 1:], t_hand, t_object))
        return perfect(network, clean)(z, t_hand, t_object, condition)
    monkeypatch.setattr(network.denoiser, "forward", of)
    return seen


def test_the_given_object_stays_and_the_hand_is_what_the_denoiser_says(batch, monkeypatch, rng):
    network = batch[0]
    clean = latents(3, rng)
    seen = watched(network, clean, monkeypatch)
    conditions = ((1.0, torch.zeros(3, 32)),)
    z = network.sampled(conditions, 3, rng, Progress(), clean[:, 1:])
    assert torch.allclose(z, clean[:, :1], atol=1e-3)
    assert len(seen) == network.steps
    assert all(torch.equal(z, clean[:, 1:]) for z, _, _ in seen)
    assert not any(t.any() for _, _, t in seen)
    seen.clear()
    z = network.sampled(conditions, 3, rng, Progress())
    assert torch.allclose(z, clean, atol=1e-3)
    assert all(torch.equal(t_hand, t_object) for _, t_hand, t_object in seen)


def test_synchronous_sampling_noises_the_given_object_too(batch, monkeypatch, rng):
    network = batch[0]
    clean = latents(3, rng)
    seen = watched(network, clean, monkeypatch)
    monkeypatch.setattr(network, "asynchronous", False)
    network.sampled(((1.0, torch.zeros(3, 32)),), 3, rng, Progress(), clean[:, 1:])
    assert all(torch.equal(t_hand, t_object) for _, t_hand, t_object in seen)
    assert float((seen[0][0] - clean[:, 1:]).abs().mean()) > float((seen[-1][0] - clean[:, 1:]).abs().mean()) > 0


def test_guidance_leads_away_from_no_type(batch):
    network, _, data, _ = batch
    asked = network.conditions(data["grasp_type"], data["intent"], data["betas"], 4.0)
    assert [weight for weight, _ in asked] == [4.0, -3.0]
    assert torch.equal(asked[1][1], network.condition(0 * data["grasp_type"], data["intent"], data["betas"]))
    assert len(network.conditions(data["grasp_type"], data["intent"], data["betas"], 1.0)) == 1


def test_the_correction_is_told_the_surface_and_keeps_the_betas(batch, rng):
    network, skin, data, _ = batch
    found = network.corrected(data["params"], data["cloud"], skin)
    assert torch.equal(found[:, BETAS], data["params"][:, BETAS])
    further = data["cloud"] + torch.tensor([0.0, 0, 0.1, 0, 0, 0])
    seen = network.correct_object(data["cloud"])
    same, other = (network.corrected_once(data["params"], seen, cloud, skin) for cloud in (data["cloud"], further))
    assert not torch.allclose(same, other, atol=1e-4)
    terms = network.correcting_loss(skin, data, rng, PHYSICAL_DIFFUSION)
    assert {"surface", "vertices", "loss"} <= set(terms)


def test_what_is_proposed_is_seeded_heard_and_stopped(batch, recorder):
    network, _, _, conditioning = batch
    hands, again = (network.propose(conditioning, torch.Generator().manual_seed(2), Progress()).params
                    for _ in range(2))
    assert torch.equal(hands, again)
    assert hands.shape == (len(conditioning), 61)
    assert torch.equal(hands[:, BETAS], conditioning.betas) or network.without_fit.steps
    heard = recorder()
    network.propose(conditioning, torch.Generator().manual_seed(2), heard)
    assert heard.fractions == sorted(heard.fractions)
    assert heard.fractions[-1] == pytest.approx(1)
    with pytest.raises(Stopped):
        network.propose(conditioning, torch.Generator().manual_seed(2), recorder(0.3))


def test_the_less_noise_there_is_the_nearer_are_what_is_imagined(batch, monkeypatch):
    """And hands for a given object have noise of their own."""
    network, _, _, conditioning = batch
    count, none = len(conditioning), torch.zeros(len(conditioning), dtype=torch.long)
    conditions = network.conditions(none, none, conditioning.betas, 1.0)
    both, hands = [], []
    for imagining in (0.1, 1.0):
        monkeypatch.setattr(network, "imagining", imagining)
        for found, given in ((both, None), (hands, torch.zeros(count, 4, 512))):
            found.append(network.sampled(conditions, count, torch.Generator().manual_seed(0), Progress(), given))
    assert both[0].std(0).mean() < 0.5 * both[1].std(0).mean()
    assert torch.equal(*hands)


def test_without_the_whole_object_it_says_so(batch, rng):
    from dataclasses import replace
    network, _, _, conditioning = batch
    with pytest.raises(ValueError, match="whole object"):
        network.propose(replace(conditioning, whole=None), rng, Progress())


@pytest.mark.parametrize("side", ["right", "left"])
def test_what_is_imagined_is_a_closed_object_with_a_hand_on_it(batch, monkeypatch, hand, rng, side):
    """A can on the palm's side of the hand, given as what was imagined, comes back as an object with the hand there."""
    import trimesh

    from core.hand import load_hand
    network, _, data, _ = batch
    can = trimesh.creation.cylinder(0.03, 0.1)
    can.apply_translation([0.01, 0.0, -0.03])
    tiny = trimesh.creation.icosphere(radius=0.0005)

    def imagined(grasp_type, intent, betas, rng, progress):
        meshes = [(can.vertices, can.faces), None, (tiny.vertices, tiny.faces)]
        return data["params"][:1].expand(len(betas), -1), (meshes * len(betas))[:len(betas)]
    monkeypatch.setattr(network, "imagine", imagined)
    monkeypatch.setattr(network, "laid", lambda params, conditioning, progress: params)
    posed = load_hand(side=side) if side == "left" else hand
    found = Imagining(network, PlaceScorer(), "jhod").imagine(ImaginationRequest(posed, 3), rng, Progress())
    assert len(found) == 3  # the first of each of three rounds
    mirror = -1 if side == "left" else 1
    obj, grasps = found[0].object, found[0].grasps
    assert obj.watertight
    assert (len(grasps), grasps.hand) == (1, side)
    assert obj.centroid == pytest.approx([0.01 * mirror, 0, -0.03], abs=1e-3)
    assert obj.volume == pytest.approx(can.volume, rel=0.01)
    *_, wrist = network.code.unpack(data["params"][:1])
    joints = posed(**grasps.parameters()).joints[0].detach() + torch.from_numpy(obj.centroid).float()
    assert torch.allclose(joints[0], wrist[0] * torch.tensor([mirror, 1.0, 1.0]), atol=1e-4)
