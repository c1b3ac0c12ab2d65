"""The fit: what lies well stays, what is in the object comes out, and nothing gets worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import trimesh

from core.dataset.training_grasps import training_object
from core.fitting.contact_fit import (
    EVERY,
    GRIP,
    FitEnergy,
    StiffFitEnergy,
    StiffnessEvaluator,
    finger_closings,
    ways_out,
    ways_to_grip,
)
from core.fitting.contact_targets import contacts_of_grasp
from core.fitting.energy import GraspEnergy, Poses
from core.fitting.fit import SLACK, fit, poses_of
from core.fitting.hand_points import HandPoints
from core.fitting.representation import represent
from core.grasps.batch import Grasps
from core.metrics.controls import random_wrists
from core.metrics.strict import strict_measures
from core.objects import prepare_object
from core.quality.bones import bones_crossing
from core.quality.stiffness import FIRM, grasp_quality, stiffness_deficit
from core.quality.surface import (
    SUNK_DEPTH,
    SUNK_OVERLAP,
    SurfaceQuality,
    defect_cost,
    has_contact,
    is_better,
    is_sound,
    is_worse,
)
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from core.training.noise import perturbed as noisy


def perturbed(hand, grasps: Grasps, rng: torch.Generator) -> Grasps:
    """Grasps a centimetre and some degrees off."""
    turn = axis_angle_to_matrix(0.12 * torch.randn(len(grasps), 3, generator=rng))
    dofs = hand.dofs_from_pose(grasps.hand_pose) + 0.1 * torch.randn(len(grasps), 21, generator=rng)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    return replace(grasps, global_orient=matrix_to_axis_angle(turn @ axis_angle_to_matrix(grasps.global_orient)),
                   hand_pose=hand.pose_from_dofs(dofs), transl=grasps.transl + 0.01 * torch.randn(
                       len(grasps), 3, generator=rng))


@pytest.fixture(scope="module")
def mended(held_out, hand):
    rng = torch.Generator().manual_seed(3)
    obj, grasps = held_out[1]
    given = perturbed(hand, grasps, rng)
    return obj, given, fit(obj, hand, given)


def test_what_was_in_the_object_comes_out_and_touches(mended, hand):
    obj, given, fitted = mended
    before = strict_measures(obj, hand, given, hold=False)
    after = strict_measures(obj, hand, fitted.grasps, hold=False)
    assert before["volume_cm3"].mean() > 1
    assert after["volume_cm3"].mean() < 0.5
    assert after["depth_mm"].mean() < 1.5
    assert after["bones_crossing"].sum() == 0
    assert after["contact"].float().mean() >= before["contact"].float().mean()
    assert after["contact"].float().mean() > 0.8


def test_joints_move_no_farther_than_they_were_put_off(mended, held_out, hand):
    _, given, fitted = mended
    with torch.no_grad():
        one, other = (hand(**grasps.parameters()).joints for grasps in (given, fitted.grasps))
    moved = 1000 * (one - other).norm(dim=-1).mean(1)
    assert torch.allclose(moved, fitted.moved_mm, atol=0.2)
    assert moved.mean() < 30
    assert torch.equal(fitted.grasps.betas, given.betas)
    assert set(fitted.grasps.measures) == {"overlap_cm3", "depth_mm", "contacts", "residual"}


def test_a_good_grasp_is_left_alone(held_out, hand):
    obj, grasps = held_out[0]
    fitted = fit(obj, hand, grasps)
    good = is_sound(fitted.before) & (stiffness_deficit(grasp_quality(obj, hand, grasps)) <= SLACK)
    assert good.float().mean() > 0.5
    assert not fitted.changed[good].any()
    assert torch.equal(fitted.grasps.transl[~fitted.changed], grasps.transl[~fitted.changed])
    assert (fitted.moved_mm[~fitted.changed] == 0).all()


def test_a_hand_that_lies_well_and_would_not_grip_is_closed_until_it_does(held_out, hand):
    firm = []
    for obj, grasps in held_out:
        given = noisy(hand, grasps, (0.02, 0.2, 0.2), torch.Generator().manual_seed(3))
        laid = fit_without_grip(obj, hand, given)
        fitted = fit(obj, hand, laid)
        firm.append(torch.stack([grasp_quality(obj, hand, some) for some in (laid, fitted.grasps)], 1))
        assert (fitted.after.bones <= fitted.before.bones).all()
        assert (fitted.after.depth_mm < 1.5).all()
    before, after = torch.cat(firm).T
    loose = before < FIRM / 2
    assert loose.sum() >= 6
    assert (after[loose] > 2 * before[loose]).float().mean() >= 0.5
    assert (after[loose] > FIRM / 2).float().mean() >= 0.25
    assert torch.equal(after[before > FIRM], before[before > FIRM])  # who grips is left alone


def test_a_grip_is_looked_for_near_a_loose_hand(held_out, hand):
    better, nearer = [], []
    for obj, grasps in held_out:
        off = noisy(hand, grasps, (0.012, 0.0, 0.1), torch.Generator().manual_seed(3))
        some = replace(off, hand_pose=hand.pose_from_dofs(0.75 * hand.dofs_from_pose(off.hand_pose)))
        probe = HandPoints(hand, some.betas[0])
        given = poses_of(hand, probe, some)
        closer = GraspEnergy(hand, probe, some.betas[0], obj)
        found = ways_to_grip(closer, StiffnessEvaluator(closer, obj), obj, given)
        assert torch.equal(found.template, found.dofs)
        one, other = (closer.grasps(poses, "", 0) for poses in (given, found))
        loose = stiffness_deficit(grasp_quality(obj, hand, one)) > SLACK
        better.append((stiffness_deficit(grasp_quality(obj, hand, one)) - stiffness_deficit(grasp_quality(obj, hand, other)))[loose])
        joints = [hand(**poses.parameters()).joints for poses in (one, other)]
        nearer.append((joints[0] - joints[1]).norm(dim=-1).mean(1))
    assert len(torch.cat(better)) >= 6
    assert (torch.cat(better) > 0.5).float().mean() > 0.5
    assert torch.cat(nearer).max() < 0.05


def test_where_there_is_nothing_to_grip_the_hand_stays_as_it_is(held_out, hand):
    obj, grasps = held_out[0]
    probe = HandPoints(hand, grasps.betas[0])
    far = poses_of(hand, probe, replace(grasps, transl=grasps.transl + 1.0))
    closer = GraspEnergy(hand, probe, grasps.betas[0], obj)
    found = ways_to_grip(closer, StiffnessEvaluator(closer, obj), obj, far)
    assert torch.allclose(found.wrist, far.wrist, atol=1e-6)
    assert torch.allclose(found.dofs, far.dofs, atol=1e-6)


def test_each_finger_closes_by_its_own_joints(hand):
    closing = finger_closings(hand)
    assert (closing > 0).sum(1).tolist() == [3] * 5
    assert ((closing > 0).sum(0) <= 1).all()
    assert {name for name, on in zip(hand.dof_names, closing[1] > 0, strict=True) if on} == {
        "index MCP bend", "index PIP bend", "index DIP bend"}


def fit_without_grip(obj, hand, grasps: Grasps) -> Grasps:
    """What the fit makes of grasps before it minds their grip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.fitting.fit.looseness", lambda firm: torch.zeros_like(firm))
        return fit(obj, hand, grasps).grasps


