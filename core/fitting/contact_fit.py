"""Moving given hands as little as it takes to lie on the object: out of it first, then onto it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contact_targets import patch_weights
from core.fitting.energy import THIN, GraspEnergy, Poses, Stage
from core.fitting.hand_points import HandPoints
from core.hand.articulation import flexion
from core.hand.tables import FINGERS
from core.quality.bones import bones_crossing
from core.quality.stiffness import CLOSING, STEPS, centre_of_mass, settled, stiffness_deficit
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.hand.skin import SkinRows
    from core.objects import GraspObject

STAGES: Final = (
    Stage(12, 0.02, 0.10, 0.0),
    Stage(30, 0.014, 0.05, 0.035),
    Stage(46, 0.005, 0.024, 0.012, whole_skin=True, memory=0.99),
)
#: for those that would not grip; and the shorter ways of the few that are through a wall, or do not touch, after all
SECOND: Final = (Stage(40, 0.015, 0.07, 0.04), Stage(30, 0.005, 0.02, 0.011, whole_skin=True, memory=0.99))
RESCUE: Final = (Stage(24, 0.02, 0.09, 0.05), Stage(20, 0.006, 0.025, 0.013, whole_skin=True, memory=0.99))
BACK_ON: Final = (Stage(16, 0.014, 0.05, 0.035), Stage(30, 0.005, 0.025, 0.013, whole_skin=True, memory=0.99))
#: the weight of what a grip lacks (`core.quality.stiffness.stiffness_deficit`)
GRIP: Final = 10.0
#: points of skin that the grip is reckoned with while hands move
GRIPPING: Final = 600
#: steps of the hands for which its slope stands
EVERY: Final = 2
#: Newton's steps to the balance from where it was a step of the hands before
FEW: Final = 2
#: cm inside the surface where contact is aimed, and what the last stage lets pass: soft skin that holds
AIM, GIVE = 0.08, 0.06
AIM_THIN, GIVE_THIN = 0.03, 0.03
#: weight of the pull of the wrist to where it was
STAY: Final = 0.15
#: metres behind a surface in which a wall is remembered
WALL: Final = 0.03
#: cm within which a part that must touch, and another one, is pulled to the surface
MUST_REACH, REACH = 15.0, 1.5
#: metres beyond which a hand does not touch yet, and is brought to the object first
AFLOAT: Final = 0.01
#: what a way out is made of: metres of a step, and the share by which fingers are opened
BACK: Final = (0.006, 0.012, 0.02, 0.03, 0.045)
OPEN: Final = (0.0, 0.2, 0.4, 0.65)

#: metres along the hand's back and its side, and radians about its side, by which a better grip is looked for
NUDGES: Final = tuple(itertools.product((-0.015, 0.0, 0.012, 0.024), (-0.015, 0.0, 0.015), (-0.25, 0.0, 0.25)))
#: metres at which a tilt counts as a way
TILT_ARM: Final = 0.08
#: how far fingers are opened, and closed, while that is done, in `finger_closings`, and in how many steps
OPENING, CLOSINGS = 0.9, 13
#: a finger has come to the surface when the spheres in it, made so much smaller, are so many metres in it
FLESH, PRESS = 0.85, 0.0008
#: what a bone in the object counts, and a squared cm of way, in squared cm of depth
BONE, FAR = 4.0, 0.25


class FitEnergy(GraspEnergy):
    """The energy of the fit of hands of one shape: `GraspEnergy` with the grasps' own contacts and a pull back to them.

    Args:
        start: the B poses as they were given; `template` is their own. pads: (B, pads) how much each pad should touch.
        stay: weight of the wrist's pull.
    """

    def __init__(self, hand: HandModel, probe: HandPoints, betas: torch.Tensor, obj: GraspObject, start: Poses,
                 pads: torch.Tensor, stay: float = STAY) -> None:
        super().__init__(hand, probe, betas, obj)
        self._posed: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        with torch.no_grad():
            points = self.points(start)[:, probe.pads]
        thin = thin_there(obj, points, pads)[:, None]
        self.aim, self.give = torch.where(thin, AIM_THIN, AIM), torch.where(thin, GIVE_THIN, GIVE)
        must = parts_that_must(probe, obj.grid.query(points)[0])
        self.part_reach = torch.where(must, MUST_REACH, REACH)
        self.own_pads = pads + 0.25 * patch_weights(probe) * must[:, probe.pad_part] * (pads == 0)
        self.start, self.stay = start, stay
        self._side: tuple[torch.Tensor, torch.Tensor] | None = None

    def _pad_weights(self, types: tuple[str, ...]) -> torch.Tensor:
        return self.own_pads

    def energy(self, poses: Poses, pads: torch.Tensor, skin: SkinRows | None,
               fixed: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        self._posed = None  # angles move in place between the steps
        try:
            return super().energy(poses, pads, skin, fixed)
        finally:
            self._posed = None

    def _bones(self, dofs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `GraspEnergy` has them; within a step made once, for the points, the skin and its normals."""
        if self._posed is None or self._posed[0] is not dofs:
            self._posed = dofs, *super()._bones(dofs)
        return self._posed[1:]

    def _distance(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `GraspEnergy` has it, but flesh that went through a wall is behind it, however far.

        Beyond a wall's middle the nearest surface is the far one, and would pull the flesh on. So each inner sphere
        remembers the surface it was before (a point and its normal); where the normal turns about while the sphere is
        behind that surface, the distance to that surface's plane counts until the sphere is out again.
        """
        distance, outward = super()._distance(points)
        rows = self.probe.spheres
        place, here = points[:, rows], outward[:, rows]
        with torch.no_grad():
            foot = place - distance[:, rows, None] / 100 * here
            known, normal = (foot, here) if self._side is None else self._side
            behind = ((place - known) * normal).sum(-1) < 0.001
            near = (place - known).norm(dim=-1) < WALL
            crossed = (behind & near & ((here * normal).sum(-1) < -0.2))[..., None]
            known, normal = known.where(crossed, foot), normal.where(crossed, here)
            self._side = known, normal
        plane = ((place - known) * normal).sum(-1) * 100
        spheres = torch.where(crossed[..., 0], plane, distance[:, rows])
        before, after = slice(0, rows.start), slice(rows.stop, None)
        return (torch.cat([distance[:, before], spheres, distance[:, after]], 1),
                torch.cat([outward[:, before], normal, outward[:, after]], 1))

    def naturalness(self, poses: Poses) -> torch.Tensor:
        """(B,) the fingers' pull to their posture, and the wrist's to its place (CHOIR's Eq. 11, squared)."""
        turned = (poses.rotation - self.start.rotation).square().sum((1, 2))
        moved = (poses.rotation @ self.centre + poses.wrist) - (self.start.rotation @ self.centre + self.start.wrist)
        return super().naturalness(poses) + self.stay * (25 * turned + (100 * moved).square().sum(1))


class StiffFitEnergy(FitEnergy):
    """`FitEnergy`, whose hands shall grip when they close, too.

    Args:
        grip: of these hands on this object.
    """

    def __init__(self, hand: HandModel, probe: HandPoints, betas: torch.Tensor, obj: GraspObject, start: Poses,
                 pads: torch.Tensor, grip: StiffnessEvaluator, stay: float = STAY) -> None:
        super().__init__(hand, probe, betas, obj, start, pads, stay)
        self._grip, self._place, self._steps = grip, None, 0

    def naturalness(self, poses: Poses) -> torch.Tensor:
        """(B,) with what the grip lacks, up to a constant: its slope is reckoned every `EVERY` steps."""
        free = poses.rotation, poses.wrist, poses.dofs
        if self._steps % EVERY == 0:
            with torch.enable_grad():
                rotation, wrist, dofs = (value.detach().requires_grad_() for value in free)
                loose = stiffness_deficit(self.firmness(replace(poses, rotation=rotation, wrist=wrist, dofs=dofs)))
                self._slope = torch.autograd.grad(loose.sum(), (rotation, wrist, dofs))
        self._steps += 1
        lacks = sum((slope * value).flatten(1).sum(1) for slope, value in zip(self._slope, free, strict=True))
        return super().naturalness(poses) + GRIP * lacks

    def firmness(self, poses: Poses) -> torch.Tensor:
        """(B,) the grip of poses of the same hands as in the step before, moved a little."""
        firm, self._place = self._grip(poses, self.transforms(poses.dofs), self._place)
        return firm


class StiffnessEvaluator:
    """`grasp_quality` of hands of one shape on one object, of fewer points, and differentiable."""

    def __init__(self, closer: GraspEnergy, obj: GraspObject) -> None:
        self._closer = closer
        self._skin = HandPoints(closer.hand, closer.betas, GRIPPING).gripping_skin()
        self._middle, self._closing = centre_of_mass(obj), flexion(closer.hand, CLOSING)

    def __call__(self, poses: Poses, bones: torch.Tensor, place: torch.Tensor | None = None,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) the grips of poses, and (B, 6) where the object comes to rest in them.

        Args:
            bones: their transforms. place: where it rested in hands that were nearly so.
        """
        turn = poses.rotation.transpose(1, 2)
        local = self._skin.skin_points(bones)
        normals = self._skin.normals_under(bones) @ turn
        with torch.no_grad():  # how the skin closes hardly changes with the pose
            moved = (self._skin.skin_points(self._closer.transforms(poses.dofs + self._closing)) - local) @ turn
        points = local @ turn + poses.wrist[:, None]
        distance, outward = self._closer._distance(points)
        facing = (-(normals * outward).sum(-1)).clamp_min(0)
        return settled(points - self._middle, distance, outward, 100 * moved, self._skin.skin_area * facing, place,
                       STEPS if place is None else FEW)


def thin_there(obj: GraspObject, places: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
    """(B,) bool: the object is a thin wall where the pads (B, pads, 3) that should touch are."""
    near = torch.cdist(places.flatten(0, 1), obj.points).argmin(1).reshape(pads.shape)
    share = pads / pads.sum(1, keepdim=True).clamp_min(1e-6)
    return (share * (obj.thickness[near] < THIN)).sum(1) > 0.25


def parts_that_must(probe: HandPoints, distance: torch.Tensor) -> torch.Tensor:
    """(B, 6) bool: parts without which nothing is held: thumb or palm, whichever is nearer, and two nearest fingers.

    Args:
        distance: (B, pads) of the pads to the object, metres, as the hand was given.
    """
    nearest = torch.stack([distance[:, probe.pad_part == part].amin(1) for part in range(6)], 1)
    must = torch.zeros(len(distance), 6, dtype=torch.bool)
    rows = torch.arange(len(distance))
    must[rows, torch.where(nearest[:, 0] < nearest[:, 5] + 0.02, 0, 5)] = True
    for rank in range(2):
        must[rows, 1 + nearest[:, 1:5].argsort(1)[:, rank]] = True
    return must


def ways_there(closer: GraspEnergy, obj: GraspObject, poses: Poses) -> Poses:
    """Hands that float brought to the object, hands that are in it out of it."""
    return ways_out(closer, obj, ways_in(closer, obj, poses))


@torch.no_grad()
def ways_to_grip(closer: GraspEnergy, grip: StiffnessEvaluator, obj: GraspObject, poses: Poses,
                 bone: float = BONE) -> Poses:
    """Each pose, or one near it from which its fingers can close on the object so that they grip it better.

    All of `NUDGES` are tried. There each finger is closed, from well open, until it would go into the object, or left
    as it was where it meets nothing. The best is that which lacks least of a grip for the least flesh and bones in the
    object and the least way, in the units of `ways_out`.
    """
    probe, count, nudges = closer.probe, len(poses), torch.tensor(NUDGES)
    tilt = torch.zeros(len(nudges), 3)
    tilt[:, 2] = nudges[:, 2]
    turned = poses.rotation[:, None] @ axis_angle_to_matrix(tilt)
    way = nudges[:, :2] @ poses.rotation[:, :, 1:].transpose(1, 2)
    centre = poses.rotation @ closer.centre + poses.wrist
    wrist = centre[:, None] - turned @ closer.centre + way
    low, high = closer.hand.dof_limits.unbind(1)
    shares = torch.linspace(-OPENING, OPENING, CLOSINGS)
    closing = finger_closings(closer.hand)
    dofs = poses.dofs[:, None] + shares[:, None] * closing.sum(0)
    flesh = probe.skin_points(closer.transforms(dofs.clamp(low, high).flatten(0, 1)))[:, probe.spheres]
    there = flesh.reshape(count, 1, -1, 3) @ turned.transpose(-1, -2) + wrist[:, :, None]
    clear = obj.grid.query(there)[0].unflatten(2, (CLOSINGS, -1)) > FLESH * probe.radii - PRESS
    dofs = poses.dofs[:, None].repeat(1, len(nudges), 1)
    for part, closes in enumerate(closing):
        free = clear[..., probe.sphere_parts == part].all(-1).int().cumprod(-1).sum(-1)
        dofs += torch.where(free < CLOSINGS, shares[(free - 1).clamp_min(0)], 0.0)[..., None] * closes
    dofs = dofs.clamp(low, high)
    bent = (dofs - poses.dofs[:, None]).square().sum(-1)
    many = Poses(turned.flatten(0, 1), wrist.flatten(0, 1), dofs.flatten(0, 1), dofs.flatten(0, 1),
                 ("",) * (count * len(nudges)))
    loose = stiffness_deficit(grip(many, closer.transforms(many.dofs))[0]).reshape(bent.shape)
    inside = obj.grid.query(closer.points(many)[:, probe.spheres])[0]
    deep = (100 * (0.8 * probe.radii - inside)).relu().square().sum(-1).reshape(bent.shape)
    bones = torch.as_tensor(bones_crossing(obj, keypoints(closer, many), palm=True)).reshape(bent.shape)
    far = (100 * way).square().sum(-1) + (100 * TILT_ARM * nudges[:, 2]).square()
    best, rows = (GRIP * loose + deep + bone * bones + FAR * far + bent).argmin(1), torch.arange(count)
    found = dofs[rows, best]
    return replace(poses, rotation=turned[rows, best], wrist=wrist[rows, best], dofs=found, template=found)


def finger_closings(hand: HandModel) -> torch.Tensor:
    """(5, 21) radians by which the angles of the thumb and the fingers grow, each by itself, when it closes by one."""
    speed = {"MCP bend": 1.0, "PIP bend": 0.9, "DIP bend": 0.6}
    thumb = {"thumb CMC bend": 0.5, "thumb MCP bend": 0.6, "thumb IP bend": 0.7}
    closing = torch.zeros(5, len(hand.dof_names))
    for column, name in enumerate(hand.dof_names):
        finger, _, joint = name.partition(" ")
        closing[FINGERS.index(finger), column] = thumb.get(name, 0.0) if finger == "thumb" else speed.get(joint, 0.0)
    return closing


@torch.no_grad()
def ways_in(closer: GraspEnergy, obj: GraspObject, poses: Poses) -> Poses:
    """Hands whose pads are all more than `AFLOAT` from the object, moved straight to it until one is close."""
    points = closer.points(poses)[:, closer.probe.pads]
    distance, outward = obj.grid.query(points)
    nearest, which = distance.min(1)
    way = -outward[torch.arange(len(poses)), which] * (nearest - AFLOAT / 2)[:, None]
    return replace(poses, wrist=poses.wrist + way * (nearest > AFLOAT)[:, None])


@torch.no_grad()
def ways_out(closer: GraspEnergy, obj: GraspObject, poses: Poses, bone: float = BONE,
             back: tuple[float, ...] = BACK) -> Poses:
    """Each pose moved back and opened just so far that its flesh is hardly in the object and no bone crosses it.

    All pairs of a step and a share of `OPEN` are tried. Steps lead along the mean normal of the surface where the hand
    is in it, toward the back of the hand, and from the fingers to the wrist, each as far as `BACK` says; bones are
    tested against the triangles.
    """
    count, probe, shares = len(poses), closer.probe, torch.tensor(OPEN)
    bends = torch.tensor([float(name.endswith("bend")) for name in closer.hand.dof_names])
    opened = poses.dofs[:, None] * (1 - shares[:, None] * bends)
    many = Poses(poses.rotation.repeat_interleave(len(OPEN), 0), poses.wrist.repeat_interleave(len(OPEN), 0),
                 opened.flatten(0, 1), opened.flatten(0, 1), ("",) * (count * len(OPEN)))
    flesh = closer.points(many)[:, probe.spheres].unflatten(0, (count, len(OPEN)))
    joints = keypoints(closer, many).unflatten(0, (count, len(OPEN)))
    distance, outward = obj.grid.query(flesh[:, 0])
    weight = (0.9 * probe.radii - distance).relu()
    normal = torch.nn.functional.normalize((weight[..., None] * outward).sum(1), dim=1)
    wristward = poses.rotation[:, :, 0] * (1.0 if closer.hand.side == "right" else -1.0)
    ways = torch.stack([normal, poses.rotation[:, :, 1], wristward], 1)
    steps = (ways[:, :, None] * torch.tensor(back)[:, None]).flatten(1, 2)
    steps = torch.cat([torch.zeros_like(steps[:, :1]), steps], 1)
    distance = obj.grid.query(flesh[:, :, None] + steps[:, None, :, None])[0]
    deep = 100 * (0.8 * probe.radii - distance).relu()
    there = (joints[:, :, None] + steps[:, None, :, None]).flatten(0, 2)
    bones = bones_crossing(obj, there, palm=True).reshape(deep.shape[:3])
    far = (100 * steps).square().sum(-1)[:, None]
    cost = deep.square().sum(-1) + bone * bones + FAR * far + 3 * shares.square()[None, :, None]
    best, rows, width = cost.flatten(1).argmin(1), torch.arange(count), steps.shape[1]
    return replace(poses, wrist=poses.wrist + steps[rows, best % width], dofs=opened[rows, best // width])


def keypoints(closer: GraspEnergy, poses: Poses) -> torch.Tensor:
    """(B, 21, 3) joints and tips without correctives, object frame, metres."""
    probe, hand = closer.probe, closer.hand
    tips = hand.rest(closer.betas)[0][0, hand.tip_vertices] - probe.wrist
    last = torch.tensor([15, 3, 6, 12, 9])  # the joints that carry the tips, thumb to little
    moving = closer.transforms(poses.dofs)[:, torch.cat([torch.arange(16), last])]
    local = (moving[..., :3, :3] @ torch.cat([probe.joints, tips])[..., None])[..., 0] + moving[..., :3, 3]
    return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]
