"""The door for Blender: a process that reads requests on stdin and answers on stdout. `python -m core.worker`.

One thread reads, so that a cancel is heard while the other works; a third tells that work goes on. stderr is the log.
It exits when stdin or stdout closes. What is said is in `core.messages`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import queue
import select
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import numpy as np

from core.messages import (
    FORM,
    REQUESTS,
    Arrays,
    Bye,
    Cancel,
    CancelResult,
    Candidate,
    Evaluate,
    EvaluateResult,
    Failed,
    Fit,
    Generate,
    GraspsResult,
    HandRequest,
    Hello,
    HelloResult,
    Imagine,
    ImaginedCandidate,
    Message,
    ObjectRequest,
    Ready,
    ReadyResult,
    Reply,
    ScaledRequest,
    Working,
)
from core.progress import Progress, Stopped
from core.version import VERSION, differing_packages
from core.wire import WireError, read_message, write_message

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from core.grasps.batch import Grasps
    from core.grasps.posed import PosedHands
    from core.hand import HandModel
    from core.objects import GraspObject

Made = TypeVar("Made")

KEPT: Final = 4  # objects and hands that stay prepared between requests
PATIENCE: Final = 0.7  # seconds after a cancel in which the work may hand over what it has
REPORT_EVERY: Final = 0.1  # seconds
BEAT: Final = 2.0  # seconds of work after which it is said that it goes on
FAREWELL: Final = 2.0  # seconds after a bye in which the work may end by itself
OUT_OF_MEMORY: Final = "The engine ran out of memory: use a lighter mesh or fewer candidates."
#: what an animator does about a part that is not named, after a sentence that says so
NAME_A_PART: Final = "; give its mesh a vertex group named for example 'handle' or 'grip'"
#: what allocators say that are not Python's
NO_MEMORY: Final = ("not enough memory", "cannot allocate memory", "can't allocate memory", "out of memory",
                    "bad_alloc")


class Job:
    """One request on its way: what it may still say, and whether it should stop."""

    def __init__(self, worker: Worker, message: Message) -> None:
        self.worker, self.message = worker, message
        self.cancelled = threading.Event()
        self.reporter: Reporter | None = None
        self._told, self._last = time.monotonic(), Working(0.0, "")
        self._answered = False
        self._lock = threading.Lock()

    def say(self, reply: Reply) -> None:
        """Sends a reply; nothing more is said after a result or an error."""
        with self._lock:
            if self._answered:
                return
            self._answered = reply.type in ("result", "error")
            self._told = time.monotonic()
            if isinstance(reply, Working):
                self._last = reply
            self.worker.write(self.message.get("id"), reply)

    def beat(self) -> None:
        """Says again how far the work is, where nothing was said for a while."""
        if time.monotonic() - self._told >= BEAT:
            self.say(self._last)

    def fail(self, error: BaseException) -> None:
        advice = "hand_length" if hasattr(error, "suggested_scale") else ""
        self.say(Failed(sentence_of(error), advice, "".join(traceback.format_exception(error))))

    def cancel(self) -> None:
        """Asks the work to stop; when it does not hear in time, answers in its place."""
        self.cancelled.set()
        answer = threading.Timer(PATIENCE, lambda: self.say(GraspsResult(0, cancelled=True)))
        answer.daemon = True
        answer.start()

    def stopped(self) -> None:
        """Ends a request whose work has stopped, with the candidates that were accepted before."""
        if self.reporter is None:
            self.say(GraspsResult(0, cancelled=True))
        else:
            self.reporter.hand_over(self.reporter.best_sent())

    def progress(self) -> Progress:
        """For the work: reports at most ten times a second, and stops once the request is cancelled."""
        last = 0.0

        def report(fraction: float, stage: str) -> bool:
            nonlocal last
            now = time.monotonic()
            if now - last >= REPORT_EVERY:
                last = now
                self.say(Working(round(float(fraction), 4), stage))
            return not self.cancelled.is_set()

        return Progress(report, None if self.reporter is None else self.reporter.send)


class Reporter:
    """Sends candidates of a request as they come, in the frame and unit of the mesh that was sent."""

    def __init__(self, job: Job, hand: HandModel, obj: GraspObject, scale: float) -> None:
        self.job, self.hand, self.obj, self.scale = job, hand, obj, scale
        self.sent: list[Grasps] = []

    def send(self, grasps: Grasps) -> None:
        """Sends grasps, each as a candidate."""
        from core.grasps.posed import pose_hands

        first = sum(len(part) for part in self.sent)
        self.sent.append(grasps)
        posed = pose_hands(self.hand, grasps, self.obj, self.scale)
        for row in range(len(grasps)):
            self.job.say(candidate_of(grasps, posed, row, first + row))

    def best_sent(self) -> Grasps | None:
        """What has been sent, by falling score; None where nothing was."""
        from core.grasps.batch import Grasps

        if not self.sent:
            return None
        grasps = Grasps.cat(self.sent)
        return grasps[grasps.score.argsort(descending=True, stable=True)]

    def hand_over(self, chosen: Grasps | None, note: str = "") -> None:
        """Ends the request with the grasps that were chosen, and with what is to be told of them."""
        order = np.zeros(0, np.int32) if chosen is None else self._order(chosen)
        self.job.say(GraspsResult(len(order), self.job.cancelled.is_set(), order, note or None))

    def _order(self, chosen: Grasps) -> np.ndarray:
        """Where each of `chosen` stands among the candidates sent; those not sent yet are sent."""
        known = {key: place for place, key in enumerate(key for part in self.sent for key in _keys(part))}
        keys = _keys(chosen)
        fresh = [row for row, key in enumerate(keys) if key not in known]
        if fresh:
            start = len(known)
            self.send(chosen[fresh])
            known.update({keys[row]: start + place for place, row in enumerate(fresh)})
        return np.array([known[key] for key in keys], np.int32)


class Worker:
    """Answers the requests of one stream, one after another, on another."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests, self._replies = requests, replies
        self._waiting: queue.SimpleQueue[tuple[Job, Arrays] | None] = queue.SimpleQueue()
        self._jobs: dict[Any, Job] = {}
        self._working: Job | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._hands: OrderedDict[Any, HandModel] = OrderedDict()
        self._objects: OrderedDict[Any, GraspObject] = OrderedDict()

    def run(self) -> None:
        """Serves until the stream ends or says bye."""
        for work in (self._read, self._beat, self._watch_output):
            threading.Thread(target=work, daemon=True).start()
        from core.parallel import use_few_threads  # torch takes a second: the reader is there before it

        use_few_threads()
        while (entry := self._waiting.get()) is not None:
            job, arrays = entry
            self._working = job
            try:
                self._answer(job, arrays)
            except Stopped:
                job.stopped()
            except Exception as error:
                if is_out_of_memory(error):
                    self._objects.clear()
                job.fail(error)
            finally:
                self._working = None
                self._jobs.pop(job.message.get("id"), None)
            del job, arrays, entry  # they are large, and the next may be a while
        self._over.set()

    def write(self, request: Any, reply: Reply) -> None:
        """Sends a reply to the request of that id."""
        message, arrays = reply.packed()
        with self._lock:
            try:
                write_message(self._replies, {"id": request, **message}, arrays)
            except OSError:  # nobody listens any more
                os._exit(0)

    def _read(self) -> None:
        try:
            while self._hear():
                pass
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # an engine that hears nothing any more is none

    def _hear(self) -> bool:
        """Takes one message from the stream; whether there may be another."""
        try:
            received = read_message(self._requests)
        except (WireError, MemoryError) as error:
            wrong = error if isinstance(error, WireError) else WireError("more than its memory holds", lost=True)
            self.write(known_id(wrong.request), Failed(f"The engine was sent {wrong}."))
            if wrong.lost:
                os._exit(1)
            return True
        if received is None:
            os._exit(0)
        message, arrays = received
        request = message.get("id")
        if request != known_id(request):
            self.write(None, Failed("The engine was sent a message whose id is neither a number nor a word."))
        elif message.get("type") == Bye.type:
            for job in list(self._jobs.values()):
                job.cancelled.set()
            self._waiting.put(None)
            time.sleep(FAREWELL)  # the work may end by itself, and the process with it
            os._exit(0)
        elif message.get("type") == Cancel.type:
            target = self._jobs.get(known_id(Cancel.read(message, arrays).target))
            if target is not None:
                target.cancel()
            self.write(request, CancelResult(target is not None))
        else:
            job = Job(self, message)
            if request is not None:
                self._jobs[request] = job
            self._waiting.put((job, arrays))
        return True

    def _beat(self) -> None:
        while not self._over.wait(BEAT / 2):
            if (job := self._working) is not None:
                job.beat()

    def _watch_output(self) -> None:
        """Ends the engine when nobody can hear it any more; where the system does not tell, the next reply does.

        When Blender is gone its input has ended, too, and the thread that reads ends it on every system.
        """
        if not hasattr(select, "poll"):
            return
        output = select.poll()
        try:
            output.register(self._replies.fileno(), 0)
        except (OSError, ValueError):
            return  # not a pipe
        if output.poll():
            os._exit(0)

    def _answer(self, job: Job, arrays: Arrays) -> None:
        known = REQUESTS.get(str(job.message.get("type")))
        if known is None:
            raise ValueError(f"The engine does not know the request '{job.message.get('type')}', only "
                             f"{', '.join(list(REQUESTS)[:-1])} and {list(REQUESTS)[-1]}.")
        request = known.read(job.message, arrays)
        if isinstance(request, Hello):
            self._hello(job, request)
        elif isinstance(request, Generate):
            self._generate(job, request)
        elif isinstance(request, Fit):
            self._fit(job, request)
        elif isinstance(request, Imagine):
            self._imagine(job, request)
        elif isinstance(request, Evaluate):
            self._evaluate(job, request)
        elif isinstance(request, Ready):
            job.say(ReadyResult())

    def _hello(self, job: Job, request: Hello) -> None:
        import torch

        from core.grasps.taxonomy import grasp_types
        from core.registry import METHODS

        hand = self._hand(request)
        labels = grasp_types()
        job.say(HelloResult(
            form=FORM, version=VERSION, python=platform.python_version(), torch=torch.__version__,
            differing=differing_packages(),
            devices=["cpu", *(["cuda"] if torch.cuda.is_available() else [])], side=hand.side, hand=hand.name,
            methods=[{"name": m.name, "label": m.label, "summary": m.summary, "good_for": m.good_for,
                      "fits": m.fitted, "keeps": m.keeps, "imagines": m.imagines}
                     for m in METHODS.values()],
            types=list(labels), type_labels=labels, **hand_arrays(hand)))

    def _generate(self, job: Job, asked: Generate) -> None:
        from core.grasps.posed import read_posed
        from core.grasps.request import GraspRequest
        from core.parallel import choose_device
        from core.pipeline.generate import check_keep, check_request, propose, told_intent

        check_request(asked.method, asked.count, asked.grasp_type, asked.intent)
        check_keep(asked.method, asked.keep)
        device = choose_device(asked.device)
        hand, obj = self._hand_and_object(job, asked)
        betas = betas_of(asked)
        request = GraspRequest(obj, hand, asked.count, asked.grasp_type, asked.intent, betas)
        if asked.keep is not None:
            start = read_posed(posed_arrays(asked), obj, asked.scale, hand.side, betas)
            request = replace(request, start=start, keep=tuple(asked.keep))
        job.reporter = Reporter(job, hand, obj, asked.scale)
        grasps = propose(request, asked.method, asked.seed, job.progress(), device, bool(asked.raw), bool(asked.fit))
        job.reporter.hand_over(grasps, told_intent(request, grasps, NAME_A_PART))

    def _fit(self, job: Job, asked: Fit) -> None:
        from core.grasps.posed import read_posed
        from core.grasps.request import GraspRequest
        from core.parallel import choose_device
        from core.pipeline.generate import check_request
        from core.pipeline.refine import refine

        check_request("synthesis" if asked.method == "fit" else asked.method, asked.count, "any", "any")
        device = choose_device(asked.device)
        hand, obj = self._hand_and_object(job, asked)
        betas = betas_of(asked)
        start = replace(read_posed(posed_arrays(asked), obj, asked.scale, hand.side, betas), method="fit")
        request = GraspRequest(obj, hand, max(asked.count, len(start)), betas=betas, start=start)
        job.reporter = Reporter(job, hand, obj, asked.scale)
        job.reporter.hand_over(refine(request, asked.seed, job.progress(), asked.method, device))

    def _imagine(self, job: Job, asked: Imagine) -> None:
        from core.generators.imagination import ImaginationRequest
        from core.grasps.posed import pose_hands
        from core.parallel import choose_device
        from core.pipeline.generate import check_request
        from core.pipeline.imagine import imagine
        from core.registry import METHODS

        check_request(asked.method or next(iter(METHODS)), asked.count, asked.grasp_type, asked.intent)
        hand = self._hand(asked)
        request = ImaginationRequest(hand, asked.count, asked.grasp_type, asked.intent, betas_of(asked),
                                     bool(asked.fit))
        found = imagine(request, asked.seed, job.progress(), choose_device(asked.device), asked.method)
        for place, one in enumerate(found):
            posed = pose_hands(hand, one.grasps, one.object, asked.scale)
            vertices = (one.object.vertices.cpu().double().numpy() + one.object.centroid) * asked.scale
            job.say(ImaginedCandidate(**vars(candidate_of(one.grasps, posed, 0, place)),
                                      object_vertices=vertices.astype(np.float32),
                                      object_faces=one.object.faces.cpu().numpy().astype(np.int32)))
        job.say(GraspsResult(len(found), False, np.arange(len(found), dtype=np.int32)))

    def _hand_and_object(self, job: Job, asked: ObjectRequest) -> tuple[HandModel, GraspObject]:
        job.say(Working(0.0, "Reading the object"))
        hand = self._hand(asked)
        obj = self._object(job, asked)
        return hand, named_parts(obj, asked) if asked.parts else obj

    def _evaluate(self, job: Job, asked: Evaluate) -> None:
        from core.grasps.posed import read_posed
        from core.metrics.evaluate import PROTOCOLS, evaluate

        if not isinstance(asked.protocol, str) or asked.protocol not in PROTOCOLS:
            raise ValueError(f"A protocol is one of {', '.join(PROTOCOLS)}, not '{asked.protocol}'.")
        hand, obj = self._hand_and_object(job, asked)
        grasps = read_posed(posed_arrays(asked), obj, asked.scale, hand.side, betas_of(asked))
        found = evaluate(obj, hand, grasps, asked.protocol, job.progress())
        job.say(EvaluateResult(found.count, False, found.paper or None, found.strict or None, {
            f"{protocol}_{name}": each_array(value) for protocol, values in found.each.items()
            for name, value in values.items()}))

    def _hand(self, asked: HandRequest) -> HandModel:
        from core.hand import load_hand

        file = asked.hand_file or None
        changed = Path(file).stat().st_mtime_ns if file and Path(file).is_file() else None
        return remembered(self._hands, (file, changed, asked.side), lambda: load_hand(file, asked.side))

    def _object(self, job: Job, asked: ObjectRequest) -> GraspObject:
        from core.objects import ObjectError, prepare_object

        missing = [name for name in ("vertices", "faces") if getattr(asked, name) is None]
        if missing:
            raise ObjectError(f"The request holds no {' and no '.join(missing)} of an object: every generate, "
                              "fit and evaluate request does.")
        digest = hashlib.sha256(repr((asked.scale, asked.vertices.shape, asked.faces.shape)).encode())
        for values in (asked.vertices, asked.faces):
            digest.update(np.ascontiguousarray(values).data)

        def report(fraction: float, stage: str) -> bool:
            job.say(Working(0.05 * fraction, stage))
            return not job.cancelled.is_set()

        def prepare() -> GraspObject:
            vertices = np.asarray(asked.vertices, np.float64) / asked.scale
            return prepare_object(vertices, np.asarray(asked.faces, np.int64), progress=Progress(report))

        return remembered(self._objects, digest.digest(), prepare)


