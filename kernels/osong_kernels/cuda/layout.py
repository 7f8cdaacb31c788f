"""Where everything of a batch of ligands and of their chains stands in device memory.

Ligands of any size stand one behind the other in flat arrays; a table says where each begins. What
a chain carries from round to round is one run of numbers (`chain_words`), its pool of distinct
minima another (`pool_words`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import LigandTopology, PairList, SearchRules
from osong_kernels.cuda.compile import IS_SIMULATED
from osong_kernels.cuda.warp import LANES

__all__ = [
    "FIRST_WORD",
    "HEAD",
    "MAX_ATOMS",
    "N_SCALARS",
    "POOL_SIZE",
    "DeviceField",
    "LigandArrays",
    "LigandInput",
    "chain_words",
    "pack_field",
    "pack_ligands",
    "pack_pairs",
    "pool_words",
    "warp_words",
]

HEAD: Final = LANES if IS_SIMULATED else 0
"""Where a warp notes its ligand and its chain; before that the simulator's sums take place."""
FIRST_WORD: Final = HEAD + 2
"""Where the rest of a warp's shared memory begins."""
POOL_SIZE: Final = 8
"""Distinct minima that a chain remembers."""
MAX_ATOMS: Final = 2**15 - 1
"""Both atoms of a pair and its kind stand in 32 bits."""
N_SCALARS: Final = 10
"""Scalars of a chain: the rows of ``ChainState.scalars``; then conformer of the trial, conformer of
``current`` and Monte Carlo steps, as floating-point numbers."""

# Columns of LigandArrays.table.
N_ATOMS: Final = 0
N_SEGMENTS: Final = 1
N_CONFORMERS: Final = 2
N_PAIRS: Final = 3
FIRST_ATOM: Final = 4  # in segment_of and map_index
FIRST_LOCAL: Final = 5  # in local
FIRST_SEGMENT: Final = 6  # in parent; in segment_start with the ligand's number added
FIRST_AXIS: Final = 7  # in axis and offset
FIRST_DOF: Final = 8  # in metric
FIRST_PAIR: Final = 9
N_TICKS: Final = 10
FIRST_CHAIN: Final = 11  # number of the first chain, for random numbers
N_COLUMNS: Final = 12

# Columns of LigandArrays.rules: the fields of SearchRules, in order.
TEMPERATURE: Final = 0
LIMIT: Final = 1
MAX_ITERATIONS: Final = 2
TOLERANCE: Final = 3
PRUNE_ITERATION: Final = 4
PRUNE_GAP: Final = 5
MOVE: Final = 6
GYRATION: Final = 7
POOL_RMSD: Final = 8
N_RULES: Final = 9

_KIND_SHIFT: Final = 30
_SECOND_SHIFT: Final = 15


class LigandArrays(NamedTuple):
    """Ligands of a batch, one behind the other; all that search and refinement read.

    Attributes
    ----------
    table
        (n_ligands * N_COLUMNS,) int32: sizes, and where each ligand begins in the other arrays.
    rules
        (n_ligands * N_RULES,) float32: the fields of ``SearchRules``.
    key
        (n_ligands * 2,) uint64: of the random numbers.
    local, axis, offset
        float32, angstrom: as in ``LigandTopology``, flat.
    parent, segment_start, segment_of, map_index, atom_type
        int32; ``segment_of``, ``map_index`` and ``atom_type`` for each atom.
    metric
        float32, for each degree of freedom.
    pair
        uint32: first atom, second atom (15 bits each) and kind (2 bits) of each pair; neighbours in
        the list share few atoms, because the lanes of a warp do them at the same time.
    pair_r0
        float32, angstrom.
    chain_start, pool_start
        (n_ligands + 1,) int64: where the ligand's chains and pools begin, in numbers.
    """

    table: Any
    rules: Any
    key: Any
    local: Any
    axis: Any
    offset: Any
    parent: Any
    segment_start: Any
    segment_of: Any
    map_index: Any
    atom_type: Any
    metric: Any
    pair: Any
    pair_r0: Any
    chain_start: Any
    pool_start: Any


class DeviceField(NamedTuple):
    """Receptor field for the device: at each point the four corners of a face of its cell.

    Attributes
    ----------
    quads
        (n_maps * nx * ny * nz * 4,) float32, kcal/mol: of point (x, y, z) the values at (y, z),
        (y, z + 1), (y + 1, z), (y + 1, z + 1), so that two loads of 16 bytes bring a cell.
    nx, ny, nz
        int32.
    x, y, z
        float32, angstrom: position of point (0, 0, 0).
    spacing, wall
        float32: lattice step in angstrom; kcal/mol per angstrom outside.
    """

    quads: Any
    nx: Any
    ny: Any
    nz: Any
    x: Any
    y: Any
    z: Any
    spacing: Any
    wall: Any


class LigandInput(NamedTuple):
    """What a batch wants to know of a ligand.

    Attributes
    ----------
    topology, pairs, rules
        As for the kernels of the CPU.
    key
        (2,) uint64.
    n_ticks
        Energy evaluations of a chain in a round.
    first_chain
        Number of the first chain.
    atom_type
        (n_scored,) int32; may be None where nothing is refined.
    """

    topology: LigandTopology
    pairs: PairList
    rules: SearchRules
    key: npt.NDArray[np.uint64]
    n_ticks: int
    first_chain: int = 0
    atom_type: npt.NDArray[np.int32] | None = None


def chain_words(n_segments: int) -> int:
    """Return how many numbers a chain carries from round to round.

    Trial point, base, direction, gradient at the base, inverse Hessian, scalars: as they stand in
    shared memory; and the current point.
    """
    genes, dof = 6 + n_segments, 5 + n_segments
    return 3 * genes + 2 * dof + (dof * (dof + 1) >> 1) + N_SCALARS


