"""CHOIR, the coarse hand-object interaction representation (Morales et al., "A Versatile and Differentiable Hand-Object
Interaction Representation", Sec. 3.1): distances from a fixed lattice of points, and contact as one Gaussian an anchor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.heading_frame import Frames, frames_of_grasps
from core.hand.normals import vertex_normals
from core.objects.basis_points import BPS_SIDE, SIDE, basis_lattice

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

ANCHORS: Final = 32
#: points along x, y and z that the ordered assignment repeats over
BLOCK: Final = (2, 4, 4)
#: Eq. 4: metres within which an object point is touched
LAMBDA: Final = 0.004
#: Eq. 5: radians, half the angle of the cone of tolerance
KAPPA: Final = math.radians(60)
#: the printed one: it exceeds pi and excludes nothing
KAPPA_PRINTED: Final = 4 / 3 * math.pi
#: object points a square centimetre that contact is counted on
DENSITY: Final = 100
#: object points that contact is counted on, at least and at most
COUNTS: Final = (4096, 400_000)
#: m2 added to the diagonal of a Gaussian's covariance, so that a flat or a small patch of contact has one
NUGGET: Final = 2.5e-7
#: standard deviations from a Gaussian's mean within which skin counts as touching
TOUCHING: Final = 2.5


@dataclass(frozen=True)
class Choir:
    """N grasps as Eq. 8 has them.

    Attributes:
        object: (N, 4096) metres from the basis points to the object's surface (Eq. 1, unsquared).
        hand: (N, 4096) metres from the basis points to their anchors (Eq. 2, unsquared as in listing B.2). A network
            may predict both fields over a coarser lattice (`side_of`).
        gaussians: (N, 32, 9) mean of contact relative to the anchor (3), lower Cholesky factor by rows (6); metres,
            the window's axes; zeros where an anchor's skin does not touch (Eq. 7).
        window: where the lattice lies in the object's frame.
    """

    object: torch.Tensor
    hand: torch.Tensor
    gaussians: torch.Tensor
    window: Frames

    def __len__(self) -> int:
        return len(self.hand)

    def __getitem__(self, rows: torch.Tensor) -> Choir:
        return Choir(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def cat(parts: list[Choir]) -> Choir:
        """All representations of `parts` in order."""
        window = Frames(torch.cat([part.window.origin for part in parts]),
                        torch.cat([part.window.axes for part in parts]))
        return Choir(torch.cat([part.object for part in parts]), torch.cat([part.hand for part in parts]),
                     torch.cat([part.gaussians for part in parts]), window)


@cache
def assigned_anchors(side: int = SIDE) -> torch.Tensor:
    """delta_H of Eq. 2: which anchor each basis point belongs to; of 4096, every anchor has 128.

    The repeating pattern of the 32 ordered indices, repeated over blocks of 2 x 4 x 4 points. Repeated along the list
    it would put all of an anchor's points into one plane, which does not tell the anchor from its mirror image.

    Args:
        side: points along a side of the lattice, a multiple of 4 and at least 8.

    Returns:
        (side^3,) 0 to 31.
    """
    x, y, z = torch.meshgrid(*[torch.arange(side)] * 3, indexing="ij")
    return ((x % BLOCK[0]) * 16 + (y % BLOCK[1]) * 4 + z % BLOCK[2]).reshape(-1)


@cache
def points_of_anchors(side: int = SIDE) -> torch.Tensor:
    """(32, K) the basis points of each anchor, of a lattice of `side`^3; 128 of 4096."""
    return torch.stack([(assigned_anchors(side) == anchor).nonzero()[:, 0] for anchor in range(ANCHORS)])


def side_of(field: torch.Tensor) -> int:
    """The side of the lattice that a field (..., side^3) is over."""
    return round(field.shape[-1] ** (1 / 3))


def window_of(obj: GraspObject, hand: HandModel, grasps: Grasps) -> Frames:
    """The lattice's place for each grasp, along the object's axes: around the object, or the grasp on a larger one."""
    count = len(grasps)
    origin = torch.zeros(count, 3)
    if float((obj.vertices.abs()).max()) > BPS_SIDE / 2:
        origin = frames_of_grasps(obj, hand, grasps).origin
    return Frames(origin, torch.eye(3).expand(count, 3, 3))


def represent(obj: GraspObject, hand: HandModel, grasps: Grasps, window: Frames | None = None,
              kappa: float = KAPPA) -> Choir:
    """The representation of N grasps, on the processor; differentiable in their parameters except contact's counts.

    Args:
        obj: the object.
        hand: the hand model, of the grasps' side.
        grasps: N grasps in the object's frame.
        window: where the lattice lies; `window_of` when None.
        kappa: radians, of Eq. 5.
    """
    window = window or window_of(obj, hand, grasps)
    posed = hand(**grasps.parameters())
    anchors = inward(window, hand.anchors(posed.vertices))
    basis = window.to_object(basis_lattice())
    weights = contact_weights(obj, posed.vertices.detach(), hand.faces, kappa)
    vertices = inward(window, posed.vertices)
    return Choir(obj.grid.query(basis)[0].abs(), anchor_distances(anchors),
                 fit_gaussians(vertices, anchors, weights, anchor_regions(hand)), window)


def inward(window: Frames, points: torch.Tensor) -> torch.Tensor:
    """(N, K, 3) points of the object's frame, in the windows'."""
    return (points - window.origin[:, None]) @ window.axes


def anchor_distances(anchors: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """(N, side^3) Eq. 2, unsquared, of anchors (N, 32, 3) in the window's frame."""
    return (basis_lattice(anchors.device, side) - anchors[:, assigned_anchors(side)]).norm(dim=-1)


