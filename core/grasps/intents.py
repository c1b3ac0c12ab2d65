"""What a grasp is for: which parts the hand holds, which it does not touch, where the thumb points.

Parts are known by their names, so a training shape and an animator's vertex groups follow the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import normalize

from core.grasps.contact import CONTACT_TOLERANCE, touches
from core.grasps.taxonomy import BY_NAME
from core.hand.articulation import KNUCKLES
from core.objects.features import rods

if TYPE_CHECKING:
    from core.grasps.taxonomy import GraspType
    from core.objects import GraspObject

INTENTS: Final = ("any", "use", "hold", "handover", "lift")
#: parts that are held by somebody who uses the object
HELD: Final = frozenset({"handle", "grip", "loop", "stem", "knob", "barrel", "trigger"})
#: parts of the end that does the work: beyond the thumb, and not touched in use
WORKING: Final = frozenset({"head", "blade", "jaws", "tip", "bristles", "nozzle", "vessel", "scoop", "mouth", "bit"})
#: parts that are not touched with any intent but "any" and "handover"
SHARP: Final = frozenset({"edge", "tip", "spout", "mouth", "lens", "screen", "sole"})


@dataclass(frozen=True)
class IntentConfig:
    """Bounds that decide whether a hand does what an intent asks; all are this project's own choices.

    Attributes:
        held_share: of the contact area, at least this is on what is held in use.
        held_share_pistol: likewise of a thing with a trigger, whose grip ends under its body: the hand leans on it.
        free_share: of the contact area, at most this is on what stays free to hand an object over.
        touched_share: of the contact area, at most this is on working or sharp parts.
        touched_share_pistol: likewise on working parts of a thing with a trigger.
        room: share of an object's surface that is no handle; with less it cannot be handed over by the rest.
        trigger_distance: metres from the index fingertip to the trigger, at most.
        arm_across: cosine of the forearm's angle to the direction away from the working end, over which it may not lie.
        thumb_side: cosine between the thumb side of the hand and the direction to the working end, at least.
        misalignment: of a hand to the working end (`Purpose.across`), at most.
        steepest: sine of the largest angle to the horizontal of a forearm that keeps a thing level: 50 degrees.
        finger: metres, width of the narrowest hole that a finger goes through.
        widest_hole: metres, width of the widest hole that a hand reaches through.
        apart: metres between the middles of the working end and the rest; of nearer ones the direction is not used.
        slender: how many times longer than wide a part is whose axis counts as a direction.
        along: cosine between that part's axis and the direction to the working end, at least.
    """

    held_share: float = 0.6
    held_share_pistol: float = 0.45
    free_share: float = 0.1
    touched_share: float = 0.05
    touched_share_pistol: float = 0.35
    room: float = 0.25
    trigger_distance: float = 0.03
    arm_across: float = 0.45
    thumb_side: float = 0.3
    misalignment: float = 0.05
    steepest: float = 0.766
    finger: float = 0.016
    widest_hole: float = 0.12
    apart: float = 0.03
    slender: float = 1.7
    along: float = 0.75


CONFIG: Final = IntentConfig()
# The bones of index, middle, little and ring in joints of core's order, the last to the fingertip.
BONE_STARTS: Final = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
BONE_ENDS: Final = [2, 3, 17, 5, 6, 18, 8, 9, 20, 11, 12, 19]


@dataclass(frozen=True)
class ContactShares:
    """Where N hands touch an object.

    Attributes:
        held: (N,) share of the contact area that is on the handle (`Purpose.handle`).
        working: (N,) likewise on working parts.
        sharp: (N,) likewise on sharp ones.
        centre: (N, 3) of the contact area, object frame, metres.
        part: (N, V) index of the object's point nearest to each of the hand's that is in contact, -1 elsewhere.
    """

    held: torch.Tensor
    working: torch.Tensor
    sharp: torch.Tensor
    centre: torch.Tensor
    part: torch.Tensor


def missing_parts(obj: GraspObject, intent: str) -> str:
    """Which part an intent must know and the object does not name, in words that follow "which part"; "" for none."""
    parts = obj.parts
    if intent == "handover" and not (parts and parts.mask(HELD).any()):
        return "stays free when it is handed over"
    if intent == "use" and not (parts and parts.mask(HELD | WORKING | SHARP).any()):
        return "is held when it is used"
    return ""


class Purpose:
    """One intent on one object.

    Args:
        obj: the object; its parts may be unknown.
        intent: one of `INTENTS`.

    Attributes:
        held: (P,) bool, the object's points that are on parts held in use.
        working: (P,) likewise on working parts.
        sharp: (P,) likewise on sharp parts.
        edge: (P,) likewise on a blade's edge.
        mouth: (P,) likewise on a mouth.
        trigger: (P,) likewise on a trigger.
        handle: (P,) what belongs in the hand of somebody who uses the object: held in use, left free to hand it over.
        allowed: (P,) where a hand may be placed.
        toward: (3,) centre of the working end, where the hand's orientation depends on it; None elsewhere.
        up: (3,) unit direction that is up in use, where the object has to be kept level; None elsewhere.
        reach: metres from the object's origin within which it is lifted.

    Raises:
        LookupError: the intent needs parts that the object does not name; the sentence says which.
    """

    def __init__(self, obj: GraspObject, intent: str) -> None:
        self.obj, self.intent = obj, intent
        parts = obj.parts

        def mask(names: frozenset[str]) -> torch.Tensor:
            return parts.mask(names) if parts else torch.zeros(len(obj.points), dtype=torch.bool)

        self.held, self.working, self.sharp = mask(HELD), mask(WORKING), mask(SHARP)
        self.edge, self.mouth, self.trigger = (mask(frozenset({name})) for name in ("edge", "mouth", "trigger"))
        if missing := missing_parts(obj, intent):
            raise LookupError(f"the engine must know which part of this object {missing}: give its mesh a vertex group "
                              "named for example 'handle' or 'grip', or choose another intent")
        self.handle = self._left_free() if intent == "handover" else self.held
        self.allowed = self._allowed()
        self.toward = self._toward()
        up = parts.up if parts is not None and intent == "use" else None
        self.up = None if up is None else torch.tensor(up)
        self.reach = 0.3 * float(obj.extent.max()) + 0.02

    def _allowed(self) -> torch.Tensor:
        """(P,) bool: where a hand may be placed."""
        everywhere = torch.ones(len(self.obj.points), dtype=torch.bool)
        if self.intent == "any":
            return everywhere
        if self.intent == "handover":
            return ~self.handle & ~self.edge
        if self.intent == "use" and self.held.any():
            return self.held
        return ~self.sharp & (~self.working if self.intent == "use" else everywhere)

    def _left_free(self) -> torch.Tensor:
        """(P,) bool: what is held in use; of what is nearly all handle (a pen), the half by the working end."""
        if (~self.held & ~self.edge).float().mean() > CONFIG.room:
            return self.held
        middle, _, (axis, *_) = self._held_axes
        other = self.obj.points[~self.held].mean(0) - middle if (~self.held).any() else axis
        return self.held & (((self.obj.points - middle) @ axis) * (other @ axis) > 0)

    @cached_property
    def _held_axes(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Middle (3,), singular values (3,) and principal axes (3, 3), longest first, of what is held."""
        held = self.obj.points[self.held]
        middle = held.mean(0)
        return middle, *torch.linalg.svd(held - middle, full_matrices=False)[1:]

    def _toward(self) -> torch.Tensor | None:
        """(3,) centre of the working end, where the hand's orientation depends on it."""
        if self.intent != "use" or not self.working.any():
            return None
        working, held = self.obj.points[self.working], self.obj.points[self.held | ~self.working]
        centre, middle = working.mean(0), held.mean(0)
        # A dumbbell has work at both ends.
        return centre if (centre - middle).norm() > CONFIG.apart else None

    def suitable_types(self, types: list[GraspType]) -> list[GraspType]:
        """Those of the types with which a person would do this; all, where that leaves none."""
        if self.intent != "use" or self.obj.parts is None:
            return types
        if self.obj.parts.types:
            chosen = [grasp_type for grasp_type in types if grasp_type.name in self.obj.parts.types]
        else:
            only_power = self.obj.parts.mask(frozenset({"handle", "grip"})).any()
            chosen = [grasp_type for grasp_type in types if grasp_type.power or not only_power]
        return chosen or types

    def nearest(self, points: torch.Tensor) -> torch.Tensor:
        """(N,) index of the object's point nearest to each of points (N, 3)."""
        return torch.cat([torch.cdist(chunk, self.obj.points).argmin(1) for chunk in points.split(2048)])

    def may_lie(self, centre: torch.Tensor) -> torch.Tensor:
        """(G,) bool: centres of grasps (G, 3), object frame, metres, that this intent allows."""
        if self.intent == "any" or not len(centre):
            return torch.ones(len(centre), dtype=torch.bool)
        allowed = self.allowed[self.nearest(centre)]
        if self.intent == "lift":
            allowed &= centre.norm(dim=1) < self.reach + 0.02
        return allowed

    def steep(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) how much too steep the forearms of hands (N, 21, 3) are to keep the object level, 0 where right."""
        if self.up is None:
            return torch.zeros(len(joints))
        return too_steep(joints, self.up)

    def across(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) how wrongly hands with joints (N, 21, 3) are oriented to the working end, 0 where right."""
        return self._across(joints[:, KNUCKLES].mean(1), *hand_directions(joints))

    def _across(self, palm: torch.Tensor, radial: torch.Tensor, distal: torch.Tensor) -> torch.Tensor:
        """`across` of palms (N, 3) and of unit directions (N, 3) to the thumb's side and to the fingers."""
        if self.toward is None:
            return torch.zeros(len(palm))
        direction = normalize(self.toward - palm, dim=1)
        wrong = (-(distal * direction).sum(1) - CONFIG.arm_across).relu()
        if self.in_line:
            wrong = wrong + (CONFIG.thumb_side - (radial * direction).sum(1)).relu()
        return wrong

    def turned_as_used(self, palm: torch.Tensor, radial: torch.Tensor, distal: torch.Tensor) -> torch.Tensor:
        """Which hands are turned to the object's ends as a fist is that uses it; all, where the intent is another.

        Args:
            palm: (N, 3) places of the hands, object frame, metres.
            radial: (N, 3) unit directions to the thumb's side.
            distal: (N, 3) unit directions to the fingers.

        Returns:
            (N,) bool.
        """
        turned = torch.ones(len(palm), dtype=torch.bool)
        if self.intent != "use":
            return turned
        turned &= self._across(palm, radial, distal) <= CONFIG.misalignment
        if self.up is not None:
            turned &= (distal @ self.up).abs() <= CONFIG.steepest
        if self.mouth.any():
            turned &= radial @ normalize(self.obj.points[self.mouth].mean(0), dim=0) > 0
        if self.edge.any() and self.held.any():
            turned &= distal @ self._edge_direction() >= 0
        return turned

    @cached_property
    def in_line(self) -> bool:
        """Whether the working end is in line with what is held (a hammer), not beside it (a saw, a mug)."""
        if self.toward is None or not self.held.any():
            return False
        middle, values, axes = self._held_axes
        direction = normalize(self.toward - middle, dim=0)
        return bool(values[0] > CONFIG.slender * values[1] and (axes[0] @ direction).abs() > CONFIG.along)

    def contact(self, points: torch.Tensor, distance: torch.Tensor, area: torch.Tensor,
                tolerance: float = CONTACT_TOLERANCE) -> ContactShares:
        """Where N hands touch.

        Args:
            points: (N, V, 3) of the hands' skin, object frame, metres.
            distance: (N, V) signed metres from the surface to them.
            area: (V,) of skin that each stands for, in any unit.
            tolerance: metres; skin nearer than this touches.
        """
        touching = touches(distance, tolerance)
        part = torch.full(touching.shape, -1, dtype=torch.long)
        if touching.any():
            part[touching] = self.nearest(points[touching])
        weight = area * touching
        total = weight.sum(1).clamp_min(1e-9)

        def share(mask: torch.Tensor) -> torch.Tensor:
            return (weight * (mask[part.clamp_min(0)] & touching)).sum(1) / total

        centre = (weight[..., None] * points).sum(1) / total[:, None]
        return ContactShares(share(self.handle), share(self.working), share(self.sharp), centre, part)

    def grade(self, points: torch.Tensor, distance: torch.Tensor, area: torch.Tensor, joints: torch.Tensor,
              types: tuple[str, ...], tolerance: float = CONTACT_TOLERANCE) -> torch.Tensor:
        """How much of what the intent asks hands do.

        Args:
            points: (N, V, 3) of the hands' skin, object frame, metres.
            distance: (N, V) signed metres from the surface to them.
            area: (V,) of skin that each stands for, in any unit.
            joints: (N, 21, 3) object frame, metres.
            types: N names of the taxonomy, "" where unknown.
            tolerance: metres; skin nearer than this touches.

        Returns:
            (N,) 1 where a hand does all of it, 0.5 where it touches the right parts but is turned otherwise or does not
            go through a closed handle, 0 elsewhere.
        """
        if self.intent == "any":
            return torch.ones(len(points))
        contact = self.contact(points, distance, area, tolerance)
        placed = self._placed(contact, area)
        turned = self._turned(joints, types) if self.intent == "use" else placed
        return (placed.float() + (placed & turned).float()) / 2

    def _placed(self, contact: ContactShares, area: torch.Tensor) -> torch.Tensor:
        """(N,) bool: the hands that touch what the intent wants to be touched, and nothing else."""
        if self.intent == "handover":
            edge_share = self._share_of_edge(contact, area)
            return (contact.held <= CONFIG.free_share) & (edge_share <= CONFIG.touched_share)
        placed = contact.sharp <= CONFIG.touched_share
        if self.intent == "lift":
            placed &= contact.centre.norm(dim=1) < self.reach
        if self.intent == "use":
            pistol = bool(self.trigger.any())
            placed &= contact.working <= (CONFIG.touched_share_pistol if pistol else CONFIG.touched_share)
            if self.held.any():
                placed &= contact.held >= (CONFIG.held_share_pistol if pistol else CONFIG.held_share)
        return placed

    def _turned(self, joints: torch.Tensor, types: tuple[str, ...]) -> torch.Tensor:
        """(N,) bool: the hands that are turned as somebody's who uses the object; arguments as of `grade`."""
        # A hand of no known type is judged as a fist.
        power = torch.tensor([name not in BY_NAME or BY_NAME[name].power for name in types], dtype=torch.bool)
        writes = torch.tensor([name in ("writing_tripod", "tripod") for name in types], dtype=torch.bool)
        used = self.turned_as_used(joints[:, KNUCKLES].mean(1), *hand_directions(joints)) | ~power
        used &= self.steep(joints) == 0
        used &= self._tip_ahead(joints) | ~writes
        if len(self.holes[0]):
            # A closed handle is taken through its hole by a fist, and a loop by any hand.
            loops = bool(self.obj.parts and "loop" in self.obj.parts.names)
            used &= self.threads(joints) | (~power & (not loops))
        if self.trigger.any():
            tips = torch.cdist(joints[:, 17], self.obj.points[self.trigger]).amin(1)
            used &= (tips < CONFIG.trigger_distance) | ~power
        return used

    def _edge_direction(self) -> torch.Tensor:
        """(3,) from what is held to the blade's edge, across the direction to the working end."""
        middle = self.obj.points[self.held].mean(0)
        down = normalize(self.obj.points[self.edge].mean(0) - middle, dim=0)
        along = normalize(self.toward - middle, dim=0) if self.toward is not None else torch.zeros(3)
        return down - (down @ along) * along

    def _tip_ahead(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) bool: fingertips that hold a slender thing have its working end before them, as a pen's tip."""
        if not self.in_line or self.toward is None:
            return torch.ones(len(joints), dtype=torch.bool)
        tips = joints[:, [16, 17]].mean(1)
        ahead = normalize(tips - joints[:, 1], dim=1)  # from the knuckle, where a pen leans
        return (ahead * normalize(self.toward - tips, dim=1)).sum(1) > 0

    @cached_property
    def holes(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Holes that held parts go round: centres (H, 3), unit normals (H, 3), radii (H,) metres."""
        found = rods(self.obj, 192, torch.Generator().manual_seed(0))
        if not len(found.points) or not self.held.any():
            return torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)
        around = ((found.inner.norm(dim=1) > 0.5) & torch.isfinite(found.gap) & (found.gap > CONFIG.finger)
                  & (found.gap < CONFIG.widest_hole) & self.held[self.nearest(found.points)])
        rod, inner, gap = found.points[around], found.inner[around], found.gap[around]
        radius = found.radius[around].mean(1)
        normal = normalize(torch.linalg.cross(found.axis[around], inner), dim=1)
        return rod + (radius + gap / 2)[:, None] * inner, normal, gap / 2

    def threads(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) bool: hands (N, 21, 3) of which a finger other than the thumb goes through a hole."""
        centre, normal, radius = self.holes
        start, end = joints[:, BONE_STARTS], joints[:, BONE_ENDS]  # (N, 12, 3)
        start_height = ((start[:, :, None] - centre) * normal).sum(-1)
        end_height = ((end[:, :, None] - centre) * normal).sum(-1)
        share = (start_height / (start_height - end_height + 1e-12)).clamp(0, 1)[..., None]
        crossing = start[:, :, None] + share * (end - start)[:, :, None]
        through = (start_height * end_height < 0) & ((crossing - centre).norm(dim=-1) < radius)
        return through.flatten(1).any(1)

    def _share_of_edge(self, contact: ContactShares, area: torch.Tensor) -> torch.Tensor:
        """(N,) share of the contact area that is on a blade's edge."""
        touching = contact.part >= 0
        weight = area * touching
        return (weight * self.edge[contact.part.clamp_min(0)]).sum(1) / weight.sum(1).clamp_min(1e-9)


def too_steep(joints: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """How much too steep hands are to keep an object level.

    Args:
        joints: (N, 21, 3).
        up: (3,) unit direction.

    Returns:
        (N,) sine of the fingers' angle to the plane across `up`, less the largest allowed; 0 where it is less.
    """
    return ((hand_directions(joints)[1] @ up).abs() - CONFIG.steepest).relu()


def hand_directions(joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3) and (N, 3) unit directions toward the thumb's side and toward the fingers, of joints (N, 21, 3)."""
    distal = normalize(joints[:, 4] - joints[:, 0], dim=1)
    radial = joints[:, 1] - joints[:, 7]
    radial = radial - (radial * distal).sum(1, keepdim=True) * distal
    return normalize(radial, dim=1), distal
