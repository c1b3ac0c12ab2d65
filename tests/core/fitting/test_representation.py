"""CHOIR's representation: what it says, and that the hand comes back out of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import trimesh

from core.fitting.pose_fit import AnchorLayer, hands_in_field, trilaterate
from core.fitting.representation import (
    KAPPA,
    KAPPA_PRINTED,
    LAMBDA,
    anchor_distances,
    anchor_regions,
    assigned_anchors,
    contact_map,
    contact_weights,
    factors,
    fit_gaussians,
    in_contact,
    inward,
    represent,
    turned_gaussians,
)
from core.grasps.heading_frame import frames_of_grasps
from core.hand import load_hand
from core.hand.normals import vertex_normals
from core.metrics.truth import joint_error_mm
from core.objects import prepare_object
from core.objects.basis_points import basis_lattice
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle, random_rotations


def test_every_anchor_has_128_points_all_over_the_cube():
    assigned = assigned_anchors()
    assert assigned.bincount(minlength=32).tolist() == [128] * 32
    for anchor in range(32):
        points = basis_lattice()[assigned == anchor]
        assert (points.amax(0) - points.amin(0) > 0.14).all()
        assert (points.std(0) > 0.05).all()


def test_anchors_are_read_off_their_distances(rng):
    anchors = 0.08 * torch.randn(3, 32, 3, generator=rng)
    found = trilaterate(anchor_distances(anchors))
    assert (found - anchors).abs().max() < 1e-6


def test_a_coarser_lattice_says_the_same(held_out, hand, rng):
    assert assigned_anchors(8).bincount(minlength=32).tolist() == [16] * 32
    anchors = 0.08 * torch.randn(3, 32, 3, generator=rng)
    assert (trilaterate(anchor_distances(anchors, 8)) - anchors).abs().max() < 1e-5
    obj, grasps = held_out[0]
    choir = represent(obj, hand, grasps)
    seen = inward(choir.window, hand.anchors(hand(**grasps.parameters()).vertices))
    coarse = replace(choir, hand=anchor_distances(seen, 8))
    error, _ = joint_error_mm(hand(**hands_in_field(hand, coarse, grasps).parameters()).joints,
                              hand(**grasps.parameters()).joints)
    assert error.max() < 0.1


def test_gaussians_turn_with_the_axes(held_out, hand, rng):
    """Represented in a turned window, or turned afterwards: the same; and in a mirror's."""
    obj, grasps = held_out[0]
    frames = frames_of_grasps(obj, hand, grasps)
    plain, other = represent(obj, hand, grasps), represent(obj, hand, grasps, frames)
    again = turned_gaussians(plain.gaussians, frames.axes)
    assert torch.allclose(again, other.gaussians, atol=2e-5)
    assert torch.equal(again[..., 3:].abs().amax(-1) > 0, other.gaussians[..., 3:].abs().amax(-1) > 0)
    mirror = torch.diag(torch.tensor([-1.0, 1, 1]))[None]
    assert torch.allclose(turned_gaussians(turned_gaussians(again, mirror), mirror), again, atol=1e-6)
    points = 0.003 * torch.randn(len(grasps), 32, 3, generator=rng)
    here, there = contact_map(again, points, 0 * points, torch.arange(32)), contact_map(
        turned_gaussians(again, mirror), points @ mirror, 0 * points, torch.arange(32))
    assert torch.allclose(here, there, atol=1e-4)


def test_distances_are_those_of_the_definition(held_out, hand):
    obj, grasps = held_out[0]
    choir = represent(obj, hand, grasps[:2], frames_of_grasps(obj, hand, grasps[:2]))
    anchors = hand.anchors(hand(**grasps[:2].parameters()).vertices)
    place = choir.window.to_object(basis_lattice())
    for point in (0, 777, 4095):
        anchor = anchors[1, assigned_anchors()[point]]
        assert float(choir.hand[1, point]) == pytest.approx(float((place[1, point] - anchor).norm()), abs=1e-6)
        exact = abs(float(obj.signed_distance(place[1, point][None])[0]))
        assert float(choir.object[1, point]) == pytest.approx(exact, abs=3e-3)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_anchor_layer_is_the_hands(side, rng):
    hand = load_hand(side=side)
    turn, pose, transl = (0.7 * torch.randn(4, 3, generator=rng), 0.5 * torch.rand(4, 21, generator=rng),
                          torch.randn(4, 3, generator=rng))
    betas = torch.randn(4, 10, generator=rng)
    whole = hand.anchors(hand(turn, hand.pose_from_dofs(pose), transl, betas).vertices)
    wrist = transl + hand.rest(betas)[1][:, 0]
    alone = AnchorLayer(hand)(axis_angle_to_matrix(turn), wrist, pose, betas)
    assert torch.allclose(whole, alone, atol=1e-5)


