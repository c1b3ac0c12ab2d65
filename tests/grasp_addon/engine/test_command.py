"""Which command starts the engine: what may stand in the preferences, and what is a sentence."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from grasp_addon.engine import command
from grasp_addon.errors import GraspError


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(source="COMMAND", command="", python="", hand_file="")
    monkeypatch.setattr(command, "preferences", lambda _context: made)
    return made


@pytest.mark.parametrize("line, words", [
    ('"C:\\Program Files\\engine\\python.exe" -m core.worker', ["C:\\Program Files\\engine\\python.exe", "-m",
                                                                "core.worker"]),
    ("C:\\engine\\python.exe -m core.worker", ["C:\\engine\\python.exe", "-m", "core.worker"]),
    ("'C:\\my engine\\new\\python.exe'", ["C:\\my engine\\new\\python.exe"]),
    ("\\\\server\\engines\\python.exe -m core.worker", ["\\\\server\\engines\\python.exe", "-m", "core.worker"]),
    ("/opt/engine/python -c '# no comment' \"two words\"", ["/opt/engine/python", "-c", "# no comment", "two words"]),
])
def test_a_command_is_read_as_it_is_written(chosen: SimpleNamespace, line: str, words: list[str]) -> None:
    chosen.command = line
    assert command.engine_command(bpy.context) == (words, {})


@pytest.mark.skipif(os.name == "nt", reason="there a backslash is a letter like others")
def test_elsewhere_a_backslash_keeps_a_blank_in_a_word(chosen: SimpleNamespace) -> None:
    chosen.command = "/my\\ engine/python -m core.worker"
    assert command.engine_command(bpy.context)[0][0] == "/my engine/python"


@pytest.mark.parametrize("line, sentence", [
    ('ssh host "python -m core.worker', "no second half"), ("ssh 'host", "no second half"),
    ("''", "names no program"), ("./engine/start", "whole path"), ("engine/start", "whole path"),
    ("//engine", "cannot be started"), ("a-program-nobody-has -m core.worker", "no program a-program-nobody-has"),
])
def test_a_command_that_cannot_be_is_a_sentence(chosen: SimpleNamespace, line: str, sentence: str) -> None:
    chosen.command = line
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.grasp.check_engine()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.grasp.add_hand()


@pytest.mark.skipif(os.name == "nt", reason="a program without an ending is none there")
def test_a_program_is_never_looked_for_in_blenders_folder(chosen: SimpleNamespace, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "engine").write_text("#!/bin/sh\n")
        (tmp_path / folder / "engine").chmod(0o755)
    monkeypatch.chdir(tmp_path / "here")
    chosen.command = "engine --fast"
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}{tmp_path / 'there'}")
    assert command.engine_command(bpy.context)[0] == [str(tmp_path / "there" / "engine"), "--fast"]
    monkeypatch.setenv("PATH", f".{os.pathsep}")
    with pytest.raises(GraspError, match="no program engine"):
        command.engine_command(bpy.context)


@pytest.mark.parametrize("python", ["//engine/python", "//python", "engine/python", "./python"])
def test_a_python_beside_the_opened_file_is_refused(chosen: SimpleNamespace, tmp_path: Path, python: str) -> None:
    """A file from elsewhere, and with it a program of the name that is looked for."""
    for path in (tmp_path / "engine" / "python", tmp_path / "python"):
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(sys.executable)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    chosen.source, chosen.python = "PYTHON", python
    assert not command.has_engine(bpy.context)
    with pytest.raises(GraspError, match=r"whole path|is not there"):
        command.engine_command(bpy.context)


def test_modules_in_the_current_folder_are_not_the_engines(chosen: SimpleNamespace) -> None:
    chosen.source, chosen.python = "PYTHON", sys.executable
    _, variables = command.engine_command(bpy.context)
    assert variables["PYTHONSAFEPATH"] == "1"
    assert os.path.isabs(variables["PYTHONPATH"])
