"""Ten thousand meshes as they should not be: each is prepared or refused in a sentence, within ten processor seconds.

    python scripts/fuzz_meshes.py [--count 10000] [--seed 0] [--first 0] [--out FILE.jsonl]
    python scripts/fuzz_meshes.py --out FILE.jsonl --again      what did not hold in that file, once more

A mesh is its number and the seed. They are prepared in a process of their own, which is started anew where one ends it.
--out keeps a line for each mesh, and goes on where it ended. The last line counts; the exit status is 1 where a mesh
ended the process, gave an error that is no sentence, numbers that are none, or took longer.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts import ROOT

Mesh = tuple[np.ndarray, np.ndarray]

#: processor seconds that a mesh may take
LIMIT: Final = 10.0
#: seconds without an answer after which the process is ended: it may be one of many on a machine
SILENT: Final = 600.0
#: of an answer: what is as it should be
GOOD: Final = ("prepared", "sentence")


def ball(rng: np.random.Generator) -> Mesh:
    """A ball, a ring, a box or a can: what the kinds damage."""
    import trimesh

    size = float(rng.uniform(0.02, 0.12))
    made = (
        lambda: trimesh.creation.icosphere(int(rng.integers(1, 5)), size / 2),
        lambda: trimesh.creation.torus(size / 2, size / 8, major_sections=int(rng.integers(5, 60)),
                                       minor_sections=int(rng.integers(4, 24))),
        lambda: trimesh.creation.box(rng.uniform(0.2, 1, 3) * size).subdivide(),
        lambda: trimesh.creation.cylinder(size / 4, size, sections=int(rng.integers(3, 64))),
    )
    mesh = made[int(rng.integers(len(made)))]()
    return np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)


def joined(parts: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    return (np.concatenate([vertices for vertices, _ in parts]),
            np.concatenate([faces + start for (_, faces), start in zip(parts, starts, strict=True)]))


def many(rng: np.random.Generator, most: int) -> int:
    """A number up to `most`, small ones as often as large ones."""
    return int(np.exp(rng.uniform(0, np.log(most))))


def soup(rng: np.random.Generator) -> Mesh:
    count = many(rng, 3000)
    vertices = rng.normal(size=(count, 1, 3)) * 0.03 + rng.normal(size=(count, 3, 3)) * rng.choice([0.001, 0.01, 0.05])
    return vertices.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


def shared_soup(rng: np.random.Generator) -> Mesh:
    count = many(rng, 3000)
    return rng.normal(size=(count + 3, 3)) * 0.03, rng.integers(0, count + 3, (many(rng, 20000), 3))


def flipped(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    some = rng.random(len(faces)) < rng.random()
    faces[some] = faces[some][:, ::-1]
    return vertices, faces


def doubled(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    more = faces[rng.integers(0, len(faces), many(rng, 4000))]
    return vertices, np.concatenate([faces, np.roll(more, int(rng.integers(3)), axis=1)])


def degenerate(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    some = rng.random(len(faces)) < rng.random()
    faces[some, 1] = faces[some, int(rng.integers(3))]
    return vertices, faces


def not_finite(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    count = many(rng, len(vertices))
    vertices[rng.integers(0, len(vertices), count), rng.integers(3)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
    return vertices, faces


def scaled(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return vertices * 10.0 ** rng.uniform(-12, 12), faces


def stretched(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return vertices * 10.0 ** rng.uniform(-6, 2, 3), faces


def far_away(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return vertices + rng.normal(size=3) * 10.0 ** rng.uniform(0, 9), faces


def spiked(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    some = rng.integers(0, len(vertices), many(rng, 50))
    vertices[some] *= 10.0 ** rng.uniform(0, 3, (len(some), 1))
    return vertices, faces


def opened(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    kept = vertices[faces].mean(1) @ rng.normal(size=3) < rng.normal() * 0.02
    return vertices, faces[kept] if kept.any() else faces[:1]


def torn(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    kept = rng.random(len(faces)) < rng.uniform(0.02, 0.98)
    return vertices, faces[kept] if kept.any() else faces[:1]


def pieces(rng: np.random.Generator) -> Mesh:
    one = ball(rng)
    count = min(many(rng, 2500), max(1, 60000 // len(one[1])))
    return joined([(one[0] * rng.uniform(0.02, 0.5) + rng.normal(size=3) * 0.04, one[1]) for _ in range(count)])


def nested(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return joined([(vertices * share, faces if rng.random() < 0.5 else faces[:, ::-1])
                   for share in np.linspace(1, 0.1, many(rng, 12))])


def non_manifold(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    edges = faces[rng.integers(0, len(faces), many(rng, 500))][:, :2]
    tips = rng.normal(size=(len(edges), 3)) * 0.03
    fins = np.column_stack([edges, len(vertices) + np.arange(len(edges))])
    return np.concatenate([vertices, tips]), np.concatenate([faces, fins])


def crossing(rng: np.random.Generator) -> Mesh:
    parts = [ball(rng) for _ in range(many(rng, 8))]
    return joined([(vertices + rng.normal(size=3) * 0.01, faces) for vertices, faces in parts])


def crumpled(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return vertices * (1 + rng.normal(size=(len(vertices), 1)) * 10.0 ** rng.uniform(-4, 0.3)), faces


def shuffled(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    return rng.permutation(vertices), faces


def no_faces(rng: np.random.Generator) -> Mesh:
    vertices, _ = ball(rng)
    shapes = ((0, 3), (0, 4), (0,), (5, 2), (3,), (2, 3, 3))
    return vertices[: int(rng.integers(0, 3)) or None], np.zeros(shapes[int(rng.integers(len(shapes)))], np.int64)


def wrong_places(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    faces[rng.integers(0, len(faces)), rng.integers(3)] = rng.choice([-1, -2**40, len(vertices), 2**31, 2**62])
    return vertices, faces


def fans(rng: np.random.Generator) -> Mesh:
    """Polygons of many corners, hollow ones among them, cut into fans as exporters do."""
    parts = []
    for _ in range(many(rng, 40)):
        corners = int(rng.integers(3, 60))
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
        flat = np.stack([np.cos(turn), np.sin(turn), 0.1 * rng.normal(size=corners)], 1)
        flat *= rng.uniform(0.1, 1, (corners, 1)) * 0.04
        places = np.arange(1, corners - 1)
        parts.append((flat @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + rng.normal(size=3) * 0.02,
                      np.column_stack([0 * places, places, places + 1])))
    return joined(parts)


def few(rng: np.random.Generator) -> Mesh:
    count = int(rng.integers(1, 6))
    return rng.normal(size=(count + 2, 3)) * 0.03, np.arange(count)[:, None] + np.arange(3)


def in_a_plane(rng: np.random.Generator) -> Mesh:
    count = many(rng, 3000) + 2
    vertices = rng.normal(size=(count, 3)) * 0.05
    vertices[:, 2] = rng.choice([0.0, 1.0]) * 1e-9 * rng.normal(size=count)
    return vertices, rng.integers(0, count, (many(rng, 6000), 3))


def needles(rng: np.random.Generator) -> Mesh:
    count = many(rng, 1500)
    along = rng.normal(size=(count, 1, 3))
    vertices = rng.normal(size=(count, 1, 3)) * 0.03 + along * np.array([0, 0.05, 0.1])[:, None]
    vertices = vertices + rng.normal(size=(count, 3, 3)) * 10.0 ** rng.uniform(-12, -4)
    return vertices.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


def welded_nearly(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    apart = vertices[faces].reshape(-1, 3)
    return apart + rng.normal(size=apart.shape) * 10.0 ** rng.uniform(-12, -4), np.arange(len(apart)).reshape(-1, 3)


def other_numbers(rng: np.random.Generator) -> Mesh:
    vertices, faces = ball(rng)
    kinds: tuple[Callable[[], tuple[Any, Any]], ...] = (
        lambda: (vertices.astype(np.float16), faces.astype(np.int16)),
        lambda: (vertices.astype(np.float32), faces.astype(np.uint32)),
        lambda: (np.round(vertices * 100).astype(np.int64), faces.astype(float)),
        lambda: (vertices[:, :2], faces),
        lambda: (vertices.ravel(), faces),
        lambda: (vertices, np.column_stack([faces, faces[:, 0]])),
        lambda: (np.zeros((0, 3)), faces),
        lambda: (np.zeros_like(vertices), faces),
    )
    return kinds[int(rng.integers(len(kinds)))]()


def rough_dense(rng: np.random.Generator) -> Mesh:
    import trimesh

    mesh = trimesh.creation.icosphere(int(rng.integers(4, 7)), 0.05)
    vertices = np.array(mesh.vertices) * (1 + rng.normal(size=(len(mesh.vertices), 1)) * rng.uniform(0, 0.05))
    return vertices, np.array(mesh.faces)


KINDS: Final = (
    soup, shared_soup, flipped, doubled, degenerate, not_finite, scaled, stretched, far_away, spiked, opened, torn,
    pieces, nested, non_manifold, crossing, crumpled, shuffled, no_faces, wrong_places, fans, few, in_a_plane, needles,
    welded_nearly, other_numbers, rough_dense,
)


def mesh_of(number: int, seed: int) -> tuple[str, Mesh]:
    """The name of the kind, and the mesh, of a number."""
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, kind(np.random.default_rng([seed, number]))


def outcome(vertices: np.ndarray, faces: np.ndarray) -> tuple[str, str]:
    """What a mesh comes to: "prepared", "sentence", or what is wrong with how it ended; and the words of it."""
    from core.objects import ObjectError, prepare_object
    from core.progress import Progress, Stopped

    begin = time.process_time()
    try:
        obj = prepare_object(vertices, faces, progress=Progress(lambda *_: time.process_time() - begin < 1.5 * LIMIT))
    except ObjectError as error:
        words = str(error)
        whole = words.endswith(".") and len(words) < 400 and "nan" not in words.lower().split()
        return ("sentence" if whole else "no sentence"), words
    except Stopped:
        return "too long", ""
    except Exception as error:
        return "raw error", f"{type(error).__name__}: {error}"
    numbers = {"vertices": obj.vertices, "points": obj.points, "normals": obj.normals, "thickness": obj.thickness,
               "grid": obj.grid.values, "grid's place": obj.grid.origin}
    for name, values in numbers.items():
        if not bool(values.isfinite().all()):
            return "not finite", name
    if not np.isfinite([obj.area, obj.volume, obj.grid.spacing, *obj.centroid]).all() or obj.area <= 0:
        return "not finite", "area, volume, spacing or centroid"
    if float((obj.normals.norm(dim=1) - 1).abs().max()) > 1e-3:
        return "not finite", "a normal's length is not one"
    return "prepared", f"{len(obj.faces)} faces"


def record(number: int, seed: int) -> dict[str, Any]:
    """One mesh's line."""
    kind, (vertices, faces) = mesh_of(number, seed)
    begin = time.process_time()
    what, words = outcome(vertices, faces)
    seconds = time.process_time() - begin
    if what in GOOD and seconds > LIMIT:
        what = "too long"
    return {"number": number, "seed": seed, "kind": kind, "faces": len(faces), "what": what, "words": words,
            "seconds": round(seconds, 2)}


