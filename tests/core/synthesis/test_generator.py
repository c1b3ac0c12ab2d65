"""`synthesis`: templates, closing, checks and the generator, on bodies whose right answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import trimesh

from core.fitting.energy import NEAR, Adam, GraspEnergy, Poses, Stage, best_of_each, through_wall
from core.fitting.hand_points import HandPoints
from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.grasps.taxonomy import BY_NAME, TYPES, templates
from core.hand import load_hand
from core.hand.tables import PARTS
from core.metrics.diversity import nearest_neighbour_degrees
from core.objects import prepare_object
from core.quality.surface import skin_through, wrench_residual
from core.rotations import axis_angle_to_matrix, frame_from, matrix_to_axis_angle
from core.synthesis import generator
from core.synthesis.acceptance import check
from core.synthesis.generator import LIKELY, STRICT_ROUNDS, CandidateCollector, Synthesis
from core.synthesis.starts import StartSampler, other_fingers, outer_width


class Watch:
    """Notes what is reported; stops after `patience` reports."""

    def __init__(self, patience: int = 10**9) -> None:
        self.patience, self.fractions, self.shown = patience, [], []

    def __call__(self, fraction: float, stage: str) -> bool:
        assert stage
        self.fractions.append(fraction)
        return len(self.fractions) < self.patience

    def accepted(self, grasps: Grasps) -> None:
        self.shown.append(grasps)


@pytest.fixture(scope="module")
def rod():
    mesh = trimesh.creation.cylinder(radius=0.02, height=0.2, sections=48).subdivide_to_size(0.015)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="module")
def bowl():
    """A bowl 14 cm wide with a wall of 3 mm."""
    outer = [[0.0, 0.0], [0.03, 0.0], [0.06, 0.02], [0.07, 0.06]]
    inner = [[0.067, 0.06], [0.057, 0.022], [0.029, 0.003], [0.0, 0.003]]
    mesh = trimesh.creation.revolve(outer + inner, sections=64)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="module")
def grasped(hand, rod):
    watch = Watch()
    rng = torch.Generator().manual_seed(3)
    return Synthesis().sample(GraspRequest(rod, hand, 2), rng, watch), watch


def test_the_probe_moves_as_the_hand_does(hand):
    """Its spheres are the hand's own; a point between three vertices moves as their skinning says; normals turn."""
    probe, dofs = HandPoints(hand), hand.dof_limits.mean(1).expand(2, 21) * torch.tensor([[0.3], [1.0]])
    closer = GraspEnergy(hand, probe, torch.zeros(10), prepare_object(*_box()))
    points, normals = closer.local(dofs)
    zero = torch.zeros(2, 3)
    out = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(2, 10))
    torch.testing.assert_close(points[:, probe.spheres], hand.spheres(out) - probe.wrist, atol=1e-5, rtol=0)
    transforms = closer.transforms(dofs)
    for row in (0, probe.pads.stop - 1, probe.skin.start, probe.skin.stop - 1):
        moved = (transforms[..., :3, :3] @ probe.rest[row]) + transforms[..., :3, 3]
        torch.testing.assert_close(points[:, row], (probe.weights[row][:, None] * moved).sum(1), atol=1e-6, rtol=0)
    mean = torch.einsum("j,bjkl,l->bk", probe.facing_weights[3], transforms[..., :3, :3], probe.normals[3])
    torch.testing.assert_close(normals[:, 3], mean / mean.norm(dim=1, keepdim=True), atol=1e-6, rtol=0)
    few, fewer = closer.local(dofs, skin=False)
    torch.testing.assert_close(few, points[:, : probe.spheres.stop], atol=1e-6, rtol=0)
    torch.testing.assert_close(fewer, normals[:, : probe.pads.stop], atol=1e-6, rtol=0)


def test_the_whole_skin_is_the_hands_and_moves_with_its_bones(hand):
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), prepare_object(*_box()))
    dofs = torch.full((2, 21), 0.5, requires_grad=True)
    poses = Poses(axis_angle_to_matrix(torch.randn(2, 3)), torch.randn(2, 3), dofs, dofs.detach(), ("",) * 2)
    skin = closer.skin(poses)
    with torch.no_grad():
        right = hand(**closer.grasps(poses, "", 0).parameters()).vertices
    torch.testing.assert_close(skin.detach(), right, atol=2e-6, rtol=0)
    weight = torch.randn(skin.shape)
    gradient = torch.autograd.grad((skin * weight).sum(), dofs)[0]
    full = torch.autograd.grad((hand(**{name: value for name, value in closer.grasps(poses, "", 0).parameters().items()
                                        if name != "hand_pose"}, hand_pose=hand.pose_from_dofs(dofs)).vertices
                                * weight).sum(), dofs)[0]
    assert torch.cosine_similarity(gradient.flatten(), full.flatten(), dim=0) > 0.97


