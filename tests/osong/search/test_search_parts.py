"""What the search is made of: keys, kernel ligands, placing, minima, symmetry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

import osong
from osong.errors import InputError
from osong.ligands import LigandOptions, PackedLigand, PreparedLigand, pack_pose, prepare_ligand
from osong.scoring import scoring_function
from osong.scoring.grid import GridMaps
from osong.scoring.kernel_ligand import KernelLigand
from osong.search.chains import find_minima, search_key, search_rules
from osong.search.effort import EFFORTS
from osong.search.refine import place_packed
from osong.search.symmetry import symmetric_rmsd, symmetries
from osong_kernels.arguments import Field
from osong_kernels.physics.pair_terms import cap, pair_energy
from osong_kernels.reference.pose_energy import place_atoms, pose_energy

VINA = scoring_function("vina")
NO_MAPS = np.zeros(19, np.int32)


def posed(smiles: str) -> PreparedLigand:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=5) == 0
    return pack_pose(mol)


def resting(ligand: KernelLigand, conformer: int = 0) -> np.ndarray:
    """Return the genotype of the reference geometry."""
    genotype = np.zeros(6 + len(ligand.topology.parent), np.float32)
    genotype[:3] = ligand.pivots[conformer, 0]
    genotype[3] = 1.0
    return genotype


def placed(
    packed: PackedLigand, arrays: KernelLigand, genotype: np.ndarray, conformer: int
) -> np.ndarray:
    """Return the coordinates of one pose."""
    return place_packed(packed, arrays.pivots, genotype[None], np.array([conformer], np.int32))[0]


def test_key_depends_on_seed_and_ligand() -> None:
    keys = [
        search_key(seed, name) for seed in (0, 1, -1, 2**64 - 2) for name in (b"a" * 16, b"b" * 16)
    ]
    assert len({key.tobytes() for key in keys}) == len(keys)
    assert all(key.dtype == np.uint64 and key.shape == (2,) for key in keys)
    assert all((key < 2**32).all() for key in keys)
    np.testing.assert_array_equal(search_key(3, b"x" * 16), search_key(3, b"x" * 16))


@pytest.mark.parametrize("smiles", ["CCOc1ccccc1C(=O)NCCN", "C", "CC(C)(C)CCO", "OC1CCCCC1"])
def test_resting_genotype_gives_the_reference_geometry(smiles: str) -> None:
    for ligand in (posed(smiles), prepare_ligand(smiles)[0]):
        packed = ligand.packed
        arrays = KernelLigand.from_packed(packed, VINA, NO_MAPS)
        for conformer in range(packed.n_conformers):
            genotype = resting(arrays, conformer)
            everything = placed(packed, arrays, genotype, conformer)
            np.testing.assert_allclose(everything, packed.coords[conformer], atol=1e-5)
            scored = place_atoms(arrays.topology, genotype.astype(np.float64), conformer)[0]
            np.testing.assert_allclose(scored, packed.coords[conformer, arrays.order], atol=1e-5)


def test_both_ways_of_placing_agree_and_keep_bonds() -> None:
    ligand = posed("CCOc1ccccc1C(=O)NCCN")
    packed = ligand.packed
    arrays = KernelLigand.from_packed(packed, VINA, NO_MAPS)
    rng = np.random.default_rng(7)
    before = AllChem.Get3DDistanceMatrix(ligand.mol())
    for _ in range(10):
        genotype = rng.uniform(-3, 3, 6 + len(packed.parent)).astype(np.float32)
        genotype[3:7] /= np.linalg.norm(genotype[3:7])
        everything = placed(packed, arrays, genotype, 0)
        scored = place_atoms(arrays.topology, genotype.astype(np.float64), 0)[0]
        np.testing.assert_allclose(everything[arrays.order], scored, atol=1e-5)
        mol = ligand.mol(everything)
        after = AllChem.Get3DDistanceMatrix(mol)
        for bond in mol.GetBonds():
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            assert after[i, j] == pytest.approx(before[i, j], abs=1e-4)


def own_pair_energy(packed: PackedLigand, i: int, j: int) -> float:
    a, b = packed.atom_type[i], packed.atom_type[j]
    d = packed.coords[0, i].astype(float) - packed.coords[0, j].astype(float)
    energy = pair_energy(
        float(d @ d), float(VINA.r0[a, b]), float(VINA.is_hydrophobic[a, b]),
        float(VINA.is_hydrogen_bond[a, b]), VINA.weights,
    )[0]  # fmt: skip
    return float(cap(energy, 1000.0)[0])


def test_pairs_are_those_of_the_packed_ligand() -> None:
    packed = posed("CCOc1ccccc1C(=O)NCCN").packed
    arrays = KernelLigand.from_packed(packed, VINA, NO_MAPS)
    pairs, order = arrays.pairs, arrays.order
    found = {
        frozenset((int(order[i]), int(order[pairs.second[k]])))
        for i in range(packed.n_scored)
        for k in range(pairs.start[i], pairs.start[i + 1])
    }
    assert found == {frozenset(map(int, pair)) for pair in packed.pairs}
    assert len(pairs.second) == len(packed.pairs) > 0
    # the intramolecular energy in kernel order is that of the score
    origin = np.zeros(3, np.float32)
    field = Field(np.zeros(8, np.float32), np.full(3, 2, np.int32), origin, 1.0, 0.0)
    energy = np.zeros((1, 2))
    n, n_genes = packed.n_scored, 6 + len(packed.parent)
    pose_energy(
        arrays.topology, pairs, field, VINA.weights, 1000.0, resting(arrays)[None],
        np.zeros(1, np.int32), energy, np.zeros((1, n_genes - 1)), np.zeros((1, n, 3)),
    )  # fmt: skip
    expected = sum(own_pair_energy(packed, int(i), int(j)) for i, j in packed.pairs)
    assert energy[0, 1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("pairs", 30_000), ("axis_atoms", -1), ("parent", 7), ("segment", 9), ("atom_type", 100)],
)
def test_indices_that_lead_astray_are_refused(name: str, value: int) -> None:
    """Kernels check none, and a prepared library may be damaged or a stranger's."""
    packed = posed("CC(=O)Nc1ccc(OCC)cc1").packed
    KernelLigand.from_packed(packed, VINA, NO_MAPS)
    array = getattr(packed, name).copy()
    array[1] = value
    with pytest.raises(InputError, match="do not belong together"):
        KernelLigand.from_packed(replace(packed, **{name: array}), VINA, NO_MAPS)


