from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.box import Box
from osong.receptor import Target

WIDE = Box((0.0, 0.0, 0.0), (400.0, 400.0, 400.0))

GROUPS = {
    "amide": "CC(=O)NC",
    "acid": "CCC(=O)[O-]",
    "alcohol and ether": "OCCOC",
    "phenol": "Oc1ccccc1",
    "amines": "C[NH2+]CC[NH3+]",
    "tertiary amine": "CC[NH+](CC)CC",
    "aniline": "Nc1ccccc1",
    "amidine": "NC(=[NH2+])c1ccccc1",
    "guanidine": "CNC(N)=[NH2+]",
    "nitrile": "N#CCC",
    "pyridine": "c1ccncc1C",
    "imidazole with one hydrogen": "Cc1c[nH]cn1",
    "phosphate": "COP(=O)([O-])[O-]",
    "sulfonamide": "NS(=O)(=O)c1ccccc1",
    "thiol": "SCCC",
    "nitro": "O=[N+]([O-])c1ccccc1",
    "adenosine": "Nc1ncnc2c1ncn2[C@@H]1O[C@H](CO)[C@@H](O)[C@H]1O",
    "guanosine": "Nc1nc2c(ncn2[C@@H]2O[C@H](CO)[C@@H](O)[C@H]2O)c(=O)[nH]1",
    "flavin": "Cc1cc2nc3c(=O)[nH]c(=O)nc3n(CC(O)CO)c2cc1C",
    "nicotinamide": "NC(=O)c1ccc[n+](CC)c1",
    "pantetheine": "CC(C)(CO)[C@@H](O)C(=O)NCCC(=O)NCCS",
}


def as_structure(smiles: str, path: Path) -> Chem.Mol:
    """Write a molecule's heavy atoms, from a force field's geometry, beside a residue."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
    AllChem.MMFFOptimizeMolecule(mol, maxIters=2000)
    lines = []
    for i, atom in enumerate(mol.GetAtoms()):
        if atom.GetAtomicNum() > 1:
            x, y, z = mol.GetConformer().GetAtomPosition(i)
            name = f" {atom.GetSymbol()}{i:<2d}"
            lines.append(
                f"HETATM{i + 1:5d} {name} LIX A   1    {x:8.3f}{y:8.3f}{z:8.3f}"
                f"  1.00  0.00          {atom.GetSymbol():>2s}"
            )
    path.write_text("\n".join([*lines, "END", ""]))
    return mol


@pytest.mark.parametrize("smiles", GROUPS.values(), ids=GROUPS.keys())
def test_geometry_tells_which_atoms_carry_hydrogens(smiles: str, tmp_path: Path) -> None:
    mol = as_structure(smiles, tmp_path / "group.pdb")
    receptor = Target.from_file(tmp_path / "group.pdb", box=WIDE).receptor
    heavy = np.flatnonzero(receptor.element != "H")
    counts = np.diff([*heavy, receptor.n_atoms]) - 1
    found = dict(zip(receptor.atom_name[heavy].tolist(), counts.tolist(), strict=True))
    expected = {
        f"{a.GetSymbol()}{a.GetIdx()}": a.GetTotalNumHs(includeNeighbors=True)
        for a in mol.GetAtoms()
        if a.GetAtomicNum() in (7, 8, 16)
    }
    assert {name: found[name] for name in expected} == expected
    # MMFF leaves its own aromaticity on the molecule; RDKit's is wanted.
    fresh = Chem.MolFromSmiles(smiles)
    aromatic = {f"C{a.GetIdx()}" for a in fresh.GetAromaticAtoms() if a.GetSymbol() == "C"}
    assert set(receptor.atom_name[receptor.ad_type == "A"].tolist()) == aromatic


@pytest.mark.parametrize("sequence", ["GAKRHDES", "TNQYWFMC", "ALVPGS"])
def test_types_are_meekos(
    sequence: str,
    peptide_lines: Callable[[str], list[str]],
    tmp_path: Path,
    write: Callable[..., Path],
) -> None:
    """Meeko types the same protein, hydrogens and all; it cannot read RDKit's isoleucine."""
    meeko = pytest.importorskip("meeko", reason="the oracle is not installed")
    app = pytest.importorskip("openmm.app", reason="the oracle is not installed")
    from osong.receptor.pdbqt import read_pdbqt

    source = app.PDBFile(str(write(peptide_lines(sequence))))
    modeller = app.Modeller(source.topology, source.positions)
    modeller.addHydrogens(app.ForceField("amber14-all.xml"), pH=7.4)
    full = tmp_path / "full.pdb"
    with full.open("w") as file:
        app.PDBFile.writeFile(modeller.topology, modeller.positions, file, keepIds=True)
    polymer = meeko.Polymer.from_pdb_string(
        full.read_text(),
        meeko.ResidueChemTemplates.create_from_defaults(),
        meeko.MoleculePreparation(),
    )
    (tmp_path / "meeko.pdbqt").write_text(meeko.PDBQTWriterLegacy.write_from_polymer(polymer)[0])
    theirs, _ = read_pdbqt(tmp_path / "meeko.pdbqt")
    ours = Target.from_file(full, box=WIDE).receptor

    def table(receptor: object) -> dict[tuple[str, str], tuple[str, int]]:
        r = receptor
        return {
            (n, a): (t, int(v))
            for n, a, t, v, e in zip(
                r.residue_number, r.atom_name, r.ad_type, r.atom_type, r.element, strict=True
            )
            if e != "H"
        }

    assert table(ours) == table(theirs)
    assert np.sum(ours.ad_type == "HD") == np.sum(theirs.ad_type == "HD")
