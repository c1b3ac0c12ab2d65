"""Suites side by side: what is counted, what is said on the way, and what a failure says."""

from __future__ import annotations

import sys

import pytest

from scripts import ROOT, check_blender, check_python, suites
from scripts import test as test_command
from scripts.suites import Counts, Reporter, Suite, run_all, total

GOOD = "import pytest\n@pytest.mark.parametrize('n', range(3))\ndef test_n(n): pass\ndef test_skip(): pytest.skip()\n"
BAD = "def test_bad(): assert 1 == 2, 'one is not two'\ndef test_good(): pass\n"


def suite(folder, text, name="made", **more):
    path = folder / f"test_{name}.py"
    path.write_text(text)
    return Suite(name, lambda: sys.executable, (str(path),), **more)


def missing():
    raise SystemExit("This needs python3.99.")


def test_the_counts_of_all_suites_are_added_up(tmp_path, capsys):
    counts = run_all([suite(tmp_path, GOOD, "good"), suite(tmp_path, BAD, "bad")])
    assert counts == Counts(4, 1, 1)
    assert str(counts) == "4 passed, 1 failed, 1 skipped"
    said = capsys.readouterr().out
    assert "=== good: 3 passed, 0 failed, 1 skipped" in said
    assert "=== bad: 1 passed, 1 failed" in said
    assert "one is not two" in said
    assert "test_n[0] PASSED" not in said  # a line for every test is for the share alone


def test_a_suite_knows_how_far_it_is(tmp_path):
    one = suite(tmp_path, GOOD)
    assert str(one) == "made waits"
    one.run(tmp_path)
    assert (one.done, one.of, one.stage) == (4, 4, "ended")
    one.done, one.stage = 1, "runs"
    assert str(one) == "made 25 % (1 of 4)"


@pytest.mark.parametrize("text", ["", "import os\ndef test_dies(): os._exit(3)\n", "import nothing_of_this_name\n"])
def test_no_tests_a_crash_and_a_broken_file_are_failures(tmp_path, text):
    assert suite(tmp_path, text).run(tmp_path)[1].failed == 1


def test_a_selection_may_leave_no_tests(tmp_path):
    assert suite(tmp_path, GOOD, selection=("-k", "nothing")).run(tmp_path)[1] == Counts()
    assert suite(tmp_path, BAD, selection=("-k", "bad")).run(tmp_path)[1] == Counts(failed=1)


def test_without_its_python_a_suite_fails_with_the_sentence(tmp_path):
    one = Suite("other", missing, ("tests",))
    assert one.run(tmp_path) == ("This needs python3.99.\n", Counts(failed=1))


def test_a_checker_is_clean_or_one_failure(tmp_path, capsys):
    clean = Suite("clean", lambda: sys.executable, (), module="this")
    broken = Suite("broken", lambda: sys.executable, (), module="nothing_of_this_name")
    assert run_all([clean, broken]) == Counts(failed=1)
    said = capsys.readouterr().out
    assert "=== clean: clean" in said
    assert "=== broken: failed" in said
    assert "No module named nothing_of_this_name" in said


def test_a_suite_has_its_variables_and_one_thread(tmp_path):
    text = ("import os\n"
            "def test_v(): assert (os.environ['MADE'], os.environ['OMP_NUM_THREADS']) == ('up', '1')\n")
    assert suite(tmp_path, text, variables={"MADE": "up"}).run(tmp_path)[1] == Counts(passed=1)


def test_a_report_tells_time_what_runs_and_what_waits(capsys):
    running, waiting, ended = (Suite(name, missing, ()) for name in ("one", "two", "three"))
    running.stage, running.done, running.of, ended.stage = "runs", 3, 12, "ended"
    Reporter([running, waiting, ended]).report()
    assert capsys.readouterr().out == "0:00  one 25 % (3 of 12); 1 wait, 1 of 3 ended\n"


def test_long_suites_report_on_the_way(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(suites, "PAUSES", (0.05, 0.05))
    run_all([suite(tmp_path, "import time\ndef test_slow(): time.sleep(0.3)\n")])
    assert "0:00  made " in capsys.readouterr().out


def test_nothing_adds_up_to_nothing():
    assert total([]) == Counts()


def test_every_test_is_in_one_suite():
    found = []
    for arguments in test_command.paths().values():
        without = [one.partition("=")[2] for one in arguments if one.startswith("--ignore=")]
        globs = [one.partition("=")[2] for one in arguments if one.startswith("--ignore-glob=")]
        for top in (ROOT / one for one in arguments if not one.startswith("--")):
            for path in [top] if top.is_file() else top.rglob("test_*.py"):
                if not any(path.is_relative_to(ROOT / one) for one in without) and not any(map(path.match, globs)):
                    found.append(path)
    assert sorted(found) == sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("version", check_blender.RELEASES)
def test_each_blender_has_its_own_environment_python_and_engine(version, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(check_blender, "ready_environment", lambda *given: asked.append(given))
    one = check_blender.blender_suite(version, tmp_path / "python", tmp_path, ("-k", "rig"))
    assert asked == []
    one.python()
    ((folder, packages, python),) = asked
    release = check_blender.RELEASES[version]
    assert release.bpy.startswith(version)
    assert folder == tmp_path / f"bpy{version.replace('.', '')}"
    assert packages[0] == f"bpy=={release.bpy}"
    assert python == ((3, 11) if version <= "5.0" else (3, 13))
    assert (one.arguments, one.selection) == (("tests/grasp_addon",), ("-k", "rig"))
    assert one.variables == {"GRASP_ENGINE_PYTHON": str(tmp_path / "python")}


def index(monkeypatch, versions):
    """A pip that finds these versions of torch."""
    answer = check_python.subprocess.CompletedProcess((), 0, f"torch (9.9)\nAvailable versions: {versions}\n", "none")
    monkeypatch.setattr(check_python.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(check_python, "find_python", lambda version: "python")


def test_the_engines_packages_are_installed_without_torch(tmp_path, monkeypatch):
    index(monkeypatch, "2.15.0, 2.13.0, 2.1.0")
    asked = []
    monkeypatch.setattr(check_python, "ready_environment", lambda *given: asked.append(given))
    check_python.python_suite("3.13", tmp_path).python()
    ((folder, packages, version),) = asked
    assert (folder, version) == (tmp_path / "python313", (3, 13))
    names = {line.partition("=")[0].partition(">")[0] for line in packages}
    assert {"numpy", "scipy", "mujoco", "libigl", "sympy", "pytest"} <= names
    assert "torch" not in names


def test_a_python_without_the_pinned_torch_is_a_sentence(tmp_path, monkeypatch):
    index(monkeypatch, "2.15.0, 2.13.01")
    with pytest.raises(SystemExit, match=r"no torch==2\.13\.0 for Python 3\.13"):
        check_python.python_suite("3.13", tmp_path).python()