def test_rules_of_a_single_atom() -> None:
    arrays = KernelLigand.from_packed(posed("C").packed, VINA, NO_MAPS)
    rules = search_rules(arrays)
    assert rules.gyration > 0.0
    assert all(np.isfinite(value) for value in rules)


def test_minima_are_distinct_and_do_not_depend_on_the_mapper(egfr: osong.Target) -> None:
    box = osong.Box(egfr.box.center, (12.0, 12.0, 12.0))
    packed = prepare_ligand("c1ccc(CO)cc1", options=LigandOptions(ph=None))[0].packed
    maps = GridMaps(egfr.receptor, box, VINA)
    maps.ensure(packed.atom_type[: packed.n_scored])
    arrays = KernelLigand.from_packed(packed, VINA, maps.map_of_type)

    def backwards(function, items):  # type: ignore[no-untyped-def]
        return reversed([function(item) for item in reversed(list(items))])

    arguments = (arrays, maps.field(), box, VINA, EFFORTS["balanced"], search_key(0, packed.key))
    minima, other = find_minima(*arguments), find_minima(*arguments, backwards)
    assert [m.genotype.tobytes() for m in minima] == [m.genotype.tobytes() for m in other]
    energies = [m.energy for m in minima]
    assert energies == sorted(energies)
    assert len(minima) > 1
    for i, one in enumerate(minima):
        for two in minima[:i]:
            assert np.sqrt(((one.coords - two.coords) ** 2).sum(axis=1).mean()) > 0.999


@pytest.mark.parametrize(
    ("smiles", "count"),
    [
        ("C", 1),
        ("c1ccccc1", 12),
        ("CC(C)(C)C", 24),
        ("[O-]C(=O)C", 2),  # bond orders and charges are ignored
        ("CCO", 1),
        ("Cc1ccccc1", 2),
        ("FC(F)(F)c1ccccc1", 12),
    ],
)
def test_symmetries(smiles: str, count: int) -> None:
    permutations = symmetries(posed(smiles))
    n = permutations.shape[1]
    assert len(permutations) == count
    assert tuple(range(n)) in set(map(tuple, permutations.tolist()))
    assert all(sorted(p) == list(range(n)) for p in permutations.tolist())


def test_symmetric_rmsd() -> None:
    ligand = posed("c1ccccc1")
    permutations = symmetries(ligand)
    coords = ligand.packed.coords[0, :6]
    for p in permutations:
        assert symmetric_rmsd(coords[p], coords, permutations) == pytest.approx(0.0, abs=1e-6)
    assert symmetric_rmsd(coords + np.float32(0.5), coords, permutations) == pytest.approx(
        0.5 * np.sqrt(3), abs=1e-3
    )


def test_metric_is_small_where_much_is_moved_far() -> None:
    (prepared,) = osong.prepare_ligand("c1ccccc1CCCCO")
    packed = prepared.packed
    ligand = KernelLigand.from_packed(packed, VINA, np.zeros(64, np.int32))
    metric = ligand.topology.metric
    assert metric.dtype == np.float32
    assert metric.shape == (6 + packed.n_torsions,)
    np.testing.assert_array_equal(metric[:3], 1.0)
    assert (metric[3:6] == metric[3]).all()
    assert metric[3] < 1.0
    moved = [
        sum(is_beyond(ligand.topology.parent, s, child) for child in segments_of(ligand))
        for s in range(1, packed.n_torsions + 1)
    ]
    # a bond that moves more atoms than another, at the same side of the chain, moves them farther
    order = np.argsort(moved, kind="stable")
    assert metric[6 + order[0]] > metric[6 + order[-1]]


def segments_of(ligand: KernelLigand) -> np.ndarray:
    counts = np.diff(ligand.topology.segment_start)
    return np.repeat(np.arange(len(counts)), counts)


def is_beyond(parent: np.ndarray, segment: int, other: int) -> bool:
    while other > segment:
        other = int(parent[other])
    return other == segment
