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
        those that can have a surface, then their parts, each once; without any, the objects themselves.
    """
    children: dict[bpy.types.Object, list[bpy.types.Object]] = {}
    for item in layer.objects:
        if item.parent:
            children.setdefault(item.parent, []).append(item)
    chosen = list(chosen)
    surfaces = [o for o in chosen if _has_surface(o)]
    visited: set[bpy.types.Object] = set()
    parts: list[bpy.types.Object] = []
    for item in chosen:
        if item.type != "ARMATURE" or all(hangs_on(o, item) for o in surfaces):
            parts += [o for o in _below(item, children, visited) if _is_seen(o, layer)]
    cutters = {m.object for o in (*surfaces, *parts) for m in o.modifiers if m.type == "BOOLEAN"}
    return list(dict.fromkeys(surfaces + [o for o in parts if o not in cutters])) or chosen


def holders(members: Iterable[bpy.types.Object]) -> set[bpy.types.Object]:
    """Objects, and all that they hang on."""
    found = set()
    for item in members:
        while item and item not in found:
            found.add(item)
            item = item.parent
    return found


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


def _below(item: bpy.types.Object, children: dict[bpy.types.Object, list[bpy.types.Object]],
           visited: set[bpy.types.Object]) -> Iterator[bpy.types.Object]:
    """What hangs on an object and was not visited, by name; no hand, nor what is shown as instances of its parent."""
    pending = [item]
    while pending:
        one = pending.pop()
        if one in visited:
            continue
        visited.add(one)
        if one != item:
            yield one
        if one.instance_type not in {"VERTS", "FACES"}:
            below = (o for o in children.get(one, ()) if not o.grasp.role)
            pending += sorted(below, key=lambda o: o.name_full, reverse=True)


def _has_surface(item: bpy.types.Object) -> bool:
    """Whether it may show one, itself or by what it instances, e.g. hair curves with Geometry Nodes."""
    return item.type in SURFACES or item.type in {"CURVES", "POINTCLOUD"} or item.instance_type == "COLLECTION"


def _is_seen(item: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    return _has_surface(item) and item.display_type not in {"WIRE", "BOUNDS"} and item.visible_get(view_layer=layer)
