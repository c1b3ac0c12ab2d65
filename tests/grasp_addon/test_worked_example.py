"""The worked example of docs/adding-an-operator.md works in Blender."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bpy
import pytest
from fake_engine import FakeEngine

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "adding-an-operator.md"
OPERATOR, BUTTON, TEST = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"),
                                    re.MULTILINE | re.DOTALL)


def module_from(code: str, name: str, folder: Path) -> ModuleType:
    """A module of this name with the code, read from a file."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[ModuleType]:
    """The example's module, its classes registered while the test runs."""
    module = module_from(OPERATOR, "grasp_addon.operators.select_object", tmp_path)
    register, unregister = bpy.utils.register_classes_factory(module.CLASSES)
    register()
    yield module
    unregister()


@pytest.fixture
def beside(operator: ModuleType, tmp_path: Path) -> ModuleType:
    """The test that is printed beside it."""
    return module_from(TEST, "test_select_object", tmp_path)


def test_the_grasped_object_is_selected(beside: ModuleType, engine: FakeEngine, mug: bpy.types.Object) -> None:
    beside.test_the_grasped_object_is_selected_alone(engine, mug)


def test_without_grasps_it_is_grey(beside: ModuleType, mug: bpy.types.Object) -> None:
    beside.test_without_grasps_the_button_is_grey(mug)


def test_an_error_is_told_and_stays_in_the_panel(beside: ModuleType, engine: FakeEngine, mug: bpy.types.Object) -> None:
    from grasp_addon.operators.mixins import status

    beside.test_an_object_that_is_gone_is_said(engine, mug)
    assert "undo its removal" in status.message


def test_every_test_of_the_example_is_run_here(beside: ModuleType) -> None:
    assert len([name for name in vars(beside) if name.startswith("test_")]) == 3


def test_it_is_undone_in_one_step(operator: ModuleType) -> None:
    (cls,) = operator.CLASSES
    assert cls.bl_options == {"REGISTER", "UNDO"}
    assert hasattr(bpy.types, cls.__name__)


def test_the_button_has_an_icon_of_blender(operator: ModuleType) -> None:
    (button,) = (node for node in ast.walk(ast.parse(BUTTON)) if isinstance(node, ast.Call))
    assert ast.literal_eval(button.args[0]) == operator.CLASSES[0].bl_idname
    icons = bpy.types.UILayout.bl_rna.functions["operator"].parameters["icon"].enum_items.keys()
    assert ast.literal_eval(button.keywords[0].value) in icons
