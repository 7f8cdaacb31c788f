"""Molecules become ligands, always the same way, or say at which stage they failed."""

from __future__ import annotations

import pickle
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom, rdMolTransforms

from osong.errors import LigandError
from osong.ligands import (
    STAGES,
    LigandOptions,
    PreparedLigand,
    pack_pdbqt,
    pack_pose,
    pdbqt_string,
    prepare_ligand,
)
from osong.ligands.embedding import embed

DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1CCC[C@H]1c1cccnc1",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "O=C1c2ccccc2C(=O)N1CC#CCN1CCCC1",
    "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C",
    "OB(O)c1ccccc1",
    "NS(=O)(=O)c1cc(Cl)c(NCc2ccco2)cc1C(O)=O",
    "CC(N)C(=O)N/C=C/c1ccc(F)cc1",
    "C1CCCCCCCCCC1=O",
)


def _same(a: PreparedLigand, b: PreparedLigand) -> bool:
    return (
        a.smiles == b.smiles
        and a.packed.key == b.packed.key
        and all(
            np.asarray(getattr(a.packed, name)).tobytes()
            == np.asarray(getattr(b.packed, name)).tobytes()
            for name in ("coords", "atom_type", "charge", "segment", "parent", "axis_atoms",
                         "pairs", "torsion_count", "atom_index", "n_scored")
        )
    )  # fmt: skip


