"""The version is told in two places, each side's own: they agree, and the changelog knows it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from core.version import VERSION

ROOT = Path(__file__).resolve().parent.parent


def test_the_engine_and_the_extension_are_of_one_version():
    assert tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))["version"] == VERSION


def test_the_changelog_tells_of_it():
    assert f"\n## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
