"""What belongs to an object: the parts that hang on it; and telling objects apart by what they are, not by their names."""

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

    Args:
        chosen: the objects.
        layer: where they are shown.

    Returns:
        them and their parts, each once.
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

    for item in chosen:
        parts = [o for o in below(item) if _is_seen(o, layer)]
        cutters = {m.object for o in (item, *parts) for m in o.modifiers if m.type == "BOOLEAN"}
        found += [o for o in (item, *parts) if o not in found and (o == item or o not in cutters)]
    return found


def by_uid(uids: Iterable[int]) -> dict[int, bpy.types.Object]:
    """The objects of the file that have these numbers, which stay the same through renaming and undo."""
    wanted = set(uids)
    return {o.session_uid: o for o in bpy.data.objects if o.session_uid in wanted}


def is_in(item: bpy.types.Object, objects: bpy.types.bpy_prop_collection) -> bool:
    """Whether a scene's or view layer's objects hold this very one, and not one of its name from another file."""
    return objects.get(item.name) == item or any(o == item for o in objects)


def _is_seen(item: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    shown = item.type in SURFACES or item.instance_type == "COLLECTION"
    return shown and item.display_type not in {"WIRE", "BOUNDS"} and item.visible_get(view_layer=layer)
