"""Objects: meshes loaded, cleaned and measured; distances to them, and places on them that hands grasp."""

from __future__ import annotations

from core.objects.cache import cached_object
from core.objects.errors import ObjectError, ObjectTooLarge, ObjectTooSmall
from core.objects.features import RimPoints, RodPoints, rims, rods
from core.objects.grasp_object import GraspObject, with_parts
from core.objects.grid import DistanceGrid
from core.objects.load import load_mesh
from core.objects.parts import Parts
from core.objects.prepare import check_graspable, prepare_object
from core.objects.storage import load_object, save_object

__all__ = [
    "DistanceGrid",
    "GraspObject",
    "ObjectError",
    "ObjectTooLarge",
    "ObjectTooSmall",
    "Parts",
    "RimPoints",
    "RodPoints",
    "cached_object",
    "check_graspable",
    "load_mesh",
    "load_object",
    "prepare_object",
    "rims",
    "rods",
    "save_object",
    "with_parts",
]
