"""Poses of other programs are scored as they stand, or refused in words."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

import osong
from osong.errors import LigandError
from osong.ligands import pack_pdbqt, pack_pose, pdbqt_string
from osong.receptor import Receptor
from osong.scoring.kernel_ligand import segment_pivots
from osong.search import DockingSession, PoseScorer
from osong.search.refine import place_packed


def embedded(smiles: str = "CC(=O)Nc1ccc(OC)cc1") -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=5) == 0
    return mol


@pytest.fixture(scope="module")
def target() -> osong.Target:
    """Two hundred atoms of all types about the origin."""
    rng = np.random.default_rng(4)
    coords = rng.uniform(-9, 9, (200, 3)).astype(np.float32)
    types = rng.integers(-1, 19, 200).astype(np.int8)
    text = np.array(["X"] * 200)
    receptor = Receptor(
        coords, types, np.zeros(200, np.float32), text, text, text, text, text, text
    )
    return osong.Target(receptor, osong.Box((0, 0, 0), (20, 20, 20)), "made up")


@pytest.mark.parametrize("scoring", ["vina", "vinardo"])
def test_energies_are_those_of_score(target, scoring):
    scorer = PoseScorer(target, scoring)
    for smiles in ("CC(=O)Nc1ccc(OC)cc1", "OCCN", "C1CC1", "CC[NH3+]"):
        mol = embedded(smiles)
        pose, expected = scorer.score(mol), osong.score(target, mol, scoring)
        assert (pose.energy, pose.inter, pose.intra) == (
            expected.total,
            expected.inter,
            expected.intra,
        )
        assert pose.energy != 0.0


def test_pdbqt_is_scored_as_vina_reads_it(target):
    ligand = pack_pdbqt(pdbqt_string(pack_pose(embedded())), name="from a PDBQT")
    pose = PoseScorer(target).score(ligand)
    assert pose.energy == osong.score(target, ligand).total
    assert pose.ligand.name == "from a PDBQT"


def test_nothing_moves(target):
    mol = embedded()
    pose = PoseScorer(target).score(Chem.RemoveHs(mol))
    n_heavy = mol.GetNumHeavyAtoms()
    heavy = [atom.GetIdx() for atom in pose.mol.GetAtoms() if atom.GetAtomicNum() > 1]
    given = {tuple(xyz) for xyz in mol.GetConformer().GetPositions()[:n_heavy].round(4)}
    assert {tuple(xyz) for xyz in pose.mol.GetConformer().GetPositions()[heavy].round(4)} == given
    packed = pose.ligand.packed
    (placed,) = place_packed(
        packed, segment_pivots(packed), pose.genotype[None], np.array([pose.conformer])
    )
    np.testing.assert_allclose(placed, pose.coords, atol=1e-5)


def drawn() -> Chem.Mol:
    mol = Chem.MolFromSmiles("CCO")
    AllChem.Compute2DCoords(mol)
    return mol


def shifted(angstrom: float) -> Chem.Mol:
    mol = embedded("CCO")
    conformer = mol.GetConformer()
    conformer.SetPositions(conformer.GetPositions() + np.array([angstrom, 0.0, 0.0]))
    return mol


@pytest.mark.parametrize(
    ("mol", "stage", "message"),
    [
        (Chem.MolFromSmiles("CCO"), "score", "has no coordinates.*give a file with poses"),
        (drawn(), "score", "drawing in two dimensions.*give a file with poses"),
        (shifted(10.0), "score", r"\d of 3 heavy atoms are outside the box, by up to 1\.\d ang"),
        (shifted(60.0), "score", "3 of 3 heavy atoms .* choose a larger box, or move the poses"),
        (embedded("CCO.CC"), "standardize", "more than one molecule"),
    ],
)
def test_what_cannot_be_scored_says_why(target, mol, stage, message):
    with pytest.raises(LigandError, match=message) as caught:
        PoseScorer(target).score(mol)
    assert caught.value.stage == stage


def test_no_maps_are_built(target, monkeypatch):
    from osong.scoring import map_cache

    monkeypatch.setattr(map_cache, "GridMaps", None)
    monkeypatch.setattr(map_cache, "_kept", OrderedDict())
    with pytest.raises(TypeError):
        DockingSession(target, effort="fast").maps  # noqa: B018 (built when they are first wanted)
    assert math.isfinite(PoseScorer(target).score(embedded()).energy)