def test_only_skin_near_the_object_is_looked_after(hand):
    """A hand over a box by its fingertips: their skin, and none of the heel's; in both hands' of a pair."""
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), prepare_object(*_box()))
    tip = closer.all_skin.rest[hand.tip_vertices[2]]
    dofs = torch.zeros(2, 21)
    wrist = torch.stack([torch.tensor([0.0, 0, 0.03]) - tip, torch.tensor([0.0, 0.5, 0])])
    poses = Poses(torch.eye(3).expand(2, 3, 3), wrist, dofs, dofs, ("",) * 2)
    near, skin = closer.near_skin(poses), closer.skin(poses)
    rows = (closer.grid.query(skin[0])[0] < NEAR).nonzero()[:, 0]
    assert 20 < len(rows) < 0.6 * len(skin[0])
    torch.testing.assert_close(closer.skin(poses, near), skin[:, rows], atol=1e-6, rtol=0)
    assert torch.equal(near.area, closer.vertex_area[rows])
    nowhere = replace(poses, wrist=wrist + 1.0)
    assert closer.energy(nowhere, torch.ones(2, closer.probe.pads.stop), closer.near_skin(nowhere)).isfinite().all()


def _box():
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    return mesh.vertices, mesh.faces


def test_rotations_go_there_and_back():
    vectors = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(matrix_to_axis_angle(axis_angle_to_matrix(vectors)), vectors, atol=1e-5)
    frame = frame_from(torch.tensor([0.0, 0, 2]), torch.tensor([1.0, 0, 5]))
    assert torch.allclose(frame, torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), atol=1e-6)


def test_at_least_twelve_types_each_with_calibrated_templates(hand):
    assert len(TYPES) >= 12
    assert len({kind.feix for kind in TYPES}) == len(TYPES)
    low, high = hand.dof_limits.unbind(1)
    for kind in TYPES:
        for template in templates(kind.name):
            assert kind.widths[0] <= template.width <= kind.widths[1]
            assert ((template.dofs >= low - 1e-3) & (template.dofs <= high + 1e-3)).all(), kind.name
            assert abs(float(template.facing @ template.axis)) < 0.02 or kind.ideal == "sphere"


def test_templates_touch_their_ideal_body_with_thumb_and_fingers(hand):
    """The search found opposition: on the body of its width the thumb's pad and the fingers' are at the surface."""
    probe = HandPoints(hand)
    for name in ("large_diameter", "precision_sphere", "tripod", "palmar_pinch", "prismatic_four"):
        for template in templates(name):
            transforms = hand.transforms(torch.zeros(1, 3), hand.pose_from_dofs(template.dofs[None]), torch.zeros(1, 3),
                                         probe.joints[None])
            points = probe.skin_points(transforms)[0] - template.centre
            if BY_NAME[name].ideal == "cylinder":
                points = points - (points @ template.axis)[:, None] * template.axis
            if BY_NAME[name].ideal == "slab":
                points = (points @ template.facing)[:, None]
            gap = points.norm(dim=1) - template.width / 2
            for finger in ("thumb", "index"):
                assert gap[probe.groups[f"{finger} tip"].rows].abs().min() < 0.006, (name, finger, template.width)


def test_left_templates_are_mirrored():
    right, left = templates("tripod")[0], templates("tripod", "left")[0]
    mirror = torch.tensor([-1.0, 1, 1])
    assert torch.equal(left.centre, right.centre * mirror)
    assert torch.equal(left.dofs, right.dofs)


@pytest.mark.parametrize("side", ["right", "left"])
def test_probe_pads_lie_on_the_palm_side(side):
    hand = load_hand(side=side)
    probe = HandPoints(hand)
    for finger in ("index", "middle", "ring", "little"):
        for segment in ("tip", "mid", "prox"):
            assert (probe.normals[probe.groups[f"{finger} {segment}"].rows][:, 1] < -0.5).all(), (finger, segment)
    assert (probe.normals[probe.groups["palm"].rows][:, 1] < -0.5).all()
    side_normals = probe.normals[probe.groups["index side mid"].rows]
    thumb = probe.joints[13] - probe.joints[7]
    assert (side_normals @ thumb > 0).all()
    assert probe.spheres.stop - probe.spheres.start == 66


