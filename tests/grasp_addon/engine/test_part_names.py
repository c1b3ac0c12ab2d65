"""What vertex groups' names mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grasp_addon.engine.part_names import PART_NAMES, SYNONYMS, part_index

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("name", "part"), [
    ("Handle", "handle"), ("blade.L", "blade"), ("GRIP_2", "grip"), ("head-top", "head"), ("Body", None),
    ("handlebar", None), ("", None), ("Handle.001", "handle"), ("HANDLE_low", "handle"), ("handle2", "handle"),
    ("Handles", "handle"), ("mug_handle", "handle"), ("MugHandle", "handle"), ("Griff", "handle"),
    ("poignée", "handle"), ("Poigne\u0301e.003", "handle"), ("mango", "handle"), ("MANICO", "handle"),
    ("取っ手", "handle"), ("マグの取っ手.001", "handle"), ("Ручка", "handle"), ("손잡이", "handle"),
    ("Klinge", "blade"), ("tülle", "spout"), ("トリガー", "trigger"), ("jaw", "jaws"), ("bristles", "bristles"),
    ("Group", None), ("Bone.L", None), ("003", None)])
def test_names_of_parts(name: str, part: str | None) -> None:
    assert part_index(name) == (PART_NAMES.index(part) if part else -1)


def test_every_synonym_means_its_part() -> None:
    for part, words in SYNONYMS.items():
        assert {PART_NAMES[part_index(word)] for word in words.split()} == {part}


def test_parts_are_those_the_engine_knows() -> None:
    """Read as text: the add-on may not import core."""
    source = next((ROOT / "core").rglob("intents.py")).read_text(encoding="utf-8")
    known = {word for line in re.findall(r"frozenset\(\{(.+?)\}\)", source) for word in re.findall(r'"(\w+)"', line)}
    assert set(PART_NAMES) == known
