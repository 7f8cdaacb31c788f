"""Networks on packed bits: against the definition and a product of matrices, molecules apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import Backend

from osong_kernels.cpu.bit_networks import TILE
from osong_kernels.cpu.bit_networks import run_bit_networks as cpu_run_bit_networks
from osong_kernels.reference.bit_networks import run_bit_networks as reference_run_bit_networks

ULP = 2.0**-24
"""Half the last digit of float32."""


def weights_of_bits(seed: int, n_networks: int, n_bytes: int) -> npt.NDArray[np.float32]:
    """Return the weights (n_networks, n_bits, 2, 16) of single bits."""
    rng = np.random.default_rng([seed, 1])
    return rng.normal(size=(n_networks, 8 * n_bytes, 2, 16)).astype(np.float32)


def table_of(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the table whose rows are sums of the weights of up to four bits."""
    n_networks, n_bits = weights.shape[:2]
    table = np.zeros((n_networks, n_bits // 4, 16, 2, 16), np.float32)
    for value in range(16):
        for bit in range(4):
            if value >> bit & 1:
                table[:, :, value] += weights[:, bit::4]
    return table.reshape(n_networks, 4 * n_bits, 2, 16)


def arguments(seed: int, n: int, n_bytes: int, n_networks: int, density: float = 0.3) -> list[Any]:
    """Return the arguments of ``run_bit_networks``; the last, ``out``, is NaN."""
    rng = np.random.default_rng(seed)
    bits = rng.random((n, 8 * n_bytes)) < density
    return [
        np.packbits(bits, axis=1, bitorder="little"),
        table_of(weights_of_bits(seed, n_networks, n_bytes)),
        *(rng.normal(size=(n_networks, 2, 16)).astype(np.float32) for _ in range(2)),
        np.full((n, n_networks), np.nan, np.float32),
    ]


def expected_of(args: list[Any]) -> npt.NDArray[np.float64]:
    out = np.full(args[-1].shape, np.nan)
    reference_run_bit_networks(*args[:-1], out)
    return out


def assert_close(args: list[Any]) -> None:
    """Check ``out`` as far as float32 can be: by the number of additions and what is added."""
    packed, table, bias, weight, out = args
    n_rows = int(((packed & 15) > 0).sum(axis=1).max(initial=0)) * 2 + 34
    largest = np.abs(table).max(initial=0.0) * n_rows + np.abs(bias).max(initial=0.0)
    bound = 32 * np.abs(weight).max(initial=0.0) * largest * n_rows * ULP
    expected = expected_of(args)
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)
    # on average errors cancel: a row left out would show
    if out.size:
        assert np.abs(out - expected).max() < 2e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize(
    ("n", "n_bytes", "n_networks"),
    [(7, 12, 3), (5, 6, 1), (3, 1, 9), (4, 0, 2), (0, 4, 2), (3, 4, 0)],
)
def test_kernel_agrees_with_the_reference(
    backend: Backend, n: int, n_bytes: int, n_networks: int
) -> None:
    args = arguments(3, n, n_bytes, n_networks)
    backend.run_bit_networks(*args)
    assert_close(args)


def test_more_molecules_than_share_rows() -> None:
    args = arguments(3, TILE + 3, 4, 2)
    cpu_run_bit_networks(*args)
    assert_close(args)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 6),
    n_bytes=st.integers(1, 20),
    n_networks=st.integers(1, 5),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_any_bits(seed: int, n: int, n_bytes: int, n_networks: int, density: float) -> None:
    args = arguments(seed, n, n_bytes, n_networks, density)
    cpu_run_bit_networks(*args)
    assert_close(args)


def test_it_is_a_product_of_matrices(backend: Backend) -> None:
    """The table is one of sums of bits' weights: so are the hidden units."""
    args = arguments(5, 9, 10, 3)
    backend.run_bit_networks(*args)
    packed, _, bias, weight, out = args
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.float64)
    weights = weights_of_bits(5, 3, 10).astype(np.float64)
    hidden = np.maximum(np.einsum("nb,kbpl->nkpl", bits, weights) + bias, 0)
    np.testing.assert_allclose(out, (hidden * weight).sum(axis=(2, 3)), rtol=2e-5, atol=2e-4)


def test_a_molecule_and_a_network_depend_on_no_other(backend: Backend) -> None:
    whole = arguments(6, 5, 10, 3)
    backend.run_bit_networks(*whole)
    for i in range(5):
        for k in range(3):
            table, bias, weight = (np.ascontiguousarray(x[k : k + 1]) for x in whole[1:4])
            out = np.full((1, 1), np.nan, np.float32)
            packed = np.ascontiguousarray(whole[0][i : i + 1])
            backend.run_bit_networks(packed, table, bias, weight, out)
            assert out[0, 0] == whole[-1][i, k]


def test_no_bit_gives_the_bias_alone(backend: Backend) -> None:
    args = arguments(7, 2, 4, 2, density=0.0)
    args[1][:] = np.nan  # no row is read
    backend.run_bit_networks(*args)
    expected = (np.maximum(args[2], 0.0).astype(np.float64) * args[3]).sum(axis=(1, 2))
    np.testing.assert_allclose(args[-1], np.tile(expected, (2, 1)), rtol=1e-5, atol=1e-5)


def test_each_bit_reads_its_own_row(backend: Backend) -> None:
    """Bit b of a molecule is bit b % 8 of byte b // 8; the lower half byte comes first."""
    n_bytes = 5
    packed = np.packbits(np.eye(8 * n_bytes, dtype=bool), axis=1, bitorder="little")
    weights = np.zeros((1, 8 * n_bytes, 2, 16), np.float32)
    weights[0, :, 1, 3] = np.arange(1, 8 * n_bytes + 1)
    zero, one = np.zeros((1, 2, 16), np.float32), np.ones((1, 2, 16), np.float32)
    out = np.full((len(packed), 1), np.nan, np.float32)
    backend.run_bit_networks(packed, table_of(weights), zero, one, out)
    np.testing.assert_array_equal(out[:, 0], np.arange(1, 8 * n_bytes + 1))
