"""Meshes in, cleaned; points, distances and places to grasp."""

from __future__ import annotations

from core.objects.errors import ObjectError, ObjectTooLarge, ObjectTooSmall
from core.objects.grid import DistanceGrid
from core.objects.load import load_mesh
from core.objects.prepare import GraspObject, prepare_object

__all__ = [
    "DistanceGrid",
    "GraspObject",
    "ObjectError",
    "ObjectTooLarge",
    "ObjectTooSmall",
    "load_mesh",
    "prepare_object",
]