def named_parts(obj: GraspObject, asked: ObjectRequest) -> GraspObject:
    """The object with the parts that the request names; ValueError where they do not fit its faces."""
    from core.objects import with_parts

    names, part = asked.parts, asked.part
    if (not isinstance(names, list) or not all(isinstance(name, str) for name in names) or part is None
            or part.shape != asked.faces.shape[:1] or part.dtype.kind not in "iu"
            or (part.size and not -1 <= part.min() <= part.max() < len(names))):
        raise ValueError("The object's parts are a list of names, with one index into it for each face.")
    vertices = np.asarray(asked.vertices, np.float64) / asked.scale
    return with_parts(obj, vertices, np.asarray(asked.faces, np.int64), part, tuple(names))


def posed_arrays(asked: Generate | Fit | Evaluate) -> Arrays:
    """What a request holds of its posed hands, as `read_posed` takes it."""
    given = {"rotations": asked.rotations, "translation": asked.translation}
    return {name: values for name, values in given.items() if values is not None}


def betas_of(asked: ScaledRequest) -> torch.Tensor | None:
    """(10,) a request's hand shape, where it names one."""
    import torch

    return None if asked.betas is None else torch.tensor(asked.betas, dtype=torch.float32)


def remembered(kept: OrderedDict[Any, Made], key: Any, make: Callable[[], Made]) -> Made:
    """What was made for `key` lately, or what `make()` makes now."""
    if key not in kept:
        kept[key] = make()
        while len(kept) > KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def hand_arrays(hand: HandModel) -> Arrays:
    """The arrays of `HelloResult`: the hand at rest."""
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