def test_probe_skins_as_the_hand_does(hand):
    probe = HandPoints(hand)
    dofs = 0.4 * torch.ones(1, 21)
    closer_joints = probe.joints[None]
    transforms = hand.transforms(torch.zeros(1, 3), hand.pose_from_dofs(dofs), torch.zeros(1, 3), closer_joints)
    zero = torch.zeros(1, 3)
    out = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10))
    tip = probe.skin_points(transforms)[0, probe.groups["middle tip"].rows].mean(0) + probe.wrist
    assert (tip - out.vertices[0]).norm(dim=1).min() < 0.008


def test_adam_finds_a_minimum():
    x = torch.tensor([3.0, -2.0], requires_grad=True)
    adam = Adam([(x, 0.1)])
    for _ in range(200):
        (x - torch.tensor([1.0, 1.0])).square().sum().backward()
        adam.step(1.0)
    assert torch.allclose(x.detach(), torch.ones(2), atol=0.02)


def test_best_of_each_type_goes_on():
    rows = best_of_each(("a", "a", "b", "b", "b"), torch.tensor([5.0, 1.0, 90.0, 80.0, 70.0]), 0.5)
    assert rows.tolist() == [1, 3, 4]


def test_skin_beyond_a_thin_wall_is_deeper_the_farther_it_is():
    normal = torch.tensor([[[0.0, 0, 1]]])
    beyond = through_wall(torch.tensor([[0.1]]), normal, normal)
    assert float(beyond) == pytest.approx(0.2)
    assert float(through_wall(torch.tensor([[0.1]]), normal, -normal)) == 0.0  # skin that faces the wall


def test_skin_through_a_wall_is_counted(hand, bowl):
    """A hand pushed through the bowl is seen although hardly any of its skin lies inside the thin wall."""
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), bowl)
    straight = torch.zeros(1, 21)
    poses = Poses(torch.eye(3)[None], torch.tensor([[0.12, 0.0, 0.0]]), straight, straight, ("tripod",))
    skin = closer.skin(poses)
    distance, _ = bowl.signed_distance(skin.reshape(-1, 3))
    assert int(skin_through(bowl, closer, skin, torch.as_tensor(distance).float().reshape(1, -1))) > 0
    assert not bool(check(bowl, closer, poses).accepted)


def test_wrench_residual_of_two_plates_and_of_one():
    parts = torch.tensor([0, 0, 0, 1, 1, 1])
    triangle = [(0.0, 0.02), (0.017, -0.01), (-0.017, -0.01)]
    skin = torch.tensor([[0.03, y, z] for y, z in triangle] + [[-0.03, y, z] for y, z in triangle])
    normal = torch.tensor([[1.0, 0, 0]] * 3 + [[-1.0, 0, 0]] * 3)
    touching = torch.zeros(6)
    assert wrench_residual(skin, touching, normal, parts) < 1e-6
    assert wrench_residual(skin, touching, normal, parts, friction=0.0) > 0.5
    one_sided = torch.where(parts == 0, 0.0, 1.0)
    assert wrench_residual(skin, one_sided, normal, parts) == 1.0


def test_closing_brings_the_hand_to_the_rod(hand, rod):
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), rod)
    maker = StartSampler(rod, closer, GraspRequest(rod, hand, 4, type="medium_wrap"), torch.Generator().manual_seed(0))
    poses = maker.make(4, maker.usable())
    pads = closer._pad_weights(poses.types)
    before = closer.energy(poses, pads, None)
    after, energy = closer.run(poses, (Stage(30, 0.03, 0.12, 0.0), Stage(40, 0.02, 0.07, 0.04)))
    assert (energy < before).all()
    low, high = hand.dof_limits.unbind(1)
    assert ((after.dofs >= low) & (after.dofs <= high)).all()


def test_types_are_gated_by_width(hand, rod):
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), rod)
    maker = StartSampler(rod, closer, GraspRequest(rod, hand, 4), torch.Generator().manual_seed(0))
    names = {kind.name for kind in maker.usable()}
    assert "medium_wrap" in names
    assert "large_diameter" not in names
    assert "power_sphere" not in names


def test_fingers_of_one_type_vary_where_variety_is_wanted(hand, rod):
    closer = GraspEnergy(hand, HandPoints(hand), torch.zeros(10), rod)
    request = GraspRequest(rod, hand, 32, type="medium_wrap")

    def apart(variety: float) -> tuple[float, float]:
        maker = StartSampler(rod, closer, request, torch.Generator().manual_seed(0), variety)
        poses = maker.make(32, maker.usable())
        assert ((poses.dofs >= closer.limits[:, 0]) & (poses.dofs <= closer.limits[:, 1])).all()
        return tuple(float(nearest_neighbour_degrees(dofs).median()) for dofs in (poses.dofs, poses.template))

    plain, varied = apart(0.0), apart(1.25)
    assert varied[0] > 1.3 * plain[0]
    assert varied[1] > 1.3 * plain[1]  # what the fingers are drawn to as well, or closing would undo it


