"""The messages' classes: what they read, what they leave out, and that the documents and the engine keep to them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from core.messages import (
    REPLIES,
    REQUESTS,
    CancelResult,
    Candidate,
    EvaluateResult,
    Failed,
    Generate,
    GraspsResult,
    HelloResult,
    Working,
    is_array,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_of_the_protocol_says_what_the_classes_say():
    assert subprocess.run([sys.executable, "scripts/build/protocol.py", "--check"], cwd=ROOT).returncode == 0


def test_every_field_is_documented_and_has_a_default_of_its_kind():
    for message in (*REQUESTS.values(), *REPLIES):
        assert message.__doc__
        for field in fields(message):
            assert len(field.metadata["doc"]) > 3
            if is_array(field):
                assert field.metadata["shape"].startswith("(")


def test_unknown_fields_are_passed_over_and_missing_ones_have_defaults():
    asked = Generate.read({"type": "generate", "id": 3, "count": 4, "from_tomorrow": True}, {"faces": np.zeros((1, 3))})
    assert (asked.count, asked.method, asked.vertices) == (4, "synthesis", None)
    assert asked.faces.shape == (1, 3)
    assert asked.scale == 1.0


@pytest.mark.parametrize("given, words", [
    ({"seed": -1}, "seed is a whole number"), ({"seed": True}, "seed is a whole number"),
    ({"hand_length": 0}, "number above 0"), ({"hand_length": "long"}, "number above 0"),
    ({"betas": [0.0] * 9}, "ten numbers"), ({"betas": "wide"}, "ten numbers"), ({"betas": [True] * 10}, "ten numbers"),
])
def test_what_is_of_another_kind_is_a_sentence(given, words):
    with pytest.raises(ValueError, match=words):
        Generate.read({"type": "generate", **given}, {})


def test_what_there_is_not_is_left_out_of_a_reply():
    message, arrays = GraspsResult(2, False, np.array([1, 0], np.int32)).packed()
    assert message == {"type": "result", "count": 2, "cancelled": False}
    assert arrays["order"].tolist() == [1, 0]
    assert GraspsResult(0, True).packed() == ({"type": "result", "count": 0, "cancelled": True}, {})
    assert Failed("No.").packed() == ({"type": "error", "message": "No.", "traceback": ""}, {})
    each = {"strict_held": np.ones(2, np.uint8)}
    assert EvaluateResult(2, False, strict={"held": 1.0}, each=each).packed()[1] is not each


def keeps_to(reply: dict, arrays: dict[str, np.ndarray], kind: type) -> None:
    """A reply of the engine holds what its class says, of the kinds that it says."""
    known = {field.name: field for field in fields(kind)}
    told = {name for name, field in known.items() if not is_array(field)}
    assert set(reply) - {"id", "type"} <= told
    if any(field.metadata.get("named") for field in known.values()):
        return
    assert set(arrays) <= set(known)
    for name, values in arrays.items():
        meta = known[name].metadata
        assert values.dtype.name == meta["dtype"]
        assert values.ndim == len([part for part in meta["shape"].strip("()").split(",") if part.strip()])


def test_the_engine_keeps_to_the_classes(engine, can):
    keeps_to(*engine.ask({"type": "hello"}), HelloResult)
    kinds = {"progress": Working, "candidate": Candidate, "result": GraspsResult}
    seen = set()
    asked = {"type": "generate", "method": "fastgrasp", "raw": True, "count": 2}
    for reply, arrays in engine.replies(engine.send(asked, can)):
        keeps_to(reply, arrays, kinds[reply["type"]])
        seen.add(reply["type"])
        if reply["type"] == "candidate":
            posed = {"rotations": arrays["rotations"], "translation": arrays["translation"]}
    assert seen == set(kinds)
    keeps_to(*engine.ask({"type": "evaluate", "protocol": "strict"}, {**can, **posed}), EvaluateResult)
    keeps_to(*engine.ask({"type": "cancel", "target": 0}), CancelResult)
    keeps_to(*engine.ask({"type": "generate", "count": 0}, can), Failed)
