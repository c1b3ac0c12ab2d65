"""The selection as the arrays that the engine gets: evaluated, in world scale, in a frame that turns with the object.

A world matrix is split as M = T R S with R a rotation and S symmetric (the polar decomposition). S is applied to the
vertices and T R is the frame, so that turning or moving the object changes nothing that is sent, while scale,
uneven scale and the shear of a turned child in a stretched parent are all in the vertices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import GraspError
from ..transforms import split_stretch
from .part_names import PART_NAMES, part_index
from .parts import SURFACES, holders, with_parts
from .triangles import points_of, triangles_of
from .types import ENGINE_HAND_LENGTH
from .vertex_groups import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import bpy

# In hands (wrist to middle fingertip): wider than this in all three directions nothing fits between the fingers.
WIDEST: Final = 3.0
SMALLEST: Final = 0.05
COMFORTABLE: Final = 0.4  # what Set Hand Length for This Object makes of the object's middle extent

Surface = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ExportedObject:
    """An object as it is sent to be grasped.

    Attributes:
        name: of the object whose frame it is.
        vertices: (V, 3) float64, scene units, in `frame`.
        faces: (F, 3) int32, outward as the user's.
        frame: (4, 4) float64 rigid, to world.
        parts: names of the parts that vertex groups tell.
        part: (F,) int32 index into `parts` of each face, -1 where none.
        uid: the number by which that object is found again, whatever its name is then.
        members: those of all objects whose surfaces these are, in their order.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    frame: np.ndarray
    parts: tuple[str, ...] = ()
    part: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    uid: int = 0
    members: tuple[int, ...] = ()

    @cached_property
    def box(self) -> np.ndarray:
        """(2, 3) the lowest and the highest corner of the bounding box, in `frame`, scene units."""
        columns = self.vertices.T  # one at a time: several times as fast as all together
        return np.array([[column.min() for column in columns], [column.max() for column in columns]])

    @property
    def extent(self) -> np.ndarray:
        """(3,) sides of the bounding box, scene units."""
        return self.box[1] - self.box[0]


def graspable(context: bpy.types.Context) -> list[bpy.types.Object]:
    """What is selected, but for this add-on's hands."""
    return [o for o in context.selected_objects or () if not o.grasp.role]


def selected_object(context: bpy.types.Context, chosen: list[bpy.types.Object] | None = None,
                    labelled: bool = True) -> ExportedObject:
    """The selected objects with the parts that hang on them, all of them as one.

    Args:
        context: whose selection and dependency graph.
        chosen: other objects instead of the selected ones.
        labelled: whether the vertex groups that tell what a face is for are read.

    Returns:
        their surface, in the frame of the active one or else the first; a camera among them has no say in it.

    Raises:
        GraspError: there is nothing to grasp.
    """
    chosen = graspable(context) if chosen is None else chosen
    if not chosen:
        raise GraspError("Nothing is selected: select the object to be grasped, then press Generate Grasps.")
    active = context.view_layer.objects.active
    members = with_parts(chosen, context.view_layer)
    holding = holders(members)
    leads = [o for o in chosen if o in holding]
    return surface_of(context, active if active in leads else leads[0], members, labelled)