def test_other_fingers_move_with_their_neighbours():
    fingers = other_fingers(4000, torch.Generator().manual_seed(0))[:, :16].unflatten(1, (4, 4))
    knuckle = torch.corrcoef(fingers[:, :, 0].T)
    assert knuckle[0, 1] > 0.7
    assert knuckle[0, 3] < knuckle[0, 1]
    assert torch.allclose(fingers[..., 3], 2 / 3 * fingers[..., 2])  # one tendon bends both
    assert fingers.std(0)[:, 0].max() < 0.3


def test_a_hollow_body_has_a_wall_and_a_whole_width():
    mesh = trimesh.creation.annulus(r_min=0.036, r_max=0.04, height=0.1, sections=64)
    tube = prepare_object(mesh.vertices, mesh.faces)
    outside = tube.points[:, :2].norm(dim=1) > 0.039
    assert tube.thickness[outside].median() == pytest.approx(0.004, abs=3e-4)
    assert outer_width(tube)[outside].median() == pytest.approx(0.08, abs=1e-3)


def test_grasps_of_a_rod_pass_what_they_promise(grasped, hand, rod):
    grasps, watch = grasped
    assert len(grasps) >= 2
    assert sum(len(one) for one in watch.shown) == len(grasps)
    assert grasps.measures["depth_mm"].max() <= 1.81
    assert ((grasps.score > 0) & (grasps.score <= 100)).all()
    for name, contacts in zip(grasps.type, grasps.measures["contacts"].tolist(), strict=True):
        assert contacts >= (4 if BY_NAME[name].power else 2)
    out = hand(**grasps.parameters())
    distance, _ = rod.signed_distance(out.vertices.reshape(-1, 3))
    distance = torch.as_tensor(distance).reshape(len(grasps), -1)
    assert float(distance.min()) > -0.0019
    assert float(distance.amin(1).max()) < 0.002
    assert len(PARTS) == 6


def test_grasps_differ_by_three_centimetres(grasped, hand):
    joints = hand(**grasped[0].parameters()).joints
    apart = (joints[:, None] - joints[None]).norm(dim=-1).mean(-1)
    apart.fill_diagonal_(math.inf)
    assert apart.min() >= 0.03 - 1e-6


def test_a_seed_repeats_and_another_does_not(grasped, hand, rod):
    again = Synthesis().sample(GraspRequest(rod, hand, 2), torch.Generator().manual_seed(3), Watch())
    assert torch.equal(again.transl, grasped[0].transl)
    assert again.type == grasped[0].type
    other = Synthesis().sample(GraspRequest(rod, hand, 1), torch.Generator().manual_seed(4), Watch())
    assert not torch.equal(other.transl[:1], again.transl[:1])


def test_the_type_asked_for_is_given(hand, rod):
    rng = torch.Generator().manual_seed(0)
    grasps = Synthesis().sample(GraspRequest(rod, hand, 2, type="medium_wrap"), rng, Watch())
    assert set(grasps.type) == {"medium_wrap"}


def test_a_left_hand_grasps_too(rod):
    rng = torch.Generator().manual_seed(0)
    grasps = Synthesis().sample(GraspRequest(rod, load_hand(side="left"), 2, type="medium_wrap"), rng, Watch())
    assert len(grasps) >= 2
    assert grasps.hand == "left"


def test_stopping_keeps_what_there_is(hand, rod):
    watch = Watch(patience=40)
    grasps = Synthesis().sample(GraspRequest(rod, hand, 16), torch.Generator().manual_seed(0), watch)
    assert len(watch.fractions) <= 42
    assert len(grasps) == sum(len(one) for one in watch.shown)


def test_a_bowl_is_held_by_its_wall(hand, bowl):
    rng = torch.Generator().manual_seed(1)
    grasps = Synthesis().sample(GraspRequest(bowl, hand, 2), rng, Watch())
    assert len(grasps) >= 2
    from core.quality.bones import bones_crossing

    assert int(bones_crossing(bowl, hand(**grasps.parameters()).joints).sum()) == 0


