"""The worked example of docs/adding-a-generator.md works, and the functions that documents name exist."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from core import registry
from core.dataset.training_grasps import load_training, merge
from core.grasps.request import GraspRequest
from core.hand import load_hand
from core.objects import prepare_object
from core.pipeline.generate import propose
from core.progress import Progress
from core.registry import METHODS, Method
from core.training.data import load_training_data
from core.training.run import run
from core.weights import VARIABLE, store_weights

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = ROOT / "docs" / "adding-a-generator.md"
DOCUMENTS = (ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")))
METHOD_PAGES = sorted(path for path in (ROOT / "docs" / "methods").glob("*.md") if path.name != "README.md")


def python_blocks(document: Path) -> list[str]:
    """Its fenced blocks of Python: the generator's file, its entry in the registry, its test."""
    return re.findall(r"^```python\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def method_of(entry: str) -> Method:
    """The `Method` that an entry of the registry makes, whose arguments are all literals."""
    call = ast.parse(entry).body[0].value
    named = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    return Method(*map(ast.literal_eval, call.args), **named)


@pytest.fixture
def mean_hand(tmp_path, monkeypatch) -> Method:
    """The example's method, registered; its module is there while the test runs."""
    code, entry, _ = python_blocks(GENERATOR)
    method = method_of(entry)
    path = tmp_path / "mean_hand.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(method.module, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, method.module, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, method.name, method)
    monkeypatch.setitem(registry.TRAINED, method.name, method.module)
    return method


@pytest.fixture
def trained(mean_hand, tmp_path, monkeypatch) -> str:
    """The example's method with weights, trained for a short while on a few grasps; its name."""
    every = load_training(ROOT / "weights" / "training" / "grasps.npz")
    some = [every[np.flatnonzero(every.object == every.objects.index(name))[:12]] for name in ("can/0", "can/5")]
    merge(some).save(tmp_path / "grasps.npz")
    data = load_training_data(tmp_path / "grasps.npz", tmp_path / "data.npz", load_hand())
    config = registry.training_config(mean_hand.name, 0.3)
    assert run(config, data, load_hand(), tmp_path / "out", math.inf, lambda line: None)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "weights"))
    store_weights(mean_hand.name, config.network, tmp_path / "weights")
    return mean_hand.name


def test_the_example_generator_proposes_grasps(trained):
    mesh = trimesh.creation.cylinder(0.033, 0.1, sections=48)
    request = GraspRequest(prepare_object(np.array(mesh.vertices), np.array(mesh.faces)), load_hand(), 3)
    raw, again = (propose(request, trained, 5, Progress(), raw=True) for _ in range(2))
    assert len(raw) == 3
    assert torch.equal(raw.hand_pose, again.hand_pose)
    assert torch.equal(raw.transl, again.transl)
    assert (raw.transl[0] - raw.transl[1]).norm() > 0.01
    with torch.no_grad():
        distance = request.object.grid.query(request.hand(**raw.parameters()).vertices)[0]
    assert distance.abs().amin(1).max() < 0.02
    fitted = propose(request, trained, 5, Progress())
    assert 1 <= len(fitted) <= 3
    assert (fitted.method, fitted.seed) == ("mean_hand", 5)
    assert fitted.measures["overlap_cm3"][0] < 0.5
    assert fitted.measures["contacts"][0] >= 2


def test_the_example_generator_passes_the_test_beside_it(mean_hand, tmp_path):
    *_, code = python_blocks(GENERATOR)
    assert ast.get_docstring(ast.parse(code))
    path = tmp_path / "test_mean_hand.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("test_mean_hand", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_it_learns_the_mean_hand_of_each_type(tmp_path)


# What documents name.


def module_file(parts: list[str]) -> tuple[Path, int] | None:
    """The file of the longest module that a dotted name begins with, and how many of its parts that is."""
    for count in range(len(parts), 1, -1):
        place = ROOT.joinpath(*parts[:count])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.exists():
                return path, count
    return None


@cache
def definitions(path: Path) -> list[ast.stmt]:
    """What a file consists of."""
    return ast.parse(path.read_text(encoding="utf-8")).body


def members(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What a module or a class defines: name to where. Of a class also what its __init__ sets."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: node for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: node for alias in node.names}
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found |= {name.attr: node for name in ast.walk(node) if isinstance(name, ast.Attribute)
                      and isinstance(name.ctx, ast.Store) and isinstance(name.value, ast.Name)
                      and name.value.id == "self"}
    return found


def exists(dotted: str) -> bool:
    """Whether a dotted name of the room core is a module, or a definition in one, or in a class of one."""
    parts = dotted.split(".")
    if (found := module_file(parts)) is None:
        return False
    path, count = found
    body = definitions(path)
    for part in parts[count:]:
        node = members(body).get(part)
        if node is None:
            return False
        body = node.body if isinstance(node, ast.ClassDef) else []
    return True


def in_backticks(text: str) -> list[str]:
    """Inline code outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def names_in_tables(page: str) -> list[str]:
    """The dotted names in the second column of tables; those that are short belong to the module in the heading."""
    names, module = [], ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 2:
            continue
        quoted = re.findall(r"`([^`]+)`", cells[1])
        if cells[1].startswith("function"):
            (module,) = quoted
        else:
            names += [name if name.startswith("core.") else f"{module}.{name}" for name in quoted]
    return names


@pytest.mark.parametrize("dotted, there", [
    ("core.fitting.energy.GraspEnergy.pose_terms", True), ("core.fitting.energy.GraspEnergy.pivot", True),
    ("core.generators.hand_loss.HandLoss.surface", True), ("core.hand.load_hand", True), ("core.grasps", True),
    ("core.generators.diffusion.NoiseSchedule", True), ("core.fitting.energy.GraspEnergy.posed_terms", False),
    ("core.fitting.energies", False), ("core.fitting.energy.pose_terms", False), ("core.nothing", False)])
def test_a_name_is_found_where_it_is_and_nowhere_else(dotted, there):
    assert exists(dotted) == there


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_that_documents_name_exist(path):
    dotted = [name for name in in_backticks(path.read_text(encoding="utf-8")) if re.fullmatch(r"core(\.\w+)+", name)]
    assert [name for name in dotted if not exists(name)] == []


@pytest.mark.parametrize("path", METHOD_PAGES, ids=lambda path: path.stem)
def test_functions_that_realise_equations_exist(path):
    names = names_in_tables(path.read_text(encoding="utf-8"))
    assert len(names) > 5
    assert [name for name in names if not exists(name)] == []


@pytest.mark.parametrize("page, paper, last", [("fastgrasp", "FastGrasp", 11), ("grasptta", "GraspTTA", 3),
                                               ("choir", "CHOIR", 14), ("dvqvae", "DVQ-VAE", 19)])
def test_every_numbered_equation_of_a_paper_has_its_line(page, paper, last):
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {paper}")
    told = set()
    for cell in re.findall(r"^\| Eq\. ([\d, -]+)", text, re.MULTILINE):
        for first, end in re.findall(r"(\d+)(?:-(\d+))?", cell):
            told |= set(range(int(first), int(end or first) + 1))
    assert told == set(range(1, last + 1))
