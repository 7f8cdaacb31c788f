"""Made-up ligands, fields and receptors for the kernels' tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from osong_kernels.arguments import (
    ChainState,
    Field,
    LigandTopology,
    PairList,
    PairTable,
    ReceptorAtoms,
    SearchRules,
)
from osong_kernels.physics.pair_table import tabulate_pairs
from osong_kernels.physics.pair_terms import PairWeights
from osong_kernels.reference.pose_energy import place_atoms, pose_energy

VINA = PairWeights(
    -0.035579, 0.0, 0.5, -0.005156, 3.0, 2.0, 0.840245, -0.035069, 0.5, 1.5, -0.587439, -0.7, 0.0,
    8.0,
)  # fmt: skip
VINARDO = PairWeights(-0.045, 0.0, 0.8, 0.0, 0.0, 1.0, 0.8, -0.035, 0.0, 2.5, -0.6, -0.6, 0.0, 8.0)
RADII = np.array([1.9, 1.8, 1.7, 2.0], np.float32)
HYDROPHOBIC = np.array([1, 0, 0, 1], np.float32)
DONOR = np.array([0, 1, 0, 0], np.float32)
ACCEPTOR = np.array([0, 1, 1, 0], np.float32)
LANES = 16


@dataclass(frozen=True)
class Case:
    """Poses of one ligand in one field."""

    topology: LigandTopology
    pairs: PairList
    field: Field
    genotypes: npt.NDArray[np.float32]
    conformers: npt.NDArray[np.int32]
    weights: PairWeights = VINA
    limit: float = 10.0
    is_tabulated: bool = False

    @property
    def pair_law(self) -> PairWeights | PairTable:
        """The weights, or the table of them that chains search with."""
        return tabulate_pairs(self.weights, self.limit) if self.is_tabulated else self.weights

    def arguments(self, dtype: Any) -> tuple[Any, ...]:
        """Return the arguments of ``pose_energy``; the last three are filled by it."""
        n, n_genes = self.genotypes.shape
        return (
            self.topology,
            self.pairs,
            self.field,
            self.pair_law,
            self.limit,
            self.genotypes.astype(dtype),
            self.conformers,
            np.full((n, 2), np.nan, dtype),
            np.full((n, n_genes - 1), np.nan, dtype),
            np.full((n, len(self.topology.map_index), 3), np.nan, dtype),
        )

    def with_genotypes(self, genotypes: npt.NDArray[np.float32]) -> Case:
        """Return the case with other poses."""
        return replace(self, genotypes=genotypes)

    def with_topology(self, topology: LigandTopology) -> Case:
        """Return the case with another geometry."""
        return replace(self, topology=topology)

    def reference(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return energy, gradient and coordinates by the definition."""
        arguments = self.arguments(np.float64)
        pose_energy(*arguments)
        return arguments[-3:]


def make_topology(
    rng: np.random.Generator,
    parents: list[int],
    atoms_per_segment: list[int],
    n_conformers: int = 1,
    n_maps: int = 1,
) -> LigandTopology:
    """Return a random tree of segments: atoms within 2 A of their pivot, bonds of 1.5 A."""
    n_segments, n_atoms = len(parents), sum(atoms_per_segment)
    axis = rng.normal(size=(n_conformers, n_segments, 3))
    axis /= np.linalg.norm(axis, axis=2, keepdims=True)
    return LigandTopology(
        segment_start=np.concatenate([[0], np.cumsum(atoms_per_segment)]).astype(np.int32),
        parent=np.array(parents, np.int32),
        local=rng.uniform(-1.2, 1.2, (n_conformers, n_atoms, 3)).astype(np.float32),
        axis=axis.astype(np.float32),
        offset=rng.uniform(-1.5, 1.5, (n_conformers, n_segments, 3)).astype(np.float32),
        map_index=rng.integers(0, n_maps, n_atoms).astype(np.int32),
        metric=rng.uniform(0.3, 2.0, 5 + n_segments).astype(np.float32),
    )


