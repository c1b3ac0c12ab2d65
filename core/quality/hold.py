"""The hold test: does a hand, fixed in space and squeezing a little, keep a light object against gravity? (MuJoCo)"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from core.hand.articulation import squeeze
from core.quality.convex_decomposition import Pieces, convex_pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest, Progress
    from core.hand import HandModel
    from core.objects import GraspObject

_log = logging.getLogger(__name__)

MASS: Final = 0.2  # kg
TIMESTEP: Final = 0.002  # s
GRAVITY: Final = 9.81
SETTLE: Final = 100  # steps without gravity
FALL: Final = 600  # steps of gravity in one direction
DROPPED: Final = 0.02  # metres of travel that are a failure
DIRECTIONS: Final = ((0, 0, -1), (0, 0, 1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))
#: an object that moves less than this, metres, in so many steps has come to rest; by the other, in a quarter of the
#: time, one in ten that would be dropped seems to
STILL, NEARLY_STILL = 0.0002, 0.001
RESTING: Final = 60
#: how many hands share one compiled model
BATCH: Final = 16
#: the friction of the test that filters: harder than the protocol that judges (0.6), so that what passes here does not
#: hang by a hair there
FILTER_FRICTION: Final = 0.5
#: hands tested at once, where there are as many processors
AT_ONCE: Final = 8


@dataclass(frozen=True)
class HoldResult:
    """N grasps tested.

    Attributes:
        held: (N,) bool: the object's centre of mass moved less than 2 cm in all directions of gravity.
        slip_cm: (N,) its largest distance from where it was grasped; for a dropped object, where the test stopped; 2
            where the physics failed, which counts as dropped.
    """

    held: torch.Tensor
    slip_cm: torch.Tensor


def hold_test(
    obj: GraspObject,
    hand: HandModel,
    grasps: Grasps,
    friction: float = 0.6,
    directions: int = 6,
    cache: Path | str | None = None,
    still: float | None = None,
    tell: Callable[[float], object] | None = None,
) -> HoldResult:
    """Shakes N grasps: 0.2 s without gravity, then 1.2 s of gravity each way from that state.

    The hand is one fixed convex body for each of its sixteen bones, squeezed by `SQUEEZE` degrees; the object its
    convex pieces, 0.2 kg of uniform density. A dropped object ends its test at once.

    Args:
        obj: the object. hand: the hand model, of the grasps' side. grasps: N grasps in the object's frame.
        friction: coefficient of both bodies.
        directions: how many of down, up, and the four sides are tried; the protocol wants 6, a filter may take fewer.
        cache: folder of the convex pieces; None is the user's cache folder.
        still: stop a direction once the object moves less than this, metres, in `RESTING` steps, and would not be
            dropped if it crept on like that, which is counted; for filters. None never does.
        tell: called with the share that is done, after each grasp; ends the work by raising.
    """
    if not 1 <= directions <= len(DIRECTIONS):
        raise ValueError(f"directions is {directions}, expected 1 to {len(DIRECTIONS)}")
    if not len(grasps):
        return HoldResult(torch.zeros(0, dtype=torch.bool), torch.zeros(0))
    pieces = convex_pieces(obj, cache)
    hands = squeezed_bodies(hand, grasps)
    slips: list[float] = []
    for first in range(0, len(hands), BATCH):
        bench = Bench(pieces, hands[first:first + BATCH], friction)
        for index in range(len(bench.hands)):
            slips.append(bench.slip(index, directions, still))
            if tell is not None:
                tell(len(slips) / len(hands))
    slip = torch.tensor(slips, dtype=torch.float64)
    return HoldResult(slip < DROPPED, (100 * slip).float())


def squeezed_bodies(hand: HandModel, grasps: Grasps) -> list[list[np.ndarray]]:
    """For each grasp the vertices (P, 3) of its sixteen bones, those each bone dominates, squeezed; metres."""
    posed = grasps.to(hand.v_template.device).parameters()
    posed["hand_pose"] = squeeze(hand, posed["hand_pose"])
    with torch.no_grad():
        vertices = hand(**posed).vertices.cpu().double().numpy()
    bone = hand.lbs_weights.argmax(1).cpu().numpy()
    return [[single[bone == joint] for joint in range(16)] for single in vertices]


class Bench:
    """One object and several fixed hands in one MuJoCo model; one hand at a time is there.

    Args:
        pieces: the object.
        hands: for each hand its convex bodies' points (P, 3), metres, object frame.
        friction: coefficient.
    """

    def __init__(self, pieces: Pieces, hands: list[list[np.ndarray]], friction: float) -> None:
        import mujoco

        mujoco.set_mju_user_warning(_log.debug)  # else it writes MUJOCO_LOG.TXT where the user happens to be
        self.hands = hands = [_within_reach(bones, pieces) for bones in hands]
        self._parked = [_away(bones, number, pieces) for number, bones in enumerate(hands)]
        spec = mujoco.MjSpec()
        spec.option.timestep = TIMESTEP
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = 5
        spec.option.gravity = [0, 0, 0]
        # Flat on flat touches in more than one point; with one, a cube falls out from between two plates.
        spec.option.enableflags = mujoco.mjtEnableBit.mjENBL_MULTICCD
        body = spec.worldbody.add_body(name="object")
        body.add_freejoint()
        body.mass, body.ipos, body.explicitinertial = MASS, pieces.centre, True
        tensor = MASS * pieces.inertia
        body.fullinertia = [*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]]
        self._add_hulls(spec, body, pieces.hulls, (friction, 2, 1), "object")
        for number, bones in enumerate(hands):
            holder = spec.worldbody.add_body(name=f"hand {number}", pos=self._parked[number])
            self._add_hulls(spec, holder, bones, (friction, 1, 2), f"hand {number}")
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._start = self._data.qpos.copy()
        self._body = self._model.body("object").id
        self._holders = [self._model.body(f"hand {number}").id for number in range(len(hands))]

    @staticmethod
    def _add_hulls(spec: Any, body: Any, hulls: Any, surface: tuple[float, int, int], name: str) -> None:
        import mujoco

        friction, kind, other = surface
        for index, points in enumerate(hulls):
            if len(points) < 4 or np.linalg.matrix_rank(points - points.mean(0), tol=1e-6) < 3:
                continue
            mesh = spec.add_mesh(name=f"{name} {index}", uservert=np.asarray(points, np.float32).ravel())
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, contype=kind, conaffinity=other, condim=4,
                friction=[friction, 0.005, 0.0001], solref=[0.01, 1], solimp=[0.8, 0.95, 0.003, 0.5, 2])

    def slip(self, index: int, directions: int = 6, still: float | None = None) -> float:
        """The largest travel in metres of the object's centre of mass in hand `index`; stops beyond `DROPPED`."""
        import mujoco

        model, data = self._model, self._data
        for number, holder in enumerate(self._holders):
            model.body_pos[holder] = 0.0 if number == index else self._parked[number]
        mujoco.mj_resetData(model, data)
        mujoco.mj_forward(model, data)
        origin = data.xipos[self._body].copy()
        model.opt.gravity[:] = 0.0
        worst = self._run(SETTLE, origin)
        settled = (data.time, data.qpos.copy(), data.qvel.copy(), data.qacc_warmstart.copy())
        for direction in DIRECTIONS[:directions]:
            if worst >= DROPPED:
                break
            data.time, data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = settled
            model.opt.gravity[:] = GRAVITY * np.array(direction)
            worst = max(worst, self._run(FALL, origin, still))
        return worst

    def _run(self, steps: int, origin: np.ndarray, still: float | None = None) -> float:
        import mujoco

        worst = 0.0
        before = self._data.xipos[self._body].copy()
        begin = self._data.time
        for done in range(10, steps + 1, 10):
            mujoco.mj_step(self._model, self._data, nstep=10)
            place = self._data.xipos[self._body]
            if self._data.time < begin + (done - 0.5) * TIMESTEP or not np.isfinite(place).all():
                return DROPPED  # it diverged, and MuJoCo has put everything back to where it began
            worst = max(worst, float(np.linalg.norm(place - origin)))
            if worst >= DROPPED:
                break
            if still is not None and done % RESTING == 0:
                creep = float(np.linalg.norm(place - before))
                end = worst + creep * (steps - done) / RESTING
                if creep < still and end < DROPPED:
                    worst = end
                    break
                before = place.copy()
        return worst


