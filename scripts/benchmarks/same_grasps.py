"""Hashes of all that this program gives, to tell whether another tree gives the same, bit for bit.

    python scripts/benchmarks/same_grasps.py --out before.json                   this tree (or --tree DIR)
    python scripts/benchmarks/same_grasps.py --out after.json --against before.json
    ... --only raw,blender --objects mug --seeds 0                               some of it, in less time
    ... --jobs 2                                                                 pieces of work at a time
    ... --only blender --texts FOLDER                                            also what Blender's hashes are of

It asks through doors that do not change with the code behind them: the messages of `python -m core.worker`, the
commands of `python -m core`, and, in a process with bpy, the add-on's operators and what they leave in the scene.
So one copy of it runs on trees of different insides. --against names every case that differs and in what, and then
exits with 1. Bits depend on the processor and on the packages' versions: compare runs of one machine.

Parts, each case named PART/METHOD/OBJECT/SIDE/SEED or so:

    hand         the hand at rest, and what the engine says of itself
    raw          the first grasps of every method as it gives them: all objects, seeds and both hands
    fitted       the first of those hands laid on the surface, by `fit` and by `fit --method jointdiffusion`; all seeds'
                 hands of a side at once, so that --seeds only says which are recorded
    offered      what the button offers: every method, by turns of objects, seeds and hands
    asked        an intent, a type, named parts, a hand shape, another unit
    refined      grasps around a posed hand, by the fit alone and with jointdiffusion
    evaluated    the figures of both protocols, of each hand and as means
    shell        files that `generate`, `fit` and `evaluate` write
    blender      bones, curves, shape keys, drivers, meshes, names, materials after each operator (see same_scene.py)

The cache and the user's data are in a folder of the run's own, so that every tree computes anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from four_objects import HAMMER_PARTS, OBJECTS, objects_of, write_obj
from worker_client import Client, EngineError

ROOT: Final = Path(__file__).resolve().parents[2]
SCENE: Final = Path(__file__).resolve().with_name("same_scene.py")

METHODS: Final = ("synthesis", "fastgrasp", "grasptta", "dvqvae", "jointdiffusion", "jhod")
REFINERS: Final = ("fit", "jointdiffusion")
SIDES: Final = ("right", "left")
SEEDS: Final = (0, 1, 2)
PARTS: Final = ("hand", "raw", "fitted", "offered", "asked", "refined", "evaluated", "shell", "blender")
BETAS: Final = [0.8, -0.6, 0.4, -0.2, 0.1, 0.3, -0.5, 0.7, -0.9, 0.2]
FAILED: Final = "failed"

Case = dict[str, str]  # field -> SHA-256 of its bytes, or a figure as text


# Hashes


def hash_of(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and bytes: one bit more or less is another hash."""
    array = np.ascontiguousarray(array)
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def fields_of(message: dict[str, Any], arrays: dict[str, np.ndarray]) -> Case:
    """A reply's arrays as hashes, and what its message says as text, but for what only numbers the request."""
    fields = {name: hash_of(array) for name, array in arrays.items()}
    for name, value in message.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{key}": repr(entry) for key, entry in value.items()}
        elif name not in ("id", "type", "traceback"):
            fields[name] = repr(value)
    return fields


