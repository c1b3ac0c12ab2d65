"""The worker as a process: what an animator's click needs of it, and what goes wrong around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from core import worker
from core.hand import load_hand
from core.wire import read_message

ROOT = Path(__file__).resolve().parents[2]


def generate(engine, arrays, **wishes):
    replies = list(engine.replies(engine.send({"type": "generate", "count": 2, **wishes}, arrays)))
    found = [reply for reply in replies if reply[0]["type"] == "candidate"]
    return found, replies


def test_hello_tells_what_there_is(engine):
    message, arrays = engine.ask({"type": "hello", "side": "right"})
    assert message["type"] == "result"
    assert "synthesis" in [method["name"] for method in message["methods"]]
    assert {method["name"]: method["fits"] for method in message["methods"]}["synthesis"] is True
    assert len(message["types"]) >= 12
    count = len(arrays["template"])
    assert arrays["weights"].shape == (count, 16)
    assert arrays["rest_joints"].shape == (16, 3)
    assert arrays["tips"].shape == (5, 3)
    assert np.linalg.norm(arrays["tips"][2] - arrays["rest_joints"][0]) == pytest.approx(0.19, abs=1e-5)
    corners = arrays["quads"].size + arrays["triangles"].size
    assert arrays["uvs"].shape == (corners, 2)
    edges = [(row[i], row[(i + 1) % len(row)]) for row in [*arrays["quads"].tolist(), *arrays["triangles"].tolist()]
             for i in range(len(row))]
    assert sorted(edges) == sorted((b, a) for a, b in edges)  # closed


def test_left_hand_is_the_mirror(engine):
    right = engine.ask({"type": "hello", "side": "right"})[1]["template"]
    left = engine.ask({"type": "hello", "side": "left"})[1]["template"]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-7)


def test_candidates_are_the_hand_posed_on_the_mesh_in_its_unit(engine, can):
    """In centimetres, away from the origin: every array fits every other, and nothing floats or sinks."""
    moved = {"vertices": can["vertices"] * 100 + [30.0, -20.0, 50.0], "faces": can["faces"]}
    found, replies = generate(engine, moved, hand_length=19.0, seed=4)
    result, order = replies[-1][0], replies[-1][1]["order"]
    assert result["count"] == len(order) == 2
    chosen = [found[place] for place in order]
    assert chosen[0][0]["score"] >= chosen[1][0]["score"]
    hand = load_hand()
    weights, joints = hand.lbs_weights.double().numpy(), (hand.J_regressor @ hand.v_template).double().numpy() * 100
    for message, arrays in chosen:
        assert message["grasp_type"]
        assert {"overlap_cm3", "contacts"} <= set(message["measures"])
        turns = Rotation.from_quat(arrays["rotations"][:, [1, 2, 3, 0]]).as_matrix()
        chain = []
        for joint, parent in enumerate(hand.parents.tolist()):
            local = np.eye(4)
            local[:3, :3], local[:3, 3] = turns[joint], joints[joint] - turns[joint] @ joints[joint]
            chain.append(local if parent < 0 else chain[parent] @ local)
        blend = np.einsum("vj,jab->vab", weights, np.array(chain))
        rest = np.pad(arrays["rest_vertices"].astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
        posed = np.einsum("vab,vb->va", blend, rest)[:, :3] + arrays["translation"]
        np.testing.assert_allclose(posed, arrays["vertices"], atol=2e-4)  # cm
        local = arrays["vertices"] - [30.0, -20.0, 50.0]
        outside = np.maximum(np.linalg.norm(local[:, :2], axis=1) - 3.3, np.abs(local[:, 2]) - 5.0)
        assert -0.5 < outside.min() < 0.3
        np.testing.assert_allclose(arrays["joints"][0], arrays["translation"] + joints[0], atol=1e-3)


def test_parts_of_a_hand_are_kept_where_it_is(engine, can):
    """The wrists stay near that of the hand given; of other proposals they lie all around the can."""
    found, replies = generate(engine, can, seed=4)
    given = found[replies[-1][1]["order"][0]][1]
    hand = {**can, "rotations": given["rotations"], "translation": given["translation"]}
    wishes = {"method": "dvqvae", "raw": True, "count": 6}

    def away(arrays, **more):
        candidates, told = generate(engine, arrays, **wishes, **more)
        assert told[-1][0]["count"] == 6, told[-1][0]
        return [np.linalg.norm(one["joints"][0] - given["joints"][0]) for _, one in candidates]

    kept = away(hand, keep=[True, False, False, False, False, True])
    assert max(kept) < 0.06
    assert max(away(can)) > 0.12


def test_a_seed_repeats_a_result(engine, can):
    first, second = (generate(engine, can, seed=7)[0] for _ in range(2))
    assert len(first) == len(second) > 0
    for one, two in zip(first, second):
        assert one[0]["score"] == two[0]["score"]
        np.testing.assert_array_equal(one[1]["vertices"], two[1]["vertices"])


def test_the_wished_type_is_kept(engine, can):
    found, _ = generate(engine, can, grasp_type="medium_wrap")
    assert {message["grasp_type"] for message, _ in found} == {"medium_wrap"}


def test_an_intent_is_counted_or_the_part_it_lacks_is_told(engine, can):
    _, replies = generate(engine, can, method="fastgrasp", intent="use")
    note = replies[-1][0]["note"]
    assert "which part of this object is held when it is used" in note
    assert "vertex group" in note
    parts = {**can, "part": np.zeros(len(can["faces"]), np.int32)}
    _, replies = generate(engine, parts, method="fastgrasp", intent="use", parts=["handle"])
    assert replies[-1][0]["note"] == "2 of 2 do all that 'use' asks"
    assert "note" not in generate(engine, can, method="fastgrasp")[1][-1][0]


def test_progress_is_told(engine, can):
    _, replies = generate(engine, can, seed=1)
    told = [message for message, _ in replies if message["type"] == "progress"]
    assert all(message["stage"] and 0 <= message["fraction"] <= 1 for message in told)
    assert len({message["stage"] for message in told}) >= 2


def test_cancel_takes_effect_within_a_second_and_the_next_request_works(engine, can):
    number = engine.send({"type": "generate", "count": 64, "seed": 2}, can)
    for message, _ in engine.replies(number):
        if message["type"] == "progress" and message["stage"].startswith("Closing"):
            start = time.monotonic()
            engine.send({"type": "cancel", "target": number})
            break
    message = list(engine.replies(number))[-1][0]
    assert time.monotonic() - start < 1.0
    assert message["type"] == "result"
    assert message["cancelled"]
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


def test_cancel_while_the_object_is_read(engine):
    """Work that cannot stop in the middle is answered for, and its replies are not sent later."""
    import trimesh

    mesh = trimesh.creation.icosphere(7, 0.04)
    arrays = {"vertices": np.array(mesh.vertices), "faces": np.array(mesh.faces, np.int32)}
    number = engine.send({"type": "generate", "count": 4}, arrays)
    for message, _ in engine.replies(number):
        if message["type"] == "progress":
            break
    start = time.monotonic()
    engine.send({"type": "cancel", "target": number})
    assert list(engine.replies(number))[-1][0]["cancelled"]
    assert time.monotonic() - start < 1.0
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


@pytest.fixture(scope="module")
def posed_can(shared_engine, can):
    """A can in centimetres off the origin, and what comes back of two hands on it: as they were, and one metre off."""
    moved = {"vertices": can["vertices"] * 100 + [30.0, -20.0, 50.0], "faces": can["faces"]}
    found, replies = generate(shared_engine, moved, hand_length=19.0, seed=4, side="left")
    best = found[replies[-1][1]["order"][0]][1]
    return {**moved, "rotations": np.stack([best["rotations"]] * 2),
            "translation": np.stack([best["translation"], best["translation"] + [100.0, 0, 0]])}


def test_posed_hands_are_measured(engine, posed_can):
    message, each = engine.ask({"type": "evaluate", "side": "left", "hand_length": 19.0}, posed_can)
    assert message["type"] == "result", message
    assert (message["count"], message["cancelled"]) == (2, False)
    assert each["paper_contact"].tolist() == each["strict_contact"].tolist() == each["strict_held"].tolist() == [1, 0]
    assert each["paper_displacement_cm"][1] == pytest.approx(10.7, abs=0.2)
    assert each["strict_parts"].shape == (2, 6)
    assert each["paper_volume_cm3"][0] > each["paper_volume_cm3"][1] == 0  # whole voxels that the hand reaches
    assert each["strict_volume_cm3"][0] < 1
    for name, mean in message["strict"].items():
        if name not in ("parts", "different"):
            assert mean == pytest.approx(float(each[f"strict_{name}"].mean()), abs=1e-5)
    assert message["strict"]["different"] == 2
    assert "entropy_whitened_joints" not in message["paper"]


def test_one_protocol_alone_is_measured(engine, posed_can):
    message, each = engine.ask({"type": "evaluate", "side": "left", "hand_length": 19.0, "protocol": "strict"},
                               posed_can)
    assert "paper" not in message
    assert message["strict"]["held"] == 0.5
    assert all(name.startswith("strict_") for name in each)


def test_an_evaluation_is_cancelled_within_a_second_and_the_next_request_works(engine, posed_can):
    many = {**posed_can, **{name: np.concatenate([posed_can[name]] * 100) for name in ("rotations", "translation")}}
    number = engine.send({"type": "evaluate", "side": "left", "hand_length": 19.0}, many)
    for message, _ in engine.replies(number):
        if message["type"] == "progress" and message["stage"] != "Reading the object":
            break
    start = time.monotonic()
    engine.send({"type": "cancel", "target": number})
    message = list(engine.replies(number))[-1][0]
    assert (message["type"], message["cancelled"]) == ("result", True)
    assert engine.ask({"type": "hello"})[0]["type"] == "result"
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("wishes, left_out, sentence", [
    ({"protocol": "mine"}, (), "protocol is one of paper, strict, both"),
    ({"protocol": ["paper"]}, (), "protocol is one of paper, strict, both"),
    ({"hand_length": -1}, (), "hand length is a number above 0"),
    ({"betas": "fat"}, (), "betas) is ten numbers"),
    ({}, ("faces",), "holds no faces of an object"),
    ({}, ("rotations",), "rotations are missing"),
])
def test_an_evaluation_of_nothing_is_a_sentence(engine, can, wishes, left_out, sentence):
    arrays = {**can, "rotations": np.ones((1, 16, 4)), "translation": np.zeros((1, 3))}
    message, _ = engine.ask({"type": "evaluate", **wishes}, {k: v for k, v in arrays.items() if k not in left_out})
    assert message["type"] == "error"
    assert sentence in message["message"]


@pytest.mark.parametrize("wishes, sentence", [
    ({"type": "dance"}, "does not know the request 'dance'"),
    ({"type": "generate", "method": "magic"}, "no method 'magic'"),
    ({"type": "generate", "count": 0}, "count is a whole number"),
    ({"type": "generate", "count": "many"}, "count is a whole number"),
    ({"type": "generate", "seed": -1}, "seed is a whole number"),
    ({"type": "generate", "hand_length": 0}, "hand length is a number above 0"),
    ({"type": "generate", "grasp_type": "claw"}, "no grasp type 'claw'"),
    ({"type": "generate", "grasp_type": {}}, "no grasp type"),
    ({"type": "generate", "method": ["synthesis"]}, "no method"),
    ({"type": "generate", "betas": [1, 2]}, "betas) is ten numbers"),
    ({"type": "generate", "betas": [float("nan")] * 10}, "betas) is ten numbers"),
    ({"type": "generate", "device": "abacus"}, "device is auto, cpu or cuda"),
    ({"type": "generate", "method": "grasptta", "keep": [True] * 5 + [False]}, "GraspTTA cannot keep parts of a hand: "
                                                                               "use DVQ-VAE."),
    ({"type": "generate", "method": "dvqvae", "keep": [True]}, "true or false for each of thumb, index, middle, ring,"),
    ({"type": "generate", "method": "dvqvae", "keep": "thumb"}, "true or false for each of thumb"),
    ({"type": "generate", "method": "dvqvae", "keep": [True] * 6}, "leave out at least one"),
    ({"type": "generate"}, "holds no vertices and no faces of an object"),
    ({"type": "hello", "side": "upper"}, "'right' or 'left'"),
    ({"type": "hello", "hand_file": "missing.pkl"}, "no hand file at missing.pkl"),
])
def test_a_wrong_request_is_a_sentence_and_the_next_works(engine, wishes, sentence):
    message, _ = engine.ask(wishes)
    assert message["type"] == "error"
    assert sentence in message["message"]
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


@pytest.mark.parametrize("change, sentence, advice", [
    (lambda v, f: (v * 40, f), "too large to grasp", "hand_length"),
    (lambda v, f: (v / 100, f), "too small to grasp", "hand_length"),
    (lambda v, f: (v * np.nan, f), "", ""),
    (lambda v, f: (v, f[:0]), "", ""),
    (lambda v, f: (v, f + len(v)), "", ""),
])
def test_an_object_that_cannot_be_grasped_is_a_sentence(engine, can, change, sentence, advice):
    vertices, faces = change(can["vertices"], can["faces"])
    message, _ = engine.ask({"type": "generate"}, {"vertices": vertices, "faces": faces.astype(np.int32)})
    assert message["type"] == "error"
    assert sentence in message["message"]
    assert message["message"].endswith(".")
    assert "The engine failed" not in message["message"]
    assert message["advice"] == advice


def test_a_line_that_is_no_message_is_answered(engine):
    engine.process.stdin.write(b"good morning\n")
    engine.process.stdin.flush()
    message, _ = read_message(engine.process.stdout)
    assert message["type"] == "error"
    assert "not JSON" in message["message"]
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


@pytest.mark.parametrize("line, sentence", [
    (b"[" * 100_000, "nested too deep"),
    (b'{"id": 1, "a": ' + b'{"a": ' * 50_000, "nested too deep"),
    (b'{"id": {"a": 1}, "type": "hello"}', "neither a number nor a word"),
    (b'{"id": [1], "type": "generate"}', "neither a number nor a word"),
    (b'{"id": true, "type": "ready"}', "neither a number nor a word"),
    (b'{"id": [[]], "type": "cancel", "target": 1}', "neither a number nor a word"),
    (b'{"id": "x", "type": ["hello"]}', "does not know the request"),
    (b'{"id": "x", "type": null}', "does not know the request"),
    (b'{"id": "x", "type": "hello", "hand_file": 5}', "A hand file is named by a path"),
    (b'{"id": "x", "type": "hello", "hand_file": "a\\u0000b"}', "A hand file is named by a path"),
    (b'{"id": "x", "type": "hello", "side": {}}', "'right' or 'left'"),
    (b'{"id": "x", "type": "ready", "arrays": [{"name": "a", "dtype": "uint8", "shape": ' + str([1] * 99).encode()
     + b', "bytes": 1}]}\n ', "does not fill 1 bytes"),
    (b'{"id": "x", "type": "generate", "arrays": [{"name": "faces", "dtype": "float32", "shape": [1, 3], "bytes": 12}]}'
     b'\n' + b"\1\0\0?" * 3, "faces are whole numbers"),
    (b'{"id": "x", "type": "generate", "arrays": [{"name": "vertices", "dtype": "uint8", "shape": [3], "bytes": 3}]}'
     b'\n' + b"\0" * 3, "three columns"),
])
def test_a_malformed_request_is_a_sentence_and_the_next_works(engine, line, sentence):
    begins_anew = b"\n" in line  # what follows the line are arrays
    engine.process.stdin.write(line if begins_anew else line + b"\n")
    engine.process.stdin.flush()
    message, _ = read_message(engine.process.stdout)
    assert message["type"] == "error"
    assert sentence in message["message"]
    assert engine.ask({"type": "ready"})[0]["type"] == "result"


@pytest.mark.parametrize("target", [b"{}", b"[1]", b"null", b"true"])
def test_a_cancel_of_nothing_that_is_a_request_is_answered(engine, target):
    engine.process.stdin.write(b'{"id": 9001, "type": "cancel", "target": ' + target + b"}\n")
    engine.process.stdin.flush()
    message, _ = read_message(engine.process.stdout)
    assert (message["id"], message["type"], message["found"]) == (9001, "result", False)
    assert engine.ask({"type": "ready"})[0]["type"] == "result"


@pytest.mark.parametrize("line", [
    b'{"id": 1, "type": "hello", "arrays": 5}', b'{"id": 1, "arrays": [{"name": "a"}]}', b"x" * ((1 << 20) + 9),
    b'{"id": 1, "arrays": [{"name": "a", "dtype": "uint8", "shape": [1], "bytes": 1000000000000}]}',
])
def test_where_no_next_message_can_be_found_it_says_so_and_ends(own_engine, line):
    own_engine.process.stdin.write(line + b"\n")
    own_engine.process.stdin.flush()
    assert read_message(own_engine.process.stdout)[0]["type"] == "error"
    assert own_engine.process.wait(10) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell who has closed a pipe before something is written")
def test_it_ends_when_nobody_can_hear_it_any_more(own_engine):
    assert own_engine.ask({"type": "ready"})[0]["type"] == "result"
    own_engine.process.stdout.close()
    assert own_engine.process.wait(5) == 0


SILENT_WORK = """
import time
from core import worker
from core.messages import ReadyResult

