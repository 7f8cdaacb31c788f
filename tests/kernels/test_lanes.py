"""Lane vectors do in every lane what the scalar does; bounds of exp, sine and cosine."""

from __future__ import annotations

import operator
from typing import Any

import numba
import numpy as np
import pytest

from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential and sine)
from osong_kernels.cpu.lane_memory import gather_cell, gather_pairs, load, store
from osong_kernels.cpu.lanes import N_LANES, any_lane, broadcast, lane_numbers
from osong_kernels.physics import ops

NAN, INF = float("nan"), float("inf")
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-40, 3e38], np.float32)


def run(function: Any, *columns: Any, n_out: int = 1) -> Any:
    """Run a jitted lane function over equally long columns, padded to whole vectors."""
    n = len(columns[0])
    n_rows = -(-n // N_LANES)
    padded = [np.resize(c, n_rows * N_LANES).reshape(n_rows, N_LANES) for c in columns]
    out = np.zeros((n_out, n_rows, N_LANES), np.float32)
    function(*padded, out)
    flat = out.reshape(n_out, -1)[:, :n]
    return flat[0] if n_out == 1 else flat


def pairs_of(values: Any) -> tuple[Any, Any]:
    a, b = np.meshgrid(values, values)
    return a.ravel().astype(np.float32), b.ravel().astype(np.float32)


def binary(operation: Any) -> Any:
    @numba.njit
    def function(a: Any, b: Any, out: Any) -> None:
        for k in range(len(a)):
            store(out, (0, k), operation(load(a, (k,)), load(b, (k,))))

    return function


def unary(operation: Any) -> Any:
    @numba.njit
    def function(a: Any, out: Any) -> None:
        for k in range(len(a)):
            store(out, (0, k), operation(load(a, (k,))))

    return function


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_arithmetic_with_ordinary_and_special_numbers(operation: Any) -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=20).astype(np.float32), SPECIAL])
    a, b = pairs_of(values)
    with np.errstate(all="ignore"):
        expected = operation(a, b)
    # division may go through the reciprocal: two roundings instead of one
    np.testing.assert_allclose(run(binary(operation), a, b), expected, rtol=2e-7, atol=1e-45)


@numba.njit
def mixed(a: Any, out: Any) -> None:
    for k in range(len(a)):
        x = load(a, (k,))
        store(out, (0, k), 2 * x + 1.5)
        store(out, (1, k), 1.0 - x / 4)
        store(out, (2, k), np.float64(3.0) / (x * x + np.float32(1.0)))
        store(out, (3, k), -x)
        store(out, (4, k), 7.0)


def test_scalars_are_broadcast() -> None:
    a = np.linspace(-5, 5, 37, dtype=np.float32)
    out = run(mixed, a, n_out=5)
    expected = [2 * a + 1.5, 1 - a / 4, 3 / (a * a + 1), -a, np.full_like(a, 7.0)]
    np.testing.assert_allclose(out, expected, rtol=3e-7)


@numba.njit
def compare(a: Any, b: Any, out: Any) -> None:
    for k in range(len(a)):
        x, y = load(a, (k,)), load(b, (k,))
        one, zero = broadcast(1.0), broadcast(0.0)
        store(out, (0, k), ops.select(x < y, one, zero))
        store(out, (1, k), ops.select(x <= y, one, zero))
        store(out, (2, k), ops.select(x > y, one, zero))
        store(out, (3, k), ops.select(x >= y, one, zero))
        store(out, (4, k), ops.select((x > 0.0) & (y > 0.0), one, zero))
        store(out, (5, k), ops.select(x < y, x, y))
        store(out, (6, k), ops.minimum(x, y))
        store(out, (7, k), ops.maximum(x, y))


def test_comparisons_select_and_extremes() -> None:
    a, b = pairs_of(SPECIAL)
    out = run(compare, a, b, n_out=8)
    with np.errstate(invalid="ignore"):
        masks = [a < b, a <= b, a > b, a >= b, (a > 0) & (b > 0)]
    np.testing.assert_array_equal(out[:5], np.array(masks, np.float32))
    # NaN compares as false, so the second operand wins: as in the scalar formulae
    expected = [[f(x, y) for x, y in zip(a, b, strict=True)] for f in (ops.minimum, ops.maximum)]
    np.testing.assert_array_equal(out[5], np.where(masks[0], a, b))
    np.testing.assert_array_equal(out[6:], np.array(expected, np.float32))


