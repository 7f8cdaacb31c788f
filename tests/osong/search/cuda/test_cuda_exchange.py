"""Between rounds on a device: the rules are those of the search on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_cases import LANES as GROUP
from kernel_cases import make_rules, make_state, make_topology

from osong.search.chains import BETTER_KCAL, POOL_RMSD, _distinct, _exchange, n_elite
from osong_kernels.arguments import ChainState, LigandTopology
from osong_kernels.cpu.minimise import CURRENT_ENERGY
from osong_kernels.cuda import exchange
from osong_kernels.cuda.chain_state import chains_from_state, state_from_chains
from osong_kernels.cuda.device_memory import bundle_to_device, to_device, to_host
from osong_kernels.cuda.exchange import exchange_chains, gather_minima, shared_bytes
from osong_kernels.cuda.layout import LigandInput, pack_ligands
from osong_kernels.cuda.search import no_pairs
from osong_kernels.cuda.warp import LANES

N_GROUPS = 5  # the fourth takes no part
N_CHAINS = N_GROUPS * GROUP
PATIENCE = 3


class Batch:
    """Ligands in the middle of a search, made up, on the CPU and on a device."""

    def __init__(self, topologies: list[LigandTopology], states: list[list[ChainState]]) -> None:
        self.topologies, self.states = topologies, states
        key = np.zeros(2, np.uint64)
        ligands = [LigandInput(t, no_pairs(t), make_rules(), key, 0) for t in topologies]
        self.arrays = bundle_to_device(pack_ligands(ligands, N_CHAINS))
        held = [chains_from_state(state) for groups in states for state in groups]
        self.chains, self.pools = (to_device(np.concatenate(x)) for x in zip(*held, strict=True))
        n = len(states)
        self.best = to_device(np.full(n, 1e30, np.float32))
        self.since = to_device(np.zeros(n, np.int32))
        self.elite = to_device(np.zeros(n * n_elite(N_GROUPS, 0), np.int32))

    def exchange(self, active: list[int], done: int) -> None:
        """Let the device end a round."""
        exchange_chains[len(active), LANES, 0, shared_bytes()](
            self.arrays, to_device(np.array(active, np.int32)), np.int32(N_CHAINS),
            np.int32(done), np.int32(n_elite(N_GROUPS, done)), np.float32(POOL_RMSD**2),
            np.float32(BETTER_KCAL), np.int32(PATIENCE), self.elite, self.best, self.since,
            self.chains, self.pools,
        )  # fmt: skip

    def gather(self, n_wanted: int) -> tuple[Any, ...]:
        """Return counts, energies, conformers and genotypes of the minima on the device."""
        n = len(self.states)
        most = max(6 + len(t.parent) for t in self.topologies)
        filled = [
            to_device(x)
            for x in (
                np.full(n, -1, np.int32), np.full(n * n_wanted, np.nan, np.float32),
                np.full(n * n_wanted, -1, np.int32), np.zeros((n * n_wanted, most), np.float32),
            )
        ]  # fmt: skip
        chosen = to_device(np.zeros(n * n_wanted, np.int32))
        gather_minima[n, LANES, 0, shared_bytes()](
            self.arrays, np.int32(N_CHAINS), np.float32(POOL_RMSD**2), chosen, self.pools, *filled
        )
        counts, energies, conformers, genotypes = (to_host(x) for x in filled)
        return counts, energies.reshape(n, -1), conformers.reshape(n, -1), genotypes.reshape(
            n, n_wanted, most
        )  # fmt: skip

    def of_device(self, k: int) -> list[ChainState]:
        """Return the groups of a ligand as the device has them."""
        host = pack_starts(self.topologies)
        chains = to_host(self.chains)[host[0][k] : host[0][k + 1]].reshape(N_GROUPS, -1)
        pools = to_host(self.pools)[host[1][k] : host[1][k + 1]].reshape(N_GROUPS, -1)
        states = [make_state(self.topologies[k]) for _ in range(N_GROUPS)]
        for state, *arrays in zip(states, chains, pools, strict=True):
            state_from_chains((arrays[0], arrays[1]), self.topologies[k], state)
        return states


def pack_starts(topologies: list[LigandTopology]) -> tuple[Any, Any]:
    """Return where chains and pools of each ligand begin."""
    key = np.zeros(2, np.uint64)
    ligands = [LigandInput(t, no_pairs(t), make_rules(), key, 0) for t in topologies]
    packed = pack_ligands(ligands, N_CHAINS)
    return packed.chain_start, packed.pool_start


def made_states(seed: int, topology: LigandTopology, n_places: int = 9) -> list[ChainState]:
    """Return groups whose pools hold minima from a few places, each pool by itself distinct."""
    rng = np.random.default_rng(seed)
    n_atoms = topology.local.shape[1]
    places = rng.uniform(-6, 6, (n_places, 1, 3))
    states = []
    for _ in range(N_GROUPS):
        state = make_state(topology)
        for array in state:
            array[:] = rng.integers(0, 2, array.shape)
        state.pool_energy[:] = np.inf
        # equal energies among them
        state.scalars[CURRENT_ENERGY] = rng.integers(-8, 4, GROUP)
        state.current[:] = rng.normal(size=state.current.shape)
        state.pool_genotype[:] = rng.normal(size=state.pool_genotype.shape)
        for lane in range(GROUP):
            m = rng.integers(0, 3)
            state.pool_energy[lane, :m] = np.sort(rng.integers(-20, 8, m) / 2)
            at = places[rng.choice(n_places, m, replace=False)]
            state.pool_coords[lane, :m] = at + rng.normal(size=(m, n_atoms, 3)) * 0.2
        states.append(state)
    return states


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    topologies = [
        make_topology(rng, [-1, 0], [2, 2], 2), make_topology(rng, [-1], [1], 2),
        make_topology(rng, [-1, 0, 1], [2, 1, 2], 2),
    ]  # fmt: skip
    return Batch(topologies, [made_states(k, t) for k, t in enumerate(topologies)])


def assert_same_search(found: ChainState, expected: ChainState) -> None:
    for name in ("current", "scalars", "current_conformer", "trial", "conformer", "pool_energy"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


@pytest.mark.parametrize("done", [0, 7])
def test_chains_go_on_from_the_minima_that_the_cpu_picks(batch: Batch, done: int) -> None:
    before = [state.current.copy() for state in batch.states[0]]
    batch.exchange([2, 0], done)
    for k in (0, 2):
        _exchange(batch.states[k], done)
        for found, expected in zip(batch.of_device(k), batch.states[k], strict=True):
            assert_same_search(found, expected)
    changed = [(a != state.current).any() for a, state in zip(before, batch.states[0], strict=True)]
    assert changed == [True, True, True, False, True]
    # the ligand that took no part
    for found, expected in zip(batch.of_device(1), batch.states[1], strict=True):
        assert_same_search(found, expected)
    assert to_host(batch.since).tolist() == [0, 0, 0]
    assert to_host(batch.best)[1] == np.float32(1e30)


def test_a_ligand_that_finds_nothing_better_is_left_alone(batch: Batch) -> None:
    lowest = min(state.pool_energy.min() for state in batch.states[0])
    batch.exchange([0], 0)
    assert to_host(batch.best)[0] == lowest
    for done in range(1, PATIENCE):
        assert to_host(batch.since)[0] == done - 1
        batch.exchange([0], done)
    last = batch.of_device(0)
    batch.exchange([0], PATIENCE)
    assert to_host(batch.since)[0] == PATIENCE
    for found, expected in zip(batch.of_device(0), last, strict=True):
        assert_same_search(found, expected)


@pytest.mark.parametrize("gain", [0.5 * BETTER_KCAL, 2.0 * BETTER_KCAL])
def test_a_round_counts_that_gains_enough(batch: Batch, gain: float) -> None:
    lowest = min(state.pool_energy.min() for state in batch.states[0])
    best = to_host(batch.best)
    best[0] = lowest + gain
    batch.best = to_device(best)
    batch.exchange([0], 0)
    assert to_host(batch.since)[0] == (0 if gain > BETTER_KCAL else 1)
    assert to_host(batch.best)[0] == lowest


@pytest.mark.parametrize("n_wanted", [2, 40])
def test_minima_are_those_that_the_cpu_picks(batch: Batch, n_wanted: int) -> None:
    counts, energies, conformers, genotypes = batch.gather(n_wanted)
    for k, states in enumerate(batch.states):
        expected = _distinct(states, n_wanted)
        assert counts[k] == len(expected)
        assert len(expected) == min(n_wanted, len(expected))
        n_genes = 6 + len(batch.topologies[k].parent)
        for n, minimum in enumerate(expected):
            assert energies[k, n] == minimum.energy
            assert conformers[k, n] == minimum.conformer
            np.testing.assert_array_equal(genotypes[k, n, :n_genes], minimum.genotype)


def test_pools_may_be_empty() -> None:
    topology = make_topology(np.random.default_rng(0), [-1], [2], 2)
    states = made_states(1, topology)
    for state in states:
        state.pool_energy[:] = np.inf
    batch = Batch([topology], [states])
    batch.exchange([0], 0)
    assert to_host(batch.since).tolist() == [1]  # the first round on the CPU is in vain then too
    for found, expected in zip(batch.of_device(0), states, strict=True):
        assert_same_search(found, expected)
    assert batch.gather(3)[0].tolist() == [0]


def test_a_group_is_what_the_cpu_has_in_lockstep() -> None:
    assert exchange.GROUP == GROUP
