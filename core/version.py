"""The version of the engine; that of the extension, in blender_manifest.toml, is the same."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0"
