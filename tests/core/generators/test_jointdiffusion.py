"""JointDiffusion's parts do what the paper says; how good its grasps are is for scripts/benchmarks/evaluate.py."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from core.fitting.fit import fit
from core.fitting.pose_fit import hands_in_field
from core.fitting.representation import (
    anchor_distances,
    anchor_regions,
    assigned_anchors,
    contact_map,
    in_contact,
    inward,
    represent,
)
from core.generators.conditioning import Conditioning
from core.generators.hand_parameters import MIRROR
from core.generators.jointdiffusion import UNITS, JointDiffusion
from core.generators.learned import Learned
from core.generators.local_cloud import LocalPointCloud, local_cloud
from core.generators.place_scorer import PlaceScorer
from core.generators.predicted_field import PredictedField
from core.generators.training_config import OptimizerConfig
from core.grasps.heading_frame import LOCAL_RADIUS, mirrored
from core.hand import load_hand
from core.hand.skin import SkinSample
from core.metrics.truth import joint_error_mm
from core.objects.basis_points import basis_lattice
from core.progress import Progress, Stopped
from core.training.loop import train

SMALL = {"side": 8, "widths": (16, 24), "context": (8, 16), "condition": 32, "contacts": 48,
         "proposing": (4, 1.0), "refining": (4, 1.0)}


def small(**options: object) -> JointDiffusion:
    torch.manual_seed(0)
    return JointDiffusion(**(SMALL | options))


@pytest.fixture(scope="module")
def known(mug_grasps, hand):
    """A network that knows the mug's grasps, and a batch of them."""
    obj, grasps, frames = mug_grasps
    network = small()
    network.code.fit(hand, grasps, frames)
    count, skin = len(grasps), SkinSample(hand)
    params = network.code.encode(hand, grasps, frames)
    network.standardise(skin, params)
    cloud = local_cloud(obj.points, obj.normals, frames, 256, torch.Generator().manual_seed(0))
    none = torch.zeros(count, dtype=torch.long)
    return network, skin, {"cloud": cloud, "params": params, "grasp_type": none + 1, "intent": none,
                           "contacts": represent(obj, hand, grasps, frames).gaussians}


def true_fields(network: JointDiffusion, skin: SkinSample, batch: dict[str, torch.Tensor]) -> PredictedField:
    return PredictedField(network.hand_distances(skin, batch["params"]), batch["contacts"])


def test_a_block_of_basis_points_is_a_voxel_with_a_channel_for_each_anchor():
    network = small(side=16)
    field = torch.arange(4096.0)[None]
    volume = network.volumes(field)
    assert volume.shape == (1, 32, 8, 4, 4)
    assert torch.equal(network.listed(volume), field)
    anchors = network.volumes(assigned_anchors().float()[None])
    assert torch.equal(anchors, torch.arange(32.0)[None, :, None, None, None].expand_as(anchors))
    plain = small(folded=False)
    assert plain.volumes(field[:, :512]).shape == (1, 1, 8, 8, 8)
    assert torch.equal(plain.listed(plain.volumes(field[:, :512])), field[:, :512])


@pytest.mark.parametrize("side", [8, 16])
def test_a_true_hand_comes_back_through_the_grid(known, mug_grasps, hand, side):
    network, skin, batch = known
    _, grasps, frames = mug_grasps
    finer = small(side=side)
    finer.code = network.code
    field = finer.out_of_units(finer.into_units(true_fields(finer, skin, batch)))
    found = finer.code.grasps(hand, finer.params_in(skin, field.distances, Progress()), frames, "again")
    with torch.no_grad():
        error, _ = joint_error_mm(hand(**found.parameters()).joints, hand(**grasps.parameters()).joints)
    assert error.max() < 2.0
    there = batch["contacts"][..., 3:].norm(dim=-1) > 0
    assert there.sum() > 100
    assert torch.allclose(field.gaussians[there], batch["contacts"][there], atol=1e-6)
    assert (field.gaussians[~there] == 0).all()