@hypothesis_settings(max_examples=8)
@given(smiles=st.sampled_from(DRUGS), seed=st.integers(0, 2**31))
def test_the_atom_order_of_the_input_changes_no_byte(smiles: str, seed: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    Random(seed).shuffle(order)
    first = prepare_ligand(smiles)
    again = prepare_ligand(Chem.RenumberAtoms(mol, order))
    assert len(first) == len(again)
    assert all(_same(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("smiles", DRUGS)
def test_the_molecule_comes_back_whole(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    mol.SetProp("_Name", "drug 1")
    mol.SetProp("IC50", "7 nM")
    for ligand in prepare_ligand(mol, options=LigandOptions(ph=None, max_stereoisomers=1)):
        back = ligand.mol(ligand.packed.coords[-1])
        assert back.GetProp("_Name") == "drug 1"
        assert back.GetProp("IC50") == "7 nM"
        flat = Chem.MolToSmiles(Chem.RemoveHs(back), isomericSmiles=False)
        assert flat == Chem.MolToSmiles(mol, isomericSmiles=False)
        assert all(atom.GetTotalNumHs() == 0 for atom in back.GetAtoms())
        assert Chem.MolToSmiles(mol) == ligand.input_smiles
        placed = back.GetConformer().GetPositions()[ligand.packed.atom_index]
        np.testing.assert_allclose(placed, ligand.packed.coords[-1], atol=1e-5)


@pytest.mark.parametrize("smiles", DRUGS)
def test_the_geometry_has_the_stereochemistry_of_the_smiles(smiles: str) -> None:
    for ligand in prepare_ligand(smiles):
        for coords in ligand.packed.coords:
            mol = ligand.mol(coords)
            wanted = Chem.MolToSmiles(Chem.RemoveHs(mol))
            Chem.AssignStereochemistryFrom3D(mol)
            found = Chem.MolToSmiles(Chem.RemoveHs(mol))
            # Amines that turn over have no mark in the SMILES but one in any geometry.
            assert found == wanted or "[N" in found


@pytest.mark.parametrize(
    ("smiles", "stage"),
    [
        ("", "read"),
        ("C1CC", "read"),
        ("not a molecule", "read"),
        ("CC(C)(C)(C)(C)C", "sanitize"),
        ("c1cccc1", "sanitize"),
        ("*c1ccccc1", "standardize"),
        ("[H][H]", "standardize"),
        ("C" * 400, "standardize"),
        ("CC[Pt]CC", "type"),
        ("C[Te]C", "type"),
    ],
)
def test_what_cannot_be_docked_says_at_which_stage(smiles: str, stage: str) -> None:
    with pytest.raises(LigandError) as caught:
        prepare_ligand(smiles)
    assert caught.value.stage == stage
    assert stage in STAGES
    assert len(str(caught.value)) > 10
    assert "\n" not in str(caught.value)


def test_query_atoms_are_refused() -> None:
    with pytest.raises(LigandError, match="query") as caught:
        prepare_ligand(Chem.MolFromSmarts("c1ccccc1[N,O]"))
    assert caught.value.stage == "standardize"


@pytest.mark.parametrize(
    ("smiles", "expected", "note"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)[O-]", "salt"),
        ("CC(=O)O[Na]", "CC(=O)[O-]", "ions"),
        ("Cc1ccccc1.Cl", "Cc1ccccc1", "salt"),
        ("CCN(=O)=O", "CC[N+](=O)[O-]", ""),
        ("C[Se]C", "C[Se]C", "Se docked"),
        ("CC1(C)CCCC(C)(C)N1[O]", "CC1(C)CCCC(C)(C)N1[O]", "radical"),
    ],
)
def test_cleaning_is_noted(smiles: str, expected: str, note: str) -> None:
    (ligand,) = prepare_ligand(smiles, options=LigandOptions(max_stereoisomers=1))
    assert Chem.MolToSmiles(Chem.RemoveHs(ligand.mol())) == expected
    assert note in " | ".join(ligand.notes)


def _charge(ligand: PreparedLigand) -> int:
    return int(Chem.GetFormalCharge(ligand.mol()))


def test_protonation_follows_the_ph_unless_the_hydrogens_are_drawn() -> None:
    acid, amine = "OC(=O)c1ccccc1", "NCCc1ccccc1"
    assert _charge(prepare_ligand(acid)[0]) == -1
    assert _charge(prepare_ligand(amine)[0]) == 1
    assert _charge(prepare_ligand(acid, options=LigandOptions(ph=1.0))[0]) == 0
    assert _charge(prepare_ligand(acid, options=LigandOptions(ph=None))[0]) == 0
    drawn = Chem.AddHs(Chem.MolFromSmiles(acid))
    assert _charge(prepare_ligand(drawn)[0]) == 0
    assert _charge(prepare_ligand(drawn, options=LigandOptions(ph=7.4))[0]) == -1


def test_several_protomers_come_dominant_first() -> None:
    ligands = prepare_ligand("C1COCCN1", options=LigandOptions(max_protomers=4))
    assert [ligand.variant for ligand in ligands] == [0, 1]
    assert [_charge(ligand) for ligand in ligands] == [1, 0]
    (dominant,) = prepare_ligand("C1COCCN1")
    assert dominant.smiles == ligands[0].smiles


@pytest.mark.parametrize(
    ("smiles", "charge"),
    [
        ("O=c1cccc[nH]1", 0),
        ("O=c1cc[nH]c(=O)[nH]1", 0),
        ("Cc1nnn[nH]1", -1),
        ("Oc1ccccc1", 0),
        ("COc1ccc(O)cc1", 0),
        ("Oc1ccc(cc1)[N+](=O)[O-]", -1),
        ("NC(=N)c1ccccc1", 1),
        ("CC(=O)NC", 0),
        ("COP(=O)(O)O", -2),
    ],
)
def test_common_groups_at_ph_7_4(smiles: str, charge: int) -> None:
    assert _charge(prepare_ligand(smiles)[0]) == charge


def test_tautomers_are_an_option() -> None:
    assert len(prepare_ligand("Oc1ccccn1")) == 1
    ligands = prepare_ligand("Oc1ccccn1", options=LigandOptions(tautomers=True, max_tautomers=2))
    assert {Chem.MolToSmiles(Chem.RemoveHs(ligand.mol())) for ligand in ligands} == {
        "O=c1cccc[nH]1",
        "Oc1ccccn1",
    }


@pytest.mark.parametrize(
    ("smiles", "n"),
    [
        ("CC(O)C(F)Cl", 4),
        ("C[C@H](O)CC", 1),
        ("CC=CCO", 2),
        ("CC(O)C(O)C(O)C(F)Cl", 4),  # 16 or so, capped
        ("CCN(C)C(C)C", 1),  # the protonated amine turns over
        ("CC1(C)C2CCC1(C)C(=O)C2", 2),  # camphor: one bridgehead decides the other
        ("C1C2CC3CC1CC(C2)C3", 1),
        ("CC(=N)OC", 1),  # an imine's own hydrogen makes no isomers
        ("N=C1CCCCC1C", 2),
        ("CC(=NO)CC", 2),
    ],
)
def test_unassigned_stereochemistry_is_enumerated(smiles: str, n: int) -> None:
    ligands = prepare_ligand(smiles)
    assert len(ligands) == n
    assert len({ligand.packed.key for ligand in ligands}) == n
    assert all(("unassigned" in " ".join(ligand.notes)) == (n > 1) for ligand in ligands)


def test_isomers_without_a_geometry_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare_ligand("CC(O)C(F)Cl")
    lost = whole[0].packed.key

    def embed_all_but_one(mol: Chem.Mol, key: bytes, options: LigandOptions) -> np.ndarray:
        if key == lost:
            raise LigandError("impossible", stage="embed")
        return embed(mol, key, options)

    monkeypatch.setattr("osong.ligands.prepare.embed", embed_all_but_one)
    ligands = prepare_ligand("CC(O)C(F)Cl")
    assert [ligand.packed.key for ligand in ligands] == [v.packed.key for v in whole[1:]]
    assert all("1 of 4 states left out: no 3D geometry" in ligand.notes for ligand in ligands)


def _methyl_torsion(mol: Chem.Mol) -> float:
    """Return the |dihedral| of the methyl with the ring: 60 degrees axial, 180 equatorial."""
    hit = mol.GetSubstructMatch(Chem.MolFromSmarts("[CX4;!R]-[C;R]-[C;R]-[C;R]"))
    return abs(rdMolTransforms.GetDihedralDeg(mol.GetConformer(), *hit))


def test_ring_conformers_hold_axial_and_equatorial() -> None:
    (ligand,) = prepare_ligand("CC1CCCCC1")
    assert 2 <= ligand.packed.n_conformers <= 6
    torsions = [_methyl_torsion(ligand.mol(coords)) for coords in ligand.packed.coords]
    assert torsions[0] > 150.0  # the equatorial one is lower
    assert min(torsions) < 90.0


@pytest.mark.parametrize("smiles", ["c1ccc2ccccc2c1", "c1ccccc1", "CCl"])
def test_what_has_one_geometry_has_one_conformer(smiles: str) -> None:
    (ligand,) = prepare_ligand(smiles)
    assert ligand.packed.n_conformers == 1


def test_open_chains_have_conformers_that_differ_in_their_angles_alone() -> None:
    (ligand,) = prepare_ligand("c1ccccc1CCCC(=O)NC")
    assert 2 <= ligand.packed.n_conformers <= 6
    first = ligand.packed.coords[0]
    for other in ligand.packed.coords[1:]:
        apart = np.sqrt(((other - first) ** 2).sum(axis=1).mean())
        assert 0.05 < apart < 1.5
    few = LigandOptions(max_conformers=1)
    assert prepare_ligand("c1ccccc1CCCC(=O)NC", options=few)[0].packed.n_conformers == 1


def test_macrocycles_have_many_rigid_conformers() -> None:
    (ligand,) = prepare_ligand("O=C1CCCCCCCCCCCCCO1")
    assert ligand.packed.n_torsions == 0
    assert 4 < ligand.packed.n_conformers <= 16
    few = LigandOptions(max_macrocycle_conformers=3)
    assert prepare_ligand("O=C1CCCCCCCCCCCCCO1", options=few)[0].packed.n_conformers <= 3


def test_conformers_share_their_bond_lengths() -> None:
    for ligand in prepare_ligand("CC1CCN(CC1)C(=O)C1CCOC1"):
        lengths = []
        mol = ligand.mol()
        for coords in ligand.packed.coords:
            positions = ligand.mol(coords).GetConformer().GetPositions()
            lengths.append([
                np.linalg.norm(positions[b.GetBeginAtomIdx()] - positions[b.GetEndAtomIdx()])
                for b in mol.GetBonds()
            ])  # fmt: skip
        assert np.ptp(np.array(lengths), axis=0).max() < 0.06


def test_impossible_geometry_fails_at_embedding() -> None:
    with pytest.raises(LigandError) as caught:
        # camphor with one bridgehead turned inside out
        prepare_ligand("CC1(C)[C@H]2CC[C@@]1(C)C(=O)C2")
    assert caught.value.stage == "embed"


@pytest.mark.parametrize(
    ("smiles", "charge"),
    [
        ("C1CNCCN1", 1),  # piperazine: second pKa 5.6
        ("CN1CCN(Cc2ccccc2)CC1", 1),
        ("NCCN", 1),  # ethylenediamine: second pKa 6.9
        ("NCCCN", 2),  # propylenediamine: second pKa 8.9
        ("NCCNCCN", 2),  # the two ends
    ],
)
def test_neighbouring_amines_share_a_proton(smiles: str, charge: int) -> None:
    (ligand,) = prepare_ligand(smiles)
    assert Chem.GetFormalCharge(ligand.mol()) == charge


@pytest.mark.parametrize("smiles", ["N=Cc1ccccc1", "CC(=N)C=C", "N=C1CCCC(C)C1"])
def test_imines_with_hydrogen_are_prepared(smiles: str) -> None:
    assert prepare_ligand(smiles)


@pytest.mark.parametrize("smiles", ["C1OC1CO", "CC1CC1N", "CC1NC1C"])
def test_pose_with_a_ring_of_three_is_typed_as_its_pdbqt(smiles: str) -> None:
    posed = pack_pose(_with_geometry(smiles))
    read = pack_pdbqt(pdbqt_string(posed))
    n = posed.packed.n_scored
    types = posed.packed.atom_type[np.argsort(posed.packed.atom_index[:n])]
    assert sorted(types.tolist()) == sorted(read.packed.atom_type[:n].tolist())
    assert posed.packed.torsion_count == read.packed.torsion_count


def _with_geometry(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    return mol


@pytest.mark.parametrize("smiles", DRUGS)
def test_a_pose_keeps_its_geometry_and_its_atoms(smiles: str) -> None:
    mol = _with_geometry(smiles)
    heavy = Chem.RemoveHs(mol)
    ligand = pack_pose(heavy)
    given_coords = heavy.GetConformer().GetPositions()
    back = ligand.mol()
    assert back.GetNumAtoms() == mol.GetNumAtoms()
    source = np.array(ligand.source_index)
    positions = back.GetConformer().GetPositions()
    np.testing.assert_allclose(positions[source >= 0], given_coords[source[source >= 0]], atol=1e-4)
    assert sorted(source[source >= 0].tolist()) == list(range(heavy.GetNumAtoms()))
    numbers = [heavy.GetAtomWithIdx(int(k)).GetAtomicNum() for k in source if k >= 0]
    assert numbers == [
        a.GetAtomicNum() for a, k in zip(back.GetAtoms(), source, strict=True) if k >= 0
    ]


def test_the_key_of_a_pose_tells_geometries_apart() -> None:
    mol = _with_geometry(DRUGS[0])
    moved = Chem.Mol(mol)
    moved.GetConformer().SetPositions(mol.GetConformer().GetPositions() + 1.0)
    shuffled = Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])
    assert pack_pose(mol).packed.key == pack_pose(shuffled).packed.key
    assert pack_pose(mol).packed.key != pack_pose(moved).packed.key


def test_a_pose_needs_coordinates_and_one_molecule() -> None:
    with pytest.raises(LigandError, match="no coordinates"):
        pack_pose(Chem.MolFromSmiles("CCO"))
    broken = _with_geometry("CCO")
    broken.GetConformer().SetAtomPosition(0, (float("nan"), 0.0, 0.0))
    with pytest.raises(LigandError, match="no coordinates"):
        pack_pose(broken)
    with pytest.raises(LigandError, match="more than one molecule"):
        pack_pose(_with_geometry("CCO.CC"))
    collapsed = _with_geometry("CCCC")
    collapsed.GetConformer().SetAtomPosition(1, collapsed.GetConformer().GetAtomPosition(2))
    with pytest.raises(LigandError, match="atoms 2 and 3 lie at the same place"):
        pack_pose(collapsed)


def test_a_drawing_is_no_pose() -> None:
    drawing = Chem.MolFromSmiles("CCOc1ccccc1")
    rdDepictor.Compute2DCoords(drawing)
    with pytest.raises(LigandError, match="two dimensions"):
        pack_pose(Chem.MolFromMolBlock(Chem.MolToMolBlock(drawing)))
    with pytest.raises(LigandError, match="two dimensions"):
        prepare_ligand(drawing, options=LigandOptions(keep_geometry=True))
    flat = _with_geometry("c1ccccc1")
    flat.GetConformer().SetPositions(flat.GetConformer().GetPositions() * [1.0, 1.0, 0.0])
    assert pack_pose(flat)


def test_keep_geometry_docks_the_conformer_as_given() -> None:
    mol = _with_geometry("CC1CCCCC1")
    (ligand,) = prepare_ligand(mol, options=LigandOptions(keep_geometry=True))
    assert ligand.packed.n_conformers == 1
    assert ligand.packed.key == pack_pose(mol).packed.key


def test_ligands_travel_between_processes() -> None:
    (ligand,) = prepare_ligand(DRUGS[0], name="aspirin")
    again = pickle.loads(pickle.dumps(ligand))
    assert _same(ligand, again)
    assert again.name == "aspirin"


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        LigandOptions(max_conformer=3)  # type: ignore[call-arg]
