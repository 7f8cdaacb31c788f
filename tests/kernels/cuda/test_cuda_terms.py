"""Exact terms on a device: against the definition, at the cutoff, of many poses at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_backends import Backend
from kernel_cases import VINA, VINARDO
from test_terms import complex_of, ligand_terms, receptor_terms

from osong_kernels.reference import terms as reference


@pytest.mark.parametrize(
    ("n", "m", "weights"), [(5, 30, VINA), (3, 11, VINARDO), (1, 1, VINA), (2, 0, VINA)]
)
def test_kernels_agree_with_the_reference(backend: Backend, n: int, m: int, weights: Any) -> None:
    c = complex_of(n, n, m)
    for function in (receptor_terms, ligand_terms):
        name = function.__name__
        found = function(getattr(backend, name), c, weights)
        expected = function(getattr(reference, name), c, weights)
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-11)
    assert m < 11 or (expected != 0.0).any()


def test_ligand_of_one_atom_has_no_pairs(backend: Backend) -> None:
    assert ligand_terms(backend.ligand_terms, complex_of(1, 1, 2)).shape == (0, 5)


@pytest.mark.parametrize(("distance", "counts"), [(7.999, True), (8.0, False), (8.001, False)])
def test_cutoff(backend: Backend, distance: float, counts: bool) -> None:
    c = complex_of(5, 2, 1)
    c["coords"] = np.array([[0.0, 0.0, 0.0], [0.0, distance, 0.0]])
    c["receptor"] = np.array([[0.0, 0.0, distance]])
    by_atom = receptor_terms(backend.receptor_terms, c)
    by_pair = ligand_terms(backend.ligand_terms, c)
    assert (by_atom[0] != 0.0).any() == counts
    assert (by_atom[1] == 0.0).all()
    assert (by_pair[0] != 0.0).any() == counts


def test_poses_may_stand_one_after_another(backend: Backend) -> None:
    one, other = complex_of(1, 3, 20), complex_of(2, 4, 20)
    receptor = {key: one[key] for key in ("receptor", "receptor_types")}
    both = {
        "coords": np.concatenate([one["coords"], other["coords"]]),
        "types": np.concatenate([one["types"], other["types"]]),
        "pairs": np.concatenate([one["pairs"], other["pairs"] + np.int32(3)]),
        **receptor,
    }
    for function in (receptor_terms, ligand_terms):
        kernel = getattr(backend, function.__name__)
        apart = [function(kernel, {**c, **receptor}) for c in (one, other)]
        np.testing.assert_array_equal(function(kernel, both), np.concatenate(apart))


def test_coincident_atoms_are_finite(backend: Backend) -> None:
    c = complex_of(6, 3, 3)
    c["coords"] = c["receptor"].copy()
    c["coords"][1] = c["coords"][0]
    assert np.isfinite(receptor_terms(backend.receptor_terms, c)).all()
    assert np.isfinite(ligand_terms(backend.ligand_terms, c)).all()