def test_the_grip_of_moving_hands_is_that_of_all_their_skin(held_out, hand):
    obj, grasps = held_out[0]
    opened = hand.dofs_from_pose(grasps.hand_pose) * torch.linspace(0.8, 1.0, len(grasps))[:, None]
    some = replace(grasps, hand_pose=hand.pose_from_dofs(opened))
    start = poses_of(hand, HandPoints(hand, some.betas[0]), some)
    probe = HandPoints(hand, some.betas[0])
    gripper = StiffFitEnergy(hand, probe, some.betas[0], obj, start, torch.ones(len(some), probe.pads.stop),
                      StiffnessEvaluator(GraspEnergy(hand, probe, some.betas[0], obj), obj))
    wrist = start.wrist.clone().requires_grad_(True)
    rough = gripper.firmness(replace(start, wrist=wrist))
    exact = grasp_quality(obj, hand, some)
    rank = [value.argsort().argsort().double() for value in (rough.detach(), exact)]
    assert float(torch.corrcoef(torch.stack(rank))[0, 1]) > 0.7
    rough.clamp_min(1e-3).log().sum().backward()
    assert torch.isfinite(wrist.grad).all()
    assert (wrist.grad.norm(dim=1) > 0).float().mean() > 0.5


def test_between_its_reckonings_the_grip_pulls_as_it_did(held_out, hand):
    obj, grasps = held_out[0]
    probe = HandPoints(hand, grasps.betas[0])
    start = poses_of(hand, probe, grasps)
    start = replace(start, dofs=0.9 * start.dofs)
    closer = GraspEnergy(hand, probe, grasps.betas[0], obj)
    pads = torch.ones(len(grasps), probe.pads.stop)

    def slope_of(mender, wrist):
        free = wrist.clone().requires_grad_(True)
        return torch.autograd.grad(mender.naturalness(replace(start, wrist=free)).sum(), free)[0]

    gripper = StiffFitEnergy(hand, probe, grasps.betas[0], obj, start, pads, StiffnessEvaluator(closer, obj))
    plain = FitEnergy(hand, probe, grasps.betas[0], obj, start, pads)
    free = start.wrist.clone().requires_grad_(True)
    lacks = GRIP * stiffness_deficit(StiffFitEnergy(hand, probe, grasps.betas[0], obj, start, pads, StiffnessEvaluator(closer, obj)).firmness(
        replace(start, wrist=free)))
    pull = torch.autograd.grad(lacks.sum(), free)[0]
    assert pull.norm() > 0
    assert torch.allclose(slope_of(gripper, start.wrist) - slope_of(plain, start.wrist), pull, rtol=1e-3, atol=1e-2)
    for step in range(1, EVERY + 1):
        moved = start.wrist + 0.002
        again = slope_of(gripper, moved) - slope_of(plain, moved)
        assert torch.allclose(again, pull, rtol=1e-3, atol=1e-2) == (step < EVERY)


