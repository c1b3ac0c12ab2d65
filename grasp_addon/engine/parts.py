"""What belongs to an object, the parts that hang on it; and telling objects apart by identity instead of name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SURFACES: Final = {"MESH", "CURVE", "SURFACE", "FONT", "META"}


def with_parts(chosen: Iterable[bpy.types.Object], layer: bpy.types.ViewLayer) -> list[bpy.types.Object]:
    """Objects, each followed by the parts that hang on it.

    A part is what a person sees there: a surface or a collection's instance, shown in the view layer. The cutter of
    a boolean, what is drawn as wires or as its bounds, and a hand of this add-on with all that hangs on it are none.
    Nor is what hangs on an armature selected together with something else: whoever holds the prop is no part of it.

    Args:
        chosen: the objects.
        layer: where they are shown.

    Returns:
        those that can have a surface, and their parts, each once; without any, the objects themselves.
    """
    children: dict[bpy.types.Object, list[bpy.types.Object]] = {}
    for item in layer.objects:
        if item.parent:
            children.setdefault(item.parent, []).append(item)
    found: list[bpy.types.Object] = []

    def below(item: bpy.types.Object) -> Iterator[bpy.types.Object]:
        if item.instance_type in {"VERTS", "FACES"}:  # its children are shown as its instances
            return
        for child in sorted(children.get(item, ()), key=lambda o: o.name_full):
            if not child.grasp.role:
                yield child
                yield from below(child)

    chosen = list(chosen)
    surfaces = [o for o in chosen if _has_surface(o)]
    for item in chosen:
        if item.type == "ARMATURE" and not all(hangs_on(o, item) for o in surfaces):
            continue
        parts = [o for o in below(item) if _is_seen(o, layer)]
        cutters = {m.object for o in (item, *parts) for m in o.modifiers if m.type == "BOOLEAN"}
        own = [item] if _has_surface(item) else []
        found += [o for o in own + [p for p in parts if p not in cutters] if o not in found]
    return found or chosen


def by_uid(uids: Iterable[int]) -> dict[int, bpy.types.Object]:
    """The objects of the file that have these numbers, which stay the same through renaming and undo."""
    wanted = set(uids)
    return {o.session_uid: o for o in bpy.data.objects if o.session_uid in wanted}


def is_in(item: bpy.types.Object, objects: bpy.types.bpy_prop_collection) -> bool:
    """Whether a scene's or view layer's objects hold this very one, and not one of its name from another file."""
    return objects.get(item.name) == item or any(o == item for o in objects)


def hangs_on(item: bpy.types.Object | None, other: bpy.types.Object) -> bool:
    """Whether an object is another or a child of it, however deep."""
    while item and item != other:
        item = item.parent
    return item == other


def _has_surface(item: bpy.types.Object) -> bool:
    """Whether it may show one, itself or by what it instances, e.g. hair curves with Geometry Nodes."""
    return item.type in SURFACES or item.type in {"CURVES", "POINTCLOUD"} or item.instance_type == "COLLECTION"


def _is_seen(item: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    return _has_surface(item) and item.display_type not in {"WIRE", "BOUNDS"} and item.visible_get(view_layer=layer)
