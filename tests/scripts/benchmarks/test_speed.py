"""The table of times: what is timed, in seconds and in products of matrices, and how it grows."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
import trimesh

from scripts.benchmarks import speed


@pytest.fixture
def small_products(monkeypatch):
    """M of small matrices: how long the real product takes is of no interest here."""
    monkeypatch.setattr(speed, "SIDE", 64)


def test_it_tells_seconds_and_m(tmp_path, script, small_products):
    text = script("benchmarks/speed.py", "--methods", "fastgrasp", "--counts", 1, 2, "--repeats", 1,
                  "--json", tmp_path / "speed.json")
    assert re.search(r"fastgrasp, faces \d+: 2 times the count cost [\d.]+ times as much", text)
    table = json.loads((tmp_path / "speed.json").read_text())
    assert table["machine"].startswith(f"{os.cpu_count()} cores, ")
    rows = {(row["what"], row["count"]): row for row in table["rows"]}
    row = rows["fastgrasp", 1]
    assert row["M"] == pytest.approx(row["seconds"] / table["M_seconds"])
    assert 0 < row["first"] <= row["seconds"]


@pytest.mark.parametrize(("given", "asked"), [((), (False, False)), (("--raw",), (False, True)),
                                               (("--to-fit",), (True, True))])
def test_it_times_what_is_asked_for(given, asked, monkeypatch, small_products):
    timed = []
    monkeypatch.setattr("core.pipeline.generate.propose", lambda request, method, seed, watch, device, raw:
                        timed.append((request.fitted, raw)))
    monkeypatch.setattr("sys.argv", ["benchmarks/speed.py", "--counts", "1", "--repeats", "1", *given])
    speed.main()
    assert set(timed) == {asked}


def test_bare_proposals_are_the_networks_alone(monkeypatch, small_products):
    from core.generators.grasptta import GraspTTA
    from core.registry import make_generator

    network = make_generator("grasptta", "cpu").network
    monkeypatch.setattr(network, "without_fit", network.without_fit)  # given back what the script takes from it
    monkeypatch.setattr(GraspTTA, "adapted", lambda *given: pytest.fail("proposals were adapted"))
    monkeypatch.setattr("sys.argv", ["benchmarks/speed.py", "--counts", "1", "--repeats", "1", "--bare",
                                     "--methods", "grasptta", "--device", "cpu"])
    assert speed.main() == 0


def test_what_more_candidates_and_finer_meshes_cost():
    mesh = trimesh.creation.box((0.03, 0.05, 0.1))
    vertices, faces = speed.finer(mesh.vertices, mesh.faces, 700)
    assert len(faces) == 12 * 4**3  # 768 is nearer than 192
    assert trimesh.Trimesh(vertices, faces).volume == pytest.approx(mesh.volume)
    rows = [{"what": "fastgrasp", "count": count, "faces": faces, "seconds": seconds}
            for count, faces, seconds in ((16, 5000, 1.0), (256, 5000, 6.0), (16, 10**6, 1.2), (256, 10**6, 6.6))]
    found = {(one["what"], one["of"]): (one["times"], round(one["costs"], 3)) for one in speed.growth(rows)}
    assert found == {("fastgrasp, faces 5000", "count"): (16, 6.0), ("fastgrasp, faces 1000000", "count"): (16, 5.5),
                     ("fastgrasp, count 16", "faces"): (200, 1.2), ("fastgrasp, count 256", "faces"): (200, 1.1)}


@pytest.mark.parametrize("wish, sentence", [
    (["--methods", "magic"], "no method 'magic'"),
    (["--counts", "0"], "whole number from 1"),
    (["--repeats", "0"], "--repeats is a whole number"),
    (["--mesh", "no.obj"], "There is no file no.obj"),
    (["--device", "abacus"], "auto, cpu or cuda"),
    (["--methods", "synthesis", "--bare"], "has no network"),
])
def test_a_benchmark_of_nothing_is_a_sentence(wish, sentence, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/speed.py", *wish])
    with pytest.raises(SystemExit, match=sentence):
        speed.main()
