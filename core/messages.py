"""What is said between Blender and the engine: one class a message, its fields with their shapes and units.

A message is one JSON line, and arrays after it (`core.wire`). Every request holds an `id`, which its replies repeat,
and a `type`. A request is answered by any number of `progress` and `candidate`, and by one `result` or one `error`.
`docs/protocol.md` tells the same, written from these classes by `scripts/build/protocol.py`. Fields that a class does
not know are passed over, so that a newer add-on may speak to an older engine.
"""

# ruff: noqa: RUF009  told, array and named_arrays make dataclass fields
from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Final, Self

import numpy as np

from core.units import HAND_LENGTH

#: of the messages; another number is another language. Engines before 0.2.0 name none, and speak this one.
FORM: Final = 1

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]


def told(doc: str, default: Any = None) -> Any:
    """A field that is part of the JSON line."""
    return field(default=default, metadata={"doc": doc})


def array(shape: str, dtype: str, doc: str) -> Any:
    """A field that is an array after the line; None where there is none."""
    return field(default=None, metadata={"doc": doc, "shape": shape, "dtype": dtype})


def named_arrays(shape: str, dtype: str, doc: str) -> Any:
    """A field that is any number of arrays by names of their own."""
    return field(default_factory=dict, metadata={"doc": doc, "shape": shape, "dtype": dtype, "named": True})


def is_array(known: Field) -> bool:
    return "shape" in known.metadata


@dataclass(frozen=True)
class Request:
    """What is asked of the engine."""

    type: ClassVar[str]

    @classmethod
    def read(cls, message: Message, arrays: Arrays) -> Self:
        """The request of a message and its arrays.

        Raises:
            ValueError: a field is of another kind than it should be; a sentence.
        """
        given = {known.name: arrays.get(known.name) if is_array(known) else message[known.name]
                 for known in fields(cls) if is_array(known) or known.name in message}
        return cls(**given)


@dataclass(frozen=True)
class Reply:
    """What the engine answers."""

    type: ClassVar[str]

    def packed(self) -> tuple[Message, Arrays]:
        """The message without its id, and its arrays; what is None is left out."""
        message: Message = {"type": self.type}
        arrays: Arrays = {}
        for known in fields(self):
            value = getattr(self, known.name)
            if value is None:
                continue
            if known.metadata.get("named"):
                arrays |= value
            elif is_array(known):
                arrays[known.name] = value
            else:
                message[known.name] = value
        return message, arrays


@dataclass(frozen=True)
class HandRequest(Request):
    """What names the hand."""

    side: str = told('"right" or "left"', "right")
    hand_file: str | None = told("a MANO file in place of the embedded hand, a path where the engine runs")

    def __post_init__(self) -> None:
        if not isinstance(self.side, str):
            raise ValueError(f"The hand's side is 'right' or 'left', not {str(self.side)[:80]!r}.")
        if self.hand_file is not None and (not isinstance(self.hand_file, str) or "\0" in self.hand_file):
            raise ValueError(f"A hand file is named by a path, not {str(self.hand_file)[:80]!r}.")


@dataclass(frozen=True)
class ScaledRequest(HandRequest):
    """What names the hand, its size and its shape."""

    hand_length: float = told("length of the hand in the mesh's unit, wrist to middle fingertip", HAND_LENGTH)
    betas: list[float] | None = told("ten numbers, the shape of the hand; zeros where missing")

    def __post_init__(self) -> None:
        super().__post_init__()
        length = self.hand_length
        if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < 1e12:
            raise ValueError(f"A hand length is a number above 0, not {str(length)[:80]!r}.")
        if self.betas is not None:
            check_betas(self.betas)

    @property
    def scale(self) -> float:
        """How many of the mesh's units are a metre."""
        return self.hand_length / HAND_LENGTH


@dataclass(frozen=True)
class ObjectRequest(ScaledRequest):
    """What names the hand and the object, and the unit of both."""

    parts: list[str] | None = told("names of the object's parts, which `part` counts")
    vertices: np.ndarray = array("(V, 3)", "float64", "the object's mesh, any frame, the mesh's unit")
    faces: np.ndarray = array("(F, 3)", "int32", "its triangles")
    part: np.ndarray | None = array("(F,)", "int32", "of each face, an index into `parts`, -1 for none")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vertices", "faces"):
            given = getattr(self, name)
            if given is not None and (given.ndim != 2 or given.shape[1] != 3):
                raise ValueError(f"An object's {name} are an array of three columns, not of shape {given.shape}.")
        if self.faces is not None and self.faces.dtype.kind == "f" and not np.all(self.faces == np.floor(self.faces)):
            raise ValueError("An object's faces are whole numbers: places in its vertices.")


@dataclass(frozen=True)
class SeededRequest(ObjectRequest):
    """What draws something."""

    seed: int = told("a whole number from 0; repeats a result on a device", 0)
    device: str = told('"auto", "cpu" or "cuda"', "auto")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)


@dataclass(frozen=True)
class Hello(HandRequest):
    """Asks who is there; answered by `HelloResult`."""

    type: ClassVar[str] = "hello"