def test_hands_on_a_wall_are_freed_of_it(hand):
    """Of 16 hands thrown at a bowl's wall a quarter kept a bone in it, before they were drawn well out and closed."""
    obj = training_object("bowl/1")
    pose = hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
    fitted = fit(obj, hand, random_wrists(obj, hand, 16, torch.Generator().manual_seed(0), pose))
    assert (fitted.before.bones > 0).sum() > 8
    assert (fitted.after.bones == 0).all()
    assert has_contact(fitted.after).float().mean() > 0.8


def test_a_fist_through_a_tray_is_freed_though_it_closes_into_it_again(hand):
    """Of these 16 fists four kept a bone in the tray: the way out was taken only where the hand closed well after it,
    and only where it was no deeper than what was best before.
    """
    obj = training_object("tray/6")
    pose = hand.pose_from_dofs(torch.full((1, 21), 0.8))[0]
    given = random_wrists(obj, hand, 16, torch.Generator().manual_seed(0), pose)
    fitted = fit(obj, hand, given)
    assert (fitted.before.bones > 0).sum() > 8
    assert (fitted.after.bones == 0).all()
    assert has_contact(fitted.after).float().mean() > 0.8
    assert not is_worse(fitted.after, fitted.before).any()


def test_a_hand_sunk_in_a_solid_thing_is_freed_of_it_though_no_bone_is_in(hand):
    """One of these 16 stayed 5.7 mm deep in a book: its palm and thumb touch, and no bone is in it."""
    obj = training_object("book/1")
    pose = hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
    fitted = fit(obj, hand, random_wrists(obj, hand, 16, torch.Generator().manual_seed(2), pose))
    assert (fitted.before.overlap_cm3 > SUNK_OVERLAP).sum() > 8
    assert (fitted.after.overlap_cm3 <= SUNK_OVERLAP).all()
    assert (fitted.after.depth_mm <= SUNK_DEPTH).all()
    assert has_contact(fitted.after).float().mean() > 0.8


