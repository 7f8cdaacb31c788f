"""Scalar physics: pair terms, cap, interpolation, rotations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import VINA, VINARDO

from osong_kernels.physics.interpolation import trilinear
from osong_kernels.physics.pair_terms import PairWeights, cap, pair_energy, pair_terms
from osong_kernels.physics.rotation import (
    axis_matrix,
    matrix_from_quaternion,
    multiply_quaternions,
    normalise_quaternion,
    quaternion_from_rotation_vector,
)

FLAGS = st.sampled_from([0.0, 1.0])
WEIGHTS = st.sampled_from([VINA, VINARDO])
ANGLES = st.floats(-7.0, 7.0)
VECTORS = st.tuples(*[st.floats(-3.0, 3.0)] * 3)


def test_vina_terms_by_hand() -> None:
    # carbon and carbon at 3.9 A: surface distance 0.1
    gauss1, gauss2, repulsion, hydrophobic, bond = pair_terms(3.9, 3.8, 1.0, 0.0, VINA)
    assert gauss1 == pytest.approx(-0.035579 * math.exp(-0.04))
    assert gauss2 == pytest.approx(-0.005156 * math.exp(-(1.45**2)))
    assert (repulsion, bond) == (0.0, 0.0)
    assert hydrophobic == pytest.approx(-0.035069)
    # nitrogen donor and oxygen acceptor at 2.8 A: surface distance -0.7, the end of the ramp
    *_, repulsion, hydrophobic, bond = pair_terms(2.8, 3.5, 0.0, 1.0, VINA)
    assert repulsion == pytest.approx(0.840245 * 0.49)
    assert (hydrophobic, bond) == (0.0, pytest.approx(-0.587439))
    assert pair_terms(3.15, 3.5, 0.0, 1.0, VINA)[4] == pytest.approx(-0.587439 / 2)
    assert pair_terms(4.8, 3.8, 1.0, 0.0, VINA)[3] == pytest.approx(-0.035069 / 2)


@given(st.floats(0.3, 12.0), st.floats(2.0, 5.0), FLAGS, FLAGS, WEIGHTS)
def test_pair_energy_is_the_sum_of_terms(
    r: float, r0: float, hydrophobic: float, bond: float, w: PairWeights
) -> None:
    energy, _ = pair_energy(r * r, r0, hydrophobic, bond, w)
    expected = sum(pair_terms(math.sqrt(r * r), r0, hydrophobic, bond, w))
    assert energy == (pytest.approx(expected, abs=1e-14) if math.sqrt(r * r) < w.cutoff else 0.0)


@given(st.floats(0.3, 7.9), st.floats(2.0, 5.0), FLAGS, FLAGS, WEIGHTS)
def test_pair_slope_is_the_derivative(
    r: float, r0: float, hydrophobic: float, bond: float, w: PairWeights
) -> None:
    kinks = (w.hydrophobic_good, w.hydrophobic_bad, w.hydrogen_bond_good, w.hydrogen_bond_bad)
    if min(abs(r - r0 - kink) for kink in kinks) < 1e-4:
        return
    h = 1e-5
    high, low = (pair_energy(x * x, r0, hydrophobic, bond, w)[0] for x in (r + h, r - h))
    slope = pair_energy(r * r, r0, hydrophobic, bond, w)[1]
    assert slope * r == pytest.approx((high - low) / (2 * h), abs=1e-7)


def test_coincident_atoms_have_a_finite_energy_and_slope() -> None:
    energy, slope = pair_energy(0.0, 3.8, 1.0, 1.0, VINA)
    assert energy == pytest.approx(sum(pair_terms(1e-6, 3.8, 1.0, 1.0, VINA)))
    assert math.isfinite(slope)


@given(st.floats(-20.0, 1e6), st.sampled_from([10.0, 1000.0]))
def test_cap(energy: float, limit: float) -> None:
    capped, factor = cap(energy, limit)
    if energy <= 0.0:
        assert (capped, factor) == (energy, 1.0)
    else:
        assert capped == pytest.approx(energy * limit / (energy + limit))
        assert capped < limit
        h = 1e-6 * (1.0 + energy)
        slope = (cap(energy + h, limit)[0] - cap(energy - h, limit)[0]) / (2 * h)
        assert factor == pytest.approx(slope, rel=1e-3, abs=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=8), st.tuples(*[st.floats(0, 1)] * 3))
def test_trilinear_is_the_weighted_mean_of_the_corners(
    corners: list[float], at: tuple[float, float, float]
) -> None:
    value, *slopes = trilinear(*corners, *at)
    expected, gradient = 0.0, np.zeros(3)
    for corner, bits in zip(corners, itertools.product((0, 1), repeat=3), strict=True):
        weight = [u if bit else 1 - u for bit, u in zip(bits, at, strict=True)]
        expected += corner * math.prod(weight)
        for k in range(3):
            others = math.prod(w for j, w in enumerate(weight) if j != k)
            gradient[k] += corner * (1 if bits[k] else -1) * others
    assert value == pytest.approx(expected, abs=1e-12)
    assert slopes == pytest.approx(gradient, abs=1e-12)


@given(VECTORS, ANGLES)
def test_axis_matrix_and_quaternion_agree(axis: tuple[float, float, float], angle: float) -> None:
    length = math.hypot(*axis)
    if length < 1e-3:
        return
    x, y, z = (u / length for u in axis)
    turned = axis_matrix(x, y, z, math.sin(angle), math.cos(angle))
    quaternion = quaternion_from_rotation_vector(x * angle, y * angle, z * angle)
    assert turned == pytest.approx(matrix_from_quaternion(*quaternion), abs=1e-12)
    m = np.reshape(turned, (3, 3))
    assert m @ m.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(m) == pytest.approx(1.0)
    assert m @ np.array([x, y, z]) == pytest.approx(np.array([x, y, z]), abs=1e-12)


@given(VECTORS, VECTORS)
def test_product_of_quaternions_is_that_of_rotations(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> None:
    p, q = quaternion_from_rotation_vector(*a), quaternion_from_rotation_vector(*b)
    first, second = (np.reshape(matrix_from_quaternion(*u), (3, 3)) for u in (p, q))
    product = np.reshape(matrix_from_quaternion(*multiply_quaternions(*p, *q)), (3, 3))
    assert product == pytest.approx(first @ second, abs=1e-12)


def test_no_rotation_and_unit_length() -> None:
    w, x, y, z = quaternion_from_rotation_vector(0.0, 0.0, 0.0)
    assert (w, x, y, z) == pytest.approx((1.0, 0.0, 0.0, 0.0))
    tiny = quaternion_from_rotation_vector(1e-5, 0.0, 0.0)
    assert tiny[1] == pytest.approx(5e-6)
    assert normalise_quaternion(2.0, 0.0, 0.0, 0.0) == (1.0, 0.0, 0.0, 0.0)
    assert math.hypot(*normalise_quaternion(0.3, -0.2, 5.0, 1.0)) == pytest.approx(1.0)
