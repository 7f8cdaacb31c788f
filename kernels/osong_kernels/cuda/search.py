"""Twins of ``cpu.search``: sixteen chains of one ligand, given and taken as on the CPU.

For tests and for looking at single ligands; screens use the kernels of ``chains`` on whole batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.arguments import PairList, PairTable, SearchRules
from osong_kernels.cuda.chain_state import chains_from_state, state_from_chains
from osong_kernels.cuda.chains import run_chains_by_formula, run_chains_by_table, start_chains_of
from osong_kernels.cuda.device_memory import (
    bundle_to_device,
    single_precision,
    to_device,
    to_host,
)
from osong_kernels.cuda.layout import (
    DeviceField,
    LigandInput,
    pack_field,
    pack_ligands,
    warp_words,
)
from osong_kernels.cuda.warp import LANES

__all__ = ["NO_RULES", "device_field", "run_chains", "start_chains"]

NO_RULES = SearchRules(1.0, 1.0, 1, 1.0, 1, 1.0, 1.0, 1.0, 1.0)


def device_field(field: Any) -> DeviceField:
    """Return a ``Field`` as the device reads it, in its memory."""
    nx, ny, nz = (int(n) for n in field.shape)
    x, y, z = (np.float32(place) for place in field.origin)
    return DeviceField(
        to_device(pack_field(field.maps, (nx, ny, nz))), np.int32(nx), np.int32(ny), np.int32(nz),
        x, y, z, np.float32(field.spacing), np.float32(field.wall),
    )  # fmt: skip


def start_chains(
    topology: Any, key: Any, first_chain: Any, low: Any, high: Any, state: Any
) -> None:
    """Put every chain at a random place in the box, in its own conformer; see ``cpu.search``."""
    n_chains = state.trial.shape[1]
    ligand = LigandInput(topology, no_pairs(topology), NO_RULES, key, 0, first_chain)
    arrays = bundle_to_device(pack_ligands([ligand], n_chains))
    held = tuple(to_device(x) for x in chains_from_state(state))
    corners = to_device(low.astype(np.float32)), to_device(high.astype(np.float32))
    start_chains_of[1, n_chains](arrays, np.int32(n_chains), *corners, *held)
    state_from_chains(tuple(to_host(x) for x in held), topology, state)


def no_pairs(topology: Any) -> Any:
    """Return an empty list of pairs."""
    nothing = np.zeros(0, np.float32)
    n = topology.local.shape[1]
    return PairList(np.zeros(n + 1, np.int32), np.zeros(0, np.int32), nothing, nothing, nothing)


def run_chains(
    topology: Any, pairs: Any, field: Any, weights: Any, rules: Any, key: Any, first_chain: Any,
    n_ticks: Any, state: Any,
) -> None:  # fmt: skip
    """Advance the chains by ``n_ticks`` evaluations of the energy each; see ``cpu.search``."""
    n_chains = state.trial.shape[1]
    ligand = LigandInput(topology, pairs, rules, key, n_ticks, first_chain)
    arrays = bundle_to_device(pack_ligands([ligand], n_chains))
    held = tuple(to_device(x) for x in chains_from_state(state))
    run = run_chains_by_table if isinstance(weights, PairTable) else run_chains_by_formula
    words = warp_words(topology.local.shape[1], len(topology.parent))
    run[n_chains, LANES, 0, 4 * words](
        arrays, to_device(np.zeros(1, np.int32)), np.int32(n_chains), device_field(field),
        bundle_to_device(single_precision(weights)), *held, np.int32(words),
    )  # fmt: skip
    state_from_chains(tuple(to_host(x) for x in held), topology, state)
