"""Exact terms: kernel against the definition, rigid motion, order of atoms, cutoff."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import VINA, VINARDO, type_tables

from osong_kernels.physics.rotation import matrix_from_quaternion
from osong_kernels.reference import terms as reference

KEEP = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def complex_of(seed: int, n: int, m: int) -> dict[str, npt.NDArray[Any]]:
    """Return n ligand atoms among m receptor atoms, and all pairs of the former."""
    rng = np.random.default_rng(seed)
    return {
        "coords": rng.uniform(-4, 4, (n, 3)),
        "types": rng.integers(0, 4, n).astype(np.int32),
        "receptor": rng.uniform(-10, 10, (m, 3)),
        "receptor_types": rng.integers(0, 4, m).astype(np.int32),
        "pairs": np.stack(np.triu_indices(n, 1), axis=1).astype(np.int32, order="C"),
    }


def receptor_terms(function: Any, c: dict[str, npt.NDArray[Any]], weights: Any = VINA) -> Any:
    out = np.full((len(c["coords"]), 5), np.nan)
    function(
        c["coords"], c["types"], c["receptor"], c["receptor_types"], *type_tables(np.float64),
        weights, out,
    )  # fmt: skip
    return out


def ligand_terms(function: Any, c: dict[str, npt.NDArray[Any]], weights: Any = VINA) -> Any:
    out = np.full((len(c["pairs"]), 5), np.nan)
    function(c["coords"], c["types"], c["pairs"], *type_tables(np.float64), weights, out)
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 40))
@KEEP
def test_kernels_agree_with_the_reference(
    backend: SimpleNamespace, seed: int, n: int, m: int
) -> None:
    c = complex_of(seed, n, m)
    for weights in (VINA, VINARDO):
        np.testing.assert_allclose(
            receptor_terms(backend.receptor_terms, c, weights),
            receptor_terms(reference.receptor_terms, c, weights),
            atol=1e-11,
        )
        np.testing.assert_allclose(
            ligand_terms(backend.ligand_terms, c, weights),
            ligand_terms(reference.ligand_terms, c, weights),
            atol=1e-11,
        )


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(-1, 1)] * 4),
    st.tuples(*[st.floats(-50, 50)] * 3),
)
@KEEP
def test_joint_rotation_and_translation_change_nothing(
    backend: SimpleNamespace,
    seed: int,
    quaternion: tuple[float, float, float, float],
    shift: tuple[float, float, float],
) -> None:
    length = np.linalg.norm(quaternion)
    if length < 1e-3:
        return
    m = np.reshape(matrix_from_quaternion(*(np.array(quaternion) / length)), (3, 3))
    c = complex_of(seed, 8, 50)
    there = {**c, "coords": c["coords"] @ m.T + shift, "receptor": c["receptor"] @ m.T + shift}
    for function in (receptor_terms, ligand_terms):
        kernel = getattr(backend, function.__name__)
        np.testing.assert_allclose(function(kernel, there), function(kernel, c), atol=1e-9)


def test_order_of_receptor_atoms_does_not_matter(backend: SimpleNamespace) -> None:
    c = complex_of(3, 10, 200)
    order = np.random.default_rng(4).permutation(200)
    shuffled = {**c, "receptor": c["receptor"][order], "receptor_types": c["receptor_types"][order]}
    np.testing.assert_allclose(
        receptor_terms(backend.receptor_terms, shuffled),
        receptor_terms(backend.receptor_terms, c),
        atol=1e-12,
    )


@pytest.mark.parametrize(("distance", "counts"), [(7.999, True), (8.0, False), (8.001, False)])
def test_cutoff(backend: SimpleNamespace, distance: float, counts: bool) -> None:
    c = complex_of(5, 2, 1)
    c["coords"] = np.array([[0.0, 0.0, 0.0], [0.0, distance, 0.0]])
    c["receptor"] = np.array([[0.0, 0.0, distance]])
    by_atom = receptor_terms(backend.receptor_terms, c)
    by_pair = ligand_terms(backend.ligand_terms, c)
    assert (by_atom[0] != 0.0).any() == counts
    assert (by_atom[1] == 0.0).all()
    assert (by_pair[0] != 0.0).any() == counts


def test_coincident_atoms_are_finite(backend: SimpleNamespace) -> None:
    c = complex_of(6, 3, 3)
    c["coords"] = c["receptor"].copy()
    c["coords"][1] = c["coords"][0]
    assert np.isfinite(receptor_terms(backend.receptor_terms, c)).all()
    assert np.isfinite(ligand_terms(backend.ligand_terms, c)).all()
