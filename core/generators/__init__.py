"""The generators by name. Each is imported when it is asked for, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from core.generators.base import Generator
    from core.generators.learned import Network








