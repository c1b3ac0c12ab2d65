"""The one-way doors between the rooms of the house and its floors, read from the source: nothing has to be imported.

An import goes down a floor or stays inside its own folder; lazy ones and those for types only count, too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: folders and modules of each room, a floor a row, the lowest first
FLOORS = {
    "core": (
        ("files", "progress", "rotations", "units", "version", "wire"),
        ("parallel", "weights"),
        ("hub",),
        ("hand", "objects"),
        ("grasps",),
        ("quality", "dataset"),
        ("fitting", "metrics"),
        ("generators", "synthesis"),
        ("registry",),
        ("pipeline", "training"),
        ("messages",),
        ("worker",),
        ("cli",),
        ("__main__",),
    ),
    "grasp_addon": (
        ("errors", "naming", "ui"),
        ("transforms",),
        ("engine",),
        ("rig",),
        ("properties", "operators"),
        ("panel", "preferences"),
        ("__init__",),
    ),
}
#: What the engine needs on a training machine. All else that core uses is imported inside the function that uses it.
CORE_EAGER = {"core", "torch", "numpy", "scipy", "safetensors"} | set(sys.stdlib_module_names)
#: What the Python inside every Blender has.
ADDON_MAY = {"bpy", "bpy_extras", "bl_ui", "bl_operators", "mathutils", "bmesh", "gpu", "gpu_extras", "blf",
             "addon_utils", "numpy", "rna_keymap_ui"} | set(sys.stdlib_module_names)


def sources(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


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
        for line, package in (eager_imports if eager else imports)(tree_of(path)):
            if package in never or (may is not None and package not in may):
                found.append(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{line} "
                             f"imports {package}")
    return found


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(paths: list[Path], root: Path) -> Iterator[tuple[str, int, str]]:
    """(module, line, module that it imports) inside one room; relative ones and names in strings count, too."""
    modules = {module_name(path, root): path for path in paths}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree_of(path)):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
                named = [f"{base}.{alias.name}" for alias in node.names]
                targets = [name_ if name_ in modules else base for name_ in named]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
                targets = [node.value]
            for target in dict.fromkeys(targets):
                if target in modules and target != name:
                    yield name, getattr(node, "lineno", 0), target


def room_within(name: str) -> str:
    """The folder, or the module beside the folders, that a module of a room is in."""
    return (name.split(".") + ["__init__"])[1]


def wrong_arrows(paths: list[Path], root: Path, floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Every import that does not go down a floor, and every module that stands on none."""
    floor = {name: number for number, names in enumerate(floors) for name in names}
    found = [f"{name} stands on no floor" for path in paths
             if room_within(name := module_name(path, root)) not in floor and name.count(".")]
    for name, line, target in arrows(paths, root):
        here, there = room_within(name), room_within(target)
        if here != there and floor.get(there, -1) >= floor.get(here, len(floors)):
            found.append(f"{name}:{line} imports {target}")
    return found


def circles(paths: list[Path], root: Path) -> list[str]:
    """Modules that import each other, by whatever way round."""
    after: dict[str, set[str]] = {}
    for name, _, target in arrows(paths, root):
        after.setdefault(name, set()).add(target)

    def reached(begin: str) -> set[str]:
        seen: set[str] = set()
        pending = list(after.get(begin, ()))
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending.extend(after.get(name, ()))
        return seen

    return sorted(name for name in after if name in reached(name))


def test_the_rooms_are_there():
    assert sources("core")
    assert sources("grasp_addon")


def test_core_knows_nothing_of_blender_or_scripts():
    assert not trespasses(sources("core"), None, {"bpy", "mathutils", "bmesh", "grasp_addon", "scripts", "tests"})


def test_core_imports_only_the_engines_few_packages_eagerly():
    assert not trespasses(sources("core"), CORE_EAGER, set(), eager=True)


def test_addon_knows_only_blender_and_numpy():
    assert not trespasses([*sources("grasp_addon"), ROOT / "__init__.py"], ADDON_MAY, set())


def test_addon_stays_inside_its_own_package():
    """A relative import that climbs out of grasp_addon would reach core, which has no place in Blender's process."""
    found = []
    for path in sources("grasp_addon"):
        depth = len(path.relative_to(ROOT / "grasp_addon").parts)
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_nothing_imports_scripts():
    assert not trespasses([*sources("core"), *sources("grasp_addon")], None, {"scripts"})


@pytest.mark.parametrize("room", FLOORS)
def test_imports_go_down_a_floor(room):
    assert not wrong_arrows(sources(room), ROOT, FLOORS[room])


@pytest.mark.parametrize("room", FLOORS)
def test_no_two_modules_import_each_other(room):
    assert not circles(sources(room), ROOT)


@pytest.mark.parametrize("room", FLOORS)
def test_every_floor_is_of_something(room):
    there = {room_within(module_name(path, ROOT)) for path in sources(room)}
    assert not {name for names in FLOORS[room] for name in names} - there


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
def test_the_guard_of_rooms_sees(tmp_path, source, eager, expected):
    path = tmp_path / "module.py"
    path.write_text(source)
    assert len(trespasses([path], None, {"bpy"}, eager)) == expected


@pytest.mark.parametrize("source, wrong", [
    ("from house.attic.trunk import key", 1),
    ("from house import attic", 1),
    ("from ..attic import trunk", 1),
    ("def f():\n    from house.attic.trunk import key", 1),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.attic.trunk import key", 1),
    ("CLASS = 'house.attic.trunk'", 1),
    ("from house.hall import door", 1),
    ("from house.cellar.shelf import jar", 0),
    ("from ..cellar import shelf", 0),
    ("from house.kitchen.oven import heat", 0),
    ("import os", 0),
])
def test_the_guard_of_floors_sees(tmp_path, source, wrong):
    for name in ("cellar/shelf", "kitchen/oven", "kitchen/cook", "hall/door", "attic/trunk"):
        path = tmp_path / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source if name == "kitchen/cook" else "")
    (tmp_path / "house" / "__init__.py").touch()
    paths = sorted((tmp_path / "house").rglob("*.py"))
    floors = (("cellar",), ("kitchen", "hall"), ("attic",))
    assert len(wrong_arrows(paths, tmp_path, floors)) == wrong
    assert any("stands on no floor" in line for line in wrong_arrows(paths, tmp_path, floors[:2]))
    assert not circles(paths, tmp_path)


def test_the_guard_of_circles_sees(tmp_path):
    (tmp_path / "house").mkdir()
    made = {"a": "from . import b", "b": "def f():\n    from house.c import g", "c": "import house.a",
            "d": "from . import a"}
    for name, source in made.items():
        (tmp_path / "house" / f"{name}.py").write_text(source)
    assert circles(sorted((tmp_path / "house").glob("*.py")), tmp_path) == ["house.a", "house.b", "house.c"]