def make_pairs(rng: np.random.Generator, n_atoms: int, share: float) -> PairList:
    """Return a random share of all pairs of atoms, with random radii and roles."""
    first, second = np.triu_indices(n_atoms, 1)
    chosen = rng.random(len(first)) < share
    first, second = first[chosen], second[chosen]
    n = len(first)
    return PairList(
        start=np.searchsorted(first, np.arange(n_atoms + 1)).astype(np.int32),
        second=second.astype(np.int32),
        r0=rng.uniform(3.0, 4.2, n).astype(np.float32),
        is_hydrophobic=rng.integers(0, 2, n).astype(np.float32),
        is_hydrogen_bond=rng.integers(0, 2, n).astype(np.float32),
    )


def far_pairs(rng: np.random.Generator, topology: LigandTopology) -> PairList:
    """Return pairs of atoms of segments that are not neighbours: what torsions can change."""
    n = len(topology.map_index)
    segment = np.repeat(np.arange(len(topology.parent)), np.diff(topology.segment_start))
    pairs = make_pairs(rng, n, 1.0)
    first = np.repeat(np.arange(n), np.diff(pairs.start))
    a, b = segment[first], segment[pairs.second]
    keep = (a != b) & (topology.parent[a] != b) & (topology.parent[b] != a)
    return PairList(
        np.searchsorted(first[keep], np.arange(n + 1)).astype(np.int32),
        pairs.second[keep],
        pairs.r0[keep],
        pairs.is_hydrophobic[keep],
        pairs.is_hydrogen_bond[keep],
    )


def make_field(
    rng: np.random.Generator, shape: tuple[int, int, int], n_maps: int, spacing: float = 0.375
) -> Field:
    """Return maps of random numbers, mostly mild, some of them clashes."""
    values = rng.uniform(-1.0, 0.5, (n_maps, *shape))
    values += np.where(rng.random(values.shape) < 0.05, 30.0, 0.0)
    return Field(
        values.astype(np.float32).reshape(-1),
        np.array(shape, np.int32),
        rng.uniform(-20, 20, 3).astype(np.float32),
        spacing,
        20.0,
    )


def make_genotypes(
    rng: np.random.Generator, field: Field, n_segments: int, n_poses: int
) -> npt.NDArray[np.float32]:
    """Return random placements in and around the lattice."""
    genes = rng.uniform(-4, 4, (n_poses, 6 + n_segments))
    edges = (field.shape - 1) * field.spacing
    genes[:, :3] = field.origin + rng.uniform(-0.1, 1.1, (n_poses, 3)) * edges
    quaternion = rng.normal(size=(n_poses, 4))
    genes[:, 3:7] = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
    return genes.astype(np.float32)


