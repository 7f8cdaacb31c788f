from __future__ import annotations

from pathlib import Path

import pytest

from osong_benchmarks.child import ChildError, run_child
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.meeko_ligand import docked_mols, embedded, meeko_pdbqt
from osong_benchmarks.pose_distance import heavy_atom_rmsd
from osong_benchmarks.rustina_peer import rustina_dock, rustina_screen

QUICK = {"scoring": "vina", "search_mode": "qvina2", "runs": 1}


@pytest.mark.slow
def test_rustina_docks_a_fragment(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("rustina", reason="needs osong[peers]: rustina")
    pytest.importorskip("meeko", reason="needs osong[peers]: meeko")
    (complex_,) = read_complexes(shared_data, ["1ac8"])
    receptor = receptor_pdbqt(complex_, tmp_path)
    ligand = meeko_pdbqt(complex_.start)
    poses = rustina_dock(receptor, ligand, complex_.box, **QUICK)
    energies = [pose.energy for pose in poses]
    assert energies == sorted(energies)
    assert energies[0] < -3.0
    (mol,) = docked_mols(poses[0].pdbqt)
    assert heavy_atom_rmsd(mol, complex_.crystal) < 30.0  # the same molecule, in the box
    found = rustina_screen(receptor, [ligand, "ROOT\nENDROOT\nTORSDOF 0\n"], complex_.box, **QUICK)
    assert found[0] is not None
    assert found[0].energy == pytest.approx(energies[0], abs=0.5)
    assert found[1] is None


def test_a_conformer_for_peers_is_always_the_same() -> None:
    a, b = embedded("CCOc1ccccc1"), embedded("CCOc1ccccc1")
    assert heavy_atom_rmsd(a, b) == 0.0
    assert a.GetNumAtoms() > a.GetNumHeavyAtoms()


def test_meeko_writes_what_comes_back_as_the_same_molecule() -> None:
    pytest.importorskip("meeko", reason="needs osong[peers]: meeko")
    mol = embedded("CC(=O)Nc1ccc(O)cc1")
    (back,) = docked_mols(meeko_pdbqt(mol))
    assert heavy_atom_rmsd(back, mol) < 0.01


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(ChildError, match="TypeError"):
        run_child("osong_benchmarks.redock_child", {"no": "job"}, 120.0)
    with pytest.raises(ChildError, match="No module named"):
        run_child("osong_benchmarks.no_such_module", {}, 120.0)
    with pytest.raises(ChildError, match="more than 0 s"):
        run_child("osong_benchmarks.redock_child", {}, 0.01)


@pytest.mark.parametrize("module", ["keyword", "this"])  # one prints nothing, one no JSON
def test_a_child_without_a_result_is_an_error(module: str) -> None:
    with pytest.raises(ChildError, match=f"{module} ended without a result"):
        run_child(module, {}, 120.0)
