"""The door for a shell: `python -m core methods`, `generate`, `fit`, `evaluate` and `weights`."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.files import save_text
from core.progress import Progress
from core.registry import METHODS
from core.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS: Final = ("paper", "strict", "truth")


class Lines:
    """Says a line every fiftieth part, for a program that reads them."""

    def __init__(self) -> None:
        self._said = -1

    def report(self, fraction: float, stage: str) -> None:
        if int(50 * fraction) != self._said:
            self._said = int(50 * fraction)
            print(f"{100 * fraction:.0f} % {stage}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Nothing: each line has its end."""


class Line:
    """Shows one line on a terminal and nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def report(self, fraction: float, stage: str) -> None:
        if self._shown:
            print(f"\r{100 * fraction:3.0f} %  {stage:60.60}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r" + " " * 70 + "\r", end="", file=sys.stderr)


@contextmanager
def shown(display: Lines | Line) -> Iterator[Progress]:
    """A progress that the display shows; its line is ended whatever happens."""
    try:
        yield Progress(display.report)
    finally:
        display.end()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m core", description="Grasps for a mesh, without Blender.")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("methods", help="what can propose grasps")
    generate = commands.add_parser("generate", help="propose grasps for a mesh and write them to a file")
    generate.add_argument("mesh", type=Path, metavar="MESH", help="obj, ply, stl, glb or what else trimesh reads")
    generate.add_argument("--method", default="synthesis", metavar="NAME", help="see `methods`")
    generate.add_argument("--count", type=int, default=16, help="how many grasps")
    generate.add_argument("--seed", type=int, default=0, help="another gives others")
    generate.add_argument("--hand", choices=("right", "left"), default="right")
    generate.add_argument("--hand-file", type=Path, metavar="FILE", help="your own MANO_RIGHT or MANO_LEFT")
    how = generate.add_mutually_exclusive_group()
    how.add_argument("--no-fit", action="store_true", help="leave the proposals as they are (synthesis needs no fit)")
    how.add_argument("--raw", action="store_true", help="the first grasps as the generator gives them, not chosen")
    generate.add_argument("--intent", default="any", help="any, use, hold, handover or lift")
    generate.add_argument("--type", default="any", help="a grasp type, such as medium_wrap")
    generate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    generate.add_argument("--unit", choices=tuple(UNITS), default="m", help="of the mesh's numbers")
    generate.add_argument("--out", type=Path, required=True, metavar="GRASPS.npz")
    fit = commands.add_parser("fit", help="lay the hands of a file of grasps on the mesh's surface")
    fit.add_argument("mesh", type=Path, metavar="MESH")
    fit.add_argument("grasps", type=Path, metavar="GRASPS.npz", help="what `generate` wrote, or a file like it")
    fit.add_argument("--unit", choices=tuple(UNITS), help="of the mesh's numbers, where the file does not say it")
    fit.add_argument("--hand", choices=("right", "left"), help="which hand, where the file does not say it")
    fit.add_argument("--hand-file", type=Path, metavar="FILE", help="the hand, where it is not the embedded one")
    refining = " or ".join(name for name, method in METHODS.items() if method.refines)
    fit.add_argument("--method", default="fit", metavar="NAME",
                     help=f"{refining} refines rough hands first; left out, they are fitted as they are")
    fit.add_argument("--seed", type=int, default=0, help="of that method")
    fit.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                     help="of that method: the fit itself computes on the processor")
    fit.add_argument("--out", type=Path, required=True, metavar="GRASPS.npz")
    evaluate = commands.add_parser("evaluate", help="measure grasps of a mesh by the papers' and the strict protocol")
    evaluate.add_argument("mesh", type=Path, metavar="MESH")
    evaluate.add_argument("grasps", type=Path, metavar="GRASPS.npz")
    evaluate.add_argument("--protocol", choices=("paper", "strict", "both"), default="both")
    evaluate.add_argument("--truth", type=Path, metavar="TRUTH.npz",
                          help="for each grasp the true one: joint errors and contact scores against it")
    evaluate.add_argument("--unit", choices=tuple(UNITS), help="of the mesh's numbers, where the file does not say it")
    evaluate.add_argument("--hand", choices=("right", "left"), help="which hand, where the file does not say it")
    evaluate.add_argument("--hand-file", type=Path, metavar="FILE", help="the hand, where it is not the embedded one")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures there instead of a table")
    weights = commands.add_parser("weights", help="which trained weights there are, and fetching others")
    what = weights.add_subparsers(dest="what", required=True)
    what.add_parser("list", help="name, size, whether they are here and whole, where the hub has them, their card")
    fetch = what.add_parser("fetch", help="fetch weights from a repository on the Hugging Face hub")
    fetch.add_argument("name", metavar="NAME", help="see `weights list`, or what the repository's index.json names")
    fetch.add_argument("--repo", metavar="OWNER/NAME", help="from there instead of where the index says")
    fetch.add_argument("--revision", metavar="COMMIT", help="its whole hash, 40 digits")
    fetch.add_argument("--cache", type=Path, metavar="DIR", help="where what was begun is kept, to go on from")
    fetch.add_argument("--lines", action="store_true", help="progress in lines, for a program that reads them")
    return top


def weights(options: argparse.Namespace) -> None:
    """Lists weights, or fetches them and says where they are; raises what `main` turns into a sentence."""
    if options.what == "list":
        list_weights()
        return
    from core.hub import fetch_weights

    with shown(Lines() if options.lines else Line()) as progress:
        path = fetch_weights(options.name, options.repo, options.revision, options.cache, progress)
    print(path)


def list_weights() -> None:
    from core.weights import all_weights

    found = all_weights()
    width = max((len(item.name) for item in found), default=0)
    for item in found:
        hub = item.entry.get("hub")
        place = f"{hub['repo']} at {hub['revision'][:12]}" if hub else "no place on the hub"
        print(f"{item.name:{width}}  {item.entry['bytes'] / 1e6:6.1f} MB  {item.state:8}  {place}  {item.card}")
    if not found:
        print("There are no weights in this installation.")


def methods() -> None:
    width = max(map(len, METHODS))
    for method in METHODS.values():
        print(f"{method.name:{width}}  {method.summary}\n{'':{width}}  {method.good_for}")


def generate(options: argparse.Namespace) -> None:
    """Writes the grasps' file; raises what `main` turns into a sentence."""
    from core.grasps.request import GraspRequest
    from core.grasps.storage import write_grasps
    from core.hand import load_hand
    from core.objects import load_mesh, prepare_object
    from core.parallel import choose_device, use_few_threads
    from core.pipeline.generate import check_request, propose, told_intent

    use_few_threads()
    check_request(options.method, options.count, options.type, options.intent)
    check_seed(options.seed)
    check_out(options.out)
    device = choose_device(options.device)
    with shown(Line()) as progress:
        hand = load_hand(options.hand_file, options.hand)
        obj = prepare_object(*load_mesh(options.mesh, options.unit), progress=progress)
        request = GraspRequest(obj, hand, options.count, options.type, options.intent)
        grasps = propose(request, options.method, options.seed, progress, device, options.raw,
                         fit=not options.no_fit)
    if len(grasps) == 0:
        raise LookupError("no hand could be closed on it well enough: " + (
            "it is a surface without thickness, so give it one (in Blender: a Solidify modifier), try another method, "
            "and check --unit" if obj.shell else "try another type or seed, and check --unit"))
    write_grasps(options.out, hand, obj, grasps, options.unit)
    if told := told_intent(request, grasps):
        print(f"{options.mesh.name}: {told}.", file=sys.stderr)


