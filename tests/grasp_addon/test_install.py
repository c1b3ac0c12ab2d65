"""Installing an engine: whole, broken, stopped, gone on with. No package is fetched here."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpy
import pytest

from grasp_addon.engine import install, install_panel
from grasp_addon.engine.install import Installation, Step, engine_python, installation_steps, read_state, remove_engine
from grasp_addon.errors import GraspError


def step(title, code):
    return Step(title, (sys.executable, "-c", code))


def make_python(folder):
    python = str(engine_python(folder))
    return step("Making an environment", f"import pathlib; p = pathlib.Path({python!r}); "
                "p.parent.mkdir(parents=True, exist_ok=True); p.touch()")


def finished(folder, steps, gigabytes=0.0):
    installation = Installation(folder, steps, gigabytes)
    installation.wait(30)
    assert installation.done
    return installation


def test_nothing_is_there_before(tmp_path):
    assert read_state(tmp_path / "engine").state == "none"


def test_a_whole_installation_is_ready_and_keeps_its_log(tmp_path):
    done = finished(tmp_path, [make_python(tmp_path), step("Two", "print('hello from pip')")])
    assert (done.state.state, done.fraction) == ("ready", 1.0)
    assert read_state(tmp_path).state == "ready"
    assert "hello from pip" in (tmp_path / install.LOG).read_text()


def test_a_broken_step_says_which_and_why_and_the_rest_is_not_run(tmp_path):
    steps = [make_python(tmp_path), step("Installing PyTorch", "import sys; sys.exit('no such wheel')"),
             step("Three", f"open({str(tmp_path / 'three')!r}, 'w')")]
    assert finished(tmp_path, steps).state.state == "failed"
    assert read_state(tmp_path).reason == "Installing PyTorch failed: no such wheel"
    assert not (tmp_path / "three").exists()
    assert finished(tmp_path, [steps[0]]).state.state == "ready"


def test_stopping_stops_and_is_no_failure(tmp_path):
    installation = Installation(tmp_path, [step("Long", "import time; print('on', flush=True); time.sleep(60)")], 0)
    while "on" not in installation.lines:
        time.sleep(0.01)
    start = time.monotonic()
    installation.cancel()
    installation.wait(5)
    assert time.monotonic() - start < 2
    assert read_state(tmp_path).state == "cancelled"


def test_a_crash_in_the_middle_is_not_taken_for_ready(tmp_path):
    (tmp_path / install.STATE).write_text('{"state": "installing", "reason": ""}')
    assert read_state(tmp_path).state == "failed"
    (tmp_path / install.STATE).write_text('{"state": "rea')
    assert read_state(tmp_path).state == "failed"


def test_an_engine_deleted_by_hand_is_not_ready(tmp_path):
    finished(tmp_path, [make_python(tmp_path)])
    engine_python(tmp_path).unlink()
    assert "gone" in read_state(tmp_path).reason


def test_a_full_disk_is_a_sentence_before_anything_is_fetched(tmp_path):
    with pytest.raises(GraspError, match="make room"):
        Installation(tmp_path, [step("One", "pass")], 1e9)
    assert read_state(tmp_path).state == "none"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GraspError, match="cannot be written"):
        Installation(tmp_path / "file" / "engine", [step("One", "pass")], 0)


def test_a_program_that_is_not_there_is_a_failure(tmp_path):
    done = finished(tmp_path, [Step("Making an environment", ("/no/such/python",))])
    assert done.state.state == "failed"
    assert "Making an environment failed" in done.state.reason


def test_deleting_leaves_what_is_not_ours(tmp_path):
    finished(tmp_path, [make_python(tmp_path)])
    (tmp_path / "notes.txt").write_text("mine")
    remove_engine(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_steps_make_install_and_try(tmp_path):
    steps = installation_steps("python", tmp_path, install_panel.ROOT, "cpu")
    own = str(engine_python(tmp_path))
    assert steps[0].command == ("python", "-m", "venv", str(tmp_path / "env"))
    assert all(entry.command[0] == own for entry in steps[1:])
    assert "torch==2.13.0" in steps[1].command
    assert install.TORCH_INDEX in steps[1].command
    assert install.TORCH_INDEX not in installation_steps("python", tmp_path, install_panel.ROOT, "cuda")[1].command
    assert Path(steps[2].command[-1]).is_file()


def test_the_trial_passes_in_an_engine_and_fails_in_another_python(tmp_path):
    trial = installation_steps("python", tmp_path, install_panel.ROOT, "cpu")[3]
    good = Step(trial.title, (sys.executable, *trial.command[1:]))
    assert finished(tmp_path / "good", [make_python(tmp_path / "good"), good]).state.state == "ready"
    bare = Step(trial.title, (sys.executable, "-I", "-S", *trial.command[1:]))
    assert finished(tmp_path / "bare", [make_python(tmp_path / "bare"), bare]).state.state == "failed"


def test_without_online_access_nothing_is_started(monkeypatch, tmp_path):
    assert not bpy.app.online_access  # as bpy starts
    monkeypatch.setattr(install_panel, "engine_folder", lambda: tmp_path / "engine")
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.grasp.install_engine()
    assert not (tmp_path / "engine").exists()