def test_it_repeats_and_the_batch_does_not_matter_much(mended, hand):
    obj, given, fitted = mended
    again = fit(obj, hand, given)
    assert torch.equal(again.grasps.transl, fitted.grasps.transl)
    shapes = replace(given, betas=given.betas.clone())
    shapes.betas[::2, 0] = 1.0
    two = fit(obj, hand, shapes)  # two hand shapes, interleaved: the order stays, and so do the shapes
    assert torch.equal(two.grasps.betas, shapes.betas)
    odd = (two.grasps.transl[1::2] - fitted.grasps.transl[1::2]).abs().max()
    assert odd < 1e-3


def test_a_finger_through_a_wall_is_drawn_out(hand):
    """A bowl's wall between the bones of a finger: out at the start, and it stays out."""
    outer = [[0.0, 0.0], [0.03, 0.0], [0.06, 0.02], [0.07, 0.06]]
    inner = [[0.067, 0.06], [0.057, 0.022], [0.029, 0.003], [0.0, 0.003]]
    mesh = trimesh.creation.revolve(outer + inner, sections=64)
    bowl = prepare_object(mesh.vertices, mesh.faces)
    rng = torch.Generator().manual_seed(0)
    count = 12
    given = random_wrists(bowl, hand, count, rng, hand.pose_from_dofs(torch.full((1, 21), 0.4))[0])
    fitted = fit(bowl, hand, given)
    assert (fitted.before.bones > 0).sum() >= 4
    assert (fitted.after.bones > 0).sum() <= (fitted.before.bones > 0).sum() / 2
    assert (fitted.after.bones <= fitted.before.bones).all()


def test_the_way_out_is_none_where_nothing_is_in(held_out, hand):
    obj, grasps = held_out[0]
    probe = HandPoints(hand, grasps.betas[0])
    dofs = hand.dofs_from_pose(grasps.hand_pose)
    far = Poses(axis_angle_to_matrix(grasps.global_orient), grasps.transl + probe.wrist + 1.0, dofs, dofs, grasps.type)
    mender = FitEnergy(hand, probe, grasps.betas[0], obj, far, torch.ones(len(dofs), probe.pads.stop))
    out = ways_out(mender, obj, far)
    assert torch.equal(out.wrist, far.wrist)
    assert torch.equal(out.dofs, far.dofs)


def test_a_hand_that_floats_is_brought_to_the_object(held_out, hand):
    obj, grasps = held_out[0]
    joints = hand(**grasps.parameters()).joints
    away = torch.nn.functional.normalize(joints[:, 0] - joints[:, [3, 6, 15]].mean(1), dim=1)
    floating = replace(grasps, transl=grasps.transl + 0.08 * away)
    fitted = fit(obj, hand, floating)
    assert not has_contact(fitted.before).any()
    assert has_contact(fitted.after).float().mean() >= 0.5
    assert (fitted.after.overlap_cm3 < 0.5).all()


def test_one_that_floats_just_off_the_surface_is_laid_on_it(held_out, hand):
    """It is in the object nowhere, so any depth is deeper."""
    obj, grasps = held_out[0]
    opened = hand.pose_from_dofs(0.85 * hand.dofs_from_pose(grasps.hand_pose))
    fitted = fit(obj, hand, replace(grasps, hand_pose=opened))
    assert has_contact(fitted.before).float().mean() < 0.4
    assert has_contact(fitted.after).float().mean() > 0.8
    assert (fitted.after.depth_mm < 1.2).all()


def test_a_way_out_leaves_hardly_a_bone_in_the_object(held_out, hand, rng):
    obj, _ = held_out[1]
    probe = HandPoints(hand)
    given = random_wrists(obj, hand, 8, rng, hand.pose_from_dofs(torch.full((1, 21), 0.4))[0])
    dofs = hand.dofs_from_pose(given.hand_pose)
    sunk = Poses(axis_angle_to_matrix(given.global_orient), given.transl + probe.wrist, dofs, dofs, given.type)
    mender = FitEnergy(hand, probe, given.betas[0], obj, sunk, torch.ones(len(dofs), probe.pads.stop))

    def crossings(poses: Poses) -> int:
        return int(bones_crossing(obj, hand(**mender.grasps(poses, "", 0).parameters()).joints).sum())

    assert crossings(sunk) >= 4
    assert crossings(ways_out(mender, obj, sunk)) <= crossings(sunk) / 4


