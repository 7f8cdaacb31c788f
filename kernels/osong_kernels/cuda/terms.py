"""Exact energies of poses, atom by atom and term by term, in float64.

Nothing here asks whose atoms they are: those of many poses may stand one after another.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.compile import IS_SIMULATED, Offline, exact_formula, exact_kernel
from osong_kernels.cuda.warp import (
    LANES,
    at,
    block_index,
    block_threads,
    lane_index,
    thread_index,
    warp_index,
    warp_sum,
)
from osong_kernels.physics.pair_terms import N_TERMS, PairWeights
from osong_kernels.physics.pair_terms import pair_terms as _pair_terms

__all__ = ["OFFLINE", "ligand_terms", "receptor_terms"]

_WARPS: Final = 1 if IS_SIMULATED else 4
_THREADS: Final = _WARPS * LANES

pair_terms = exact_formula(_pair_terms)


@exact_kernel
def _receptor_terms(
    coords: Any, atom_type: Any, receptor_coords: Any, receptor_type: Any, r0: Any,
    is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill the terms of an atom a warp, whose lanes share the receptor."""
    scratch = cuda.shared.array(LANES, types.float64)
    i = np.int32(block_index() * _WARPS + warp_index())
    if i >= len(coords):
        return
    x, y, z = coords[at(i), 0], coords[at(i), 1], coords[at(i), 2]
    a = at(atom_type[at(i)])
    gauss1, gauss2, repulsion, hydrophobic, bond = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(lane_index(), np.int32(len(receptor_coords)), np.int32(LANES)):
        dx = x - receptor_coords[at(j), 0]
        dy = y - receptor_coords[at(j), 1]
        dz = z - receptor_coords[at(j), 2]
        r2 = dx * dx + dy * dy + dz * dz
        if r2 < weights.cutoff * weights.cutoff:
            b = at(receptor_type[at(j)])
            values = pair_terms(
                math.sqrt(r2), r0[a, b], is_hydrophobic[a, b], is_hydrogen_bond[a, b], weights
            )
            gauss1 += values[0]
            gauss2 += values[1]
            repulsion += values[2]
            hydrophobic += values[3]
            bond += values[4]
    gauss1, gauss2 = warp_sum(gauss1, scratch), warp_sum(gauss2, scratch)
    repulsion, hydrophobic = warp_sum(repulsion, scratch), warp_sum(hydrophobic, scratch)
    bond = warp_sum(bond, scratch)
    if lane_index() == 0:
        terms[at(i), 0] = gauss1
        terms[at(i), 1] = gauss2
        terms[at(i), 2] = repulsion
        terms[at(i), 3] = hydrophobic
        terms[at(i), 4] = bond


@exact_kernel
def _ligand_terms(
    coords: Any, atom_type: Any, pairs: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill the terms of a pair a thread."""
    p = np.int32(block_index() * block_threads() + thread_index())
    if p >= len(pairs):
        return
    i, j = at(pairs[at(p), 0]), at(pairs[at(p), 1])
    dx = coords[i, 0] - coords[j, 0]
    dy = coords[i, 1] - coords[j, 1]
    dz = coords[i, 2] - coords[j, 2]
    r = math.sqrt(dx * dx + dy * dy + dz * dz)
    scale = 1.0 if r < weights.cutoff else 0.0
    a, b = at(atom_type[i]), at(atom_type[j])
    values = pair_terms(r, r0[a, b], is_hydrophobic[a, b], is_hydrogen_bond[a, b], weights)
    terms[at(p), 0] = scale * values[0]
    terms[at(p), 1] = scale * values[1]
    terms[at(p), 2] = scale * values[2]
    terms[at(p), 3] = scale * values[3]
    terms[at(p), 4] = scale * values[4]


def _launch(
    function: Any, n_blocks: int, arrays: tuple[Any, ...], weights: Any, terms: Any
) -> None:
    """Run a kernel on arrays of the host and fill ``terms``."""
    if n_blocks == 0:
        return
    on_device = cuda.device_array(terms.shape, np.float64)
    function[n_blocks, _THREADS](
        *map(cuda.to_device, arrays), PairWeights(*map(float, weights)), on_device
    )
    on_device.copy_to_host(terms)


def receptor_terms(
    coords: Any, atom_type: Any, receptor_coords: Any, receptor_type: Any, r0: Any,
    is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill what each ligand atom has from the receptor, (n, 5) float64; see ``cpu.terms``."""
    _launch(
        _receptor_terms,
        -(-len(coords) // _WARPS),
        (
            coords,
            atom_type,
            receptor_coords,
            receptor_type,
            r0,
            is_hydrophobic,
            is_hydrogen_bond,
        ),
        weights,
        terms,
    )


def ligand_terms(
    coords: Any, atom_type: Any, pairs: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill each of the ligand's own pairs, (n_pairs, 5) float64; see ``cpu.terms``."""
    _launch(
        _ligand_terms,
        -(-len(pairs) // _THREADS),
        (coords, atom_type, pairs, r0, is_hydrophobic, is_hydrogen_bond),
        weights,
        terms,
    )


_FLOATS: Final = types.float64[:, ::1]
_TYPES: Final = types.int32[::1]
_WEIGHTS: Final = types.NamedTuple((types.float64,) * len(PairWeights._fields), PairWeights)

OFFLINE: Final = (
    Offline(
        "receptor_terms",
        _receptor_terms,
        (_FLOATS, _TYPES, _FLOATS, _TYPES, _FLOATS, _FLOATS, _FLOATS, _WEIGHTS, _FLOATS),
        _THREADS,
        may_use_float64=True,
    ),
    Offline(
        "ligand_terms",
        _ligand_terms,
        (_FLOATS, _TYPES, types.int32[:, ::1], _FLOATS, _FLOATS, _FLOATS, _WEIGHTS, _FLOATS),
        _THREADS,
        may_use_float64=True,
    ),
)
assert N_TERMS == 5
