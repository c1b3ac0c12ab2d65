"""What a grasp is for: which part the hand goes on, what it keeps away from, where the thumb points.

Parts are known by their names, so a training shape and an animator's vertex groups go by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.taxonomy import BY_NAME
from core.objects.features import rods

if TYPE_CHECKING:
    from core.grasps.taxonomy import GraspType
    from core.objects import GraspObject

INTENTS: Final = ("any", "use", "hold", "handover", "lift")
#: Where the hand of somebody who uses the thing goes.
HELD: Final = frozenset({"handle", "grip", "loop", "stem", "knob", "barrel", "trigger"})
#: The end that does the work: beyond the thumb, and left alone in use.
WORKING: Final = frozenset({"head", "blade", "jaws", "tip", "bristles", "nozzle", "vessel", "scoop", "mouth", "bit"})
#: Kept away from whatever the hand wants.
SHARP: Final = frozenset({"edge", "tip", "spout", "mouth", "lens", "screen", "sole"})

USED_SHARE, FREE_SHARE, TOUCHED = 0.6, 0.1, 0.05
# Of an object's surface that is no handle: less cannot be taken to hand it over.
ROOM = 0.25
# A pistol's grip ends under its body: the hand leans on it.
USED_SHARE_PISTOL, TOUCHED_PISTOL = 0.45, 0.35
TOUCH = 0.002  # metres
NEAR_TRIGGER = 0.03  # metres from the index fingertip
ARM_ACROSS = 0.45  # cosine: the forearm may not lie over the working end
FINGER, WIDEST_HOLE = 0.016, 0.12  # metres: holes that a finger, or the fingers, go through
# The bones of index, middle, little and ring in joints of core's order, the last to the fingertip.
BONE_STARTS: Final = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
BONE_ENDS: Final = [2, 3, 17, 5, 6, 18, 8, 9, 20, 11, 12, 19]
LEVEL = 0.766  # sine of the steepest that a forearm stands which keeps a thing level: 50 degrees
THUMB_SIDE = 0.3  # cosine between the handle's working end and the hand's thumb side


@dataclass(frozen=True)
class Contact:
    """Shares of N grasps' contact area: on the handle, on working parts, on sharp ones, (N,); centre (N, 3)."""

    held: torch.Tensor
    working: torch.Tensor
    sharp: torch.Tensor
    centre: torch.Tensor
    part: torch.Tensor