def test_nan_is_held_at_the_first_bound() -> None:
    """How a NaN coordinate gets a valid lattice cell: clamped to 0, no read out of bounds."""
    assert ops.minimum(ops.maximum(NAN, 0.0), 5.0) == 0.0
    a, b = np.array([NAN], np.float32), np.array([0.0], np.float32)
    assert run(compare, a, b, n_out=8)[7, 0] == 0.0


@numba.njit
def roots(a: Any, out: Any) -> None:
    for k in range(len(a)):
        x = load(a, (k,))
        store(out, (0, k), ops.square_root(ops.absolute(x)))
        store(out, (1, k), ops.absolute(x))
        store(out, (2, k), ops.to_float(ops.floor_to_int(x)))
        store(out, (3, k), ops.to_float(ops.floor_to_int(x) * 3 - 2))
        store(out, (4, k), ops.to_float(ops.minimum(ops.floor_to_int(x), np.int32(4))))


def test_roots_and_integers() -> None:
    a = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 6.999, -7.001, 1e6, -1e6], np.float32)
    out = run(roots, a, n_out=5)
    np.testing.assert_array_equal(out[0], np.sqrt(np.abs(a)))
    np.testing.assert_array_equal(out[1], np.abs(a))
    np.testing.assert_array_equal(out[2], np.floor(a))
    np.testing.assert_array_equal(out[3], np.floor(a) * 3 - 2)
    np.testing.assert_array_equal(out[4], np.minimum(np.floor(a), 4))


@numba.njit
def gather(table: Any, offset: Any, where: Any, out: Any) -> None:
    for k in range(len(where)):
        low, high = gather_pairs(table, offset, ops.floor_to_int(load(where, (k,))))
        store(out, (0, k), low)
        store(out, (1, k), high)


def test_gather_pairs() -> None:
    rng = np.random.default_rng(2)
    table = rng.normal(size=500).astype(np.float32)
    table[17] = NAN
    where = rng.integers(0, 398, (3, N_LANES))
    where[0, :4] = 0, 398, 17, 16
    for offset in (0, 100):
        out = np.zeros((2, 3, N_LANES), np.float32)
        gather(table, offset, where.astype(np.float32), out)
        np.testing.assert_array_equal(out[0], table[where + offset])
        np.testing.assert_array_equal(out[1], table[where + offset + 1])


@numba.njit
def cells(table: Any, offset: Any, where: Any, x_stride: Any, y_stride: Any, out: Any) -> None:
    for k in range(len(where)):
        found = gather_cell(table, offset, ops.floor_to_int(load(where, (k,))), x_stride, y_stride)
        for corner in range(8):
            store(out, (corner, k), found[corner])


def test_gather_cell() -> None:
    rng = np.random.default_rng(5)
    shape = np.array([5, 6, 7])
    table = rng.normal(size=3 + 5 * 6 * 7).astype(np.float32)
    lattice = table[3:].reshape(shape)
    point = rng.integers(0, shape - 1, (2, N_LANES, 3))
    point[0, 0], point[1, 15] = 0, shape - 2
    where = np.ravel_multi_index(tuple(np.moveaxis(point, 2, 0)), tuple(shape))
    out = np.zeros((8, 2, N_LANES), np.float32)
    cells(table, 3, where.astype(np.float32), np.int32(42), np.int32(7), out)
    for corner, (x, y, z) in enumerate(np.ndindex(2, 2, 2)):
        expected = lattice[point[..., 0] + x, point[..., 1] + y, point[..., 2] + z]
        np.testing.assert_array_equal(out[corner], expected)


@numba.njit
def look_up(table: Any, where: Any, out: Any) -> None:
    for k in range(len(where)):
        entries = ops.truncate(load(where, (k,)))
        store(out, (0, k), ops.look_up(table, (1, 0), entries))
        store(out, (1, k), ops.look_up(table, (0, 2), entries))


