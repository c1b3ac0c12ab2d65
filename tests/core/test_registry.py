"""The methods' table: what it names is there, and nobody else names a learned generator."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

from core.registry import METHODS, TRAINED, make_generator, training_config

CORE = Path(__file__).resolve().parents[2] / "core"


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_class_is_where_the_table_says(name):
    method = METHODS[name]
    made = getattr(import_module(method.module), method.cls)
    assert hasattr(made, "sample") or method.learned
    assert method.name == name


def test_methods_that_refine_can():
    for name in (name for name, method in METHODS.items() if method.refines):
        assert callable(make_generator(name).refine)


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_moves_parts_that_the_network_has(name):
    config = training_config(name, 1e-6)
    for stage in config.stages:
        assert stage.optimizer.steps == 1
        for part in stage.trained:
            assert sum(1 for _ in config.network.get_submodule(part).parameters()) > 0
    assert len({stage.name for stage in config.stages}) == len(config.stages)


def test_what_there_is_no_training_of_is_said():
    with pytest.raises(ValueError, match="no training of 'magic': use one of places"):
        training_config("magic")


def test_no_module_but_the_registry_names_a_learned_generator():
    """An added generator is a file, an entry and a card: no import and no string elsewhere has to know of it."""
    learned = {method.name: method for method in METHODS.values() if method.learned}
    own = {CORE.parent / Path(*method.module.split(".")).with_suffix(".py") for method in learned.values()}
    found = []
    for path in sorted(CORE.rglob("*.py")):
        if path in own or path == CORE / "registry.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = node.module if isinstance(node, ast.ImportFrom) else None
            text = node.value if isinstance(node, ast.Constant) else None
            if text in learned or imported in {method.module for method in learned.values()}:
                found.append(f"{path.name}:{node.lineno}")
    assert not found
