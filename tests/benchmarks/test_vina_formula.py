from __future__ import annotations

from pathlib import Path

import pytest

from osong import Target, pack_pose, score
from osong.scoring.functions import scoring_function
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.parity import SCORINGS, compare, summary
from osong_benchmarks.vina_formula import pose_energies


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_exact_formula_is_what_osong_scores(
    shared_data: Path, tmp_path: Path, scoring: str
) -> None:
    (complex_,) = read_complexes(shared_data, ["1hnn"])
    target = Target.from_file(receptor_pdbqt(complex_, tmp_path), box=complex_.box)
    pose = pack_pose(complex_.crystal)
    found = score(target, pose, scoring)
    formula = scoring_function(scoring)
    exact = pose_energies(target.receptor, pose, formula, rounded=False)
    # The benchmark reads coordinates with the three decimals of a PDBQT.
    assert exact == pytest.approx((found.total, found.inter, found.intra), abs=2e-3)
    rounded = pose_energies(target.receptor, pose, formula, rounded=True)
    assert rounded == pytest.approx(exact, abs=0.05)
    assert rounded != exact


@pytest.mark.usefixtures("vina_installed")
def test_parity_of_one_complex(shared_data: Path, tmp_path: Path) -> None:
    (complex_,) = read_complexes(shared_data, ["1hnn"])
    rows = [compare(complex_, scoring, tmp_path) for scoring in SCORINGS]
    for row in rows:
        assert row["rounded"] == pytest.approx(row["vina"], abs=1e-3)
        assert row["osong"] == pytest.approx(row["vina"], abs=0.02)
    table, outliers = summary(rows)
    assert table.count("as Vina's table rounds") == 6
    assert "none" in outliers


def test_a_difference_is_listed(tmp_path: Path) -> None:
    rows = [
        {"complex": "x", "scoring": "vina", "vina": [-7.0, -8.0, 0.0],
         "osong": [-7.0, -8.0, 0.0], "rounded": [-7.1, -8.1, 0.0],
         "from_molecule": [-7.0, -8.5, 0.0], "is_own_pdbqt": True},
        {"complex": "y", "scoring": "vina", "vina_error": "unknown type"},
    ]  # fmt: skip
    table, outliers = summary(rows)
    assert "| vina | as Vina's table rounds | inter | 1 |" in table
    assert "- x vina total" in outliers
    assert "- x vina: total +0.000, inter -0.500" in outliers
    assert "- y: Vina: unknown type" in outliers
