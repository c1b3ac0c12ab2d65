"""The one-way doors between the rooms of the house, read from the source, so that nothing has to be imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What the engine needs on a training machine. Everything else core uses is imported inside the function that uses it.
CORE_EAGER = {"core", "torch", "numpy", "scipy", "safetensors"} | set(sys.stdlib_module_names)
# What the Python inside every Blender has.
ADDON_MAY = {"bpy", "bpy_extras", "bl_ui", "bl_operators", "mathutils", "bmesh", "gpu", "gpu_extras", "blf",
             "addon_utils", "numpy", "rna_keymap_ui"} | set(sys.stdlib_module_names)


def sources(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, top package) of every absolute import, wherever it stands; importlib.import_module("x") counts too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value).partition(".")[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def eager_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What importing the module imports: not what functions and TYPE_CHECKING blocks do."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        else:
            pending.extend(ast.iter_child_nodes(node))


def trespasses(paths: list[Path], may: set[str] | None, never: set[str], eager: bool = False) -> list[str]:
    found = []
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for line, package in (eager_imports if eager else imports)(tree):
            if package in never or (may is not None and package not in may):
                found.append(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{line} "
                             f"imports {package}")
    return found


def test_the_rooms_are_there():
    assert sources("core")
    assert sources("grasp_addon")


def test_core_knows_nothing_of_blender_or_scripts():
    assert not trespasses(sources("core"), None, {"bpy", "mathutils", "bmesh", "grasp_addon", "scripts", "tests"})


def test_core_imports_only_the_engines_few_packages_eagerly():
    assert not trespasses(sources("core"), CORE_EAGER, set(), eager=True)


def test_addon_knows_only_blender_and_numpy():
    paths = [*sources("grasp_addon"), ROOT / "__init__.py"]
    assert not trespasses([path for path in paths if path.exists()], ADDON_MAY, set())


def test_addon_stays_inside_its_own_package():
    """A relative import that climbs out of grasp_addon would reach core, which has no place in Blender's process."""
    found = []
    for path in sources("grasp_addon"):
        depth = len(path.relative_to(ROOT / "grasp_addon").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_nothing_imports_scripts():
    assert not trespasses([*sources("core"), *sources("grasp_addon")], None, {"scripts"})


@pytest.mark.parametrize("source, eager, expected", [
    ("import bpy", False, 1),
    ("def f():\n    from bpy import data", False, 1),
    ("import importlib\nimportlib.import_module('bpy.types')", False, 1),
    ("from .bpy import x", False, 0),
    ("def f():\n    import bpy", True, 0),
    ("class A:\n    import bpy", True, 1),
    ("try:\n    import bpy\nexcept ImportError:\n    pass", True, 1),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import bpy", True, 0),
])
def test_the_guard_sees(tmp_path, source, eager, expected):
    path = tmp_path / "module.py"
    path.write_text(source)
    assert len(trespasses([path], None, {"bpy"}, eager)) == expected
