"""Commands of the documents that no other test runs, with fewer grasps, objects and steps (tests/test_documents.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A file of training grasps of an object to train on, one of a held-out shape and one of a held-out family."""
    from core.dataset.training_grasps import load_training, merge

    data = load_training(ROOT / "weights" / "training" / "grasps.npz")
    names = [data.objects[data.split(split).object[0]] for split in ("train", "shape", "family")]
    path = tmp_path_factory.mktemp("training") / "three.npz"
    merge([data[data.object == data.objects.index(name)][:30] for name in names]).save(path)
    return path


def test_demo_shows_what_it_generates(command, tmp_path):
    # What demo.py runs in the environment that it makes; that it makes it is for test_environment.py.
    told = command("demo_scene.py", ROOT / "scripts" / "samples" / "mug.obj", tmp_path, "--count", 2, "--samples", 1)
    assert "Intent use" in told
    assert "Intent hold" in told
    assert (tmp_path / "demo.blend").stat().st_size > 10_000
    assert picture(tmp_path / "demo.png").width == 1280


def test_train_goes_through_all_stages_and_on(script, training, tmp_path):
    common = ("train.py", "grasptta", "--out", tmp_path, "--training", training, "--scale", 1e-6)
    told = script(*common)
    assert "3 objects" in told
    logs = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert logs == ["contact.jsonl", "cvae.jsonl", "finer.jsonl", "finest.jsonl", "further.jsonl", "last.jsonl"]
    before = (tmp_path / "cvae.jsonl").read_text()
    script(*common, "--seconds", 500)
    assert (tmp_path / "cvae.jsonl").read_text() == before


def test_check_synthesis_tells_which_targets_are_missed(script, tmp_path):
    (tmp_path / "meshes").mkdir()
    shutil.copy(ROOT / "scripts" / "samples" / "mug.obj", tmp_path / "meshes")
    script("benchmarks/check_synthesis.py", "--objects", tmp_path / "meshes", "--jobs", 1, "--turn", "--count", 1,
           "--out", tmp_path / "records.jsonl", fails=True)  # one grasp is not eight different ones
    record, = map(json.loads, (tmp_path / "records.jsonl").read_text().splitlines())
    assert record["grasps"] == 1
    assert record["bones_crossing"] == [0]


def test_check_conditions_asks_for_parts_and_types(script, training, tmp_path):
    script("benchmarks/check_conditions.py", "--parts", "--methods", "grasptta", "--training", training, "--objects", 1,
           "--count", 2, "--json", tmp_path / "conditions.json")
    rows = json.loads((tmp_path / "conditions.json").read_text())
    assert [(row["method"], row["split"]) for row in rows] == [("grasptta", "shape"), ("grasptta", "family")]
    assert all(row["type_grasps"] >= 2 for row in rows)


def test_check_conditions_counts_offered_hands_on_the_right_part(script, tmp_path):
    script("benchmarks/check_conditions.py", "--offered", "mug", "--methods", "dvqvae", "--count", 2,
           "--json", tmp_path / "offered.json")
    row, = json.loads((tmp_path / "offered.json").read_text())
    assert (row["object"], row["method"], row["offered"]) == ("mug", "dvqvae", 2)
    assert row["right_part"] == 2  # by the ear, as a person uses it


@pytest.mark.parametrize("way", ["--raw", "--bare"])
def test_speed_times_proposals_alone(command, tmp_path, way):  # not in this process: --bare changes the networks in it
    command("benchmarks/speed.py", way, "--methods", "fastgrasp", "--counts", 1, "--repeats", 1, "--json",
            tmp_path / "speed.json")
    assert "fastgrasp" in (tmp_path / "speed.json").read_text()


def test_shapes_are_drawn(script, tmp_path):
    script("build/show_shapes.py", "--out", tmp_path / "sheet.png", "--families", "mug", "--size", 40)
    assert len(picture(tmp_path / "sheet.png").getcolors(1 << 16)) > 8


def test_training_grasps_are_described(script, training, tmp_path):
    told = script("build/describe_training.py", "--out", tmp_path, "--training", training, "--renders", 1)
    assert "grasps of 3 objects" in told
    assert told.splitlines()[0] in (tmp_path / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "distributions.png", "renders.jpg",
                                                          "synergies.npz"}


def test_curves_are_drawn_again(script, tmp_path):
    shutil.copytree(ROOT / "weights" / "places", tmp_path / "places", ignore=shutil.ignore_patterns("curve.png"))
    script("build/curves.py", "--weights", tmp_path)
    assert picture(tmp_path / "places" / "curve.png").size == picture(ROOT / "weights" / "places" / "curve.png").size
