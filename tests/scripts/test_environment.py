"""The environment the commands make: what is installed, in which order, and when nothing is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import environment


@pytest.fixture
def commands(monkeypatch):
    """What would be run; venv is told by a Python that appears."""
    ran = []

    def run(command, _complaint):
        ran.append(list(command))
        if "venv" in command:
            python = environment.environment_python(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(environment, "run", run)
    monkeypatch.setattr(environment, "find_python", lambda: "python3.11")
    return ran


@pytest.fixture
def requirements(tmp_path):
    (tmp_path / "inner.txt").write_text("torch==2.13.0  # first\nscipy==1.17.1\n")
    (tmp_path / "outer.txt").write_text("# a comment\n-r inner.txt\nruff==1\n")
    return tmp_path / "outer.txt"


def test_included_files_are_read_and_comments_are_not(requirements):
    assert environment.requirement_lines(requirements) == ["torch==2.13.0", "scipy==1.17.1", "ruff==1"]


def test_torch_is_installed_first_and_a_second_call_installs_nothing(commands, requirements, tmp_path):
    python = environment.ready_environment(tmp_path / "venv", requirements)
    venv, torch, rest = commands
    assert venv[:3] == ["python3.11", "-m", "venv"]
    assert torch[0] == str(python)
    assert torch[-1] == "torch==2.13.0"
    assert rest[-2:] == ["--requirement", str(requirements)]
    assert environment.ready_environment(tmp_path / "venv", requirements) == python
    assert len(commands) == 3


def test_a_change_of_the_requirements_installs_again(commands, requirements, tmp_path):
    environment.ready_environment(tmp_path / "venv", requirements)
    (tmp_path / "inner.txt").write_text("torch==2.14.0\n")
    environment.ready_environment(tmp_path / "venv", requirements)
    assert [command[-1] for command in commands[3:]] == ["torch==2.14.0", str(requirements)]


def test_a_failed_install_is_not_taken_for_a_finished_one(commands, requirements, tmp_path, monkeypatch):
    recorded = environment.run

    def fail(command, complaint):
        recorded(command, complaint)
        if "--requirement" in command:
            sys.exit(complaint)

    monkeypatch.setattr(environment, "run", fail)
    with pytest.raises(SystemExit, match="pip could not install"):
        environment.ready_environment(tmp_path / "venv", requirements)
    monkeypatch.setattr(environment, "run", recorded)
    environment.ready_environment(tmp_path / "venv", requirements)
    assert len(commands) == 5  # pip twice more


def test_another_python_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(environment.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match=r"needs python3\.11"):
        environment.find_python()
