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
    monkeypatch.setattr(environment, "find_python", lambda version: f"python{version[0]}.{version[1]}")
    return ran


PACKAGES = ["torch==2.13.0", "scipy==1.17.1", "ruff==1"]


def test_included_files_are_read_and_comments_are_not(tmp_path):
    (tmp_path / "inner.txt").write_text("torch==2.13.0  # first\nscipy==1.17.1\n")
    (tmp_path / "outer.txt").write_text("# a comment\n-r inner.txt\nruff==1\n")
    assert environment.requirement_lines(tmp_path / "outer.txt") == PACKAGES


def test_without_packages_those_of_the_project_are_installed(commands, tmp_path):
    environment.ready_environment(tmp_path / "venv")
    assert {"torch==2.13.0", environment.pinned("pytest"), environment.pinned("bpy")} <= set(commands[2])


def test_torch_is_installed_first_and_a_second_call_installs_nothing(commands, tmp_path):
    python = environment.ready_environment(tmp_path / "venv", PACKAGES)
    venv, torch, rest = commands
    assert venv[:3] == ["python3.11", "-m", "venv"]
    assert torch[0] == str(python)
    assert torch[-2:] == ["--disable-pip-version-check", "torch==2.13.0"]
    assert rest[-3:] == PACKAGES
    assert environment.ready_environment(tmp_path / "venv", PACKAGES) == python
    assert len(commands) == 3


def test_packages_without_torch_are_one_call_of_the_wanted_python(commands, tmp_path):
    environment.ready_environment(tmp_path / "venv", ["bpy==5.3.0"], (3, 13))
    venv, bpy = commands
    assert venv[0] == "python3.13"
    assert bpy[-1] == "bpy==5.3.0"


def test_a_change_of_the_requirements_installs_again(commands, tmp_path):
    environment.ready_environment(tmp_path / "venv", PACKAGES)
    changed = ["torch==2.14.0", *PACKAGES[1:]]
    environment.ready_environment(tmp_path / "venv", changed)
    assert [command[-1] for command in commands[3:]] == ["torch==2.14.0", "ruff==1"]


def test_a_failed_install_is_not_taken_for_a_finished_one(commands, tmp_path, monkeypatch):
    recorded = environment.run

    def fail(command, complaint):
        recorded(command, complaint)
        if "ruff==1" in command:
            sys.exit(complaint)

    monkeypatch.setattr(environment, "run", fail)
    with pytest.raises(SystemExit, match="pip could not install"):
        environment.ready_environment(tmp_path / "venv", PACKAGES)
    monkeypatch.setattr(environment, "run", recorded)
    environment.ready_environment(tmp_path / "venv", PACKAGES)
    assert len(commands) == 5  # pip twice more


def fake_python(path, version):
    """An executable that answers as a Python of this version does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{version} {path}'\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No Python on the PATH, and pyenv's folder an empty one."""
    if sys.platform == "win32":
        pytest.skip("the made-up Pythons are shell scripts")
    environment.find_python.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    yield tmp_path
    environment.find_python.cache_clear()


def test_this_interpreter_is_the_first_to_be_taken(elsewhere):
    assert environment.find_python(sys.version_info[:2]) == sys.executable


def test_a_python_is_found_on_the_path_before_pyenvs(elsewhere):
    fake_python(elsewhere / "pyenv/versions/3.99.2/bin/python", (3, 99))
    on_path = fake_python(elsewhere / "path/python3.99", (3, 99))
    assert environment.find_python((3, 99)) == on_path


def test_behind_a_shim_without_a_version_the_newest_of_pyenv_is_found(elsewhere):
    fake_python(elsewhere / "path/python3.99", None)
    fake_python(elsewhere / "pyenv/versions/3.99.2/bin/python", (3, 99))
    newest = fake_python(elsewhere / "pyenv/versions/3.99.10/bin/python", (3, 99))
    fake_python(elsewhere / "pyenv/versions/3.98.11/bin/python", (3, 98))
    assert environment.find_python((3, 99)) == newest


def test_windows_launcher_is_asked(elsewhere):
    launched = elsewhere / "path" / "py"
    fake_python(launched, (3, 99))
    assert environment.find_python((3, 99)) == str(launched)


def test_a_missing_python_gets_a_sentence(elsewhere):
    with pytest.raises(SystemExit, match=r"needs python3\.99"):
        environment.find_python((3, 99))