def _away(bones: list[np.ndarray], number: int, pieces: Pieces) -> np.ndarray:
    """(3,) the shift that takes a hand to a place of its own, away from the object and from other hands."""
    return np.array([0.0, 0.0, _radius(pieces) + 10.0 + 2.0 * number]) - np.concatenate(bones).mean(0)


def _within_reach(bones: list[np.ndarray], pieces: Pieces) -> list[np.ndarray]:
    """The bodies of a hand, one that is metres away brought nearer: there it touches nothing either."""
    middle = np.concatenate(bones).mean(0)
    far, most = float(np.linalg.norm(middle)), _radius(pieces) + 2.0
    return bones if far <= most else [points - middle * (1 - most / far) for points in bones]


def _radius(pieces: Pieces) -> float:
    """Metres from the origin that no corner of the object is beyond."""
    return max(float(np.linalg.norm(hull, axis=1).max()) for hull in pieces.hulls)


def hold_mask(request: GraspRequest, grasps: Grasps, rows: torch.Tensor, progress: Progress, still: float = STILL,
           found: Callable[[int], object] | None = None) -> torch.Tensor:
    """(N,) bool: those of `rows` (N,) that hold, several tested at once.

    Once `progress` says no, those from there on count as holding. `found` is told the row of each that is found to
    hold, at once.
    """
    held, asked = rows.clone(), rows.nonzero()[:, 0].tolist()
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        tests = [pool.submit(passes_hold_test, request, grasps[row], still) for row in asked]
        for place, (row, test) in enumerate(zip(asked, tests, strict=True)):
            if not progress(place / len(asked), "Testing the grip"):
                pool.shutdown(cancel_futures=True)
                break
            held[row] = test.result()
            if found is not None and held[row]:
                found(row)
    return held


def prepare_pieces(obj: GraspObject) -> None:
    """Has the object's convex pieces made (they are cached), while the first hands are closing."""
    convex_pieces(obj)


def passes_hold_test(request: GraspRequest, one: Grasps, still: float = STILL) -> bool:
    """Whether the object stays in the hand under gravity from six sides; True where MuJoCo is not installed.

    Args:
        still: as `hold_test` has it.
    """
    try:
        import mujoco  # noqa: F401
    except ImportError:
        return True
    return bool(hold_test(request.object, request.hand, one, friction=FILTER_FRICTION, still=still).held[0])