def test_whether_there_is_a_gaussian_survives_vague_numbers(known):
    network, skin, batch = known
    x0 = network.into_units(true_fields(network, skin, batch))
    vague = 0.3 * x0 + 0.7 * x0.mean(0)
    there = batch["contacts"][..., 3:].norm(dim=-1) > 0
    assert 0.2 < there.float().mean() < 0.8
    for x in (0.3 * x0, 0.3 * x0 + 0.2):
        assert torch.equal(network.out_of_units(x).gaussians.norm(dim=-1) > 0, there)
    found = network.out_of_units(vague).gaussians.norm(dim=-1) > 0
    assert (found.float().mean() - there.float().mean()).abs() < 0.1


def test_the_fields_are_those_of_the_representation(known, mug_grasps, hand):
    network, skin, batch = known
    obj, grasps, frames = mug_grasps
    fine = small(side=16)
    fine.code = network.code
    truth = represent(obj, hand, grasps, frames)
    assert torch.allclose(fine.hand_distances(skin, batch["params"]), truth.hand, atol=1e-4)
    cloud = local_cloud(obj.points, obj.normals, frames, 1024, torch.Generator().manual_seed(0))
    seen = (truth.object < 0.03) & (basis_lattice().norm(dim=1) < 0.06)
    off = (fine.nearest_points(cloud)[0] - truth.object)[seen]
    assert off.abs().median() < 0.001
    assert off.abs().max() < 0.01


@pytest.mark.parametrize("folded", [True, False])
def test_a_voxel_is_told_where_the_nearest_surface_lies_and_how_it_faces(known, folded):
    _, _, batch = known
    cloud = batch["cloud"][:3]
    network = small(folded=folded)
    told = []
    network.oriented.register_forward_pre_hook(lambda module, given: told.append(given[0]))
    network.object_volume(cloud)
    six = torch.stack([network.listed(one) for one in told[0].unflatten(1, (6, -1)).unbind(1)], -1)
    offset, normal = UNITS.offset * six[..., :3], six[..., 3:]
    there = offset + basis_lattice(side=8)
    between = torch.cdist(there, LOCAL_RADIUS * cloud[..., :3])
    assert between.amin(-1).max() < 1e-4
    assert torch.allclose(offset.norm(dim=-1), network.nearest_points(cloud)[0], atol=1e-4)
    which = between.argmin(-1)[..., None].expand(-1, -1, 3)
    assert torch.allclose(normal, cloud[..., 3:].gather(1, which), atol=1e-6)


@pytest.mark.parametrize("oriented", [8, 0])
def test_how_the_surface_faces_matters_to_what_is_told_of_it(known, oriented):
    _, _, batch = known
    network = small(oriented=oriented)
    cloud, none = batch["cloud"][:3], batch["intent"][:3]
    inside_out = torch.cat([cloud[..., :3], -cloud[..., 3:]], -1)
    seen, turned = (network.context(some, none, none) for some in (cloud, inside_out))
    assert torch.allclose(seen[1], turned[1]) is not bool(oriented)
    assert torch.equal(seen[0], turned[0]) is not bool(oriented)


@pytest.mark.parametrize("folded", [True, False])
def test_shapes_and_seeds(known, folded):
    network, skin, batch = known
    network = network if folded else small(folded=False)
    few = {key: value[:3] for key, value in batch.items()}
    args = (few["cloud"], few["grasp_type"], few["intent"])
    one, two, other = (network.predict(*args, torch.Generator().manual_seed(seed), Progress()) for seed in (1, 1, 2))
    assert one.distances.shape == (3, 512)
    assert one.gaussians.shape == (3, 32, 9)
    assert torch.equal(one.distances, two.distances)
    assert not torch.equal(one.distances, other.distances)
    assert (one.distances >= 0).all()
    seen = LocalPointCloud(few["cloud"], torch.zeros(3, 3), torch.ones(3))
    given = Conditioning(seen, *args[1:], torch.zeros(3, 10), skin)
    params, again = (network.propose(given, torch.Generator().manual_seed(1), Progress()).params for _ in range(2))
    assert params.shape == (3, 61)
    assert torch.equal(params, again)


def test_sizes_that_do_not_fit_are_said():
    with pytest.raises(ValueError, match="side 10"):
        JointDiffusion(10)
    with pytest.raises(ValueError, match="fewer widths"):
        small(widths=(16, 16, 16, 16))


