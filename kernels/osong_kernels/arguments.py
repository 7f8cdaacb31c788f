"""The bundles of arrays that kernels take: one tuple for the ligand, one for the receptor field.

All arrays are C-contiguous. Lane arrays have the lane axis last, ``N_LANES`` wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Field", "LigandTopology", "PairList", "PairTable"]

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]


class PairList(NamedTuple):
    """Intramolecular pairs, grouped by their first atom.

    Attributes
    ----------
    start
        (n_scored + 1,) int32: pairs of first atom i are ``start[i]:start[i + 1]``.
    second
        (n_pairs,) int32: the other atom.
    r0
        (n_pairs,) float32, angstrom: sum of the two radii.
    is_hydrophobic, is_hydrogen_bond
        (n_pairs,) float32: 1.0 or 0.0.
    """

    start: Int32
    second: Int32
    r0: Float32
    is_hydrophobic: Float32
    is_hydrogen_bond: Float32


class PairTable(NamedTuple):
    """Pair energies, capped, as cubics of the surface distance; see ``physics.pair_table``.

    Attributes
    ----------
    coefficients
        (4, 4, 32) float32: kind of pair (1 hydrophobic + 2 hydrogen bond), power, segment;
        kcal/mol and angstrom.
    first
        float32, angstrom: surface distance where the first segment begins.
    step
        float32, angstrom: width of a segment.
    cutoff
        float32, angstrom: distance beyond which a pair has no energy.
    """

    coefficients: npt.NDArray[np.floating[Any]]
    first: np.floating[Any]
    step: np.floating[Any]
    cutoff: np.floating[Any]


class LigandTopology(NamedTuple):
    """Rigid segments joined by rotatable bonds; a segment's parent precedes it.

    Attributes
    ----------
    segment_start
        (n_segments + 1,) int32: atoms of segment s are ``segment_start[s]:segment_start[s + 1]``.
    parent
        (n_segments,) int32; -1 for the root.
    local
        (n_conformers, n_scored, 3) float32, angstrom: atom minus its segment's pivot.
    axis
        (n_conformers, n_segments, 3) float32: unit vector of the rotatable bond.
    offset
        (n_conformers, n_segments, 3) float32, angstrom: pivot minus the parent's pivot.
    map_index
        (n_scored,) int32: map of each atom in ``Field.maps``.
    metric
        (6 + T,) float32: how far a local optimisation first goes along each degree of freedom for
        the same slope, relative to a translation: the diagonal of its first inverse Hessian.
    """

    segment_start: Int32
    parent: Int32
    local: Float32
    axis: Float32
    offset: Float32
    map_index: Int32
    metric: Float32


class Field(NamedTuple):
    """Receptor field on a lattice.

    Attributes
    ----------
    maps
        (n_maps * nx * ny * nz,) float32, kcal/mol: one map after the other, z fastest, so that a
        cell's corners are four pairs of neighbours and one atom type's map stays in cache.
    shape
        (3,) int32: nx, ny, nz.
    origin
        (3,) float32, angstrom: position of point (0, 0, 0).
    spacing
        Lattice step in angstrom.
    wall
        Energy in kcal/mol per angstrom that an atom is outside of the lattice.
    """

    maps: Float32
    shape: Int32
    origin: Float32
    spacing: float
    wall: float


class ChainState(NamedTuple):
    """Sixteen search chains of one ligand, one a lane; carried from call to call.

    ``n = 6 + T`` is the number of degrees of freedom, ``L`` the number of lanes, ``K`` the size of
    a lane's pool of distinct minima.

    Attributes
    ----------
    local, axis, offset
        (n_scored, 3, L), (n_segments, 3, L), (n_segments, 3, L) float32, angstrom: geometry of
        the conformer that each lane is in.
    trial, base, current
        (7 + T, L) float32: point to evaluate, last accepted point of the local optimisation,
        point of the Monte Carlo chain.
    direction, base_gradient
        (n, L) float32.
    hessian
        (n (n + 1) / 2, L) float32: inverse Hessian, lower triangle row by row.
    scalars
        (N_SCALARS, L) float32: rows as named in ``cpu.minimise``.
    conformer, current_conformer, step
        (L,) int32: conformer tried, conformer of ``current``, Monte Carlo steps done.
    pool_energy
        (L, K) float32, kcal/mol, ascending; +inf where empty.
    pool_genotype, pool_conformer, pool_coords
        (L, K, 7 + T) float32, (L, K) int32, (L, K, n_scored, 3) float32.
    """

    local: Float32
    axis: Float32
    offset: Float32
    trial: Float32
    base: Float32
    current: Float32
    direction: Float32
    base_gradient: Float32
    hessian: Float32
    scalars: Float32
    conformer: Int32
    current_conformer: Int32
    step: Int32
    pool_energy: Float32
    pool_genotype: Float32
    pool_conformer: Int32
    pool_coords: Float32


class SearchRules(NamedTuple):
    """How chains move; one set for all lanes.

    Attributes
    ----------
    temperature
        kcal/mol, of the Metropolis rule.
    limit
        kcal/mol, cap of a positive energy (see ``pair_terms.cap``).
    max_iterations
        Accepted steps of one local optimisation.
    tolerance
        kcal/mol: a local optimisation ends when a step gains less.
    prune_iteration, prune_gap
        After that many steps a local optimisation that is still more than the gap (kcal/mol)
        above its chain's current energy is given up.
    move
        angstrom, radius of the random displacement of a mutation.
    gyration
        angstrom, radius of gyration; turns by ``move`` over this many radian.
    pool_rmsd
        angstrom: minima closer than this are one.
    """

    temperature: float
    limit: float
    max_iterations: int
    tolerance: float
    prune_iteration: int
    prune_gap: float
    move: float
    gyration: float
    pool_rmsd: float


class ReceptorAtoms(NamedTuple):
    """The receptor's scored atoms as columns, for exact (pairwise) energies.

    Attributes
    ----------
    xyz
        (3, n) float32, angstrom.
    atom_type
        (n,) int32.
    radius
        (n_types,) float32, angstrom.
    is_hydrophobic, is_donor, is_acceptor
        (n_types,) float32: 1.0 or 0.0, roles of each type.
    """

    xyz: Float32
    atom_type: Int32
    radius: Float32
    is_hydrophobic: Float32
    is_donor: Float32
    is_acceptor: Float32