def serve() -> None:
    """The process that prepares: a line with number and seed in, a line of JSON out."""
    from core.parallel import use_few_threads

    use_few_threads()
    for line in sys.stdin:
        number, seed = map(int, line.split())
        print(json.dumps(record(number, seed)), flush=True)


def watched(wanted: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """The lines of meshes by number and seed, from a process of their own that is started anew where it ends."""
    process: subprocess.Popen[str] | None = None
    try:
        for number, seed in wanted:
            if process is None:
                process = subprocess.Popen([sys.executable, __file__, "--serve"], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True, cwd=ROOT)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{number} {seed}\n")
            process.stdin.flush()
            answer = process.stdout.readline() if select.select([process.stdout], [], [], SILENT)[0] else ""
            if answer:
                yield json.loads(answer)
                continue
            process.kill()
            yield {"number": number, "seed": seed, "kind": mesh_of(number, seed)[0], "what": "ended the process",
                   "words": f"status {process.wait()}", "seconds": 0.0}
            process = None
    finally:
        if process is not None:
            process.kill()
            process.wait()


def read_lines(path: Path | None) -> dict[int, dict[str, Any]]:
    """The last line of each mesh in a file of an earlier run, by its number."""
    if path is None or not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["number"]: line for line in lines}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        serve()
        return 0
    known = read_lines(args.out)
    if args.again:
        wanted = [(line["number"], line["seed"]) for line in known.values() if line["what"] not in GOOD]
    else:
        wanted = [(number, args.seed) for number in range(args.first, args.first + args.count) if number not in known]
    for line in watched(wanted):
        known[line["number"]] = line
        if line["what"] not in GOOD:
            print(json.dumps(line), flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    counts = Counter(line["what"] for line in known.values())
    slowest = max(known.values(), key=lambda line: line["seconds"], default={})
    print(json.dumps({"meshes": len(known), **counts, "slowest": slowest.get("seconds"), "of": slowest.get("number")}))
    return int(any(line["what"] not in GOOD for line in known.values()))


if __name__ == "__main__":
    raise SystemExit(main())
