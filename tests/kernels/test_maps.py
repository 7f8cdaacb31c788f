"""Grid maps: kernel against the definition, planes apart, invariance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_cases import VINA, VINARDO, make_receptor, type_tables

from osong_kernels.physics.pair_terms import PairWeights
from osong_kernels.reference.maps import build_maps as reference_maps


def arguments(
    seed: int,
    shape: tuple[int, int, int, int],
    n_atoms: int = 40,
    weights: PairWeights = VINA,
    spacing: float = 0.375,
) -> list[Any]:
    """Return the arguments of ``build_maps``; the last, ``maps``, is NaN."""
    rng = np.random.default_rng(seed)
    receptor = make_receptor(rng, n_atoms, 1.0)
    edges = (np.array(shape[1:]) - 1) * spacing
    return [
        np.ascontiguousarray(receptor.xyz.T),
        receptor.atom_type,
        *(np.ascontiguousarray(table[: shape[0]]) for table in type_tables()),
        weights,
        (rng.uniform(-1, 1, 3) - 0.5 * edges).astype(np.float32),
        spacing,
        0,
        np.full(shape, np.nan, np.float32),
    ]


def is_near_cutoff(args: list[Any], margin: float = 1e-4) -> npt.NDArray[np.bool_]:
    """Return where rounding decides whether a receptor atom counts, (n_x, ny, nz)."""
    axes = [args[6][k] + args[7] * np.arange(n) for k, n in enumerate(args[-1].shape[1:])]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    r = np.linalg.norm(points[..., None, :] - args[0], axis=-1)
    return np.asarray((np.abs(r - args[5].cutoff) < margin).any(axis=-1))


@pytest.mark.parametrize(
    ("shape", "n_atoms", "weights", "spacing"),
    [
        ((4, 3, 4, 37), 40, VINA, 0.375),
        ((3, 4, 3, 16), 40, VINARDO, 0.375),
        ((1, 2, 2, 2), 40, VINA, 0.375),
        ((2, 3, 2, 17), 1, VINA, 0.5),
        ((2, 3, 5, 33), 25, VINA, 1.3),  # wider than the reach of an atom
        ((2, 2, 3, 4), 0, VINA, 0.375),
    ],
)
def test_kernel_agrees_with_the_reference(
    backend: SimpleNamespace,
    shape: tuple[int, int, int, int],
    n_atoms: int,
    weights: PairWeights,
    spacing: float,
) -> None:
    args = arguments(5, shape, n_atoms, weights, spacing)
    backend.build_maps(*args)
    expected = np.full(shape, np.nan)
    reference_maps(*args[:-1], expected)
    clear = ~is_near_cutoff(args)
    assert clear.mean() > 0.9
    difference = np.abs(args[-1] - expected)[:, clear]
    assert (difference <= 2e-6 * (n_atoms + np.abs(expected[:, clear]))).all()


def test_planes_can_be_filled_apart(backend: SimpleNamespace) -> None:
    whole = arguments(6, (3, 7, 4, 20))
    backend.build_maps(*whole)
    for first, last in ((0, 3), (3, 4), (4, 7)):
        part = [*whole[:-2], first, np.full((3, last - first, 4, 20), np.nan, np.float32)]
        backend.build_maps(*part)
        np.testing.assert_array_equal(part[-1], whole[-1][:, first:last])


def test_maps_are_independent_of_each_other(backend: SimpleNamespace) -> None:
    """One map built alone has the same bytes as among others: they are built when needed."""
    together = arguments(7, (4, 3, 4, 18))
    backend.build_maps(*together)
    for m in range(4):
        tables = [np.ascontiguousarray(table[m : m + 1]) for table in together[2:5]]
        alone = [
            *together[:2],
            *tables,
            *together[5:-1],
            np.full((1, 3, 4, 18), np.nan, np.float32),
        ]
        backend.build_maps(*alone)
        np.testing.assert_array_equal(alone[-1][0], together[-1][m])


def test_order_of_receptor_atoms_does_not_matter(backend: SimpleNamespace) -> None:
    args = arguments(8, (2, 3, 4, 18))
    backend.build_maps(*args)
    order = np.random.default_rng(1).permutation(len(args[1]))
    shuffled = [args[0][order], args[1][order], *args[2:-1], np.full_like(args[-1], np.nan)]
    backend.build_maps(*shuffled)
    np.testing.assert_allclose(shuffled[-1], args[-1], rtol=1e-6, atol=1e-5)
