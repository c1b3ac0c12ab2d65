"""The hold test: does a hand, fixed in space and squeezing a little, keep a light object against gravity? (MuJoCo)"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from core.hand.squeeze import squeeze
from core.progress import Progress
from core.quality.convex_decomposition import convex_pieces
from core.quality.near_pieces import cells_of, pieces_near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.quality.convex_decomposition import ConvexPieces

_log = logging.getLogger(__name__)

#: gravity of a test, in order: down, up, and the four sides
DIRECTIONS: Final = ((0, 0, -1), (0, 0, 1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))


@dataclass(frozen=True)
class HoldConfig:
    """The numbers of the hold test: the strict protocol's, docs/metrics.md.

    Attributes:
        mass: of the object, kg.
        friction: coefficient of the object and the hand.
        timestep: of the physics, seconds.
        gravity: m/s2.
        settle_steps: timesteps without gravity at the beginning.
        fall_steps: timesteps of gravity in each direction.
        dropped: metres of travel of the centre of mass that are a failure.
        still_steps: timesteps over which an object that is to be at rest is watched (`hold_test`'s `still`).
        batch: hands that share one compiled model.
    """

    mass: float = 0.2
    friction: float = 0.6
    timestep: float = 0.002
    gravity: float = 9.81
    settle_steps: int = 100
    fall_steps: int = 600
    dropped: float = 0.02
    still_steps: int = 60
    batch: int = 16


@dataclass(frozen=True)
class FilterConfig:
    """How the hold test filters candidates: harder than the protocol, and shorter.

    Attributes:
        friction: coefficient; below the protocol's, so that what passes here does not barely hold there.
        still: metres in `HoldConfig.still_steps` timesteps below which an object has come to rest.
        nearly_still: the same for a quick test: a quarter of the time, and one in ten that is dropped passes.
        threads: hands tested in parallel, where there are as many processors.
    """

    friction: float = 0.5
    still: float = 0.0002
    nearly_still: float = 0.001
    threads: int = 8


PROTOCOL: Final = HoldConfig()
FILTER: Final = FilterConfig()
#: between two looks at a test that is waited for
POLL_SECONDS: Final = 0.1


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
    friction: float = PROTOCOL.friction,
    directions: int = 6,
    cache: Path | str | None = None,
    still: float | None = None,
    progress: Progress | None = None,
) -> HoldResult:
    """Tests whether N grasps hold: 0.2 s without gravity, then 1.2 s of gravity each way from that state.

    The hand is one fixed convex body for each of its sixteen bones, squeezed (`core.hand.squeeze.squeeze`); the
    object its convex pieces (`core.quality.near_pieces`), 0.2 kg of uniform density. A dropped object ends its test at
    once.

    Args:
        obj: the object.
        hand: the hand model, of the grasps' side.
        grasps: N grasps in the object's frame.
        friction: coefficient of both bodies.
        directions: how many of `DIRECTIONS` are tried; the protocol wants 6, a filter may take fewer.
        cache: folder of the convex pieces; None is the user's cache folder.
        still: stop a direction once the object moves less than this, metres, in `HoldConfig.still_steps`, and would
            not be dropped if it crept on like that, which is counted; for filters. None never does.
        progress: told the share done after each grasp, and many times between.

    Returns:
        What held, and how far the object slipped.

    Raises:
        ValueError: `directions` is not 1 to 6.
        Stopped: `progress` was asked to stop.
    """
    if not 1 <= directions <= len(DIRECTIONS):
        raise ValueError(f"directions is {directions}, expected 1 to {len(DIRECTIONS)}")
    if not len(grasps):
        return HoldResult(torch.zeros(0, dtype=torch.bool), torch.zeros(0))
    progress = progress or Progress()
    hands = squeezed_bodies(hand, grasps)
    slips: list[float] = []
    heard = Progress(lambda *_: progress(len(slips) / len(hands)) is None)
    for first in range(0, len(hands), PROTOCOL.batch):
        some = hands[first : first + PROTOCOL.batch]
        pieces = pieces_near(obj, np.concatenate([points for bones in some for points in bones]), cache, heard)
        simulation = HoldSimulation(pieces, some, friction, heard)
        for index in range(len(simulation.hands)):
            slips.append(simulation.slip(index, directions, still))
            progress(len(slips) / len(hands))
    slip = torch.tensor(slips, dtype=torch.float64)
    return HoldResult(slip < PROTOCOL.dropped, (100 * slip).float())


def squeezed_bodies(hand: HandModel, grasps: Grasps) -> list[list[np.ndarray]]:
    """For each grasp the vertices (P, 3) of its sixteen bones, those each bone dominates, squeezed; metres."""
    parameters = grasps.to(hand.v_template.device).parameters()
    parameters["hand_pose"] = squeeze(hand, parameters["hand_pose"])
    with torch.no_grad():
        vertices = hand(**parameters).vertices.cpu().double().numpy()
    bone = hand.lbs_weights.argmax(1).cpu().numpy()
    return [[single[bone == joint] for joint in range(16)] for single in vertices]


class HoldSimulation:
    """One object and several fixed hands in one MuJoCo model; one hand at a time is at the object.

    Args:
        pieces: the object.
        hands: for each hand its convex bodies' points (P, 3), metres, object frame.
        friction: coefficient.
        progress: told 0 again and again while the physics run; None hears nothing.

    Attributes:
        hands: the bodies as they are simulated.
        model: MuJoCo's compiled model.
        data: MuJoCo's state of it.
    """

    def __init__(self, pieces: ConvexPieces, hands: list[list[np.ndarray]], friction: float,
                 progress: Progress | None = None) -> None:
        import mujoco

        self._progress = progress or Progress()
        mujoco.set_mju_user_warning(_log.debug)  # else it writes MUJOCO_LOG.TXT where the user happens to be
        self.hands = hands = [_within_reach(bones, pieces) for bones in hands]
        self._parked = [_parking_shift(bones, number, pieces) for number, bones in enumerate(hands)]
        spec = mujoco.MjSpec()
        spec.option.timestep = PROTOCOL.timestep
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = 5
        spec.option.gravity = [0, 0, 0]
        # Flat on flat touches in more than one point; with one, a cube falls out from between two plates.
        # MuJoCo 4 does so always, and has no such flag.
        spec.option.enableflags = getattr(mujoco.mjtEnableBit, "mjENBL_MULTICCD", 0)
        body = spec.worldbody.add_body(name="object")
        body.add_freejoint()
        body.mass, body.ipos, body.explicitinertial = PROTOCOL.mass, pieces.centre, True
        tensor = PROTOCOL.mass * pieces.inertia
        body.fullinertia = [*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]]
        self._add_hulls(spec, body, pieces.hulls, (friction, 2, 1), "object")
        for number, bones in enumerate(hands):
            holder = spec.worldbody.add_body(name=f"hand {number}", pos=self._parked[number])
            self._add_hulls(spec, holder, bones, (friction, 1, 2), f"hand {number}")
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._body = self.model.body("object").id
        self._holders = [self.model.body(f"hand {number}").id for number in range(len(hands))]

    @staticmethod
    def _add_hulls(spec: Any, body: Any, hulls: Sequence[np.ndarray], contact: tuple[float, int, int],
                   name: str) -> None:
        """Adds convex bodies; `contact` is their friction, their collision group and the one they collide with."""
        import mujoco

        friction, group, other = contact
        for index, points in enumerate(hulls):
            if len(points) < 4 or np.linalg.matrix_rank(points - points.mean(0), tol=1e-6) < 3:
                continue
            mesh = spec.add_mesh(name=f"{name} {index}", uservert=np.asarray(points, np.float32).ravel())
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, contype=group, conaffinity=other, condim=4,
                friction=[friction, 0.005, 0.0001], solref=[0.01, 1], solimp=[0.8, 0.95, 0.003, 0.5, 2])

    def slip(self, index: int, directions: int = 6, still: float | None = None) -> float:
        """The largest travel in metres of the object's centre of mass in hand `index`; stops once it is dropped.

        Args:
            index: of the hand.
            directions: how many of `DIRECTIONS` are tried.
            still: as `hold_test` has it.
        """
        import mujoco

        model, data = self.model, self.data
        for number, holder in enumerate(self._holders):
            model.body_pos[holder] = 0.0 if number == index else self._parked[number]
        mujoco.mj_resetData(model, data)
        mujoco.mj_forward(model, data)
        origin = data.xipos[self._body].copy()
        model.opt.gravity[:] = 0.0
        worst = self.travel(PROTOCOL.settle_steps, origin)
        settled = (data.time, data.qpos.copy(), data.qvel.copy(), data.qacc_warmstart.copy())
        for direction in DIRECTIONS[:directions]:
            if worst >= PROTOCOL.dropped:
                break
            data.time, data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = settled
            model.opt.gravity[:] = PROTOCOL.gravity * np.array(direction)
            worst = max(worst, self.travel(PROTOCOL.fall_steps, origin, still))
        return worst

    def travel(self, steps: int, origin: np.ndarray, still: float | None = None) -> float:
        """Lets `steps` timesteps pass.

        Args:
            steps: timesteps, a multiple of ten.
            origin: (3,) metres.
            still: as `hold_test` has it.

        Returns:
            The largest distance of the object's centre of mass from `origin`, metres; at least
            `HoldConfig.dropped` where the physics failed.
        """
        import mujoco

        worst = 0.0
        before = self.data.xipos[self._body].copy()
        begin = self.data.time
        for done in range(10, steps + 1, 10):
            self._progress(0.0)
            mujoco.mj_step(self.model, self.data, nstep=10)
            centre = self.data.xipos[self._body]
            if self.data.time < begin + (done - 0.5) * PROTOCOL.timestep or not np.isfinite(centre).all():
                return PROTOCOL.dropped  # it diverged, and MuJoCo has reset everything to the beginning
            worst = max(worst, float(np.linalg.norm(centre - origin)))
            if worst >= PROTOCOL.dropped:
                break
            if still is not None and done % PROTOCOL.still_steps == 0:
                creep = float(np.linalg.norm(centre - before))
                end = worst + creep * (steps - done) / PROTOCOL.still_steps
                if creep < still and end < PROTOCOL.dropped:
                    worst = end
                    break
                before = centre.copy()
        return worst


def _parking_shift(bones: list[np.ndarray], number: int, pieces: ConvexPieces) -> np.ndarray:
    """(3,) the shift that takes a hand to a place of its own, away from the object and from other hands."""
    return np.array([0.0, 0.0, _radius(pieces) + 10.0 + 2.0 * number]) - np.concatenate(bones).mean(0)


def _within_reach(bones: list[np.ndarray], pieces: ConvexPieces) -> list[np.ndarray]:
    """The bodies of a hand; one that is metres away is brought nearer, where it touches nothing either."""
    centre = np.concatenate(bones).mean(0)
    distance, most = float(np.linalg.norm(centre)), _radius(pieces) + 2.0
    return bones if distance <= most else [points - centre * (1 - most / distance) for points in bones]


def _radius(pieces: ConvexPieces) -> float:
    """Metres from the origin that no corner of the object is beyond."""
    return max((float(np.linalg.norm(hull, axis=1).max()) for hull in pieces.hulls), default=0.0)


def hold_mask(request: GraspRequest, grasps: Grasps, rows: torch.Tensor, progress: Progress,
              still: float = FILTER.still, found: Callable[[int], object] | None = None) -> torch.Tensor:
    """Which grasps hold, several tested in parallel.

    Args:
        request: its object and hand.
        grasps: N grasps in the object's frame.
        rows: (N,) bool, those to be tested; the others do not hold.
        progress: told the share done while each answer is waited for.
        still: as `hold_test` has it.
        found: told the row of each that holds, in order, at once.

    Returns:
        (N,) bool.

    Raises:
        Stopped: `progress` was asked to stop; tests that have not begun are not made, those at work end.
    """
    held, asked = rows.clone(), rows.nonzero()[:, 0].tolist()
    over = Event()
    heard = Progress(lambda *_: not over.is_set())
    pool = ThreadPoolExecutor(min(FILTER.threads, os.cpu_count() or 1))
    try:
        tests = [pool.submit(passes_hold_test, request, grasps[row], still, heard) for row in asked]
        for position, (row, test) in enumerate(zip(asked, tests, strict=True)):
            progress(position / len(asked), "Testing the grip")
            while not wait([test], timeout=POLL_SECONDS).done:
                progress(position / len(asked), "Testing the grip")
            held[row] = test.result()
            if found is not None and held[row]:
                found(row)
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
    return held


def prepare_pieces(obj: GraspObject, progress: Progress | None = None) -> None:
    """Makes what is made once for all hands (and kept): the convex pieces, or of a large object the cells of them.

    Args:
        obj: the object.
        progress: told how far it is, for a thread beside other work that must end with it; None hears nothing.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    if cells_of(obj, progress) is None:
        convex_pieces(obj, progress=progress)


def passes_hold_test(request: GraspRequest, one: Grasps, still: float = FILTER.still,
                     progress: Progress | None = None) -> bool:
    """Whether the object stays in the hand under gravity from six sides; True where MuJoCo is not installed.

    Args:
        request: its object and hand.
        one: one grasp in the object's frame.
        still: as `hold_test` has it.
        progress: told many times how far it is; None hears nothing.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    try:
        import mujoco  # noqa: F401  hold_test needs it
    except ImportError:
        return True
    found = hold_test(request.object, request.hand, one, friction=FILTER.friction, still=still, progress=progress)
    return bool(found.held[0])