@dataclass(frozen=True)
class Generate(SeededRequest):
    """Asks for grasps of an object; answered by `Working`, `Candidate` and `GraspsResult`."""

    type: ClassVar[str] = "generate"
    method: str = told("a method that `hello` named", "synthesis")
    count: int = told("how many grasps, 1 to 10000", 16)
    grasp_type: str = told('a grasp type that `hello` named, or "any"', "any")
    intent: str = told('"any", "use", "hold", "handover" or "lift"', "any")
    fit: bool = told("lay the proposals on the surface, where the method does not do so itself", True)
    raw: bool = told("the first `count` as the method gives them, neither fitted nor chosen", False)
    keep: list[bool] | None = told("which parts of the posed hand are kept while others are drawn anew where it is: "
                                   "thumb, index, middle, ring, little, palm; of methods that `hello` says keep parts")
    rotations: np.ndarray | None = array("(16, 4)", "float64", "as in `fit`, of that hand")
    translation: np.ndarray | None = array("(3,)", "float64", "as in `fit`, of that hand")


@dataclass(frozen=True)
class Fit(SeededRequest):
    """Asks for grasps around posed hands (Refine); answered by `Working`, `Candidate` and `GraspsResult`."""

    type: ClassVar[str] = "fit"
    method: str = told('"fit", or a method that refines: half of the other hands are then its', "fit")
    count: int = told("how many grasps in all, at least the posed hands", 1)
    rotations: np.ndarray = array("(N, 16, 4)", "float64", "of the posed hands: wxyz of each joint against its parent, "
                                  "the first the wrist's; one hand may come without the N")
    translation: np.ndarray = array("(N, 3)", "float64", "MANO's translation, the mesh's frame and unit")