def test_the_hand_comes_back_from_the_representation(held_out, hand, rng):
    """The paper's Table 4, from a mean pose at a random wrist: under a millimetre; and contact over 90 % (F1)."""
    region = anchor_regions(hand)
    agreement = []
    for obj, grasps in held_out:
        choir = represent(obj, hand, grasps, frames_of_grasps(obj, hand, grasps))
        count = len(grasps)
        nowhere = replace(grasps, global_orient=matrix_to_axis_angle(random_rotations(count, rng)),
                          hand_pose=torch.zeros(count, 45), transl=torch.randn(count, 3, generator=rng))
        found = hands_in_field(hand, choir, nowhere)
        truth, mine = hand(**grasps.parameters()), hand(**found.parameters())
        error, _ = joint_error_mm(mine.joints, truth.joints)
        assert error.max() < 0.1
        raw = contact_weights(obj, truth.vertices, hand.faces) > 0
        assert (raw.sum(1) > 20).all()
        read = in_contact(contact_map(choir.gaussians, inward(choir.window, mine.vertices),
                                      inward(choir.window, hand.anchors(mine.vertices)), region))
        both = (raw & read).sum(1)
        agreement.append(2 * both / (raw.sum(1) + read.sum(1)))
    assert torch.cat(agreement).mean() > 0.88


def test_a_noisy_field_gives_a_hand_near_it(held_out, hand, rng):
    obj, grasps = held_out[0]
    choir = represent(obj, hand, grasps)
    noisy = replace(choir, hand=(choir.hand + 0.004 * torch.randn(choir.hand.shape, generator=rng)).clamp_min(0))
    error, _ = joint_error_mm(hand(**hands_in_field(hand, noisy, grasps).parameters()).joints,
                              hand(**grasps.parameters()).joints)
    assert error.mean() < 2.0


def test_the_shape_is_solved_for_where_asked(held_out, hand):
    obj, grasps = held_out[0]
    grasps = replace(grasps, betas=torch.zeros_like(grasps.betas))
    grasps.betas[:, 0] = 2.0
    choir = represent(obj, hand, grasps)
    kept = replace(grasps, betas=torch.zeros_like(grasps.betas))
    assert torch.equal(hands_in_field(hand, choir, kept).betas, kept.betas)
    solved = hands_in_field(hand, choir, kept, shape=True)
    truth = hand(**grasps.parameters()).joints
    with_shape = joint_error_mm(hand(**solved.parameters()).joints, truth)[0].mean()
    without = joint_error_mm(hand(**hands_in_field(hand, choir, kept).parameters()).joints, truth)[0].mean()
    assert with_shape < 1.0
    assert with_shape < 0.5 * without


def test_contact_is_counted_in_a_cone():
    """Beside a flat side: within 4 mm, and never behind the skin; the printed angle excludes nothing."""
    box = trimesh.creation.box((0.1, 0.1, 0.02))
    obj = prepare_object(box.vertices, box.faces)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.01)
    skin = torch.tensor(ball.vertices[None] + [[0, 0, 0.01 + 0.01 + 0.001]]).float()
    faces = torch.tensor(ball.faces)
    weights = contact_weights(obj, skin, faces, KAPPA)[0]
    distance, outward = obj.grid.query(skin[0])
    normals = vertex_normals(skin[0], faces)
    assert float(weights[distance.argmin()]) == pytest.approx(
        math.pi * (100 * math.sqrt(LAMBDA**2 - 0.001**2)) ** 2 * 100 * (0.001 * math.tan(KAPPA)) ** 2
        / (LAMBDA**2 - 0.001**2), rel=0.35)
    assert (weights[distance > LAMBDA] == 0).all()
    assert (weights[(normals * outward).sum(1) > 0] == 0).all()
    sunk = skin - torch.tensor([0.0, 0, 0.003])
    deep = (obj.grid.query(sunk[0])[0] < -0.001) & ((normals * outward).sum(1) < -0.9)
    assert (contact_weights(obj, sunk, faces, KAPPA)[0][deep] == 0).all()
    assert (contact_weights(obj, sunk, faces, KAPPA_PRINTED)[0][deep] > 0).all()


def test_gaussians_are_the_weighted_moments_and_differentiable(rng):
    vertices = torch.randn(1, 60, 3, generator=rng).mul(0.01).requires_grad_()
    anchors = torch.zeros(1, 32, 3)
    region = torch.zeros(60, dtype=torch.long)
    weights = torch.randint(0, 5, (1, 60), generator=rng).float()
    found = fit_gaussians(vertices, anchors, weights, region)
    many = vertices[0].detach().repeat_interleave(weights[0].long(), 0)
    assert torch.allclose(found[0, 0, :3], many.mean(0), atol=1e-7)
    covariance = factors(found)[0, 0] @ factors(found)[0, 0].T
    assert torch.allclose(covariance, torch.cov(many.T, correction=0), atol=1e-6)
    assert (found[0, 1:] == 0).all()
    found.sum().backward()
    assert torch.isfinite(vertices.grad).all()
    assert vertices.grad.abs().max() > 0


def test_the_field_is_differentiable_in_the_grasp(held_out, hand):
    obj, grasps = held_out[0]
    transl = grasps.transl.clone().requires_grad_()
    represent(obj, hand, replace(grasps, transl=transl)).hand.sum().backward()
    assert transl.grad.abs().max() > 1