def differences(now: dict[str, Case], before: dict[str, Case]) -> list[str]:
    """A line for each case that is not the same, with the fields in which it is not."""
    lines = []
    for name in sorted({*now, *before}):
        if name not in now or name not in before:
            lines.append(f"{'gone' if name not in now else 'new'}     {name}")
            continue
        here, there = now[name], before[name]
        changed = [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
        if changed:
            lines.append(f"differs  {name}: " + ", ".join(
                key if key in here and key in there else f"{key} ({'gone' if key in there else 'new'})"
                for key in changed))
    return lines


# Cases


@dataclass(frozen=True)
class Selection:
    """Which cases are wanted."""

    parts: tuple[str, ...] = PARTS
    objects: tuple[str, ...] = OBJECTS
    seeds: tuple[int, ...] = SEEDS

    def takes(self, name: str) -> bool:
        """Whether the case of this name is of a part, an object and a seed that are wanted."""
        part, *rest = name.split("/")
        others = {*OBJECTS, *map(str, SEEDS)} - {*self.objects, *map(str, self.seeds)}
        return part in self.parts and not others.intersection(rest)


class Run:
    """One run on one tree: the places it works in, and what it has found."""

    def __init__(self, tree: Path, folder: Path, selection: Selection, texts: Path | None = None) -> None:
        self.tree, self.folder, self.selection, self.texts = tree, folder, selection, texts
        self.objects = objects_of(tree)
        self.files = {name: write_obj(folder / f"{name}.obj", mesh) for name, mesh in self.objects.items()}
        self.variables = variables_of(tree, folder)
        self.cases: dict[str, Case] = {}
        self.seconds: dict[str, float] = {}
        self.environment = {"python": sys.version.split()[0], "numpy": np.__version__}

    def timed(self, part: str, where: str, make: Callable[[], dict[str, Case]]) -> None:
        """Takes the cases that are wanted of those that `make` makes, and notes how long that took.

        What fails is a case too, so that the others are compared all the same.

        Args:
            part: one of PARTS.
            where: what of it, e.g. an object.
            make: the work.
        """
        begin = time.monotonic()
        try:
            made = {name: case for name, case in make().items() if self.selection.takes(name)}
        except EngineError as error:
            print(f"{part} {where}: {error}", file=sys.stderr, flush=True)
            made = {f"{part}/{FAILED}/{where}": {"error": str(error)}}
        took = time.monotonic() - begin
        self.cases |= made
        self.seconds[part] = self.seconds.get(part, 0.0) + took
        print(f"{part:9} {where:7} {len(made):3} cases in {took:5.1f} s", flush=True)

    def wants(self, *parts: str) -> bool:
        return any(part in self.selection.parts for part in parts)

    def client(self, name: str) -> Client:
        return Client([sys.executable, "-m", "core.worker"], self.tree, self.variables, self.folder / f"{name}.log")

    def shell(self, *arguments: object) -> str:
        """What `python -m core` says on stdout; EngineError with its stderr where it fails."""
        command = [sys.executable, "-m", "core", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.tree, env=self.variables, capture_output=True, text=True)
        if done.returncode:
            raise EngineError(f"{' '.join(command[1:])} failed: {done.stderr[-2000:]}")
        return done.stdout


def variables_of(tree: Path, folder: Path) -> dict[str, str]:
    """A child's environment: the tree's code, one thread, no graphics card, the user's folders in `folder`."""
    user = str(folder / "user")
    names = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "BLENDER_USER_RESOURCES")
    mac = {"HOME": user} if sys.platform == "darwin" else {}
    kept = {name: value for name, value in os.environ.items() if name != "GRASP_WEIGHTS"}
    return {**kept, **dict.fromkeys(names, user), **mac, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class Station:
    """The cases of one object, by one worker that keeps the object prepared."""

    def __init__(self, run: Run, name: str, client: Client) -> None:
        self.run, self.name, self.client = run, name, client
        mesh = run.objects[name]
        self.arrays = {"vertices": mesh.vertices, "faces": mesh.faces}
        self.parts: dict[str, Any] = {}
        self.part: dict[str, np.ndarray] = {}
        if len(mesh.part):
            self.parts, self.part = {"parts": list(HAMMER_PARTS)}, {"part": mesh.part}
        self.known: dict[tuple[str, str, int], list[tuple[dict, dict]]] = {}

    def work(self) -> None:
        makers = {"raw": self.raw, "fitted": self.fitted, "offered": self.offered, "asked": self.asked,
                  "refined": self.refined, "evaluated": self.evaluated}
        for part, make in makers.items():
            if self.run.wants(part):
                self.run.timed(part, self.name, make)

    def generate(self, **wishes: Any) -> list[tuple[dict, dict]]:
        return self.client.ask({"type": "generate", "device": "cpu", **wishes}, self.arrays)

    def raw_of(self, method: str, side: str, seed: int) -> list[tuple[dict, dict]]:
        """The replies to a request for raw grasps, asked for once."""
        key = method, side, seed
        if key not in self.known:
            count = 1 if method == "synthesis" else 2
            self.known[key] = self.generate(method=method, side=side, seed=seed, count=count, raw=True)
        return self.known[key]

    def raw(self) -> dict[str, Case]:
        return {f"raw/{method}/{self.name}/{side}/{seed}": case_of(self.raw_of(method, side, seed))
                for method in METHODS for side in SIDES for seed in self.run.selection.seeds}

    def fitted(self) -> dict[str, Case]:
        """The first raw hand of every method and seed, all hands of a side laid on the surface at once."""
        cases, folder = {}, self.run.folder
        probe = folder / f"{self.name}_probe.npz"
        self.run.shell("generate", self.run.files[self.name], "--method", "fastgrasp", "--raw", "--count", 1,
                       "--out", probe)
        centroid = np.load(probe)["centroid"]  # the object's in files of 0.1.0, nothing in later ones
        for side in SIDES:
            keys = [(method, seed) for method in METHODS for seed in SEEDS]
            hands = [self.raw_of(method, side, seed)[0] for method, seed in keys]
            there = [place for place, (message, _) in enumerate(hands) if message["type"] == "candidate"]
            given = folder / f"{self.name}_{side}.npz"
            np.savez(given, **grasps_file([hands[place] for place in there], centroid, side))
            for refiner in REFINERS:
                out = folder / f"{self.name}_{side}_{refiner}.npz"
                self.run.shell("fit", self.run.files[self.name], given, "--method", refiner, "--device", "cpu",
                               "--out", out)
                stored = dict(np.load(out))
                # The mesh's own frame, as files later than 0.1.0 have it.
                stored["transl"] = (stored["transl"] + stored.pop("centroid")).astype(np.float32)
                for row, place in enumerate(there):
                    method, seed = keys[place]
                    cases[f"fitted/{refiner}/{method}/{self.name}/{side}/{seed}"] = {
                        name: hash_of(values[row]) for name, values in stored.items()
                        if len(values.shape) and name != "faces"}
        return cases

    def offered(self) -> dict[str, Case]:
        """What the button gives: three turns for every method, of another object, hand and seed each."""
        cases = {}
        for place, method in enumerate(METHODS):
            for turn in SEEDS:
                side = SIDES[(place + turn) % 2]
                name = f"offered/{method}/{self.name}/{side}/{turn}"
                if OBJECTS[(place + turn) % 4] == self.name and self.run.selection.takes(name):
                    cases[name] = case_of(self.generate(method=method, side=side, seed=turn, count=2))
        return cases

    def asked(self) -> dict[str, Case]:
        """Requests with wishes, on two of the objects."""
        if self.name not in ("mug", "hammer"):
            return {}
        wishes: dict[str, dict[str, Any]] = {
            f"{method} type": {"method": method, "grasp_type": "medium_wrap", "raw": True, "count": 2}
            for method in METHODS[1:]}
        wishes |= {f"{method} shape": {"method": method, "betas": BETAS, "raw": True, "count": 2}
                   for method in METHODS[1:]}
        if self.name == "mug":
            wishes |= {"synthesis type": {"method": "synthesis", "grasp_type": "palmar_pinch", "count": 1},
                       "synthesis lift": {"method": "synthesis", "intent": "lift", "count": 1},
                       "fastgrasp no fit": {"method": "fastgrasp", "fit": False, "count": 3}}
        else:
            wishes |= {f"{method} {intent}": {"method": method, "intent": intent, "raw": True, "count": 2}
                       for method in METHODS[1:] for intent in ("use", "hold", "handover")}
            wishes |= {"synthesis use": {"method": "synthesis", "intent": "use", "count": 1},
                       "grasptta use fitted": {"method": "grasptta", "intent": "use", "count": 1}}
        cases = {}
        arrays = {**self.arrays, **self.part}
        for place, (name, wish) in enumerate(wishes.items()):
            side = SIDES[place % 2]
            message = {"type": "generate", "device": "cpu", "seed": place, "side": side, **self.parts, **wish}
            cases[f"asked/{name}/{self.name}/{side}"] = case_of(self.client.ask(message, arrays))
        centimetres = {**self.arrays, "vertices": 100 * self.arrays["vertices"]}
        message = {"type": "generate", "device": "cpu", "method": "fastgrasp", "raw": True, "count": 2, "seed": 3}
        cases[f"asked/centimetres/{self.name}/right"] = case_of(
            self.client.ask({**message, "hand_length": 19.0}, centimetres))
        return cases

    def refined(self) -> dict[str, Case]:
        """Grasps around a raw hand that was drawn back by 5 mm along x."""
        cases = {}
        for place, side in enumerate(SIDES):
            for seed in self.run.selection.seeds:
                reply, hand = self.raw_of("fastgrasp", side, seed)[0]
                refiner = REFINERS[(place + seed + OBJECTS.index(self.name)) % 2]
                if reply["type"] != "candidate":
                    continue
                arrays = {**self.arrays, "rotations": hand["rotations"][None],
                          "translation": hand["translation"][None] + [0.005, 0, 0]}
                message = {"type": "fit", "method": refiner, "side": side, "seed": seed, "count": 2, "device": "cpu"}
                cases[f"refined/{refiner}/{self.name}/{side}/{seed}"] = case_of(self.client.ask(message, arrays))
        return cases

    def evaluated(self) -> dict[str, Case]:
        """Both protocols' figures of the raw hands of two methods: one hand of the object, by turns."""
        side = SIDES[OBJECTS.index(self.name) % 2]
        hands = [arrays for method in ("fastgrasp", "jointdiffusion") for message, arrays in
                 self.raw_of(method, side, 0) if message["type"] == "candidate"]
        arrays = {**self.arrays, **{name: np.stack([hand[name] for hand in hands])
                                    for name in ("rotations", "translation")}}
        reply = self.client.ask({"type": "evaluate", "side": side}, arrays)[-1]
        return {f"evaluated/{self.name}/{side}": fields_of(*reply)}


def case_of(replies: list[tuple[dict, dict]]) -> Case:
    """The fields of a request's candidates, in the order in which they came, and of its result or error."""
    case = fields_of(*replies[-1])
    for place, (message, arrays) in enumerate(replies[:-1]):
        case |= {f"{place}.{name}": value for name, value in fields_of(message, arrays).items()}
    return case


def grasps_file(hands: Iterable[tuple[dict, dict]], centroid: np.ndarray, side: str) -> dict[str, np.ndarray]:
    """The arrays of GRASPS.npz, of candidates in the frame of a mesh in metres.

    Args:
        hands: candidates as the engine sends them.
        centroid: (3,) what the engine's version adds to a file's `transl`.
        side: of all of them.
    """
    messages, arrays = zip(*hands, strict=True)
    vectors = rotation_vectors(np.stack([hand["rotations"] for hand in arrays])).reshape(len(arrays), 48)
    translation = np.stack([hand["translation"] for hand in arrays]) - centroid
    return {
        "global_orient": vectors[:, :3].astype(np.float32), "hand_pose": vectors[:, 3:].astype(np.float32),
        "transl": translation, "betas": np.zeros((len(arrays), 10), np.float32),
        "score": np.array([message["score"] for message in messages], np.float32),
        "type": np.array([message["grasp_type"] for message in messages]), "hand": np.array(side),
        "unit": np.array("m"), "method": np.array("fastgrasp"), "seed": np.array("0")}


def rotation_vectors(quaternions: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle of (..., 4) unit quaternions wxyz."""
    length = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, quaternions[..., :1])
    return quaternions[..., 1:] * np.divide(angle, length, out=np.full_like(length, 2.0), where=length > 0)


def hand_cases(run: Run) -> dict[str, Case]:
    """The handshake of both hands; the program's version is not a matter of grasps."""
    cases = {}
    with run.client("hand") as client:
        for side in SIDES:
            message, arrays = client.ask({"type": "hello", "side": side})[-1]
            run.environment |= {"torch": message["torch"], "engine": message["version"]}
            methods = [method["name"] for method in message["methods"]]
            cases[f"hand/{side}"] = {name: hash_of(array) for name, array in arrays.items()} | {
                "methods": repr(methods), "types": repr(message["types"]),
                "fits": repr([method["name"] for method in message["methods"] if method["fits"]])}
    return cases


def shell_cases(run: Run) -> dict[str, Case]:
    """Files that the commands write, in another unit too, and the figures that they tell."""
    folder, cases = run.folder, {}
    raw, plain, better, figures = (folder / name for name in ("raw.npz", "plain.npz", "better.npz", "figures.json"))
    run.shell("generate", run.files["mug"], "--method", "grasptta", "--count", 2, "--raw", "--seed", 5,
              "--hand", "left", "--out", raw)
    millimetres = write_obj(folder / "box_mm.obj", run.objects["box"], 1000.0)
    run.shell("generate", millimetres, "--unit", "mm", "--method", "fastgrasp", "--count", 2, "--no-fit", "--seed", 6,
              "--type", "medium_wrap", "--intent", "lift", "--out", plain)
    run.shell("fit", run.files["mug"], raw, "--seed", 3, "--out", better)
    run.shell("evaluate", run.files["mug"], better, "--truth", raw, "--json", figures)
    for name, path in (("raw/mug", raw), ("no-fit/box", plain), ("fit/mug", better)):
        stored = np.load(path)
        cases[f"shell/{name}"] = {key: hash_of(stored[key]) for key in stored.files}
    cases["shell/evaluate/mug"] = fields_of(json.loads(figures.read_text()), {})
    cases["shell/methods"] = {"names": repr([line.split()[0] for line in run.shell("methods").splitlines()])}
    return cases


def blender_cases(run: Run) -> dict[str, Case]:
    """What same_scene.py finds in the scene, in a process with bpy."""
    np.savez(run.folder / "objects.npz", **{f"{name}_{key}": getattr(mesh, key) for name, mesh in run.objects.items()
                                            for key in ("vertices", "faces", "part")})
    out = run.folder / "scene.json"
    command = [sys.executable, str(SCENE), str(run.tree), str(run.folder / "objects.npz"), str(out),
               *(name for name in OBJECTS if name in run.selection.objects)]
    command += ["--texts", str(run.texts.resolve())] if run.texts else []
    done = subprocess.run(command, cwd=run.folder, env={**run.variables, "PYTHONPATH": ""}, capture_output=True,
                          text=True)
    if done.returncode:
        raise EngineError(f"same_scene.py failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    found = json.loads(out.read_text())
    run.environment["blender"] = found["blender"]
    return found["cases"]


def all_cases(run: Run, jobs: int) -> None:
    """Fills a run, so many pieces at a time, the longest first."""

    def station(name: str) -> None:
        with run.client(name) as client:
            Station(run, name, client).work()

    def part(name: str, make: Callable[[Run], dict[str, Case]]) -> None:
        run.timed(name, "all", lambda: make(run))

    single = {"blender": blender_cases, "hand": hand_cases, "shell": shell_cases}
    pieces: list[Callable[[], None]] = []
    if run.wants(*(name for name in PARTS if name not in single)):
        pieces += [partial(station, name) for name in OBJECTS if name in run.selection.objects]
    for name, make in single.items():
        if run.wants(name):
            pieces.insert(0 if name == "blender" else len(pieces), partial(part, name, make))
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(piece) for piece in pieces]:
            done.result()


def words_of(kind: type, known: Sequence[Any]) -> Callable[[str], tuple]:
    """What reads a list with commas of words that are known."""

    def read(text: str) -> tuple:
        words = tuple(kind(word) for word in text.split(","))
        wrong = [str(word) for word in words if word not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)} is none of {', '.join(map(str, known))}")
        return words

    return read


def main(arguments: list[str] | None = None) -> int:
    """Writes the hashes, compares them where asked to; 1 where they differ or where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=ROOT, metavar="DIR", help="the repository to run; default: this")
    parser.add_argument("--out", type=Path, metavar="HASHES.json", help="where to write the hashes")
    parser.add_argument("--against", type=Path, metavar="HASHES.json", help="the hashes to compare them with")
    parser.add_argument("--jobs", type=int, default=2, help="pieces of work at a time")
    parser.add_argument("--only", type=words_of(str, PARTS), default=PARTS, metavar="PARTS", help="e.g. raw,shell")
    parser.add_argument("--objects", type=words_of(str, OBJECTS), default=OBJECTS, metavar="NAMES")
    parser.add_argument("--seeds", type=words_of(int, SEEDS), default=SEEDS, metavar="NUMBERS")
    parser.add_argument("--texts", type=Path, metavar="FOLDER", help="for what Blender's hashes are of")
    options = parser.parse_args(arguments)
    if options.against and not options.against.is_file():
        parser.error(f"there is no file {options.against}")
    selection = Selection(options.only, options.objects, options.seeds)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="same_grasps_") as folder:
        run = Run(options.tree.resolve(), Path(folder), selection, options.texts)
        all_cases(run, options.jobs)
    found = {"environment": dict(sorted(run.environment.items())), "cases": dict(sorted(run.cases.items()))}
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    took = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in run.seconds.items())
    print(f"{len(run.cases)} cases in {time.monotonic() - begin:.0f} s ({took})")
    failed = any(name.split("/")[1] == FAILED for name in run.cases)
    if options.against is None:
        return int(failed)
    return compare(found, json.loads(options.against.read_text()), selection) or int(failed)


def compare(now: dict[str, Any], before: dict[str, Any], selection: Selection) -> int:
    """Says what differs in the cases that are selected; 1 where something does."""
    for name in sorted({*now["environment"], *before["environment"]}):
        here, there = (found["environment"].get(name) for found in (now, before))
        if None not in (here, there) and here != there:
            print(f"another  {name}: {here}, before {there}")
    wanted = {name: case for name, case in before["cases"].items() if selection.takes(name)}
    lines = differences(now["cases"], wanted)
    print("\n".join(lines) if lines else f"All {len(wanted)} cases are the same.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
