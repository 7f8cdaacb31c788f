"""Mutations of chains: what each kind moves, and what it leaves where it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from kernel_cases import LANES, make_rules, make_state, make_topology

from osong_kernels.arguments import ChainState, LigandTopology
from osong_kernels.cpu.moves import mutate
from osong_kernels.reference.pose_energy import place_atoms

KEY = np.array([7, 11], np.uint64)
PARENTS, ATOMS = [-1, 0, 1, 1, 0], [4, 2, 3, 2, 3]
N_STEPS = 40


@numba.njit
def mutate_all(state: Any, topology: Any, key: Any, rules: Any) -> None:
    for lane in range(state.step.shape[0]):
        mutate(state, topology, lane, key, lane, rules)


def start(topology: LigandTopology) -> ChainState:
    state = make_state(topology)
    rng = np.random.default_rng(3)
    state.current[:] = rng.uniform(-3.0, 3.0, state.current.shape)
    state.current[3:7] /= np.linalg.norm(state.current[3:7], axis=0)
    state.conformer[:] = state.current_conformer[:] = np.arange(LANES) % len(topology.local)
    return state


def pose(
    topology: LigandTopology, genes: npt.NDArray[np.float32], lane: int, conformer: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    coords, pivots, _ = place_atoms(topology, genes[:, lane].astype(np.float64), conformer)
    return coords, pivots


def distances(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def kind_of(topology: LigandTopology, state: ChainState, lane: int) -> str:
    """Return what a mutation did; assert that it did nothing else."""
    before, after = state.current_conformer[lane], state.conformer[lane]
    if before != after:
        assert (state.current[:, lane] == state.trial[:, lane]).all()
        return "ring"
    old, old_pivots = pose(topology, state.current, lane, before)
    new, new_pivots = pose(topology, state.trial, lane, before)
    twisted = np.flatnonzero(state.current[7:, lane] != state.trial[7:, lane])
    if len(twisted) == 0:
        np.testing.assert_allclose(distances(new), distances(old), atol=1e-5)
        shift = new - old
        if np.ptp(shift, axis=0).max() < 1e-5:
            assert np.linalg.norm(shift[0]) <= 2.0 + 1e-5
            return "move"
        held = np.flatnonzero(np.linalg.norm(new_pivots - old_pivots, axis=1) < 1e-5)
        assert len(held) >= 1
        return f"turn about {held[0]}"
    (torsion,) = twisted
    segment = np.repeat(np.arange(len(PARENTS)), ATOMS)
    beyond = np.isin(segment, subtree(torsion + 1))
    stays = np.linalg.norm(new - old, axis=1) < 2e-5
    assert stays[beyond].all() != stays[~beyond].all()
    return f"twist {torsion} " + ("near" if stays[beyond].all() else "far")


def subtree(segment: int) -> list[int]:
    found = [segment]
    for child, parent in enumerate(PARENTS):
        if parent in found and child not in found:
            found.append(child)
    return found


@pytest.fixture(scope="module")
def kinds() -> Counter[str]:
    topology = make_topology(np.random.default_rng(5), PARENTS, ATOMS, 2)
    state = start(topology)
    found: Counter[str] = Counter()
    for step in range(N_STEPS):
        state.step[:] = step
        mutate_all(state, topology, KEY, make_rules())
        found.update(kind_of(topology, state, lane) for lane in range(LANES))
        # a mutation of a ring is undone, as by a rejection, so that the next begins as this did
        state.conformer[:] = state.current_conformer
    return found


def test_every_mutation_does_one_thing(kinds: Counter[str]) -> None:
    assert kinds.total() == N_STEPS * LANES
    assert kinds["move"] > 0
    assert kinds["ring"] > 0


def test_turns_are_about_every_segment(kinds: Counter[str]) -> None:
    assert {kind for kind in kinds if kind.startswith("turn")} == {
        f"turn about {segment}" for segment in range(len(PARENTS))
    }


def test_either_side_of_every_bond_stays(kinds: Counter[str]) -> None:
    expected = {f"twist {t} {side}" for t in range(len(PARENTS) - 1) for side in ("near", "far")}
    assert {kind for kind in kinds if kind.startswith("twist")} == expected
    near = sum(n for kind, n in kinds.items() if kind.endswith("near"))
    far = sum(n for kind, n in kinds.items() if kind.endswith("far"))
    # some 370 twists: their share is known to 0.026
    assert 0.4 < near / (near + far) < 0.6