def test_look_up() -> None:
    rng = np.random.default_rng(4)
    table = rng.normal(size=(2, 3, 32)).astype(np.float32)
    table[1, 0, 5] = NAN
    where = np.concatenate([np.arange(32), rng.integers(0, 32, 32)]).reshape(4, N_LANES)
    out = np.zeros((2, 4, N_LANES), np.float32)
    look_up(table, (where + 0.7).astype(np.float32), out)
    np.testing.assert_array_equal(out[0], table[1, 0, where])
    np.testing.assert_array_equal(out[1], table[0, 2, where])
    assert ops.look_up(table, (0, 2), 31) == table[0, 2, 31]


@numba.njit
def numbers_and_any(threshold: Any, out: Any) -> Any:
    store(out, (0,), lane_numbers())
    return any_lane(load(out, (0,)) > threshold)


def test_lane_numbers_and_any_lane() -> None:
    out = np.zeros((1, N_LANES), np.float32)
    assert numbers_and_any(14.5, out)
    assert not numbers_and_any(15.0, out)
    np.testing.assert_array_equal(out[0], np.arange(N_LANES))


def test_store_touches_its_own_lanes_only() -> None:
    @numba.njit
    def write(out: Any) -> None:
        store(out, (1, 0), broadcast(5.0))

    out = np.zeros((3, 2, N_LANES), np.float32)
    write(out)
    assert (out[1, 0] == 5.0).all()
    assert out.sum() == 5.0 * N_LANES


# --- elementary functions, over ranges wider than any kernel's ---


def test_exponential_error() -> None:
    """Relative error at most 2e-7 + 1.2e-7 |x|: the polynomial's, and the rounding of x log2(e)."""
    x = -np.logspace(-8, np.log10(87.0), 200_000).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    relative = np.abs(run(unary(ops.exponential), x) / exact - 1.0)
    assert (relative <= 2e-7 + 1.2e-7 * np.abs(x)).all()


def test_exponential_ends() -> None:
    """Far below the range: the smallest normal number, never negative, infinite or NaN."""
    x = np.array([0.0, -88.0, -1e4, -1e30, -INF], np.float32)
    values = run(unary(ops.exponential), x)
    assert values[0] == pytest.approx(1.0, abs=2e-7)
    assert ((values[1:] >= 0.0) & (values[1:] < 2e-38)).all()
    positive = np.linspace(0, 80, 10_000, dtype=np.float32)
    relative = run(unary(ops.exponential), positive) / np.exp(positive.astype(np.float64)) - 1.0
    assert (np.abs(relative) <= 2e-7 + 1.2e-7 * positive).all()


@numba.njit
def sines(a: Any, out: Any) -> None:
    for k in range(len(a)):
        s, c = ops.sine_cosine(load(a, (k,)))
        store(out, (0, k), s)
        store(out, (1, k), c)


@pytest.mark.parametrize("reach", [np.pi, 100.0, 6000.0])
def test_sine_and_cosine_error(reach: float) -> None:
    """Absolute error at most 2e-7 up to 6000 radian, some 1,000 turns."""
    x = np.random.default_rng(3).uniform(-reach, reach, 400_000).astype(np.float32)
    x[:3] = 0.0, np.pi / 2, -np.pi
    sine, cosine = run(sines, x, n_out=2)
    exact = x.astype(np.float64)
    assert np.abs(sine - np.sin(exact)).max() < 2e-7
    assert np.abs(cosine - np.cos(exact)).max() < 2e-7
    assert np.abs(sine.astype(np.float64) ** 2 + cosine.astype(np.float64) ** 2 - 1).max() < 4e-7


def test_every_lane_gives_the_same() -> None:
    for value in (0.3, -2.7, 31.0):
        out = np.zeros((2, 1, N_LANES), np.float32)
        sines(np.full((1, N_LANES), value, np.float32), out)
        assert len(np.unique(out[0])) == 1
        assert len(np.unique(out[1])) == 1


def test_inverse_square_root_error() -> None:
    """Relative error at most 5e-7, over the squared distances of pairs and their floor, 1e-12."""
    x = np.logspace(-12, 13, 200_000).astype(np.float32)
    exact = 1.0 / np.sqrt(x.astype(np.float64))
    assert np.abs(run(unary(ops.inverse_square_root), x) / exact - 1.0).max() < 5e-7
