"""PDBQT goes out as Vina and Meeko understand it, and comes in as Vina reads it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from osong.errors import LigandError
from osong.ligands import pack_pdbqt, pack_pose, pdbqt_string, prepare_ligand, write_pdbqt

if TYPE_CHECKING:
    from pathlib import Path

SMILES = (
    "CC(C)C[C@H](NC(=O)c1ccccc1O)C(=O)NCCc1ccc(O)cc1",
    "OCC(O)CN1CCN(CC1)c1ccccc1C#CCCO",
    "OB(O)c1ccccc1",
    "NC(=[NH2+])NCCCC(C(=O)[O-])[NH3+]",
    "[2H]C([2H])([2H])OCCS",
)


def _mol(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    mol.SetProp("_Name", "a ligand")
    return mol


@pytest.mark.parametrize("smiles", SMILES)
def test_there_and_back(smiles: str) -> None:
    pose = pack_pose(_mol(smiles))
    back = pack_pdbqt(pdbqt_string(pose))
    assert back.name == "a ligand"
    assert back.notes == ()
    for attribute in ("n_torsions", "torsion_count", "n_scored"):
        assert getattr(back.packed, attribute) == getattr(pose.packed, attribute)
    assert len(back.packed.pairs) == len(pose.packed.pairs)
    molecules = [Chem.MolToSmiles(Chem.RemoveHs(ligand.mol())) for ligand in (pose, back)]
    assert molecules[0] == molecules[1]
    assert back.mol().GetNumAtoms() == pose.mol().GetNumAtoms()
    types = [sorted(x.packed.atom_type.tolist()) for x in (pose, back)]
    assert types[0] == types[1]


@pytest.mark.parametrize("smiles", SMILES)
def test_without_its_smiles_a_pdbqt_still_packs(smiles: str) -> None:
    pose = pack_pose(_mol(smiles))
    text = "\n".join(
        line for line in pdbqt_string(pose).splitlines() if not line.startswith("REMARK")
    )
    back = pack_pdbqt(text, name="x")
    assert "bond orders unknown" in back.notes[0]
    assert len(back.packed.pairs) == len(pose.packed.pairs)
    assert back.packed.torsion_count == pose.packed.torsion_count
    assert back.mol().GetProp("_Name") == "x"


def test_write_pdbqt_prepares_what_has_no_geometry(tmp_path: Path) -> None:
    write_pdbqt(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), tmp_path / "a.pdbqt")
    text = (tmp_path / "a.pdbqt").read_text()
    assert text.count("BRANCH") == 2 * 3
    write_pdbqt(prepare_ligand("CC(=O)Oc1ccccc1C(=O)O")[0], tmp_path / "b.pdbqt")
    assert (tmp_path / "b.pdbqt").read_text() == text


GOOD = pdbqt_string(pack_pose(_mol("CCCO")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no ligand"),
        (GOOD.replace("ROOT\n", "", 1), "before ROOT"),
        (GOOD.replace("ENDBRANCH", "REMARK", 1), "BRANCH"),
        (GOOD.replace(" OA", " Xx"), "'Xx' is no AutoDock atom type"),
        (GOOD.replace(" OA", " G0"), "macrocycle"),
        (GOOD.replace("BRANCH   1", "BRANCH   9"), "BRANCH 9"),
        (GOOD.replace("ATOM      2", "ATOM      1"), "twice"),
        ("BEGIN_RES ARG A 8\n" + GOOD, "flexible residue"),
        ("\n".join(line[:34] + "     nan" + line[42:] if line.startswith("ATOM") else line
                   for line in GOOD.splitlines()), "line"),
        ("\n".join(line[:30] + 3 * "   0.000" + line[54:] if line.startswith("ATOM") else line
                   for line in GOOD.splitlines()), "same place"),
    ],
)  # fmt: skip
def test_a_broken_pdbqt_is_refused(text: str, message: str) -> None:
    with pytest.raises(LigandError, match=message) as caught:
        pack_pdbqt(text)
    assert caught.value.stage in ("read", "type")


@pytest.mark.parametrize("complex_id", ["1iep", "1opk", "2vaa", "1hnn", "bace1_macro"])
def test_vina_scores_our_pdbqt_as_it_scores_meekos(
    shared_data: Path, tmp_path: Path, complex_id: str
) -> None:
    meeko = pytest.importorskip("meeko")
    vina = pytest.importorskip("vina")
    folder = shared_data / "redock" / complex_id
    mol = Chem.MolFromMolFile(str(folder / "ligand.sdf"), removeHs=False)
    (setup,) = meeko.MoleculePreparation(rigid_macrocycles=True).prepare(mol)
    texts = (meeko.PDBQTWriterLegacy.write_string(setup)[0], pdbqt_string(pack_pose(mol)))
    positions = mol.GetConformer().GetPositions()
    receptor = tmp_path / "receptor.pdbqt"
    receptor.write_bytes(gzip.decompress((folder / "receptor.pdbqt.gz").read_bytes()))
    scores = []
    for text in texts:
        engine = vina.Vina(cpu=1, seed=1, verbosity=0)
        engine.set_receptor(rigid_pdbqt_filename=str(receptor))
        engine.set_ligand_from_string(text)
        engine.compute_vina_maps(
            center=((positions.max(0) + positions.min(0)) / 2).tolist(),
            box_size=(np.ptp(positions, axis=0) + 6.0).tolist(),
        )
        scores.append(engine.score())
    np.testing.assert_allclose(scores[0], scores[1], atol=0.005)
    assert pack_pdbqt(texts[0]).packed.torsion_count == pack_pose(mol).packed.torsion_count