def test_only_the_skin_that_is_near_and_faces_the_object_is_meant_to_touch(held_out, hand):
    obj, grasps = held_out[0]
    probe = HandPoints(hand)
    dofs = hand.dofs_from_pose(grasps.hand_pose)
    poses = Poses(axis_angle_to_matrix(grasps.global_orient), grasps.transl + probe.wrist, dofs, dofs, grasps.type)
    mender = FitEnergy(hand, probe, grasps.betas[0], obj, poses, torch.ones(len(dofs), probe.pads.stop))
    points = mender.points(poses)
    normals = mender.local(dofs)[1] @ poses.rotation.transpose(1, 2)
    unknown = ("",) * len(grasps)
    meant = contacts_of_grasp(obj, probe, points, normals, unknown)
    distance = obj.grid.query(points[:, probe.pads])[0]
    assert (meant[distance > 0.061] == 0).all()
    assert (meant[(distance < 0.001) & (distance > 0)] > 0).float().mean() > 0.7
    away = contacts_of_grasp(obj, probe, points, -normals, unknown)
    assert away[distance > 0].sum() < 0.3 * meant[distance > 0].sum()
    named = contacts_of_grasp(obj, probe, points, normals, ("palmar_pinch",) * len(grasps))
    assert (named[:, probe.pad_part == 4] == 0).all()  # the little finger has no part in a pinch


def test_fields_say_where_the_hand_is_and_touches(held_out, hand):
    """Grasps are fitted from their representations alone: the given parameters are nowhere near."""
    obj, grasps = held_out[1]
    choir = represent(obj, hand, grasps)
    nowhere = replace(grasps, transl=grasps.transl + 5.0, hand_pose=torch.zeros_like(grasps.hand_pose))
    fitted = fit(obj, hand, nowhere, fields=choir)
    with torch.no_grad():
        truth, found = hand(**grasps.parameters()).joints, hand(**fitted.grasps.parameters()).joints
    assert 1000 * (truth - found).norm(dim=-1).mean() < 3


def test_the_choice_never_takes_what_is_worse():
    def surface(overlap: float, bones: int, touching: bool, residual: float = 0.0) -> SurfaceQuality:
        parts = torch.tensor([[touching, True, False, False, False, False]])
        return SurfaceQuality(torch.tensor([1.0]), torch.tensor([overlap]), parts, torch.tensor([residual]),
                       torch.tensor([bones]), torch.tensor([0]))

    assert is_sound(surface(0.1, 0, True))
    assert not is_better(surface(0.0, 0, True), surface(0.1, 0, True))  # fine stays
    assert is_better(surface(0.1, 0, True), surface(3.0, 0, True))
    assert not is_better(surface(0.1, 1, True), surface(3.0, 0, True))
    assert not is_better(surface(0.1, 0, False), surface(0.5, 0, True))
    assert is_better(surface(0.1, 0, True), surface(0.0, 0, False))
    assert defect_cost(surface(0.1, 0, True, 0.5)) > defect_cost(surface(0.1, 0, True))
    assert is_better(surface(0.1, 0, True), surface(0.1, 0, True), torch.tensor([1.0]))  # unless it comes to grip
    assert not is_better(surface(0.0, 0, True), surface(0.1, 0, True), torch.tensor([-1.0]))
    assert not is_better(surface(0.1, 1, True), surface(0.1, 0, True), torch.tensor([5.0]))
    assert has_contact(surface(0, 0, True))
    assert not has_contact(surface(0, 0, False))


def test_it_stops_when_asked_and_keeps_the_grasps(mended, hand):
    obj, given, _ = mended
    seen = []

    class Stop:
        def __call__(self, fraction: float, stage: str) -> bool:
            seen.append(fraction)
            return len(seen) < 5

        def accepted(self, grasps: Grasps) -> None:
            pass

    fitted = fit(obj, hand, given, progress=Stop())
    assert not fitted.complete
    assert len(seen) <= 8
    assert torch.equal(fitted.grasps.transl, given.transl)
    none = fit(obj, hand, given[[]])
    assert len(none.grasps) == 0
