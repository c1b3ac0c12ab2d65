"""Scripts start from any folder, and find each other and the packages in the one way."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [path.relative_to(ROOT / "scripts").as_posix() for path in sorted((ROOT / "scripts").rglob("*.py"))
           if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]
LINE = "sys.path.insert(0, str(Path(__file__).resolve().parents[{}]))"
#: runs inside Blender too, where the packages are the built extension's
OTHERWISE = {"window_test.py"}


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - OTHERWISE))
def test_a_script_puts_the_root_on_its_path(name):
    text = (ROOT / "scripts" / name).read_text(encoding="utf-8")
    if "from scripts" in text or "from core" in text or "import core" in text:
        assert LINE.format(len(Path(name).parts)) in text


@pytest.mark.parametrize("name", ["demo.py", "benchmarks/evaluate.py", "build/mug.py"])
def test_a_script_of_each_folder_starts_elsewhere(name, command):
    assert command(name, "--help").startswith("usage: ")
