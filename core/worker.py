"""The door for Blender: a process that reads requests on stdin and answers on stdout. `python -m core.worker`.

One thread reads, so that a cancel is heard while the other works. stderr is the log. It exits when stdin closes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from core.wire import WireError, read_message, write_message

if TYPE_CHECKING:
    import torch

    from core.grasps.batch import Grasps
    from core.grasps.posed import PosedHands
    from core.hand import HandModel
    from core.objects import GraspObject

VERSION: Final = "0.1.0"
KEPT: Final = 4  # objects and hands that stay prepared between requests
PATIENCE: Final = 0.7  # seconds after a cancel in which the work may hand over what it has
REPORT_EVERY: Final = 0.1  # seconds


class Cancelled(Exception):  # noqa: N818  not an error
    """The request was cancelled before it had anything to keep."""


class Job:
    """One request on its way: what it may still say, and whether it should stop."""

    def __init__(self, worker: Worker, message: dict[str, Any]) -> None:
        self.worker, self.message = worker, message
        self.cancelled = threading.Event()
        self._answered = False
        self._lock = threading.Lock()

    def say(self, kind: str, arrays: dict[str, np.ndarray] | None = None, **fields: Any) -> None:
        """One reply; nothing more is said after a result or an error."""
        with self._lock:
            if self._answered:
                return
            self._answered = kind in ("result", "error")
            self.worker.write({"id": self.message.get("id"), "type": kind, **fields}, arrays)

    def fail(self, error: BaseException) -> None:
        advice = "hand_length" if hasattr(error, "suggested_scale") else ""
        self.say("error", message=sentence_of(error), advice=advice,
                 traceback="".join(traceback.format_exception(error)))

    def cancel(self) -> None:
        """Asks the work to stop; when it does not hear in time, answers in its place."""
        self.cancelled.set()
        threading.Timer(PATIENCE, lambda: self.say("result", count=0, cancelled=True)).start()


class Reporter:
    """The `Progress` of a generate request: reports at most ten times a second, sends candidates as they come."""

    def __init__(self, job: Job, hand: HandModel, obj: GraspObject, scale: float) -> None:
        self.job, self.hand, self.obj, self.scale = job, hand, obj, scale
        self.sent: list[Grasps] = []
        self._last = 0.0

    def __call__(self, fraction: float, stage: str) -> bool:
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY:
            self._last = now
            self.job.say("progress", fraction=round(float(fraction), 4), stage=stage)
        return not self.job.cancelled.is_set()

    def accepted(self, grasps: Grasps) -> None:
        from core.grasps.posed import pose_hands

        first = sum(len(part) for part in self.sent)
        self.sent.append(grasps)
        posed = pose_hands(self.hand, grasps, self.obj, self.scale)
        for row in range(len(grasps)):
            measures = {name: float(values[row]) for name, values in grasps.measures.items()}
            self.job.say("candidate", candidate_arrays(posed, row), index=first + row, score=float(grasps.score[row]),
                         grasp_type=grasps.type[row], measures=measures)

    def order(self, chosen: Grasps) -> np.ndarray:
        """Where each of `chosen` stands among the candidates sent; those not sent yet are sent."""
        known = {key: place for place, key in enumerate(key for part in self.sent for key in _keys(part))}
        fresh = [row for row, key in enumerate(_keys(chosen)) if key not in known]
        if fresh:
            start = len(known)
            self.accepted(chosen[fresh])
            keys = _keys(chosen)
            known.update({keys[row]: start + place for place, row in enumerate(fresh)})
        return np.array([known[key] for key in _keys(chosen)], np.int32)


class Worker:
    """Answers the requests of one stream, one after another, on another."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests, self._replies = requests, replies
        self._waiting: queue.SimpleQueue[tuple[Job, dict[str, np.ndarray]] | None] = queue.SimpleQueue()
        self._jobs: dict[Any, Job] = {}
        self._lock = threading.Lock()
        self._hands: OrderedDict[Any, HandModel] = OrderedDict()
        self._objects: OrderedDict[Any, GraspObject] = OrderedDict()

    def run(self) -> None:
        """Serves until the stream ends or says bye."""
        threading.Thread(target=self._read, daemon=True).start()
        from core.parallel import use_few_threads  # torch takes a second: the reader is there before it

        use_few_threads()
        while (entry := self._waiting.get()) is not None:
            job, arrays = entry
            try:
                self._answer(job, arrays)
            except Cancelled:
                job.say("result", count=0, cancelled=True)
            except Exception as error:
                job.fail(error)
            finally:
                self._jobs.pop(job.message.get("id"), None)

    def write(self, message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
        with self._lock:
            try:
                write_message(self._replies, message, arrays)
            except OSError:  # nobody listens any more
                os._exit(0)

    def _read(self) -> None:
        while True:
            try:
                received = read_message(self._requests)
            except WireError as error:
                self.write({"id": error.request, "type": "error", "message": f"The engine was sent {error}.",
                            "traceback": ""})
                if error.lost:
                    os._exit(1)
                continue
            if received is None or received[0].get("type") == "bye":
                for job in list(self._jobs.values()):
                    job.cancelled.set()
                self._waiting.put(None)
                if received is None:
                    os._exit(0)
                return
            message, arrays = received
            if message.get("type") == "cancel":
                job = self._jobs.get(message.get("target"))
                if job is not None:
                    job.cancel()
                self.write({"id": message.get("id"), "type": "result", "found": job is not None})
                continue
            job = Job(self, message)
            if message.get("id") is not None:
                self._jobs[message["id"]] = job
            self._waiting.put((job, arrays))

    def _answer(self, job: Job, arrays: dict[str, np.ndarray]) -> None:
        kind = job.message.get("type")
        if kind == "hello":
            self._hello(job)
        elif kind == "generate":
            self._generate(job, arrays)
        elif kind == "fit":
            self._fit(job, arrays)
        elif kind == "evaluate":
            self._evaluate(job, arrays)
        else:
            raise ValueError(f"The engine does not know the request '{kind}', only hello, generate, fit, evaluate, "
                             "cancel and bye.")

    def _hello(self, job: Job) -> None:
        import torch

        from core.grasps.taxonomy import grasp_types
        from core.registry import METHODS

        hand = self._hand(job.message)
        job.say("result", hand_arrays(hand), version=VERSION, python=platform.python_version(), torch=torch.__version__,
                devices=["cpu", *(["cuda"] if torch.cuda.is_available() else [])], side=hand.side, hand=hand.name,
                methods=[{"name": m.name, "label": m.label, "summary": m.summary, "fits": m.fitted}
                         for m in METHODS.values()],
                types=list(grasp_types()))

    def _generate(self, job: Job, arrays: dict[str, np.ndarray]) -> None:
        from core.grasps.request import GraspRequest
        from core.parallel import choose_device
        from core.pipeline.generate import check_request, propose

        wish = job.message
        method, count = wish.get("method", "synthesis"), wish.get("count", 16)
        grasp_type, intent = wish.get("grasp_type", "any"), wish.get("intent", "any")
        check_request(method, count, grasp_type, intent)
        seed, scale, betas = checked_seed(wish), checked_scale(wish), checked_betas(wish.get("betas"))
        device = choose_device(wish.get("device", "auto"))
        raw, fit = bool(wish.get("raw")), bool(wish.get("fit", True))
        hand, obj = self._hand_and_object(job, arrays, scale)
        request = GraspRequest(obj, hand, count, grasp_type, intent, betas)
        reporter = Reporter(job, hand, obj, scale)
        self._hand_over(job, reporter, propose(request, method, seed, reporter, device, raw, fit))

    def _fit(self, job: Job, arrays: dict[str, np.ndarray]) -> None:
        from core.grasps.posed import read_posed
        from core.grasps.request import GraspRequest
        from core.parallel import choose_device
        from core.pipeline.generate import check_request
        from core.pipeline.refine import refine

        wish = job.message
        count = wish.get("count", 1)
        check_request("synthesis", count, "any", "any")
        seed, scale, betas = checked_seed(wish), checked_scale(wish), checked_betas(wish.get("betas"))
        method, device = wish.get("method", "fit"), choose_device(wish.get("device", "auto"))
        if method != "fit":
            check_request(method, count, "any", "any")
        hand, obj = self._hand_and_object(job, arrays, scale)
        start = replace(read_posed(arrays, obj, scale, hand.side, betas), method="fit")
        reporter = Reporter(job, hand, obj, scale)
        request = GraspRequest(obj, hand, max(count, len(start)), betas=betas, start=start)
        self._hand_over(job, reporter, refine(request, seed, reporter, method, device))

    def _hand_over(self, job: Job, reporter: Reporter, chosen: Grasps) -> None:
        order = reporter.order(chosen)
        job.say("result", {"order": order}, count=len(chosen), cancelled=job.cancelled.is_set())

    def _hand_and_object(self, job: Job, arrays: dict[str, np.ndarray], scale: float) -> tuple[HandModel, GraspObject]:
        job.say("progress", fraction=0.0, stage="Reading the object")
        hand = self._hand(job.message)
        obj = self._object(job, arrays, scale)
        if job.message.get("parts"):
            obj = named_parts(obj, arrays, job.message["parts"], scale)
        return hand, obj

    def _evaluate(self, job: Job, arrays: dict[str, np.ndarray]) -> None:
        """Measures posed hands: fields paper and strict hold means, arrays PAPER_NAME and STRICT_NAME each hand's."""
        from core.grasps.posed import read_posed
        from core.metrics.evaluate import PROTOCOLS, evaluate

        wish = job.message
        protocol, betas = wish.get("protocol", "both"), checked_betas(wish.get("betas"))
        if not isinstance(protocol, str) or protocol not in PROTOCOLS:
            raise ValueError(f"A protocol is one of {', '.join(PROTOCOLS)}, not '{protocol}'.")
        scale = checked_scale(wish)
        hand, obj = self._hand_and_object(job, arrays, scale)
        reporter = Reporter(job, hand, obj, scale)

        def tell(fraction: float, stage: str) -> None:
            if not reporter(fraction, stage):
                raise Cancelled

        found = evaluate(obj, hand, read_posed(arrays, obj, scale, hand.side, betas), protocol, tell)
        each = {f"{ruler}_{name}": each_array(value) for ruler, values in found.each.items()
                for name, value in values.items()}
        means = {name: values for name, values in (("paper", found.paper), ("strict", found.strict)) if values}
        job.say("result", each, count=found.count, cancelled=False, **means)

    def _hand(self, wish: dict[str, Any]) -> HandModel:
        from core.hand import load_hand

        file, side = wish.get("hand_file") or None, wish.get("side", "right")
        changed = Path(file).stat().st_mtime_ns if file and Path(file).is_file() else None
        return remembered(self._hands, (file, changed, side), lambda: load_hand(file, side))

    def _object(self, job: Job, arrays: dict[str, np.ndarray], scale: float) -> GraspObject:
        from core.objects import ObjectError, prepare_object

        missing = [name for name in ("vertices", "faces") if name not in arrays]
        if missing:
            raise ObjectError(f"The request holds no {' and no '.join(missing)} of an object: every generate, "
                              "fit and evaluate request does.")
        digest = hashlib.sha256(repr((scale, arrays["vertices"].shape, arrays["faces"].shape)).encode())
        for name in ("vertices", "faces"):
            digest.update(np.ascontiguousarray(arrays[name]).data)

        def tell(fraction: float, stage: str) -> None:
            if job.cancelled.is_set():
                raise Cancelled
            job.say("progress", fraction=0.05 * fraction, stage=stage)

        def prepare() -> GraspObject:
            vertices = np.asarray(arrays["vertices"], np.float64) / scale
            return prepare_object(vertices, np.asarray(arrays["faces"], np.int64), progress=tell)

        return remembered(self._objects, digest.digest(), prepare)


def named_parts(obj: GraspObject, arrays: dict[str, np.ndarray], names: Any, scale: float) -> GraspObject:
    """The object with the parts that the request names; ValueError where they do not fit its faces."""
    from core.objects import with_parts

    part = arrays.get("part")
    if (not isinstance(names, list) or not all(isinstance(name, str) for name in names) or part is None
            or part.shape != arrays["faces"].shape[:1] or part.dtype.kind not in "iu"
            or (part.size and not -1 <= part.min() <= part.max() < len(names))):
        raise ValueError("The object's parts are a list of names, with one index into it for each face.")
    vertices = np.asarray(arrays["vertices"], np.float64) / scale
    return with_parts(obj, vertices, np.asarray(arrays["faces"], np.int64), part, tuple(names))


def checked_seed(wish: dict[str, Any]) -> int:
    """A request's seed; ValueError where it is no whole number from 0."""
    seed = wish.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"A seed is a whole number from 0, not {seed!r}.")
    return seed


