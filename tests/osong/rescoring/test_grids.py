"""Grids: channels and densities are molgrid's; arrays, threads and odd input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import InputError
from osong.receptor.model import Receptor
from osong.rescoring.atom_channels import (
    LIGAND_CHANNELS,
    RADIUS,
    RECEPTOR_CHANNELS,
    channels_of_ligand,
    channels_of_receptor,
    parse_channels,
)
from osong.rescoring.grids import SHAPE, GridMaker, PoseAtoms
from osong.rescoring.rescorer import GRID_SHAPE

# written by make_molgrid_reference.py
CASES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("molgrid_reference.json").read_text()
)["cases"]
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])


def receptor_of(atoms: list[list[Any]]) -> Receptor:
    """A receptor of atoms (element, name, residue, chain, number, x, y, z)."""
    columns = [np.array(column) for column in zip(*(row[:5] for row in atoms), strict=True)]
    element, name, residue, chain, number = columns
    n = len(atoms)
    return Receptor(
        np.array([row[5:] for row in atoms], np.float32),
        np.full(n, -1, np.int8),
        np.zeros(n, np.float32),
        element,
        element,
        name,
        residue,
        chain,
        number,
    )


def ligand_of(case: dict[str, Any]) -> Chem.Mol:
    return Chem.MolFromMolBlock(case["ligand"], removeHs=False)


@by_name
def test_channels_and_radii_are_those_of_molgrid(case: dict[str, Any]) -> None:
    for drawn, part in (
        (channels_of_receptor(receptor_of(case["receptor"])), "receptor"),
        (channels_of_ligand(ligand_of(case)), "ligand"),
    ):
        heavy = drawn.channel >= 0
        assert drawn.channel[heavy].tolist() == case[f"{part}_channel"]
        np.testing.assert_allclose(drawn.radius[heavy], case[f"{part}_radius"], atol=1e-4)


@by_name
def test_densities_are_those_of_molgrid(case: dict[str, Any]) -> None:
    pose = PoseAtoms.of(ligand_of(case))
    np.testing.assert_allclose(pose.center, case["center"], atol=1e-5)
    rotations = [case["quaternion"]] if case["quaternion"] else None
    grid = GridMaker(receptor_of(case["receptor"])).grids([pose], rotations)[0]
    assert grid.shape == SHAPE == GRID_SHAPE
    difference = np.abs(grid.reshape(-1)[case["voxel"]] - np.array(case["value"]))
    assert difference.max() < 2e-5  # wanted: 1e-4
    wide = grid.astype(np.float64)
    # a channel's sum is of some 100,000 values
    np.testing.assert_allclose(wide.sum(axis=(1, 2, 3)), case["sum"], atol=1e-2)
    np.testing.assert_allclose((wide**2).sum(axis=(1, 2, 3)), case["sum_of_squares"], atol=1e-2)


def test_all_channels_are_compared_but_none_more() -> None:
    seen = {
        part: {c for case in CASES for c in case[f"{part}_channel"]}
        for part in ("receptor", "ligand")
    }
    assert seen == {"receptor": set(range(14)), "ligand": set(range(14))}


def test_maps_are_those_in_the_files_of_weights(shared_data: Path) -> None:
    files = sorted((shared_data / "weights" / "gnina").glob("*.pt"))
    if not files:
        pytest.skip("no weights in the shared data")
    for file in files:
        with ZipFile(file) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith("/extra/metadata"))
            facts = json.loads(archive.read(name))
        for ours, text in ((RECEPTOR_CHANNELS, "recmap"), (LIGAND_CHANNELS, "ligmap")):
            assert [set(c) for c in ours] == [set(c) for c in parse_channels(facts[text])]
        assert (facts["resolution"], facts["dimension"]) == (0.5, 23.5)


def test_every_type_has_one_channel_in_each_map() -> None:
    for channels in (RECEPTOR_CHANNELS, LIGAND_CHANNELS):
        names = [name for types in channels for name in types]
        assert sorted(names) == sorted(RADIUS)


# --- what is not in the reference ---


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=5) == 0
    return mol


def test_hydrogens_as_atoms_or_not_make_no_difference() -> None:
    mol = embedded("CC(=O)Nc1ccc(O)cc1CN")
    with_hydrogens, without = PoseAtoms.of(mol), PoseAtoms.of(Chem.RemoveHs(mol))
    np.testing.assert_array_equal(with_hydrogens.channel, without.channel)
    np.testing.assert_array_equal(with_hydrogens.coords, without.coords)


def test_odd_elements_are_drawn_as_gnina_does_and_told() -> None:
    drawn = channels_of_ligand(Chem.MolFromSmiles("C[Si](C)(C)CC[Se]C[As](C)C.[U].*"))
    assert [note.split(" (")[0] for note in drawn.notes] == ["unknown element", "Si", "As", "Se"]
    assert "Se (1 atom) drawn as Sulfur, as GNINA does" in drawn.notes
    metal, sulfur = len(LIGAND_CHANNELS) - 1, 11
    assert drawn.channel.tolist() == [1, metal, 1, 1, 1, 1, sulfur, 1, metal, 1, 1, metal, metal]


def test_protonation_of_the_receptor_can_be_taken_as_it_is() -> None:
    receptor = receptor_of(CASES[0]["receptor"])
    as_gnina, as_prepared = (
        channels_of_receptor(receptor, as_prepared=choice).channel for choice in (False, True)
    )
    changed = np.flatnonzero(as_gnina != as_prepared)
    assert {str(receptor.atom_name[i])[:2] for i in changed} <= {"OD", "OE", "OX", "O"}
    acids = np.isin(receptor.atom_name, ("OD1", "OD2", "OE1", "OE2"))
    charged = acids & np.isin(receptor.residue_name, ("ASP", "GLU"))
    assert (as_prepared[charged] == 7).all()  # oxygen that carries no hydrogen
    assert sorted(as_gnina[charged].tolist()) == [7, 7, 8, 8]


def test_a_receptor_of_unknown_elements_is_drawn() -> None:
    receptor = receptor_of([["X", "X", "UNK", "A", "1", 0.0, 0.0, 0.0]])
    drawn = channels_of_receptor(receptor)
    assert drawn.channel.tolist() == [13]
    assert drawn.notes[0].startswith("unknown element")


def poses(n: int) -> list[PoseAtoms]:
    rng = np.random.default_rng(0)
    mol = embedded("CC(=O)Nc1ccc(O)cc1")
    places = mol.GetConformer().GetPositions()
    return PoseAtoms.several(mol, [places + rng.normal(size=3) for _ in range(n)])


def test_batches_threads_and_given_memory_change_nothing() -> None:
    maker = GridMaker(receptor_of(CASES[1]["receptor"]))
    made = poses(5)
    expected = maker.grids(made)
    np.testing.assert_array_equal(
        np.concatenate([maker.grids(made[:2]), maker.grids(made[2:])]), expected
    )
    threaded = GridMaker(receptor_of(CASES[1]["receptor"]), threads=3)
    out = np.full((5, *SHAPE), np.nan, np.float32)
    assert threaded.grids(made, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert maker.grids([]).shape == (0, *SHAPE)


def test_molecules_are_taken_as_poses() -> None:
    mol = embedded("CCO")
    maker = GridMaker(receptor_of(CASES[1]["receptor"]))
    np.testing.assert_array_equal(maker.grids([mol]), maker.grids([PoseAtoms.of(mol)]))


def test_rotations_need_not_be_of_unit_length() -> None:
    maker = GridMaker(receptor_of(CASES[1]["receptor"]))
    made = poses(2)
    unit = maker.grids(made, [[0.6, 0.8, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(maker.grids(made, [[3, 4, 0, 0], [2, 0, 0, 0]]), unit)
    np.testing.assert_array_equal(unit[1], maker.grids(made)[1])


def test_bad_input_is_told() -> None:
    maker = GridMaker(receptor_of(CASES[1]["receptor"]))
    flat = Chem.MolFromSmiles("CCO")
    with pytest.raises(InputError, match="no coordinates in space"):
        maker.grids([flat])
    with pytest.raises(InputError, match="no heavy atoms"):
        PoseAtoms.of(Chem.MolFromSmiles("[H][H]"), np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"shape \(2, 3\); wanted \(3, 3\)"):
        PoseAtoms.of(flat, np.zeros((2, 3)))
    with pytest.raises(InputError, match="not numbers"):
        PoseAtoms.of(flat, np.full((3, 3), np.nan))
    with pytest.raises(InputError, match="without sanitizing"):
        PoseAtoms.of(Chem.MolFromSmiles("CCO", sanitize=False), np.zeros((3, 3)))
    one = [PoseAtoms.of(flat, np.zeros((3, 3)))]
    with pytest.raises(InputError, match="wanted C-contiguous float32"):
        maker.grids(one, out=np.zeros((1, *SHAPE)))
    with pytest.raises(InputError, match="quaternions"):
        maker.grids(one, [[1, 0, 0]])
    with pytest.raises(InputError, match="zero or no number"):
        maker.grids(one, [[0, 0, 0, 0]])
    with pytest.raises(InputError, match="threads is 0"):
        GridMaker(receptor_of(CASES[1]["receptor"]), threads=0)
