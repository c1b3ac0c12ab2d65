"""Penalties: slopes are those of the values, weights give them back, and corners are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from core.fitting.residuals import capped, hinge, huber, smooth_abs, squared_hinge, weighted

X = np.linspace(-3, 3, 1201)


@pytest.mark.parametrize("penalty", [huber, lambda x: smooth_abs(x, 0.05), lambda x: hinge(x, 0.1), squared_hinge,
                                     lambda x: weighted(2.0, huber(x), squared_hinge(x))])
def test_slopes_are_those_of_the_values_and_never_jump(penalty):
    value, slope, weight = penalty(X)
    numeric = np.gradient(value, X)
    assert np.abs(numeric - slope)[1:-1].max() < 0.03
    assert np.abs(np.diff(slope)).max() < 0.11
    assert (weight >= 0).all()


@pytest.mark.parametrize("penalty", [huber, lambda x: smooth_abs(x, 0.05)])
def test_the_weighted_square_has_the_penaltys_slope(penalty):
    _, slope, weight = penalty(X)
    assert np.abs(weight * X - slope).max() < 1e-9


def test_corners_are_narrow():
    assert np.abs(smooth_abs(X, 0.02)[0] - np.abs(X)).max() <= 0.02
    assert np.abs(hinge(X, 0.02)[0] - np.maximum(X, 0)).max() <= 0.005 + 1e-12
    assert hinge(np.array([-0.021]), 0.02)[0] == 0


def test_what_is_capped_pulls_no_more():
    value, slope, weight = capped(huber(X), 0.6)
    assert value.max() == 0.6
    far = np.abs(X) > 1.2
    assert (slope[far] == 0).all()
    assert (weight[far] == 0).all()