def test_the_stock_size_fits_into_ten_megabytes():
    network = JointDiffusion()
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 10e6


def test_all_parts_are_trained_and_the_given_hand_counts(known):
    network, skin, batch = known
    noisy_batch = batch | {"noisy": batch["params"] + 0.5, "given": torch.arange(len(batch["params"])) % 2 == 0}
    network.loss(skin, noisy_batch, torch.Generator().manual_seed(0))["loss"].backward()
    still = {name for name, value in network.named_parameters()
             if value.requires_grad and value.grad is None}
    assert not still
    network.zero_grad(set_to_none=True)
    noisy = network.hand_distances(skin, noisy_batch["noisy"])
    args = (batch["cloud"], batch["grasp_type"], batch["intent"])
    with torch.no_grad():
        plain, some = network.context(*args)[1], network.context(*args, noisy, noisy_batch["given"])[1]
    same = (plain == some).all(1)
    assert torch.equal(same, ~noisy_batch["given"])


def test_the_surface_counts_where_it_is_asked_for(known):
    network, skin, batch = known
    plain, more = (network.loss(skin, batch, torch.Generator().manual_seed(0), weight) for weight in (0.0, 2.0))
    assert "surface" not in plain
    assert more["field"] == plain["field"]
    assert more["surface"] > 0
    assert torch.isclose(more["loss"], plain["loss"] + 2 * more["surface"])
    network.zero_grad(set_to_none=True)
    more["surface"].backward()
    assert network.denoiser.out[-1].weight.grad.abs().sum() > 0
    network.zero_grad(set_to_none=True)


def test_it_learns_one_object(known, tmp_path):
    _, skin, batch = known
    network = small()
    network.load_state_dict(known[0].state_dict())

    def rows(rng, size=16):
        pick = torch.randint(len(batch["params"]), (size,), generator=rng)
        return {key: value[pick] for key, value in batch.items()}

    optimizer = OptimizerConfig(140, 3e-3, warmup=10, ema_decay=0, log_every=20)
    train(network, lambda rng: network.loss(skin, rows(rng), rng), optimizer, tmp_path, "joint")
    log = [json.loads(line) for line in (tmp_path / "joint.jsonl").read_text().splitlines()]
    assert log[-1]["field"] < 0.6 * log[0]["field"]
    assert log[-1]["gaussians"] < 0.9 * log[0]["gaussians"]
    with torch.no_grad():
        x0 = network.into_units(true_fields(network, skin, batch))
        t = torch.full((len(x0),), 400)
        x = network.schedule.add_noise(x0, t, torch.randn(x0.shape, generator=torch.Generator().manual_seed(3)))
        noise = network.schedule.predict_noise(x, t, network.velocity(x, t, *network.context(
            batch["cloud"], batch["grasp_type"], batch["intent"])))
        seen = network.schedule.predict_x0(x, t, noise)
    field = slice(network.side**3)
    assert (seen - x0)[:, field].square().mean() < 0.5 * x0[:, field].square().mean()


def test_a_stop_ends_sampling_and_laying_in_within_a_step(known, recorder):
    network, skin, batch = known
    few = [batch[key][:2] for key in ("cloud", "grasp_type", "intent")]
    sampling, laying = recorder(0.5), recorder(0.0)
    with pytest.raises(Stopped):
        network.predict(*few, torch.Generator().manual_seed(0), sampling)
    assert sampling.fractions == [0.25, 0.5]
    with pytest.raises(Stopped):
        network.params_in(skin, network.hand_distances(skin, batch["params"][:20]), laying)
    assert laying.fractions == [0.4]


