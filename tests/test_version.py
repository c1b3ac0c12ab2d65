"""The version is told in two places, each side's own: they agree, and the changelog knows it."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from core import version
from core.version import VERSION, differing_packages

ROOT = Path(__file__).resolve().parent.parent


def test_the_engine_and_the_extension_are_of_one_version():
    assert tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))["version"] == VERSION


def test_the_changelog_tells_of_it():
    assert f"\n## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def pinned() -> dict[str, str]:
    lines = version.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


@pytest.mark.parametrize("name, installed, told", [
    ("mujoco", "4.0.0", ["mujoco 4.0.0, not {}"]),
    ("torch", "{}+cu130", []),
    ("scipy", None, []),
])
def test_packages_of_other_versions_than_pinned_are_told(monkeypatch, name, installed, told):
    wanted = pinned()

    def found(asked: str) -> str:
        if asked == name and installed is None:
            raise PackageNotFoundError(asked)
        return installed.format(wanted[name]) if asked == name else wanted[asked]

    monkeypatch.setattr(version, "version", found)
    assert differing_packages() == [words.format(wanted[name]) for words in told]