@dataclass(frozen=True)
class Imagine(ScaledRequest):
    """Asks for objects with hands; answered by `Working`, `ImaginedCandidate` and `GraspsResult`. No object is sent."""

    type: ClassVar[str] = "imagine"
    seed: int = told("a whole number from 0; repeats a result on a device", 0)
    device: str = told('"auto", "cpu" or "cuda"', "auto")
    method: str = told('a method that imagines, as `hello` told; "" is the first', "")
    count: int = told("how many objects, 1 to 64", 8)
    grasp_type: str = told('a grasp type that `hello` named, or "any"', "any")
    intent: str = told('"any", "use", "hold", "handover" or "lift"', "any")
    fit: bool = told("lay the hands on the surface, and take those first that hold", True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 1 <= self.count <= 64:
            raise ValueError(f"A count of imagined objects is a whole number from 1 to 64, not {self.count!r}.")


@dataclass(frozen=True)
class Evaluate(ObjectRequest):
    """Asks how good posed hands are; answered by `Working` and `EvaluateResult`."""

    type: ClassVar[str] = "evaluate"
    protocol: str = told('"paper", "strict" or "both"', "both")
    rotations: np.ndarray = array("(N, 16, 4)", "float64", "as in `fit`")
    translation: np.ndarray = array("(N, 3)", "float64", "as in `fit`")


@dataclass(frozen=True)
class Ready(Request):
    """Asks whether the engine is free; answered by `ReadyResult` once the requests before it have ended."""

    type: ClassVar[str] = "ready"


@dataclass(frozen=True)
class Cancel(Request):
    """Stops another request, which then answers with what it has; answered by `CancelResult` at once."""

    type: ClassVar[str] = "cancel"
    target: Any = told("the `id` of the request to stop")


@dataclass(frozen=True)
class Bye(Request):
    """Ends the engine; no answer. The end of its input does so, too."""

    type: ClassVar[str] = "bye"


@dataclass(frozen=True)
class Working(Reply):
    """How far a request is, at most ten times a second, and at least every few seconds while it is worked on."""

    type: ClassVar[str] = "progress"
    fraction: float = told("0 to 1", 0.0)
    stage: str = told("a few words for the animator", "")


@dataclass(frozen=True)
class Candidate(Reply):
    """A grasp as soon as it is accepted. Everything is in the frame and unit of the mesh that was sent."""

    type: ClassVar[str] = "candidate"
    index: int = told("which of the request's candidates it is, from 0", 0)
    score: float = told("higher is better", 0.0)
    grasp_type: str = told('its type, or ""', "")
    measures: dict[str, float] = told("what may be shown beside it, such as overlap_cm3; holds is 1, or 0 where the "
                                    "hold test found that it does not; intent is 1, 0.5 or 0 where all, some or "
                                    "nothing of what the intent asks is done", None)
    vertices: np.ndarray = array("(V, 3)", "float32", "the posed hand")
    joints: np.ndarray = array("(21, 3)", "float32", "its joints and, from the 17th on, the tips, thumb to little")
    rest_vertices: np.ndarray = array("(V, 3)", "float32", "the mesh before skinning, in the hand's own frame")
    rotations: np.ndarray = array("(16, 4)", "float64", "wxyz, w >= 0, of each joint against its parent")
    translation: np.ndarray = array("(3,)", "float64", "MANO's translation")


@dataclass(frozen=True)
class ImaginedCandidate(Candidate):
    """An object that was imagined and the hand on it, all in that mesh's frame and the unit of the hand's length."""

    type: ClassVar[str] = "imagined"
    object_vertices: np.ndarray = array("(W, 3)", "float32", "the object's mesh")
    object_faces: np.ndarray = array("(F, 3)", "int32", "its triangles, outward; every edge is between two")


@dataclass(frozen=True)
class GraspsResult(Reply):
    """The end of `generate`, `fit` and `imagine`."""

    type: ClassVar[str] = "result"
    count: int = told("how many grasps were chosen", 0)
    cancelled: bool = told("whether it was stopped before its end", False)
    order: np.ndarray | None = array("(N,)", "int32", "the chosen candidates' `index`, best first; missing where a "
                                     "cancel was answered in the work's place: then all that were sent count")
    note: str | None = told("a sentence, without its end, on how far the intent was done; missing where none was asked")


@dataclass(frozen=True)
class HelloResult(Reply):
    """Who is there. The hand's arrays are at rest, metres."""

    type: ClassVar[str] = "result"
    form: int = told("the number of the messages' form; missing in 0.1.0, which speaks this one", FORM)
    version: str = told("the engine's", "")
    python: str = told("its Python's", "")
    torch: str = told("its PyTorch's", "")
    differing: list[str] | None = told("packages of other versions than it was made with, each \"NAME FOUND, not "
                                       "WANTED\"; missing in 0.1.0")
    devices: list[str] = told('"cpu", and "cuda" where there is a card', None)
    side: str = told("of the hand", "right")
    hand: str = told("the hand's name", "")
    methods: list[dict[str, Any]] = told("name, label, summary, good_for: when it is the one to take, fits: whether "
                                         "its grasps need no fit, keeps: whether it keeps parts of a hand, and "
                                         "imagines: whether it may be asked to `imagine`", None)
    types: list[str] = told("the grasp types that may be asked for", None)
    type_labels: dict[str, str] = told("what an animator reads for each of them", None)
    template: np.ndarray = array("(V, 3)", "float32", "vertices")
    rest_joints: np.ndarray = array("(16, 3)", "float32", "joints")
    tips: np.ndarray = array("(5, 3)", "float32", "tips, thumb to little")
    weights: np.ndarray = array("(V, 16)", "float32", "skinning weights")
    parents: np.ndarray = array("(16,)", "int32", "each joint's parent, -1 for the wrist")
    triangles: np.ndarray = array("(T, 3)", "int32", "faces that are triangles")
    quads: np.ndarray | None = array("(Q, 4)", "int32", "faces that are quads, where the hand has some")
    uvs: np.ndarray | None = array("(4 Q + 3 T, 2)", "float32", "(u, v) of each corner, of the quads first; where the "
                                   "hand has some")


@dataclass(frozen=True)
class EvaluateResult(Reply):
    """How good the hands are."""

    type: ClassVar[str] = "result"
    count: int = told("how many hands were measured", 0)
    cancelled: bool = told("whether it was stopped before its end: then there are no figures", False)
    paper: dict[str, float] | None = told("means over the hands by the papers' protocol (docs/metrics.md)")
    strict: dict[str, float] | None = told("means over the hands by the strict protocol")
    each: Arrays = named_arrays("(N,) or (N, K)", "as measured, bool as uint8",
                                "paper_NAME and strict_NAME, the figures of each hand")


@dataclass(frozen=True)
class ReadyResult(Reply):
    """The engine is free."""

    type: ClassVar[str] = "result"


@dataclass(frozen=True)
class CancelResult(Reply):
    """Whether there was something to stop."""

    type: ClassVar[str] = "result"
    found: bool = told("whether the request was still there", False)


@dataclass(frozen=True)
class Failed(Reply):
    """The end of a request that cannot be answered."""

    type: ClassVar[str] = "error"
    message: str = told("a sentence for the animator", "")
    advice: str | None = told('"hand_length" where another hand length would help; else ""')
    traceback: str = told("for a report; empty where the request could not be read", "")


REQUESTS: Final[dict[str, type[Request]]] = {cls.type: cls for cls in (Hello, Generate, Fit, Imagine, Evaluate, Ready,
                                                                          Cancel, Bye)}
REPLIES: Final[tuple[type[Reply], ...]] = (Working, Candidate, ImaginedCandidate, HelloResult, GraspsResult,
                                           EvaluateResult, ReadyResult, CancelResult, Failed)


def check_seed(seed: Any) -> None:
    """ValueError where a seed is none."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"A seed is a whole number from 0, not {seed!r}.")


def check_betas(betas: Any) -> None:
    """ValueError where a hand shape is not ten numbers."""
    numbers = betas if isinstance(betas, list) else ()
    if len(numbers) != 10 or any(
            isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) < 100 for n in numbers):
        raise ValueError(f"A hand shape (betas) is ten numbers between -100 and 100, not {str(betas)[:80]}.")