def pool_words(n_atoms: int, n_segments: int) -> int:
    """Return how many numbers a chain's pool has: energies, conformers, genotypes, coordinates."""
    return POOL_SIZE * (2 + 6 + n_segments + 3 * n_atoms)


def warp_words(n_atoms: int, n_segments: int) -> int:
    """Return how many numbers of shared memory a chain needs while it is advanced."""
    genes, dof = 6 + n_segments, 5 + n_segments
    words = 6 * n_atoms + 18 * n_segments + 2 * genes + 5 * dof + (dof * (dof + 1) >> 1)
    return FIRST_WORD + words + N_SCALARS


def pack_pairs(pairs: PairList) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Return the pairs with their kinds, and their r0, in an order that spreads atoms.

    Consecutive pairs of a list share their first atom; lanes that add to one atom at the same time
    would wait for each other.
    """
    first = np.repeat(np.arange(len(pairs.start) - 1), np.diff(pairs.start))
    kind = pairs.is_hydrophobic.astype(np.uint32) + 2 * pairs.is_hydrogen_bond.astype(np.uint32)
    packed = (
        first.astype(np.uint32)
        | (pairs.second.astype(np.uint32) << _SECOND_SHIFT)
        | (kind << _KIND_SHIFT)
    )
    n = len(packed)
    # A stride through the list: its first atoms are then all different for a while.
    stride = max(1, round(n**0.5))
    order = np.concatenate([np.arange(k, n, stride) for k in range(stride)]) if n else first
    return packed[order], pairs.r0[order].astype(np.float32)


def pack_ligands(ligands: Sequence[LigandInput], n_chains: int) -> LigandArrays:
    """Return the arrays of a batch, in the memory of the host.

    Parameters
    ----------
    ligands
        In the order of the batch.
    n_chains
        Chains of each.

    Raises
    ------
    ValueError
        A ligand has more atoms than fit.
    """
    n = len(ligands)
    table = np.zeros((n, N_COLUMNS), np.int32)
    paired = [pack_pairs(ligand.pairs) for ligand in ligands]
    chain_start = np.zeros(n + 1, np.int64)
    pool_start = np.zeros(n + 1, np.int64)
    at = np.zeros(6, np.int64)  # atoms, local, segments, axes, degrees of freedom, pairs
    for k, ligand in enumerate(ligands):
        n_conformers, n_atoms, _ = ligand.topology.local.shape
        n_segments = len(ligand.topology.parent)
        if n_atoms > MAX_ATOMS:
            raise ValueError(f"ligand {k} has {n_atoms} atoms, more than {MAX_ATOMS}")
        n_pairs = len(paired[k][0])
        table[k, :4] = n_atoms, n_segments, n_conformers, n_pairs
        table[k, 4:10] = at
        table[k, 10:] = ligand.n_ticks, ligand.first_chain
        at += (
            n_atoms, n_conformers * n_atoms * 3, n_segments, n_conformers * n_segments * 3,
            5 + n_segments, n_pairs,
        )  # fmt: skip
        chain_start[k + 1] = chain_start[k] + n_chains * chain_words(n_segments)
        pool_start[k + 1] = pool_start[k] + n_chains * pool_words(n_atoms, n_segments)
    return LigandArrays(
        table=table.reshape(-1),
        rules=_joined([np.array(ligand.rules) for ligand in ligands], np.float32),
        key=_joined([ligand.key for ligand in ligands], np.uint64),
        local=_joined([x.topology.local for x in ligands], np.float32),
        axis=_joined([x.topology.axis for x in ligands], np.float32),
        offset=_joined([x.topology.offset for x in ligands], np.float32),
        parent=_joined([x.topology.parent for x in ligands], np.int32),
        segment_start=_joined([x.topology.segment_start for x in ligands], np.int32),
        segment_of=_joined([_segment_of(x.topology) for x in ligands], np.int32),
        map_index=_joined([x.topology.map_index for x in ligands], np.int32),
        atom_type=_joined([_types(x) for x in ligands], np.int32),
        metric=_joined([x.topology.metric for x in ligands], np.float32),
        pair=_joined([pair for pair, _ in paired], np.uint32),
        pair_r0=_joined([r0 for _, r0 in paired], np.float32),
        chain_start=chain_start,
        pool_start=pool_start,
    )


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    """Return arrays one behind the other; never empty, which devices do not like."""
    joined = np.concatenate([array.reshape(-1) for array in arrays]).astype(dtype)
    return joined if len(joined) else np.zeros(1, dtype)


def _segment_of(topology: LigandTopology) -> npt.NDArray[np.int32]:
    counts = np.diff(topology.segment_start)
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def _types(ligand: LigandInput) -> npt.NDArray[np.int32]:
    if ligand.atom_type is not None:
        return ligand.atom_type
    return np.zeros(ligand.topology.local.shape[1], np.int32)


def pack_field(maps: npt.NDArray[np.float32], shape: tuple[int, int, int]) -> Any:
    """Return ``DeviceField.quads`` of maps (n_maps * nx * ny * nz,), in the memory of the host."""
    values = maps.reshape(-1, *shape)
    quads = np.empty((*values.shape, 4), np.float32)
    next_y = np.minimum(np.arange(shape[1]) + 1, shape[1] - 1)
    next_z = np.minimum(np.arange(shape[2]) + 1, shape[2] - 1)
    quads[..., 0] = values
    quads[..., 1] = values[..., next_z]
    quads[..., 2] = values[:, :, next_y]
    quads[..., 3] = values[:, :, next_y][..., next_z]
    return quads.reshape(-1)
