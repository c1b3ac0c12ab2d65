"""Synergies: the directions in which the fingers of grasping hands move together (Santello et al., 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files import save_arrays


@dataclass(frozen=True)
class Synergies:
    """A linear basis of the 21 finger angles.

    Attributes:
        mean: (21,) radians, in the order of `HandModel.dof_names`.
        basis: (21, 21) unit rows, the strongest first.
        deviation: (21,) radians along each row over the training grasps.
    """

    mean: np.ndarray
    basis: np.ndarray
    deviation: np.ndarray

    def coordinates(self, dofs: np.ndarray) -> np.ndarray:
        """(N, 21) in units of the deviation, of angles (N, 21)."""
        return (dofs - self.mean) @ self.basis.T / self.deviation

    def dofs(self, coordinates: np.ndarray) -> np.ndarray:
        """(N, 21) angles of the first K coordinates (N, K)."""
        count = coordinates.shape[1]
        return self.mean + (coordinates * self.deviation[:count]) @ self.basis[:count]

    @property
    def explained(self) -> np.ndarray:
        """(21,) share of the variance that the first k explain together."""
        return np.cumsum(self.deviation**2) / np.sum(self.deviation**2)

    def save(self, path: str | Path) -> None:
        """Writes the basis, whole or not at all."""
        save_arrays(path, {"mean": self.mean, "basis": self.basis, "deviation": self.deviation})


def fit_synergies(dofs: np.ndarray, weight: np.ndarray | None = None) -> Synergies:
    """Principal components of finger angles.

    Args:
        dofs: (N, 21) radians, in the order of `HandModel.dof_names`.
        weight: (N,) of each row, e.g. so that every type counts the same; all the same when None.
    """
    dofs = np.asarray(dofs, np.float64)
    share = np.full(len(dofs), 1 / len(dofs)) if weight is None else weight / weight.sum()
    mean = share @ dofs
    values, vectors = np.linalg.eigh((dofs - mean).T @ ((dofs - mean) * share[:, None]))
    order = values.argsort()[::-1]
    basis = vectors[:, order].T
    basis *= np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(1)])[:, None]
    return Synergies(mean, basis, np.sqrt(values[order].clip(1e-12)))


def load_synergies(path: str | Path) -> Synergies:
    """Reads what `Synergies.save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return Synergies(stored["mean"], stored["basis"], stored["deviation"])