@pytest.mark.parametrize("side", ["right", "left"])
def test_hands_come_back_from_what_is_handed_to_the_fit(known, mug_grasps, side):
    network, skin, batch = known
    obj, _, frames = mug_grasps
    model, frames = load_hand(side=side), frames[torch.arange(4)]
    if side == "left":
        frames = mirrored(frames)
    truth = network.code.grasps(model, batch["params"][:4], frames, "true")
    field = PredictedField(network.hand_distances(skin, batch["params"][:4]), batch["contacts"][:4])
    choir = field.choir(obj, model, frames)
    nowhere = replace(truth, transl=truth.transl + 3.0, hand_pose=torch.zeros_like(truth.hand_pose))
    found = hands_in_field(model, choir, nowhere)
    with torch.no_grad():
        posed = model(**truth.parameters())
        error, _ = joint_error_mm(model(**found.parameters()).joints, posed.joints)
    assert error.max() < 2.0
    # What the right hand touches with, the left one does: its skin is the mirror image.
    right = PredictedField(choir.hand, field.gaussians).choir(obj, load_hand(), mirrored(frames)).gaussians
    assert torch.allclose(choir.gaussians[..., :3], right[..., :3] * (MIRROR if side == "left" else 1), atol=1e-6)
    region = anchor_regions(model)
    touch = in_contact(contact_map(choir.gaussians, inward(choir.window, posed.vertices),
                                   inward(choir.window, model.anchors(posed.vertices)), region))
    mirror = in_contact(contact_map(batch["contacts"][:4], inward(frames, posed.vertices),
                                    inward(frames, model.anchors(posed.vertices)), region))
    assert touch.any(1).all()
    assert (touch == mirror).float().mean() > 0.999


def test_the_fit_takes_what_is_predicted(known, mug_grasps, hand):
    network, skin, batch = known
    obj, grasps, frames = mug_grasps
    few = grasps[:4]
    field = PredictedField(network.hand_distances(skin, batch["params"][:4]), batch["contacts"][:4])
    choir = field.choir(obj, hand, frames[torch.arange(4)])
    fitted = fit(obj, hand, replace(few, transl=few.transl + 3.0), fields=choir)
    with torch.no_grad():
        error, _ = joint_error_mm(hand(**fitted.grasps.parameters()).joints, hand(**few.parameters()).joints)
    assert error.median() < 2.0
    laid = fit(obj, hand, few, fields=choir, in_fields=True)
    assert torch.equal(laid.grasps.transl[~laid.changed], few.transl[~laid.changed])
    assert (~laid.changed).any()


@pytest.mark.parametrize("side", ["right", "left"])
def test_proposals_come_with_their_fields(known, request_of, side, recorder):
    learned = Learned(known[0], PlaceScorer(), "jointdiffusion")
    request = request_of(3, hand=load_hand(side=side), intent="lift", type="medium_wrap")
    progress = recorder()
    grasps, choir = learned.sample(request, torch.Generator().manual_seed(4), progress)
    assert progress.fractions == sorted(progress.fractions)
    assert 0 < progress.fractions[0] < progress.fractions[-1] < 1
    assert grasps.type == ("medium_wrap",) * 3
    with torch.no_grad():
        anchors = request.hand.anchors(request.hand(**grasps.parameters()).vertices)
    # The hand lies in its field as well as a hand can lie in what an untrained network says.
    mine, other = (anchor_distances(inward(choir.window, some), 8) for some in (anchors, anchors.roll(1, 0)))
    assert (mine - choir.hand).abs().mean() < 0.7 * (other - choir.hand).abs().mean()


def test_refining_gives_hands_of_the_shapes_they_had(known, mug_grasps, hand, recorder):
    network, _, _ = known
    obj, grasps, _ = mug_grasps
    learned = Learned(network, PlaceScorer(), "jointdiffusion")
    some = replace(grasps[:3], betas=torch.ones(3, 10))
    one, choir = learned.refine(obj, hand, some, torch.Generator().manual_seed(0), Progress())
    two, _ = learned.refine(obj, hand, some, torch.Generator().manual_seed(0), Progress())
    assert torch.equal(one.transl, two.transl)
    assert torch.equal(one.betas, some.betas)
    assert one.method == "jointdiffusion"
    assert len(choir) == 3
    assert not torch.equal(one.transl, some.transl)
    with pytest.raises(Stopped):
        learned.refine(obj, hand, some, torch.Generator().manual_seed(0), recorder(0.5))
    left = load_hand(side="left")
    back, choir = learned.refine(obj, left, replace(some, hand="left"), torch.Generator().manual_seed(0), Progress())
    assert back.hand == "left"
    assert torch.linalg.det(choir.window.axes).min() > 0.99
    assert torch.isfinite(back.transl).all()
