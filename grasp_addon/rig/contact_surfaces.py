"""The surfaces that hands touch, made ready for Show Contact once and kept until they change.

A dense one takes seconds. In a window a thread makes it ready, from plain arrays, one surface at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np

from ..engine.mesh_export import selected_object
from ..errors import GraspError
from ..transforms import split_stretch
from .near_surface import SPARSE, NearSurface

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..engine.mesh_export import ExportedObject

SAMPLED: Final = 100  # points of a mesh that are compared
KEPT: Final = 4  # surfaces that are kept ready, the ones used last


@dataclass
class Surface:
    """What a hand holds, made ready for steps that look at its part near the hand only.

    Attributes:
        number: the object's `session_uid`.
        signature: changes where the surface does (see `_signature`).
        members: the objects and data that it is of, by `session_uid`.
        found: in the frame that turns with the object; None until it is ready, or where the memory ran out.
        thread: what makes it ready, None where nobody has to wait.
    """

    number: int
    signature: tuple
    members: frozenset[int]
    found: NearSurface | None = None
    thread: threading.Thread | None = None

    def make(self, item: ExportedObject, reach: float) -> None:
        """Makes it ready; in a thread of its own, or at once."""
        try:
            self.found = NearSurface(item.vertices, item.faces, reach)
        except MemoryError:
            self.found = None  # the next change of the object tries it again


class Surfaces:
    """The surfaces that are kept.

    Attributes:
        patient: whether even dense ones are waited for: there is no window that would be held.
    """

    def __init__(self) -> None:
        self.patient: bool = bpy.app.background
        self._kept: dict[int, Surface] = {}  # by the object's session_uid, the last used at the end
        self._making: Surface | None = None

    @property
    def making(self) -> bool:
        """Whether one is being made ready now."""
        return self._making is not None and self._making.thread is not None and self._making.thread.is_alive()

    def of(self, context: bpy.types.Context, target: bpy.types.Object, reach: float) -> NearSurface | None:
        """An object's surface; as it was the last time where nothing has changed.

        Args:
            context: whose dependency graph.
            target: the object.
            reach: how near is near, scene units.

        Returns:
            the surface, in the frame that turns with the object; None while it is made ready.

        Raises:
            GraspError: there is none, or too little memory for it.
        """
        context.evaluated_depsgraph_get()  # `forget_changed` hears of what has changed
        self._take()
        members = _members(target)
        signature = (*_digits(np.array([reach])), *_signature(context, target, members))
        found = self._kept.pop(target.session_uid, None)
        if found is None or found.signature != signature:
            if self.making:
                return None
            numbers = {one.session_uid for member in members for one in (member, member.data) if one}
            found = Surface(target.session_uid, signature, frozenset(numbers))
            item = selected_object(context, [target], labelled=False)
            if not self.patient and len(item.faces) > SPARSE:
                found.thread = threading.Thread(target=found.make, args=(item, reach), daemon=True)
                found.thread.start()
                self._making = found
                return None
            found.make(item, reach)
        self._keep(found)
        if found.found is None:
            raise GraspError(f"{target.name} is too dense for the memory that is left.")
        return found.found

    def forget_changed(self, graph: bpy.types.Depsgraph) -> None:
        """Lets go of those whose shape Blender has just worked out anew; the next step makes them ready again."""
        if not self._kept and self._making is None:
            return
        changed = {update.id.original.session_uid for update in graph.updates if update.is_updated_geometry}
        for number in [n for n, surface in self._kept.items() if surface.members & changed]:
            del self._kept[number]
        if self._making is not None and self._making.members & changed:
            self._making.signature = ()  # fits no more: it is made anew when the thread has ended

    def stop(self) -> None:
        """Lets go of all; the thread is waited for."""
        if self._making is not None and self._making.thread is not None:
            self._making.thread.join()
        self._making = None
        self._kept.clear()

    def _take(self) -> None:
        """Keeps what has been made ready since."""
        if self._making is not None and not self.making:
            self._keep(self._making)
            self._making = None

    def _keep(self, surface: Surface) -> None:
        self._kept.pop(surface.number, None)
        self._kept[surface.number] = surface
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]


surfaces: Final = Surfaces()


def _members(target: bpy.types.Object) -> list[bpy.types.Object]:
    """The objects whose surface may be part of an object's: itself, what hangs on it, what it instances."""
    found = dict.fromkeys([target, *(child for child in target.children_recursive if not child.grasp.role)])
    for item in list(found):
        if item.instance_collection:
            found |= dict.fromkeys(item.instance_collection.all_objects)
    return list(found)


def _signature(context: bpy.types.Context, target: bpy.types.Object, members: Iterable[bpy.types.Object]) -> tuple:
    """What a surface depends on beside its members' geometry: how they lie to each other, and the object's scale.

    Of each mesh some points are in it, for what changes the geometry and tells nobody, e.g. undoing.
    """
    graph = context.evaluated_depsgraph_get()
    world = np.array(target.matrix_world, dtype=np.float64)
    frame, stretch = split_stretch(world, target.name)
    told: list[object] = [*_digits(stretch)]
    inverse = np.linalg.inv(frame)
    for member in members:
        told += _digits(inverse @ np.array(member.matrix_world, dtype=np.float64))
        mesh = member.evaluated_get(graph).data
        if isinstance(mesh, bpy.types.Mesh) and len(mesh.vertices):
            some = range(0, len(mesh.vertices), len(mesh.vertices) // SAMPLED + 1)
            told += [len(mesh.vertices), len(mesh.polygons), *(tuple(mesh.vertices[i].co) for i in some)]
    return tuple(told)


def _digits(numbers: np.ndarray) -> list[float]:
    """Numbers by the digits that count beside the largest: moving an object changes its matrix's last ones."""
    most = 10.0 ** np.floor(np.log10(np.abs(numbers).max() or 1.0))
    return [float(most), *(np.round(numbers / most, 4) + 0.0).ravel().tolist()]
