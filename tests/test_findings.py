"""The findings are listed, pinned and of one form. They run outside CI: they install other packages, Blenders too."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))

PINNED = re.compile(r"[A-Za-z0-9_.-]+==[0-9]+(\.[0-9]+)*(\.post[0-9]+)?")
#: folders of one machine, and addresses of any
PRIVATE = re.compile(r"https?://|pypi|pythonhosted|/(home|root|work|Users|opt|mnt|tmp)/|[A-Z]:\\", re.IGNORECASE)


def head(text: str) -> str:
    """The comment at the top, after the first line, on one line."""
    lines = text.splitlines()[1:]
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.lstrip("# ") for line in lines[:end])


def installed(text: str) -> list[list[str]]:
    """What each call of pip installs; a loop's variable stands for the words that the loop goes through."""
    calls = []
    for line in text.splitlines():
        if "pip" not in line or " install " not in line or line.startswith("#"):
            continue
        words = []
        for word in shlex.split(line.partition(" install ")[2]):
            if word.startswith("$"):
                words += re.search(rf"^for {word[1:]} in (.*); do$", text, re.MULTILINE)[1].split()
            else:
                words.append(word)
        calls.append([word for word in words if not word.startswith("-")])
    return calls


def test_readme_lists_every_finding_and_no_other():
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([a-z0-9-]+)\]\(([a-z0-9-]+)\.sh\) \|", table, re.MULTILINE)
    assert all(name == file for name, file in listed)
    assert sorted(name for name, _ in listed) == [path.stem for path in SCRIPTS]


def test_readme_gives_each_finding_four_cells():
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ["):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 4, line
            assert all(cells), line


def test_findings_folder_holds_scripts_and_a_readme():
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *(path.name for path in SCRIPTS)}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
class TestScript:
    def test_is_bash_in_strict_mode(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert next(line for line in lines if not line.startswith("#")) == "set -euo pipefail"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
    def test_is_executable(self, path):
        assert os.access(path, os.X_OK)

    def test_states_version_expectation_behaviour_and_reason(self, path):
        told = head(path.read_text(encoding="utf-8"))
        places = [told.find(word) for word in ("Expected: ", "Seen: ", "Why it matters: ")]
        assert places[0] > 0
        assert places == sorted(places)
        assert re.search(r"[0-9]+\.[0-9]+\.[0-9]+", told[: places[0]])

    def test_works_in_a_folder_that_it_removes(self, path):
        text = path.read_text(encoding="utf-8")
        assert "folder=$(mktemp -d)\ntrap 'rm -rf \"$folder\"' EXIT\n" in text
        assert re.search(r'"\$\{PYTHON:-python3\.(11|13)\}" -m venv (--clear )?"\$folder/venv"', text)

    def test_pins_every_package(self, path):
        calls = installed(path.read_text(encoding="utf-8"))
        assert calls
        for package in (package for call in calls for package in call):
            assert PINNED.fullmatch(package), package

    def test_fails_with_a_sentence(self, path):
        text = path.read_text(encoding="utf-8")
        assert re.search(r'(SystemExit|sys\.exit)\("Changed: .*\.?"\)', text) or (
            re.search(r'echo "Changed: .*\." >&2\n *exit 1', text)), "no sentence that begins with Changed"

    def test_names_no_machine_and_no_registry(self, path):
        assert not PRIVATE.search(path.read_text(encoding="utf-8"))