worker.BEAT = 0.1
worker.Worker._answer = lambda _self, job, _arrays: (time.sleep(0.6), job.say(ReadyResult()))
worker.main()
"""


def test_work_that_says_nothing_is_told_to_go_on():
    """Beats of a request that is silent for a while, and none after its end."""
    asked = b'{"id": 1, "type": "dance"}\n'
    with subprocess.Popen([sys.executable, "-c", SILENT_WORK], cwd=ROOT,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(asked)
        process.stdin.flush()
        said = []
        while not said or said[-1] == "progress":
            said.append(read_message(process.stdout)[0]["type"])
        assert said.count("progress") >= 2
        assert said[-1] == "result"
        time.sleep(0.4)
        process.stdin.close()
        assert process.stdout.read() == b""


LONG_WORK = """
import select, time
if hasattr(select, "poll"):
    del select.poll
from core import worker
from core.messages import Working

worker.Worker._answer = lambda _self, job, _arrays: (job.say(Working(0.5, "Working")), time.sleep(60))
worker.main()
"""


def test_at_work_it_ends_with_blender_on_a_system_that_cannot_poll():
    """As on Windows: its input ends with Blender, and it says nothing more by which it could notice."""
    with subprocess.Popen([sys.executable, "-c", LONG_WORK], cwd=ROOT,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b'{"id": 1, "type": "dance"}\n')
        process.stdin.flush()
        assert read_message(process.stdout)[0]["type"] == "progress"
        begin = time.monotonic()
        process.stdin.close()
        assert process.wait(10) == 0
        assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("error", [
    MemoryError("std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                 "to allocate 80000000000 bytes. Error code 12 (Cannot allocate memory)"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."), OSError(12, "Cannot allocate memory"),
])
def test_memory_that_has_run_out_is_a_sentence_whoever_says_so(error):
    assert worker.sentence_of(error) == worker.OUT_OF_MEMORY


def test_other_errors_are_not_taken_for_memory():
    assert "RuntimeError: shapes differ" in worker.sentence_of(RuntimeError("shapes differ"))
    assert worker.sentence_of(ValueError("The file says out of memory.")) == "The file says out of memory."


def test_ready_within_five_seconds_and_gone_when_stdin_closes(start_engine):
    took = []
    while not took or (took[-1] >= 5 and len(took) < 3):  # a loaded machine may try again; a slow engine fails all
        start = time.monotonic()
        engine = start_engine()
        assert engine.ask({"type": "hello"})[0]["type"] == "result"
        took.append(time.monotonic() - start)
        engine.process.stdin.close()
        assert engine.process.wait(5) == 0
    assert min(took) < 5, took


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")
def test_a_python_without_torch_says_so_and_ends_without_a_crash(start_engine, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    engine = start_engine(PYTHONPATH=str(tmp_path))
    assert engine.process.wait(20) == 1  # a negative one would be a signal
    assert engine.process.stderr.read().decode().rstrip().endswith("No module named 'torch'")
    engine.close()


def test_ctrl_c_ends_it_without_a_crash(own_engine):
    assert own_engine.ask({"type": "hello"})[0]["type"] == "result"
    own_engine.process.send_signal(signal.SIGINT)
    assert own_engine.process.wait(5) == -signal.SIGINT
    assert b"Fatal" not in own_engine.process.stderr.read()


@pytest.mark.skipif(os.name == "nt", reason="needs a shell's limit on files")
def test_a_full_disk_costs_no_grasp(start_engine, can, tmp_path):
    """No byte can be written to any file: what would be kept in the cache is made again each time."""
    engine = start_engine(before=("bash", "-c", 'ulimit -f 0; exec "$@"', "bash"), XDG_CACHE_HOME=str(tmp_path))
    try:
        for seed in (0, 1):
            found, replies = generate(engine, can, seed=seed)
            assert replies[-1][0]["type"] == "result", replies[-1]
            assert len(found) >= 2
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
    finally:
        engine.close()


def test_bye_ends_it(own_engine):
    own_engine.send({"type": "bye"})
    assert own_engine.process.wait(30) == 0


def test_two_hundred_megabytes_of_object_are_a_sentence_and_the_next_works(engine, can):
    vertices = np.zeros((8_400_000, 3))
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    faces = np.concatenate([faces, faces[:400_000]])
    message, _ = engine.ask({"type": "generate", "count": 1}, {"vertices": vertices, "faces": faces})
    assert message["type"] == "error"
    assert "3,200,000 triangles" in message["message"]
    assert "Decimate" in message["message"]
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


def test_a_broken_hand_is_a_sentence_and_works_again_when_mended(copied_engine):
    folder, engine = copied_engine
    weights = folder / "weights" / "hand" / "right.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    message, _ = engine.ask({"type": "hello"})
    assert message["type"] == "error"
    assert "right.npz is damaged" in message["message"]
    weights.write_bytes(whole)
    assert engine.ask({"type": "hello"})[0]["type"] == "result"


def test_imagined_objects_come_as_meshes_with_their_hands_in_one_unit(engine):
    replies = list(engine.replies(engine.send({"type": "imagine", "count": 1, "fit": False, "hand_length": 19.0,
                                               "seed": 3})))
    found = [reply for reply in replies if reply[0]["type"] == "imagined"]
    assert len(found) == replies[-1][0]["count"] == 1
    arrays = found[0][1]
    mesh = trimesh.Trimesh(arrays["object_vertices"], arrays["object_faces"], process=False)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert 1.0 < np.ptp(arrays["object_vertices"], axis=0).max() < 80.0  # cm
    apart = np.linalg.norm(arrays["vertices"][:, None] - arrays["object_vertices"][None, ::5], axis=2)
    assert apart.min() < 2.0
    message, _ = engine.ask({"type": "imagine", "count": 0})
    assert "whole number from 1 to 64" in message["message"]
    methods = engine.ask({"type": "hello", "side": "right"})[0]["methods"]
    assert [method["name"] for method in methods if method["imagines"]] == ["jhod"]