def checked_scale(wish: dict[str, Any]) -> float:
    """How many of the mesh's units are a metre, by the request's hand length; ValueError where that is none."""
    from core.units import HAND_LENGTH

    length = wish.get("hand_length", HAND_LENGTH)
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < float("inf"):
        raise ValueError(f"A hand length is a number above 0, not {length!r}.")
    return length / HAND_LENGTH


def checked_betas(betas: Any) -> torch.Tensor | None:
    """(10,) a request's hand shape; ValueError where it is not ten numbers."""
    import torch

    if betas is None:
        return None
    numbers = betas if isinstance(betas, list) else ()
    if len(numbers) != 10 or any(
            isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) < 100 for n in numbers):
        raise ValueError(f"A hand shape (betas) is ten numbers between -100 and 100, not {str(betas)[:80]}.")
    return torch.tensor(numbers, dtype=torch.float32)


def remembered(kept: OrderedDict, key: Any, make: Any) -> Any:
    """What was made for `key` lately, or what `make()` makes now."""
    if key not in kept:
        kept[key] = make()
        while len(kept) > KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def hand_arrays(hand: HandModel) -> dict[str, np.ndarray]:
    """The hand at rest: template, rest_joints, tips, weights, quads, triangles, uvs, parents; metres.

    uvs holds one (u, v) for each corner, of the quads first and then of the triangles; absent where the hand has none.
    """
    template = hand.v_template.cpu().numpy()
    arrays = {
        "template": template, "rest_joints": (hand.J_regressor @ hand.v_template).cpu().numpy(),
        "tips": template[hand.tip_vertices.cpu().numpy()], "weights": hand.lbs_weights.cpu().numpy(),
        "parents": hand.parents.cpu().numpy().astype(np.int32),
    }
    if hand.quads is None:
        return {**arrays, "triangles": hand.faces.cpu().numpy().astype(np.int32)}
    quads, cap = hand.quads.cpu().numpy().astype(np.int32), hand.cap_faces.cpu().numpy().astype(np.int32)
    arrays |= {"quads": quads, "triangles": cap}
    if hand.uvs is not None:
        corners = hand.uvs.cpu().numpy().reshape(-1, 2)
        at_vertex = np.zeros((len(template), 2), np.float32)
        at_vertex[quads.reshape(-1)] = corners
        arrays["uvs"] = np.concatenate([corners, at_vertex[cap.reshape(-1)]])
    return arrays


