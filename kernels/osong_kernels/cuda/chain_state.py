"""The chains of a ``ChainState`` as the device has them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import ChainState, LigandTopology
from osong_kernels.cuda.layout import POOL_SIZE, chain_words, pool_words
from osong_kernels.cuda.pool import EMPTY

__all__ = ["chains_from_state", "state_from_chains"]

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def _carried(state: ChainState) -> tuple[npt.NDArray[np.float32], ...]:
    return (
        state.trial, state.base, state.direction, state.base_gradient, state.hessian,
        state.scalars,
    )  # fmt: skip


def chains_from_state(state: ChainState) -> Arrays:
    """Return numbers and pools of the chains of a state.

    Raises
    ------
    ValueError
        The state's pools are not of the device's size.
    """
    n_lanes, n_places = state.pool_energy.shape
    if n_places != POOL_SIZE:
        raise ValueError(f"pools have {n_places} places, on a device {POOL_SIZE}")
    integers = np.array([state.conformer, state.current_conformer, state.step], np.float32)
    chains = np.concatenate([*_carried(state), integers, state.current]).T
    pools = np.concatenate(
        [
            np.minimum(state.pool_energy, EMPTY),
            state.pool_conformer.astype(np.float32),
            state.pool_genotype.reshape(n_lanes, -1),
            state.pool_coords.reshape(n_lanes, -1),
        ],
        axis=1,
    )
    return chains.reshape(-1).copy(), pools.reshape(-1).copy()


def state_from_chains(arrays: Arrays, topology: LigandTopology, state: ChainState) -> None:
    """Write numbers and pools of one ligand's chains to a state."""
    n_atoms, n_segments = topology.local.shape[1], len(topology.parent)
    n_genes = 6 + n_segments
    n_lanes = state.trial.shape[1]
    chains = arrays[0].reshape(n_lanes, chain_words(n_segments)).T
    begin = 0
    for vector in (*_carried(state), state.conformer, state.current_conformer, state.step):
        rows = vector if vector.ndim == 2 else vector[np.newaxis]
        rows[:] = chains[begin : begin + len(rows)]
        begin += len(rows)
    state.current[:] = chains[begin:]
    pools = arrays[1].reshape(n_lanes, pool_words(n_atoms, n_segments))
    energy, conformer, genes, coords = np.split(
        pools, np.cumsum([POOL_SIZE, POOL_SIZE, POOL_SIZE * n_genes]), axis=1
    )
    state.pool_energy[:] = np.where(energy >= EMPTY, np.inf, energy)
    state.pool_conformer[:] = conformer.astype(np.int32)
    state.pool_genotype[:] = genes.reshape(n_lanes, POOL_SIZE, n_genes)
    state.pool_coords[:] = coords.reshape(n_lanes, POOL_SIZE, n_atoms, 3)
    for lane in range(n_lanes):
        conformer_now = state.conformer[lane]
        state.local[:, :, lane] = topology.local[conformer_now]
        state.axis[:, :, lane] = topology.axis[conformer_now]
        state.offset[:, :, lane] = topology.offset[conformer_now]