def fit(options: argparse.Namespace) -> None:
    """Writes the fitted grasps' file; raises what `main` turns into a sentence."""
    from core.grasps.storage import read_grasps, write_grasps
    from core.hand import load_hand
    from core.objects import load_mesh, prepare_object
    from core.parallel import choose_device, use_few_threads
    from core.pipeline.fit_each import fit_each
    from core.pipeline.refine import check_refiner

    use_few_threads()
    check_seed(options.seed)
    check_out(options.out)
    check_refiner(options.method)
    device = choose_device(options.device)
    stored = read_grasps(options.grasps, options.hand, options.unit)
    if not len(stored.grasps):
        raise ValueError(f"{options.grasps.name} holds no grasps to fit.")
    with shown(Line()) as progress:
        hand = load_hand(options.hand_file, stored.grasps.hand)
        obj = prepare_object(*load_mesh(options.mesh, stored.unit), progress=progress)
        fitted = fit_each(obj, hand, stored.on(obj), progress, options.method, options.seed, device)
    write_grasps(options.out, hand, obj, fitted, stored.unit)


def evaluate(options: argparse.Namespace) -> None:
    """Prints a table, or writes it as JSON; raises what `main` turns into a sentence."""
    import json

    from core.grasps.storage import read_grasps
    from core.hand import load_hand
    from core.metrics.evaluate import check_truth
    from core.metrics.evaluate import evaluate as measure
    from core.objects import cached_object, load_mesh
    from core.parallel import use_few_threads

    use_few_threads()
    stored = read_grasps(options.grasps, options.hand, options.unit)
    true = None if options.truth is None else read_grasps(options.truth, options.hand, options.unit)
    if options.json is not None and options.json.is_dir():
        raise ValueError(f"--json {options.json} is a folder: name a file in it.")
    if options.json is not None and not options.json.parent.is_dir():
        raise ValueError(f"There is no folder {options.json.parent} to write {options.json.name} into: make it first.")
    with shown(Line()) as progress:
        hand = load_hand(options.hand_file, stored.grasps.hand)
        if true is not None:
            check_truth(hand, stored.grasps, true.grasps)
        obj = cached_object(*load_mesh(options.mesh, stored.unit), any_size=True, progress=progress.sub(0.0, 0.2))
        grasps, truth = stored.on(obj), None if true is None else true.on(obj)
        found = measure(obj, hand, grasps, options.protocol, progress.sub(0.2, 1.0), truth)
    figures = {"mesh": options.mesh.name, "method": grasps.method, "seed": grasps.seed, "count": found.count,
               **{name: values for name in PROTOCOLS if (values := getattr(found, name))}}
    if options.json is not None:
        save_text(options.json, json.dumps(figures, indent=1) + "\n")
        return
    print(f"{options.mesh.name}: {found.count} grasps of {grasps.method}, seed {grasps.seed}")
    for protocol in PROTOCOLS:
        for name, value in figures.get(protocol, {}).items():
            print(f"{protocol:7} {name:28} {value:.4g}")


