"""The hand model: linear blend skinning in MANO's order and convention, for any hand in MANO's form.

Source of the form: Romero, Tzionas, Black, "Embodied Hands" (2017), eq. 1-4.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from core.hand import articulation, tables
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class HandOutput:
    """B posed hands, metres.

    Attributes:
        vertices: (B, V, 3) posed.
        joints: (B, 21, 3) the 16 joints in MANO's order, then the tips thumb, index, middle, ring, little.
        transforms: (B, 16, 4, 4) from rest points to posed ones, translation included.
        rest_vertices: (B, V, 3) before skinning: template, shape and pose correctives.
        rest_joints: (B, 16, 3).
        shaped_vertices: (B, V, 3) template and shape, without the correctives.
    """

    vertices: torch.Tensor
    joints: torch.Tensor
    transforms: torch.Tensor
    rest_vertices: torch.Tensor
    rest_joints: torch.Tensor
    shaped_vertices: torch.Tensor


class HandModel(nn.Module):
    """One hand: its mesh, its skinning, and the tables that say what is where.

    Rest rotations are identity: a joint's axis-angle is in template axes (right hand: -x from the wrist to the
    fingers, +y the back of the hand, +z toward the thumb). Poses are full ones (MANO's flat_hand_mean).

    Attributes:
        side: "right" or "left".
        name: "embedded" or "mano".
        length: metres from wrist to middle fingertip.
        v_template: (V, 3) metres, at rest.
        shapedirs: (V, 3, 10) metres for one unit of each beta.
        posedirs: (135, 3 V) metres, the pose correctives.
        J_regressor: (16, V) rows that give the rest joints from the vertices.
        lbs_weights: (V, 16) of skinning.
        parents: (16,) of each joint, -1 for the wrist.
        faces: (F, 3) closed, outward.
        cap_faces: (C, 3) those of `faces` that close the wrist.
        quads: (Q, 4) the mesh without them, or None.
        uvs: (Q, 4, 2) one for each corner of a quad, or None.
        tip_vertices: (5,) vertices of the fingertips, thumb to little.
        parts: (V,) the part of each vertex, an index into `core.hand.tables.PARTS`.
        anchor_faces: (32, 3) corners of the triangle that each anchor is in, see `anchors`.
        anchor_weights: (32, 3) barycentric weights of those.
        sphere_regressor: (66, V) rows that give the inner spheres' rest centres from the vertices.
        sphere_radii: (66,) metres, of 11 spheres in each part, inside the flesh.
        sphere_parts: (66,) the part of each.
        sphere_weights: (66, 16) of skinning.
        dof_names: 21 degrees of freedom, see `core.hand.articulation`.
        dof_limits: (21, 2) least and largest angle of each, radians.

    Args:
        arrays: a checked hand in MANO's arrays (`core.hand.load`), of the given side.
        side: "right" or "left".
        name: "embedded" or "mano".
    """

    v_template: torch.Tensor
    shapedirs: torch.Tensor
    posedirs: torch.Tensor
    J_regressor: torch.Tensor
    lbs_weights: torch.Tensor
    parents: torch.Tensor
    faces: torch.Tensor
    cap_faces: torch.Tensor
    quads: torch.Tensor | None
    uvs: torch.Tensor | None
    tip_vertices: torch.Tensor
    parts: torch.Tensor
    anchor_faces: torch.Tensor
    anchor_weights: torch.Tensor
    sphere_regressor: torch.Tensor
    sphere_radii: torch.Tensor
    sphere_parts: torch.Tensor
    sphere_weights: torch.Tensor
    dof_limits: torch.Tensor
    _shape_rows: torch.Tensor
    _joint_rows: torch.Tensor
    _rest_joints: torch.Tensor
    _frames: torch.Tensor
    _axes: torch.Tensor

    def __init__(self, arrays: Mapping[str, np.ndarray], side: str, name: str) -> None:
        super().__init__()
        self.side, self.name = side, name
        self.dof_names = articulation.DOF_NAMES
        posedirs = np.asarray(arrays["posedirs"], np.float32)
        self._add_buffer("v_template", arrays["v_template"], np.float32)
        self._add_buffer("shapedirs", arrays["shapedirs"], np.float32)
        self._add_buffer("posedirs", posedirs.reshape(-1, posedirs.shape[-1]).T.copy(), np.float32)
        self._add_buffer("J_regressor", arrays["J_regressor"], np.float32)
        self._add_buffer("lbs_weights", arrays["weights"], np.float32)
        self._add_buffer("parents", arrays["parents"], np.int64)
        self._add_buffer("faces", arrays["f"], np.int64)
        self._add_buffer("cap_faces", arrays["cap_faces"], np.int64)
        quads, uv = arrays.get("quads"), arrays.get("uv")
        self._add_buffer("quads", quads, np.int64)
        self._add_buffer("uvs", None if uv is None else uv[arrays["uv_quads"]], np.float32)
        # The regressor is linear, so the joints of a shape need no vertices.
        shape, regress = np.asarray(arrays["shapedirs"], np.float64), np.asarray(arrays["J_regressor"], np.float64)
        self._add_buffer("_shape_rows", shape.reshape(-1, 10).T, np.float32)
        self._add_buffer("_joint_rows", np.einsum("jv,vkd->djk", regress, shape).reshape(10, 48), np.float32)
        self._add_buffer("_rest_joints", regress @ np.asarray(arrays["v_template"], np.float64), np.float32)
        self._add_tables()

    def _add_buffer(self, name: str, values: np.ndarray | None, dtype: type[np.float32] | type[np.int64]) -> None:
        tensor = None if values is None else torch.as_tensor(np.ascontiguousarray(values).astype(dtype))
        self.register_buffer(name, tensor, persistent=False)

    def _add_tables(self) -> None:
        """Computes the tables (`core.hand.tables`) on the hand's right-handed image."""
        mirror = np.array([-1.0, 1, 1]) if self.side == "left" else np.ones(3)
        template = self.v_template.double()
        joints = (self.J_regressor.double() @ template).numpy()
        vertices, weights, faces = template.numpy() * mirror, self.lbs_weights.double().numpy(), self.faces.numpy()
        if self.side == "left":
            faces = faces[:, ::-1]
        tips = tables.find_tips(vertices, weights, joints * mirror)
        frames = articulation.joint_frames(torch.as_tensor(np.vstack([joints * mirror, vertices[tips]])))
        cap = np.unique(self.cap_faces.numpy())
        table = tables.build_tables(
            tables.RestHand(vertices, faces, weights, joints * mirror, frames.numpy(), tips, cap))
        self._add_buffer("tip_vertices", tips, np.int64)
        self._add_buffer("parts", table.parts, np.int64)
        self._add_buffer("anchor_faces", table.anchor_faces, np.int64)
        self._add_buffer("anchor_weights", table.anchor_weights, np.float32)
        self._add_buffer("sphere_regressor", table.sphere_regressor, np.float32)
        self._add_buffer("sphere_radii", table.sphere_radii, np.float32)
        self._add_buffer("sphere_parts", table.sphere_parts, np.int64)
        self._add_buffer("sphere_weights", table.sphere_weights, np.float32)
        self._add_buffer("dof_limits", articulation.dof_limits().numpy(), np.float32)
        self._add_buffer("_frames", frames.numpy(), np.float32)
        axes = articulation.rotation_axes(frames)
        self._add_buffer("_axes", (articulation.mirror_pose(axes) if self.side == "left" else axes).numpy(), np.float32)
        for part, region in enumerate(table.regions):
            self._add_buffer(f"_region{part}", region, np.int64)
        self.length = float(np.linalg.norm(template.numpy()[tips[2]] - joints[0]))

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the hand: its side, skin, shapes and weights."""
        content = hashlib.sha256(self.side.encode())
        for table in (self.v_template, self.faces, self.shapedirs, self.posedirs, self.J_regressor, self.lbs_weights):
            content.update(table.cpu().numpy().tobytes())
        return content.hexdigest()[:16]

    @property
    def dof_axes(self) -> torch.Tensor:
        """(21, 3) unit axes of the degrees of freedom at rest, in template axes of the hand's side."""
        return self._axes

    @property
    def contact_regions(self) -> tuple[torch.Tensor, ...]:
        """Six index tensors: the pads of thumb, index, middle, ring, little, and the palm."""
        return tuple(getattr(self, f"_region{part}") for part in range(6))

    def rest(self, betas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The hand of a shape at rest.

        Args:
            betas: (B, 10).

        Returns:
            (B, V, 3) vertices without correctives and (B, 16, 3) joints, metres.
        """
        shaped = self.v_template + (betas @ self._shape_rows).view(-1, *self.v_template.shape)
        return shaped, self.rest_joints(betas)

    def rest_joints(self, betas: torch.Tensor) -> torch.Tensor:
        """(B, 16, 3) joints at rest, metres, for betas (B, 10)."""
        return self._rest_joints + (betas @ self._joint_rows).view(-1, 16, 3)

    def transforms(
        self, global_orient: torch.Tensor, hand_pose: torch.Tensor, transl: torch.Tensor, rest_joints: torch.Tensor
    ) -> torch.Tensor:
        """The skinning transforms of axis-angle poses.

        Args:
            global_orient: (B, 3) radians, of the wrist.
            hand_pose: (B, 45) radians.
            transl: (B, 3) metres.
            rest_joints: (B, 16, 3) metres.

        Returns:
            (B, 16, 4, 4) from rest points to posed ones.
        """
        rotations = axis_angle_to_matrix(torch.cat([global_orient, hand_pose], 1).reshape(len(hand_pose), 16, 3))
        return self.chain(rotations, transl, rest_joints)

    def chain(self, rotations: torch.Tensor, transl: torch.Tensor, rest_joints: torch.Tensor) -> torch.Tensor:
        """The skinning transforms of joint rotations: forward kinematics.

        Args:
            rotations: (B, 16, 3, 3), each against its parent's; the first is the wrist's.
            transl: (B, 3) metres.
            rest_joints: (B, 16, 3) metres.

        Returns:
            (B, 16, 4, 4) from rest points to posed ones.
        """
        # Five chains of three joints hang at the wrist: all five go a joint further together.
        root = rotations[:, :1]
        first, middle, last = rotations[:, 1:].unflatten(1, (5, 3)).unbind(2)
        near, mid, far = rest_joints[:, 1:].unflatten(1, (5, 3)).unbind(2)
        wrist = rest_joints[:, :1] + transl[:, None]
        first_at = wrist + _rotated(root, near - rest_joints[:, :1])
        first = root @ first
        middle_at = first_at + _rotated(first, mid - near)
        middle = first @ middle
        last_at = middle_at + _rotated(middle, far - mid)
        last = middle @ last
        rotation = torch.cat([root, torch.stack([first, middle, last], 2).flatten(1, 2)], 1)
        placed = torch.cat([wrist, torch.stack([first_at, middle_at, last_at], 2).flatten(1, 2)], 1)
        offset = placed - _rotated(rotation, rest_joints)
        bottom = torch.tensor([0.0, 0, 0, 1], dtype=offset.dtype, device=offset.device).expand(len(offset), 16, 1, 4)
        return torch.cat([torch.cat([rotation, offset[..., None]], -1), bottom], -2)

    def forward(
        self, global_orient: torch.Tensor, hand_pose: torch.Tensor, transl: torch.Tensor, betas: torch.Tensor
    ) -> HandOutput:
        """Poses B hands.

        Args:
            global_orient: (B, 3) axis-angle radians of the wrist.
            hand_pose: (B, 45) axis-angle radians of the fifteen joints.
            transl: (B, 3) metres, added after the rotation about the wrist.
            betas: (B, 10) shape.
        """
        shaped, joints = self.rest(betas)
        rotations = axis_angle_to_matrix(torch.cat([global_orient, hand_pose], 1).reshape(len(hand_pose), 16, 3))
        transforms = self.chain(rotations, transl, joints)
        vertices, rest = self.skinned(shaped, rotations, transforms)
        posed = (transforms[:, :, :3, :3] @ joints[..., None])[..., 0] + transforms[:, :, :3, 3]
        keypoints = torch.cat([posed, vertices[:, self.tip_vertices]], 1)
        return HandOutput(vertices, keypoints, transforms, rest, joints, shaped)

    def skinned(self, shaped: torch.Tensor, rotations: torch.Tensor,
                transforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Linear blend skinning of shaped vertices.

        Args:
            shaped: (B or 1, V, 3) metres, without correctives.
            rotations: (B, 16, 3, 3) of the joints, each against its parent's.
            transforms: (B, 16, 4, 4) of `chain`.

        Returns:
            (B, V, 3) posed vertices and (B, V, 3) those before skinning, with correctives.
        """
        count = len(rotations)
        feature = (rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).reshape(count, 135)
        rest = shaped + (feature @ self.posedirs).reshape(count, *shaped.shape[1:])
        # Vertices last, so that long rows are worked on.
        blend = (transforms[:, :, :3].reshape(count, 16, 12).transpose(1, 2) @ self.lbs_weights.T).unflatten(1, (3, 4))
        points = torch.nn.functional.pad(rest.transpose(1, 2), (0, 0, 0, 1), value=1.0)
        return (blend * points[:, None]).sum(2).transpose(1, 2), rest

    def anchors(self, vertices: torch.Tensor) -> torch.Tensor:
        """(B, 32, 3) anchor points of vertices (B, V, 3): five for each finger, thumb first, then seven on the palm."""
        return (vertices[:, self.anchor_faces] * self.anchor_weights[..., None]).sum(2)

    def sphere_rest(self, betas: torch.Tensor) -> torch.Tensor:
        """(B, 66, 3) rest centres of the inner spheres, metres, for betas (B, 10)."""
        return self.sphere_regressor @ self.rest(betas)[0]

    def spheres(self, out: HandOutput) -> torch.Tensor:
        """(B, 66, 3) posed centres of the inner spheres, metres."""
        rest = self.sphere_regressor @ out.shaped_vertices
        blend = torch.einsum("sj,bjkl->bskl", self.sphere_weights, out.transforms[:, :, :3])
        return (blend[..., :3] @ rest[..., None])[..., 0] + blend[..., 3]

    def clamp_dofs(self, dofs: torch.Tensor) -> torch.Tensor:
        """Joint angles (..., 21) radians, each brought within its limits."""
        return torch.minimum(torch.maximum(dofs, self.dof_limits[:, 0]), self.dof_limits[:, 1])

    def pose_from_dofs(self, dofs: torch.Tensor) -> torch.Tensor:
        """(B, 45) hand pose of (B, 21) joint angles in radians; differentiable."""
        pose = articulation.pose_from_dofs(dofs, self._frames)
        return articulation.mirror_pose(pose) if self.side == "left" else pose

    def rotations_from_dofs(self, dofs: torch.Tensor) -> torch.Tensor:
        """(B, 15, 3, 3) rotations of the joints at (B, 21) angles, those of `pose_from_dofs`; differentiable."""
        return articulation.rotations_from_dofs(dofs, self._axes)

    def dofs_from_pose(self, hand_pose: torch.Tensor) -> torch.Tensor:
        """(B, 21) the joint angles nearest to a (B, 45) hand pose."""
        pose = articulation.mirror_pose(hand_pose) if self.side == "left" else hand_pose
        return articulation.dofs_from_pose(pose, self._frames)


def _rotated(rotation: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3) vectors rotated by (..., 3, 3) matrices."""
    return (rotation @ vectors[..., None])[..., 0]
