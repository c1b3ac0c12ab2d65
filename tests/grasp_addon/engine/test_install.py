"""Installing an engine: whole, broken, stopped, gone on with. No package is fetched here."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from grasp_addon.engine import install
from grasp_addon.engine.folders import ROOT
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


def test_the_steps_make_install_and_try(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "torch_by_hash", lambda _build: False)
    steps = installation_steps("python", tmp_path, ROOT, "cpu")
    own = str(engine_python(tmp_path))
    assert steps[0].command == ("python", "-m", "venv", "--clear", str(tmp_path / "env"))
    assert all(entry.command[0] == own for entry in steps[1:])
    assert "torch==2.13.0" in steps[1].command
    assert install.TORCH_INDEX in steps[1].command
    assert install.TORCH_INDEX not in installation_steps("python", tmp_path, ROOT, "cuda")[1].command
    monkeypatch.setattr(install, "torch_by_hash", lambda _build: True)
    for entry in (steps[2], installation_steps("python", tmp_path, ROOT, "cuda")[1]):
        assert "--require-hashes" in entry.command
        assert Path(entry.command[-1]).is_file()


@pytest.mark.parametrize(("platform", "build", "by_hash"), [
    ("linux", "cpu", False), ("linux", "cuda", True), ("win32", "cpu", True), ("win32", "cuda", False),
    ("darwin", "cpu", True)])
def test_torch_is_by_hash_where_pypi_has_it(platform, build, by_hash):
    assert install.torch_by_hash(build, platform) == by_hash


def test_modules_in_blenders_folder_are_not_what_a_step_imports(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    for name in ("venv", "pip", "numpy", "json"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('a stranger')\n")
    monkeypatch.chdir(tmp_path / "here")
    said = Step("Looking", (sys.executable, "-c", "import json, numpy, venv, os; print('own', os.getcwd())"))
    module = Step("Asking", (sys.executable, "-m", "json.tool", "--help"))
    done = finished(tmp_path / "engine", [make_python(tmp_path / "engine"), module, said])
    assert done.state.state == "ready", done.state
    assert done.state.reason == f"own {(tmp_path / 'engine').resolve()}"


def test_the_trial_passes_in_an_engine_and_fails_in_another_python(tmp_path):
    trial = installation_steps("python", tmp_path, ROOT, "cpu")[3]
    engine = os.environ.get("GRASP_ENGINE_PYTHON", sys.executable)
    good = Step(trial.title, (engine, *trial.command[1:]))
    assert finished(tmp_path / "good", [make_python(tmp_path / "good"), good]).state.state == "ready"
    bare = Step(trial.title, (engine, "-I", "-S", *trial.command[1:]))
    assert finished(tmp_path / "bare", [make_python(tmp_path / "bare"), bare]).state.state == "failed"


def make_wheel(folder, name, version="1.0", text=""):
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}\n{text}")
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def locked(path):
    name, version = path.name.split("-")[:2]
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def small_engine(tmp_path, monkeypatch):
    """The real steps, run by the real venv and pip, over tiny wheels of the same names and no network."""
    root, wheels, shelf = tmp_path / "root", tmp_path / "wheels", tmp_path / "shelf"
    (root / "core").mkdir(parents=True)
    wheels.mkdir()
    shelf.mkdir()
    for name in ("__init__", "worker", "pipeline"):
        (root / "core" / f"{name}.py").write_text("")
    (root / "core" / "requirements.txt").write_text("torch==2.13.0\nigl==1.0\nmujoco==1.0\n")
    torch = make_wheel(wheels, "torch", "2.13.0")
    others = [make_wheel(wheels, "igl"), make_wheel(shelf, "mujoco")]
    (root / "core" / "requirements-torch.lock").write_text(locked(torch))
    (root / "core" / "requirements.lock").write_text("".join(map(locked, others)))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    folder = tmp_path / "engine"
    return folder, wheels, installation_steps(sys.executable, folder, root, "cpu")


def test_a_package_of_other_bytes_is_refused(small_engine):
    folder, wheels, steps = small_engine
    make_wheel(wheels, "mujoco", text="# somebody else's\n")
    done = finished(folder, steps)
    assert done.state.state == "failed"
    assert "Installing the other packages failed" in done.state.reason
    assert "DO NOT MATCH THE HASHES" in (folder / install.LOG).read_text()
    assert not list((folder / "env").rglob("mujoco.py"))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_stopped_broken_whole_repaired_deleted(small_engine):
    folder, wheels, steps = small_engine
    stopped = Installation(folder, steps, 0)
    wait_for(engine_python(folder).exists)  # venv is now in its child, ensurepip
    stopped.cancel()
    stopped.wait(5)
    assert read_state(folder).state == "cancelled"

    broken = finished(folder, steps)  # there is no wheel of mujoco
    assert broken.state.state == "failed"
    assert "Installing the other packages failed" in read_state(folder).reason
    assert "mujoco" in (folder / install.LOG).read_text()

    shutil.copy(wheels.parent / "shelf" / "mujoco-1.0-py3-none-any.whl", wheels)
    assert finished(folder, steps).state.state == "ready"
    assert read_state(folder).reason.endswith("PyTorch 2.13.0")

    half_written = next((folder / "env").rglob("torch.py"))  # pip still believes torch to be there
    half_written.unlink()
    assert finished(folder, steps[3:]).state.state == "failed"
    assert finished(folder, steps).state.state == "ready"
    assert half_written.exists()

    remove_engine(folder)
    assert list(folder.iterdir()) == []
    assert read_state(folder).state == "none"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_stopping_ends_the_programs_of_the_program_too(tmp_path):
    child = "import time; time.sleep(60)"
    code = ("import subprocess, sys; "
            f"p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True); p.wait()")
    installation = Installation(tmp_path, [step("Long", code)], 0)
    wait_for(lambda: len(installation.lines) == 2)
    pid = int(installation.lines[1])
    installation.cancel()
    installation.wait(5)
    assert installation.state.state == "cancelled"
    wait_for(lambda: is_dead(pid), 5)


def is_dead(pid):
    status = Path(f"/proc/{pid}/stat")
    if status.exists():
        return status.read_text().rpartition(")")[2].split()[0] == "Z"  # nobody collects it in a container
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_with_its_blender_it_is_cut_off_once_its_programs_have_ended(tmp_path):
    code = ("import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
            "from grasp_addon.engine.install import Installation, Step; "
            "job = Step('Long', (sys.executable, '-c', "
            "'import os, time; print(os.getpid(), flush=True); time.sleep(60)')); "
            "i = Installation(Path(sys.argv[2]), [job], 0); i.wait()")
    blender = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(tmp_path)])
    try:
        log = tmp_path / install.LOG
        wait_for(lambda: log.exists() and log.read_text().count("\n") == 2)
        program = int(log.read_text().split()[-1])
        assert read_state(tmp_path).state == "installing"
        with pytest.raises(GraspError, match="another Blender"):
            Installation(tmp_path, [step("One", "pass")], 0)
        with pytest.raises(GraspError, match="another Blender"):
            remove_engine(tmp_path)
    finally:
        blender.kill()
        blender.wait()
    assert read_state(tmp_path).state == "installing"  # its pip still writes
    os.kill(program, signal.SIGKILL)
    wait_for(lambda: read_state(tmp_path).state == "failed", 5)
    assert "cut off" in read_state(tmp_path).reason
    assert finished(tmp_path, [make_python(tmp_path)]).state.state == "ready"
