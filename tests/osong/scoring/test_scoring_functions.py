"""Scoring functions: who is how large, who binds whom, and what an unknown name says."""

from __future__ import annotations

import numpy as np
import pytest
from vina_rounding import RADII, formula

from osong.atom_types import ATOM_TYPES, TYPE_INDEX
from osong.errors import InputError
from osong.scoring import SCORING_FUNCTIONS, scoring_function
from osong_kernels.physics.pair_terms import pair_energy

NAMES = ["vina", "vinardo"]


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_of_types_has_the_published_curve(name: str) -> None:
    """Against a second implementation, all pairs of types, from contact to beyond the cutoff."""
    f = scoring_function(name)
    distances = np.array([0.5, 1.5, 2.4, 2.81, 3.07, 3.39, 3.8, 4.26, 4.9, 5.5, 6.3, 7.99, 8.01])
    for i, a in enumerate(ATOM_TYPES):
        for j, b in enumerate(ATOM_TYPES):
            ours = [
                pair_energy(
                    r * r,
                    float(f.r0[i, j]),
                    float(f.is_hydrophobic[i, j]),
                    float(f.is_hydrogen_bond[i, j]),
                    f.weights,
                )[0]
                for r in distances
            ]
            theirs = formula(distances, a.name, b.name, name)
            # r0 is float32
            np.testing.assert_allclose(ours, theirs, atol=3e-6, err_msg=f"{a.name} {b.name}")


@pytest.mark.parametrize("name", NAMES)
def test_radii(name: str) -> None:
    f = scoring_function(name)
    for t, radius in zip(ATOM_TYPES, f.radii, strict=True):
        assert radius == RADII[name][t.name.partition("_")[0]]
    np.testing.assert_allclose(np.diag(f.r0), 2 * np.array(f.radii), rtol=1e-7)
    np.testing.assert_array_equal(f.r0, f.r0.T)


def test_roles() -> None:
    f = scoring_function("vina")
    at = TYPE_INDEX
    assert f.is_hydrophobic[at["C_H"], at["Cl_H"]] == 1
    assert f.is_hydrophobic[at["C_H"], at["C_P"]] == 0
    assert f.is_hydrogen_bond[at["N_D"], at["O_A"]] == 1
    assert f.is_hydrogen_bond[at["O_A"], at["N_D"]] == 1
    assert f.is_hydrogen_bond[at["Met_D"], at["O_DA"]] == 1
    assert f.is_hydrogen_bond[at["O_DA"], at["O_DA"]] == 1
    assert f.is_hydrogen_bond[at["N_D"], at["O_D"]] == 0
    assert f.is_hydrogen_bond[at["O_A"], at["O_A"]] == 0


def test_pair_tables_are_made_once_and_belong_to_their_function_and_cap() -> None:
    vina, vinardo = (scoring_function(name) for name in NAMES)
    assert vina.pair_table(10.0) is vina.pair_table(10.0)
    capped, high = vina.pair_table(10.0).coefficients, vina.pair_table(1000.0).coefficients
    assert (capped[:, 0, 0] < high[:, 0, 0]).all()
    assert not np.array_equal(capped, vinardo.pair_table(10.0).coefficients)


def test_torsion_factor() -> None:
    f = scoring_function("vina")
    assert f.torsion_factor(0.0) == 1.0
    assert f.torsion_factor(5.5) == pytest.approx(1.0 / 1.32153)
    assert f.rotor_weight == SCORING_FUNCTIONS["vinardo"].rotor_weight == 0.05846


@pytest.mark.parametrize("name", ["Vina", "ad4", "", "vina "])
def test_unknown_name(name: str) -> None:
    with pytest.raises(InputError, match="choose one of vina, vinardo"):
        scoring_function(name)