def surface_of(context: bpy.types.Context, lead: bpy.types.Object,
               members: Sequence[bpy.types.Object], labelled: bool = True) -> ExportedObject:
    """Some objects as one.

    Args:
        context: whose dependency graph.
        lead: the object whose frame it is.
        members: those whose surfaces it is.
        labelled: whether the vertex groups that tell what a face is for are read.

    Raises:
        GraspError: there is nothing to grasp.
    """
    surfaces = _surfaces(context, members, labelled)  # the first, for it also brings matrix_world up to date
    world = np.array(lead.matrix_world, dtype=np.float64)
    frame, stretch = split_stretch(world, lead.name)
    inverse = np.linalg.inv(frame)
    parts, labels, offset = [], [], 0
    for mesh_world, points, triangles, label in surfaces:
        labels.append(label)
        matrix = stretch if np.array_equal(mesh_world, world) else (inverse @ mesh_world)
        if np.linalg.det(matrix[:3, :3]) < 0:
            triangles = triangles[:, ::-1]
        parts.append((points @ matrix[:3, :3].T + matrix[:3, 3], triangles + offset))
        offset += len(points)
    if not surfaces:
        kind = lead.type.replace("_", " ").lower()
        kind = f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
        raise GraspError(f"{lead.name} is {kind} and has no surface to grasp, nor has anything seen that hangs on it: "
                         "select a mesh.")
    vertices, faces = (joined([part[k] for part in parts]) for k in (0, 1))
    if not len(faces):
        raise GraspError(f"{lead.name} has no faces (after its modifiers): a hand needs a surface to hold.")
    if not np.isfinite(vertices).all():
        count = int((~np.isfinite(vertices).all(axis=1)).sum())
        raise GraspError(f"{count} vertices of {lead.name} are not numbers (NaN or infinite): delete or repair them.")
    part = joined(labels)
    used = np.unique(part[part >= 0])
    if len(used):
        table = np.full(len(PART_NAMES) + 1, -1, np.int32)
        table[used] = np.arange(len(used))
        part = table[part]
    return ExportedObject(lead.name, vertices, np.ascontiguousarray(faces, np.int32), frame,
                          tuple(PART_NAMES[i] for i in used), part, lead.session_uid,
                          tuple(o.session_uid for o in members))


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays one behind the other; one alone is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def check_size(item: ExportedObject, hand_length: float) -> None:
    """Checks that a hand could hold the object.

    Args:
        item: the object.
        hand_length: wrist to middle fingertip, scene units.

    Raises:
        GraspError: it is too large or too small; advises Set Hand Length.
    """
    hands = np.sort(item.extent) / hand_length
    if hands[0] > WIDEST:
        problem = "too large"
    elif hands[2] < SMALLEST:
        problem = "too small"
    else:
        return
    size = " x ".join(f"{side:.3g}" for side in item.extent)
    raise GraspError(
        f"{item.name} is {size} units, {hands[2]:.2g} hands long, and {problem} to grasp with a hand of "
        f"{hand_length:.3g} units. Scale it, or press Set Hand Length for This Object.", advice="hand_length")


def comfortable_hand_length(item: ExportedObject) -> float:
    """The hand length at which the object's middle extent is a comfortable width."""
    return float(np.sort(item.extent)[1] / COMFORTABLE) or ENGINE_HAND_LENGTH


def _surfaces(context: bpy.types.Context, chosen: Sequence[bpy.types.Object], labelled: bool) -> list[Surface]:
    """(world matrix, (V, 3) points, (F, 3) triangles, (F,) part) of every evaluated surface, instances included."""
    for item in chosen:
        if item.mode == "EDIT":
            item.update_from_editmode()
    depsgraph = context.evaluated_depsgraph_get()
    for item in chosen:
        if not item.evaluated_get(depsgraph).is_evaluated:
            raise GraspError(f"{item.name} is disabled in viewports or excluded from the view layer, so that Blender "
                             "does not know its surface. Nothing was changed. Enable it and press the button again.")
    found, members = [], set(chosen)
    for item in chosen:
        if item.type in SURFACES:
            arrays = _arrays(item.evaluated_get(depsgraph), labelled)
            found.append((np.array(item.matrix_world, dtype=np.float64), *arrays))
    for instance in depsgraph.object_instances:
        if instance.is_instance and instance.parent.original in members and instance.object.type in SURFACES:
            found.append((np.array(instance.matrix_world, dtype=np.float64), *_arrays(instance.object, labelled)))
    return found


def _parts(evaluated: bpy.types.Object, triangles: np.ndarray) -> np.ndarray:
    """(F,) index into PART_NAMES of each triangle, by the strongest vertex group on its corners; -1 where none."""
    groups = {group.name: part for group in evaluated.vertex_groups if (part := part_index(group.name)) >= 0}
    if not groups or not len(triangles):
        return np.full(len(triangles), -1, np.int32)
    weights, meaning = weights_of(evaluated, list(groups)), np.array(list(groups.values()))
    parts = np.unique(meaning)
    best, strongest = np.full(len(triangles), -1, np.int32), np.ones(len(triangles), np.float32)  # two corners of three
    for part in parts.tolist():
        held = weights[meaning == part].sum(axis=0)
        total = held[triangles[:, 0]] + held[triangles[:, 1]] + held[triangles[:, 2]]
        here = total > strongest
        best[here], strongest[here] = part, total[here]
    return best


def _arrays(evaluated: bpy.types.Object, labelled: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V, 3) points, (F, 3) triangles and (F,) part of an evaluated object, in its own frame."""
    mesh = evaluated.to_mesh()
    if mesh is None:
        return np.empty((0, 3)), np.empty((0, 3), np.int32), np.empty(0, np.int32)
    try:
        points = points_of(mesh)
        faces = triangles_of(mesh, points)
    finally:
        evaluated.to_mesh_clear()
    parts = _parts(evaluated, faces) if labelled else np.full(len(faces), -1, np.int32)
    return points.astype(np.float64), faces, parts