def candidate_arrays(posed: PosedHands, row: int) -> dict[str, np.ndarray]:
    """One candidate's arrays, in the sent mesh's frame and unit."""
    return {
        "vertices": posed.vertices[row].astype(np.float32), "joints": posed.joints[row].astype(np.float32),
        "rest_vertices": posed.rest_vertices[row].astype(np.float32), "rotations": posed.rotations[row],
        "translation": posed.translation[row],
    }


def each_array(values: torch.Tensor) -> np.ndarray:
    """One value, or a few, of each hand, as a message holds them: what is true or false as 0 and 1."""
    array = values.cpu().numpy()
    return array.astype(np.uint8) if array.dtype == bool else array


def sentence_of(error: BaseException) -> str:
    """What to tell the animator."""
    if isinstance(error, MemoryError):
        return "The engine ran out of memory: use a lighter mesh or fewer candidates."
    if isinstance(error, LookupError) and not isinstance(error, KeyError | IndexError):
        return f"No grasp was found: {error}."
    if isinstance(error, ValueError | OSError | ImportError) and str(error):
        return str(error)
    return f"The engine failed ({type(error).__name__}: {error}). Its log holds the details."


def _keys(grasps: Grasps) -> list[bytes]:
    import torch

    rows = torch.cat([grasps.global_orient, grasps.hand_pose, grasps.transl], 1).cpu().numpy()
    return [row.tobytes() for row in rows]


def main() -> None:
    """Serves stdin and stdout; what libraries print goes to stderr, so that it cannot break a message."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C reaches Blender's children too; a raise here aborts Python
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Worker(sys.stdin.buffer, replies).run()


if __name__ == "__main__":
    main()