def test_repeats_of_a_round_object_are_no_new_grasps(hand, rod):
    """Turned about the rod's axis a grasp is the same grasp, until the list would stay short."""
    quarter = axis_angle_to_matrix(torch.tensor([[0.0, 0, math.pi / 2]]))
    turn = torch.cat([torch.eye(3)[None], quarter])
    wrist = torch.tensor([0.1, 0.02, 0.0])
    joint = hand.rest(torch.zeros(1, 10))[1][0, 0]
    grasps = Grasps(matrix_to_axis_angle(turn), torch.zeros(2, 45), turn @ wrist - joint, torch.zeros(2, 10),
                    torch.tensor([2.0, 1.0]))
    with CandidateCollector(GraspRequest(rod, hand, 4), Watch()) as offered:
        offered.add(grasps, 4)
        assert offered.strict
        assert offered.expected == pytest.approx(LIKELY)
        assert not offered.fill(4)  # not yet
        for _ in range(STRICT_ROUNDS):
            offered.add(Grasps.empty("synthesis"), 4)
        assert not offered.strict
        assert offered.expected == pytest.approx(2 * LIKELY)


def test_what_fell_is_no_reason_to_drop_its_like(hand, rod, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(generator, "holds", lambda *_: next(answers))
    grasp = Grasps(torch.zeros(1, 3), torch.zeros(1, 45), torch.zeros(1, 3), torch.zeros(1, 10), torch.ones(1))
    with CandidateCollector(GraspRequest(rod, hand, 4), Watch()) as offered:
        for found in (0, 1, 1):
            offered.add(grasp, 4)
            assert offered.wait(True, lambda: True)
            assert len(offered.held) == found


def test_of_more_than_were_asked_for_the_unlike_are_offered(hand, rod, monkeypatch):
    """Three that are one grasp turned about the rod, and a worse one of another kind: it is among the two offered."""
    monkeypatch.setattr(generator, "holds", lambda *_: True)
    angles = torch.tensor([0.0, 1.5, 3.0, 0.0])
    turn = axis_angle_to_matrix(torch.stack([torch.zeros(4), torch.zeros(4), angles], 1))
    wrist = torch.tensor([[0.1, 0.02, 0.0]]).repeat(4, 1)
    wrist[3, 0] += 0.05
    joint = hand.rest(torch.zeros(1, 10))[1][0, 0]
    place = (turn @ wrist[..., None])[..., 0] - joint
    grasps = Grasps(matrix_to_axis_angle(turn), torch.zeros(4, 45), place, torch.zeros(4, 10),
                    torch.tensor([4.0, 3.0, 2.0, 1.0]))
    with CandidateCollector(GraspRequest(rod, hand, 2), Watch()) as offered:
        for row in range(4):
            monkeypatch.setattr(offered, "_symmetry", offered._plain)  # have them all shaken
            offered.add(grasps[row], 9)
        assert offered.wait(True, lambda: True)
        monkeypatch.setattr(offered, "_symmetry", generator.find_symmetry(rod))
        assert sorted(offered.grasps("synthesis").score.tolist()) == [1.0, 4.0]


def test_more_is_looked_for_while_a_round_object_has_few_that_are_unlike(hand, rod, monkeypatch):
    """Of four wanted: four that are one grasp turned lack three; with three of other kinds nothing is lacking."""
    monkeypatch.setattr(generator, "holds", lambda *_: True)
    turn = axis_angle_to_matrix(torch.stack([torch.zeros(7), torch.zeros(7), torch.linspace(0, 4.8, 7)], 1))
    wrist = torch.tensor([[0.1, 0.02, 0.0]]).repeat(7, 1)
    wrist[4:, 0] += torch.tensor([0.05, 0.1, 0.15])
    place = (turn @ wrist[..., None])[..., 0] - hand.rest(torch.zeros(1, 10))[1][0, 0]
    grasps = Grasps(matrix_to_axis_angle(turn), torch.zeros(7, 45), place, torch.zeros(7, 10), torch.ones(7))
    with CandidateCollector(GraspRequest(rod, hand, 4), Watch()) as offered:
        round_about = offered._symmetry
        monkeypatch.setattr(offered, "_symmetry", offered._plain)  # have them all shaken
        for rows, lacks in ((range(2), True), (range(2, 4), True), (range(4, 7), False)):
            for row in rows:
                offered.add(grasps[row], 9)
            assert offered.wait(True, lambda: True)
            assert not offered.lacks_unlike()  # nothing is asked for where nothing turns
            with monkeypatch.context() as turning:
                turning.setattr(offered, "_symmetry", round_about)
                assert offered.lacks_unlike() == lacks
        assert len(offered.held) == 7