class Purpose:
    """One intent on one object.

    Args:
        obj: the object; its parts may be unknown. intent: one of `INTENTS`.

    Raises:
        LookupError: the intent needs parts that the object does not name; the sentence says which.
    """

    def __init__(self, obj: GraspObject, intent: str) -> None:
        self.obj, self.intent = obj, intent
        none = torch.zeros(len(obj.points), dtype=torch.bool)
        parts = obj.parts
        self.held = parts.mask(HELD) if parts else none
        self.working = parts.mask(WORKING) if parts else none
        self.sharp = parts.mask(SHARP) if parts else none
        self.edge = parts.mask(frozenset({"edge"})) if parts else none
        self.mouth = parts.mask(frozenset({"mouth"})) if parts else none
        self.trigger = parts.mask(frozenset({"trigger"})) if parts else none
        if intent == "handover" and not self.held.any():
            raise LookupError(
                "to hand this object over the engine must know which part stays free: give its mesh a vertex group "
                "named 'handle' or 'grip', or choose another intent")
        if intent == "use" and parts is None:
            raise LookupError(
                "to use this object the engine must know its parts: give its mesh vertex groups named for example "
                "'handle', 'blade', 'trigger' or 'mouth', or choose another intent")
        #: what belongs in the hand of somebody who uses it: to be held in use, and left free to hand it over
        self.handle = self._left_free() if intent == "handover" else self.held
        self.allowed = self._allowed()
        self.toward = self._toward()
        level = intent == "use" and parts is not None and parts.up is not None
        self.up = torch.tensor(parts.up) if level else None
        self.reach = 0.3 * float(obj.extent.max()) + 0.02

    def _allowed(self) -> torch.Tensor:
        """(4096,) bool: where a hand may be laid."""
        everywhere = torch.ones(len(self.obj.points), dtype=torch.bool)
        if self.intent == "any":
            return everywhere
        if self.intent == "handover":
            return ~self.handle & ~self.edge
        if self.intent == "use" and self.held.any():
            return self.held
        return ~self.sharp & (~self.working if self.intent == "use" else everywhere)

    def _left_free(self) -> torch.Tensor:
        """(4096,) bool: what is held in use; of what is nearly all handle (a pen), the half by the working end."""
        if (~self.held & ~self.edge).float().mean() > ROOM:
            return self.held
        middle, _, (axis, *_) = self._lying
        other = self.obj.points[~self.held].mean(0) - middle if (~self.held).any() else axis
        return self.held & (((self.obj.points - middle) @ axis) * (other @ axis) > 0)

    @cached_property
    def _lying(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Middle (3,), spread (3,) and principal axes (3, 3), longest first, of what is held."""
        held = self.obj.points[self.held]
        middle = held.mean(0)
        return middle, *torch.linalg.svd(held - middle, full_matrices=False)[1:]

    def _toward(self) -> torch.Tensor | None:
        """(3,) centre of the working end, where it says how a hand lies on what is held."""
        if self.intent != "use" or not self.working.any():
            return None
        working, held = self.obj.points[self.working], self.obj.points[self.held | ~self.working]
        centre, middle = working.mean(0), held.mean(0)
        # A dumbbell has work at both ends.
        return centre if (centre - middle).norm() > 0.03 else None

    def fitting(self, kinds: list[GraspType]) -> list[GraspType]:
        """Those of the types with which a person would do this; all, where that leaves none."""
        if self.intent != "use" or self.obj.parts is None:
            return kinds
        if self.obj.parts.types:
            chosen = [kind for kind in kinds if kind.name in self.obj.parts.types]
        else:
            fist = self.obj.parts.mask(frozenset({"handle", "grip"})).any()
            chosen = [kind for kind in kinds if kind.power or not fist]
        return chosen or kinds

    def nearest(self, places: torch.Tensor) -> torch.Tensor:
        """(N,) index of the object's nearest point to each of places (N, 3)."""
        return torch.cat([torch.cdist(chunk, self.obj.points).argmin(1) for chunk in places.split(2048)])

    def may_lie(self, centre: torch.Tensor) -> torch.Tensor:
        """(G,) bool: places (G, 3) to hold that this intent allows."""
        if self.intent == "any" or not len(centre):
            return torch.ones(len(centre), dtype=torch.bool)
        fine = self.allowed[self.nearest(centre)]
        if self.intent == "lift":
            fine &= centre.norm(dim=1) < self.reach + 0.02
        return fine

    def steep(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) how much too steep the forearms of hands (N, 21, 3) stand to keep the thing level, 0 where right."""
        if self.up is None:
            return torch.zeros(len(joints))
        return too_steep(joints, self.up)

    def across(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) how wrongly hands with joints (N, 21, 3) lie to the working end, 0 where right."""
        if self.toward is None:
            return torch.zeros(len(joints))
        radial, distal = hand_directions(joints)
        palm = joints[:, [1, 4, 10, 7]].mean(1)
        way = torch.nn.functional.normalize(self.toward - palm, dim=1)
        wrong = (-(distal * way).sum(1) - ARM_ACROSS).relu()
        if self.in_line:
            wrong = wrong + (THUMB_SIDE - (radial * way).sum(1)).relu()
        return wrong

    @cached_property
    def in_line(self) -> bool:
        """Whether the working end lies along what is held (a hammer), not beside it (a saw, a mug)."""
        if self.toward is None or not self.held.any():
            return False
        middle, values, axes = self._lying
        way = torch.nn.functional.normalize(self.toward - middle, dim=0)
        return bool(values[0] > 1.7 * values[1] and (axes[0] @ way).abs() > 0.75)

    def contact(self, skin: torch.Tensor, distance: torch.Tensor, area: torch.Tensor) -> Contact:
        """Where N hands touch: skin (N, V, 3), its distance (N, V) metres, area (V,) of each point."""
        touching = distance < TOUCH
        part = torch.full(touching.shape, -1, dtype=torch.long)
        if touching.any():
            part[touching] = self.nearest(skin[touching])
        weight = area * touching
        total = weight.sum(1).clamp_min(1e-9)

        def share(mask: torch.Tensor) -> torch.Tensor:
            return (weight * (mask[part.clamp_min(0)] & touching)).sum(1) / total

        centre = (weight[..., None] * skin).sum(1) / total[:, None]
        return Contact(share(self.handle), share(self.working), share(self.sharp), centre, part)

    def met(self, skin: torch.Tensor, distance: torch.Tensor, area: torch.Tensor, joints: torch.Tensor,
            types: tuple[str, ...]) -> torch.Tensor:
        """(N,) bool: the hands that do what the intent asks.

        Args:
            skin: (N, V, 3) metres, object frame. distance: (N, V) to the surface. area: (V,) of the skin's points.
            joints: (N, 21, 3). types: of the grasps.
        """
        count = len(skin)
        if self.intent == "any":
            return torch.ones(count, dtype=torch.bool)
        touch = self.contact(skin, distance, area)
        if self.intent == "handover":
            return (touch.held <= FREE_SHARE) & (self._share_of_edge(touch, area) <= TOUCHED)
        fine = touch.sharp <= TOUCHED
        if self.intent == "lift":
            fine &= touch.centre.norm(dim=1) < self.reach
        if self.intent != "use":
            return fine
        pistol = bool(self.trigger.any())
        if self.held.any():
            fine &= touch.held >= (USED_SHARE_PISTOL if pistol else USED_SHARE)
        fine &= touch.working <= (TOUCHED_PISTOL if pistol else TOUCHED)
        power = torch.tensor([BY_NAME[name].power for name in types])
        fine &= (self.across(joints) <= 0.05) | ~power
        fine &= self.steep(joints) == 0
        pen = torch.tensor([name in ("writing_tripod", "tripod") for name in types])
        fine &= self._writes(joints) | ~pen
        if len(self.holes[0]):
            # A closed handle is taken through its hole by a fist, and a loop by any hand.
            loops = bool(self.obj.parts and "loop" in self.obj.parts.names)
            fine &= self.threads(joints) | (~power & (not loops))
        if self.mouth.any():
            up = torch.nn.functional.normalize(self.obj.points[self.mouth].mean(0), dim=0)
            fine &= ((hand_directions(joints)[0] * up).sum(1) > 0) | ~power
        if pistol:
            tips = torch.cdist(joints[:, 17], self.obj.points[self.trigger]).amin(1)
            fine &= (tips < NEAR_TRIGGER) | ~power
        if self.edge.any() and self.held.any():
            _, distal = hand_directions(joints)
            down = torch.nn.functional.normalize(
                self.obj.points[self.edge].mean(0) - self.obj.points[self.held].mean(0), dim=0)
            along = torch.nn.functional.normalize(self.toward - self.obj.points[self.held].mean(0), dim=0) \
                if self.toward is not None else torch.zeros(3)
            down = down - (down @ along) * along
            fine &= ((distal * down).sum(1) >= 0) | ~power
        return fine

    def _writes(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) bool: fingertips that hold a long thing have its working end before them, as a pen's tip."""
        if not self.in_line or self.toward is None:
            return torch.ones(len(joints), dtype=torch.bool)
        tips = joints[:, [16, 17]].mean(1)
        ahead = torch.nn.functional.normalize(tips - joints[:, 1], dim=1)  # from the knuckle, where a pen leans
        return (ahead * torch.nn.functional.normalize(self.toward - tips, dim=1)).sum(1) > 0

    @cached_property
    def holes(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Holes that held parts go round: centres (H, 3), unit normals (H, 3), radii (H,) metres."""
        found = rods(self.obj, 192, torch.Generator().manual_seed(0))
        if not len(found.points) or not self.held.any():
            return torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)
        around = ((found.inner.norm(dim=1) > 0.5) & torch.isfinite(found.gap) & (found.gap > FINGER)
                  & (found.gap < WIDEST_HOLE) & self.held[self.nearest(found.points)])
        rod, way, gap = found.points[around], found.inner[around], found.gap[around]
        radius = found.radius[around].mean(1)
        normal = torch.nn.functional.normalize(torch.linalg.cross(found.axis[around], way), dim=1)
        return rod + (radius + gap / 2)[:, None] * way, normal, gap / 2

    def threads(self, joints: torch.Tensor) -> torch.Tensor:
        """(N,) bool: hands (N, 21, 3) of which a finger other than the thumb goes through a hole."""
        centre, normal, radius = self.holes
        start, end = joints[:, BONE_STARTS], joints[:, BONE_ENDS]  # (N, 12, 3)
        one = ((start[:, :, None] - centre) * normal).sum(-1)
        two = ((end[:, :, None] - centre) * normal).sum(-1)
        share = (one / (one - two + 1e-12)).clamp(0, 1)[..., None]
        crossing = start[:, :, None] + share * (end - start)[:, :, None]
        through = (one * two < 0) & ((crossing - centre).norm(dim=-1) < radius)
        return through.flatten(1).any(1)

    def _share_of_edge(self, touch: Contact, area: torch.Tensor) -> torch.Tensor:
        known = touch.part >= 0
        weight = area * known
        return (weight * self.edge[touch.part.clamp_min(0)]).sum(1) / weight.sum(1).clamp_min(1e-9)


def too_steep(joints: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """(N,) sine of the angle of hands (N, 21, 3) to the plane across `up` (3,), above what keeps a thing level."""
    return ((hand_directions(joints)[1] @ up).abs() - LEVEL).relu()


def hand_directions(joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3) unit directions of hands' thumb side and of their fingers' side, of (N, 21, 3) joints in core's order."""
    distal = torch.nn.functional.normalize(joints[:, 4] - joints[:, 0], dim=1)
    radial = joints[:, 1] - joints[:, 7]
    radial = radial - (radial * distal).sum(1, keepdim=True) * distal
    return torch.nn.functional.normalize(radial, dim=1), distal