def check_seed(seed: int) -> None:
    """ValueError before any work, where no generator of random numbers takes the seed."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"--seed is a whole number from 0, below 2**63, not {seed}.")


def check_out(path: Path) -> None:
    """ValueError before any work, where the file could not be written after it."""
    if path.suffix != ".npz":
        raise ValueError(f"--out is a file that ends in .npz, not {path}.")
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} to write {path.name} into: make it first.")


def said_in_a_shell(error: Exception, options: argparse.Namespace) -> str:
    """What is wrong, with the options that mend it instead of Blender's buttons."""
    from core.objects.errors import UngraspableSizeError
    from core.worker import sentence_of

    if isinstance(error, UngraspableSizeError):
        return f"{options.mesh.name}: {error.measured} Check --unit, the unit of its numbers, or scale the mesh."
    name = f"{options.mesh.name}: " if isinstance(error, LookupError) and "mesh" in options else ""
    return name + sentence_of(error)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0, or a message on stderr and 1 (2 for a command line that cannot be read)."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "methods":
            methods()
        elif options.command == "evaluate":
            evaluate(options)
        elif options.command == "fit":
            fit(options)
        elif options.command == "weights":
            weights(options)
        else:
            generate(options)
    except KeyboardInterrupt:
        print("Stopped; nothing was written." if options.command != "weights" else
              "Stopped; what has come is kept, to go on from.", file=sys.stderr)
        return 130
    except (ValueError, OSError, LookupError, MemoryError, RuntimeError, ImportError) as error:
        from core.worker import is_out_of_memory

        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise  # a fault of the program's own: its traceback is for a report
        print(said_in_a_shell(error, options), file=sys.stderr)
        return 1
    return 0