def make_case(
    seed: int,
    parents: list[int],
    atoms_per_segment: list[int],
    *,
    n_conformers: int = 1,
    shape: tuple[int, int, int] = (12, 9, 14),
    pair_share: float = 0.4,
    n_poses: int = 20,
    weights: PairWeights = VINA,
    is_tabulated: bool = False,
) -> Case:
    """Return random poses of a random ligand in a random field."""
    rng = np.random.default_rng(seed)
    n_maps = 3
    topology = make_topology(rng, parents, atoms_per_segment, n_conformers, n_maps)
    field = make_field(rng, shape, n_maps)
    return Case(
        topology,
        make_pairs(rng, sum(atoms_per_segment), pair_share),
        field,
        make_genotypes(rng, field, len(parents), n_poses),
        rng.integers(0, n_conformers, n_poses).astype(np.int32),
        weights,
        is_tabulated=is_tabulated,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random trees, ring conformers, lattices down to 2 points, pairs from none to all."""
    n_segments = draw(st.integers(1, 6))
    parents = [-1, *(draw(st.integers(0, s - 1)) for s in range(1, n_segments))]
    atoms = [draw(st.integers(1, 5)), *(draw(st.integers(0, 4)) for _ in range(1, n_segments))]
    return make_case(
        draw(st.integers(0, 2**32 - 1)),
        parents,
        atoms,
        n_conformers=draw(st.integers(1, 3)),
        shape=tuple(draw(st.lists(st.integers(2, 15), min_size=3, max_size=3))),  # type: ignore[arg-type]
        pair_share=draw(st.sampled_from([0.0, 0.3, 1.0])),
        n_poses=draw(st.sampled_from([1, 5, 16, 17])),
        weights=draw(st.sampled_from([VINA, VINARDO])),
        is_tabulated=draw(st.booleans()),
    )


def is_smooth(case: Case, coords: npt.NDArray[np.float64], margin: float = 1e-3) -> bool:
    """Return whether a pose is clear of every kink: cell faces, ramps' ends, the cutoff."""
    t = (coords - case.field.origin) / case.field.spacing
    near_face = np.abs(t - np.clip(np.round(t), 0, case.field.shape - 1)) < margin
    if near_face.any():
        return False
    w = case.weights
    kinks = np.array([w.hydrophobic_good, w.hydrophobic_bad, w.hydrogen_bond_good])
    kinks = np.append(kinks, w.hydrogen_bond_bad)
    for i in range(len(coords)):
        span = slice(case.pairs.start[i], case.pairs.start[i + 1])
        r = np.linalg.norm(coords[i] - coords[case.pairs.second[span]], axis=1)
        d = r - case.pairs.r0[span]
        # at contact the direction of the force is all rounding
        if (np.abs(d[:, None] - kinks) < margin).any() or (np.abs(r - w.cutoff) < margin).any():
            return False
        if (r < 0.05).any():
            return False
    return True


def make_receptor(rng: np.random.Generator, n_atoms: int, inner: float) -> ReceptorAtoms:
    """Return atoms in a shell about the origin: a pocket of radius ``inner`` (angstrom)."""
    direction = rng.normal(size=(n_atoms, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = rng.uniform(inner, inner + 3.0, n_atoms)
    return ReceptorAtoms(
        np.ascontiguousarray((direction * radius[:, None]).T, np.float32),
        rng.integers(0, len(RADII), n_atoms).astype(np.int32),
        RADII,
        HYDROPHOBIC,
        DONOR,
        ACCEPTOR,
    )


def type_tables(dtype: Any = np.float32) -> tuple[npt.NDArray[Any], ...]:
    """Return sums of radii, and who is hydrophobic or bonded with whom, (n_types, n_types)."""
    bond = np.maximum(np.outer(DONOR, ACCEPTOR), np.outer(ACCEPTOR, DONOR))
    return (
        np.add.outer(RADII, RADII).astype(dtype),
        np.outer(HYDROPHOBIC, HYDROPHOBIC).astype(dtype),
        bond.astype(dtype),
    )


def make_state(topology: LigandTopology, pool_size: int = 8) -> ChainState:
    """Return memory for sixteen chains, full of NaN and nonsense: kernels must not read it."""
    n, n_segments = len(topology.map_index), len(topology.parent)
    genes, dof = 6 + n_segments, 5 + n_segments

    def floats(*shape: int) -> npt.NDArray[np.float32]:
        return np.full(shape, np.nan, np.float32)

    def integers(*shape: int) -> npt.NDArray[np.int32]:
        return np.full(shape, 99, np.int32)

    return ChainState(
        floats(n, 3, LANES), floats(n_segments, 3, LANES), floats(n_segments, 3, LANES),
        floats(genes, LANES), floats(genes, LANES), floats(genes, LANES),
        floats(dof, LANES), floats(dof, LANES), floats(dof * (dof + 1) // 2, LANES),
        floats(7, LANES), integers(LANES), integers(LANES), integers(LANES),
        floats(LANES, pool_size), floats(LANES, pool_size, genes), integers(LANES, pool_size),
        floats(LANES, pool_size, n, 3),
    )  # fmt: skip


def make_rules(**changes: float) -> SearchRules:
    """Return rules for small ligands."""
    return SearchRules(1.2, 10.0, 15, 1e-3, 1000, 0.0, 2.0, 1.5, 1.0)._replace(**changes)  # type: ignore[arg-type]


def place(topology: LigandTopology, genotype: npt.NDArray[Any], conformer: int) -> Any:
    """Return coordinates (n_scored, 3) by the definition."""
    return place_atoms(topology, genotype.astype(np.float64), int(conformer))[0]