def candidate_of(grasps: Grasps, posed: PosedHands, row: int, index: int) -> Candidate:
    """One grasp as a message, in the sent mesh's frame and unit."""
    return Candidate(
        index=index, score=float(grasps.score[row]), grasp_type=grasps.type[row],
        measures={name: float(values[row]) for name, values in grasps.measures.items()},
        vertices=posed.vertices[row].astype(np.float32), joints=posed.joints[row].astype(np.float32),
        rest_vertices=posed.rest_vertices[row].astype(np.float32), rotations=posed.rotations[row],
        translation=posed.translation[row])


def each_array(values: torch.Tensor) -> np.ndarray:
    """One value, or a few, of each hand, as a message holds them: what is true or false as 0 and 1."""
    array = values.cpu().numpy()
    return array.astype(np.uint8) if array.dtype == bool else array


def known_id(value: Any) -> Any:
    """The value where it can be a request's id, else None."""
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, whichever allocator says so."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError)
                                              and any(said in words for said in NO_MEMORY))


def sentence_of(error: BaseException) -> str:
    """What to tell the animator."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
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
    try:
        Worker(sys.stdin.buffer, replies).run()
    except BaseException:  # such as a package that is missing
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # an ordinary end would be aborted: a thread still reads


if __name__ == "__main__":
    main()