def anchor_regions(hand: HandModel) -> torch.Tensor:
    """(V,) the anchor nearest to each vertex of the hand at rest."""
    rest = hand.v_template
    return torch.cdist(rest, hand.anchors(rest[None])[0]).argmin(1)


def contact_weights(obj: GraspObject, vertices: torch.Tensor, faces: torch.Tensor,
                    kappa: float = KAPPA) -> torch.Tensor:
    """Eq. 3-5: object points within `LAMBDA` of each vertex and `kappa` of its normal, counted.

    Args:
        obj: the object.
        vertices: (N, V, 3) of the hands, metres, object frame.
        faces: (F, 3) of the hand.
        kappa: radians, of Eq. 5.

    Returns:
        (N, V) counts.
    """
    from scipy.spatial import cKDTree

    from core.objects.sampling import sample_surface

    least, most = COUNTS
    number = int(min(most, max(least, obj.area * 1e4 * DENSITY)))
    points, _ = sample_surface(obj.surface.vertices, obj.surface.faces, number, np.random.default_rng(0))
    tree = cKDTree(points)
    weights = torch.zeros(vertices.shape[:2])
    close = (obj.grid.query(vertices)[0].abs() < LAMBDA + obj.grid.spacing).numpy()
    limit = math.cos(min(kappa, math.pi))
    for row, of_hand in enumerate(vertices):
        normals = vertex_normals(of_hand, faces).double().numpy()
        rows = np.flatnonzero(close[row])
        positions = of_hand.double().numpy()[rows]
        for vertex, position, near in zip(rows, positions, tree.query_ball_point(positions, LAMBDA), strict=True):
            away = points[near] - position
            along = away @ normals[vertex]
            weights[row, vertex] = float((along >= limit * np.linalg.norm(away, axis=1)).sum())
    return weights


def fit_gaussians(vertices: torch.Tensor, anchors: torch.Tensor, weights: torch.Tensor,
                  region: torch.Tensor) -> torch.Tensor:
    """Eq. 6-7: the most likely Gaussian of each anchor's multiset of vertices, each w times in it.

    Args:
        vertices: (N, V, 3) metres.
        anchors: (N, 32, 3) metres, same frame.
        weights: (N, V) counts.
        region: (V,) the anchor of each vertex.

    Returns:
        (N, 32, 9) as `Choir.gaussians`.
    """
    member = torch.nn.functional.one_hot(region, ANCHORS).to(vertices.dtype)
    total = weights @ member
    share = weights[:, :, None] * member / total.clamp_min(1)[:, None]
    offset = vertices - anchors[:, region]
    mean = torch.einsum("nva,nvk->nak", share, offset)
    apart = offset - mean[:, region]
    covariance = torch.einsum("nva,nvk,nvl->nakl", share, apart, apart)
    factor = torch.linalg.cholesky(covariance + NUGGET * torch.eye(3))
    low = torch.tril_indices(3, 3)
    found = torch.cat([mean, factor[..., low[0], low[1]]], -1)
    return found * (total > 0)[..., None]


def factors(gaussians: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) lower triangular factors of (..., 9); a diagonal that is not positive is made so."""
    low = torch.tril_indices(3, 3)
    factor = gaussians.new_zeros(*gaussians.shape[:-1], 3, 3)
    factor[..., low[0], low[1]] = gaussians[..., 3:]
    diagonal = torch.diagonal(factor, dim1=-2, dim2=-1)
    return factor - torch.diag_embed(diagonal) + torch.diag_embed(diagonal.clamp_min(math.sqrt(NUGGET)))


def turned_gaussians(gaussians: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    """Gaussians along other axes. What is zeros stays zeros.

    Args:
        gaussians: (N, 32, 9) as `Choir.gaussians`.
        axes: (N or 1, 3, 3) the other axes, columns in the axes that the Gaussians are given in; may be a mirror's.

    Returns:
        (N, 32, 9).
    """
    there = gaussians[..., 3:].abs().amax(-1, keepdim=True) > 0
    axes = axes.double()[:, None]
    across = axes.transpose(-1, -2) @ factors(gaussians).double()
    factor = torch.linalg.cholesky(across @ across.transpose(-1, -2))
    mean = (gaussians[..., None, :3].double() @ axes)[..., 0, :]
    low = torch.tril_indices(3, 3)
    return torch.cat([mean, factor[..., low[0], low[1]]], -1).to(gaussians) * there


def contact_map(gaussians: torch.Tensor, points: torch.Tensor, anchors: torch.Tensor,
                region: torch.Tensor) -> torch.Tensor:
    """The density at each point by its anchor's Gaussian, relative to the Gaussian's highest.

    Args:
        gaussians: (N, 32, 9) as `Choir.gaussians`.
        points: (N, V, 3) metres, the window's frame.
        anchors: (N, 32, 3) likewise.
        region: (V,) the anchor of each point.

    Returns:
        (N, V) 0 to 1.
    """
    offset = points - anchors[:, region] - gaussians[:, region, :3]
    standard = torch.linalg.solve_triangular(factors(gaussians)[:, region], offset[..., None], upper=False)[..., 0]
    there = gaussians[..., 3:].abs().amax(-1) > 1e-6
    return (-0.5 * standard.square().sum(-1)).exp() * there[:, region]


def in_contact(probability: torch.Tensor) -> torch.Tensor:
    """Bool: within `TOUCHING` standard deviations of a Gaussian's mean."""
    return probability >= math.exp(-0.5 * TOUCHING**2)
