"""Exact refinement: what must hold for every pose that comes back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_cases import VINA, far_pairs, make_receptor, make_rules, make_state, make_topology

from osong_kernels.arguments import LigandTopology, PairList, ReceptorAtoms
from osong_kernels.reference.exact import exact_pose_energy

LOW, HIGH = np.full(3, -4.0, np.float32), np.full(3, 4.0, np.float32)
WALL, LIMIT = 20.0, 1000.0
Genotypes = npt.NDArray[np.float32]


class Problem:
    """A ligand in a pocket with random starting poses."""

    def __init__(self, parents: list[int], atoms: list[int], n_conformers: int = 1) -> None:
        rng = np.random.default_rng(11)
        self.topology: LigandTopology = make_topology(rng, parents, atoms, n_conformers)
        self.pairs: PairList = far_pairs(rng, self.topology)
        self.atom_type = rng.integers(0, 4, sum(atoms)).astype(np.int32)
        self.receptor: ReceptorAtoms = make_receptor(rng, 80, 5.5)
        n = 19
        genes = rng.uniform(-3, 3, (n, 6 + len(parents)))
        genes[:, :3] = rng.uniform(-2.5, 2.5, (n, 3))
        quaternion = rng.normal(size=(n, 4))
        genes[:, 3:7] = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
        self.start: Genotypes = genes.astype(np.float32)
        self.conformers = rng.integers(0, n_conformers, n).astype(np.int32)

    def refine(
        self, backend: SimpleNamespace, start: Genotypes | None = None, max_ticks: int = 300
    ) -> Genotypes:
        genotypes = (self.start if start is None else start).copy()
        backend.refine_poses(
            self.topology, self.pairs, self.atom_type, self.receptor, VINA,
            make_rules(limit=LIMIT, tolerance=1e-4, max_iterations=max_ticks), LOW, HIGH, WALL,
            max_ticks, self.conformers[: len(genotypes)], genotypes, make_state(self.topology),
        )  # fmt: skip
        return genotypes

    def energy(self, genotype: npt.NDArray[Any], n: int) -> tuple[float, Any, Any]:
        """Return exact energy, gradient and coordinates by the definition."""
        return exact_pose_energy(
            self.topology, self.pairs, self.atom_type, self.receptor, VINA, LIMIT,
            LOW.astype(float), HIGH.astype(float), WALL, genotype.astype(np.float64),
            int(self.conformers[n]),
        )  # fmt: skip


PROBLEMS = {
    "flexible": Problem([-1, 0, 1, 0], [4, 2, 2, 3]),
    "ring conformers": Problem([-1, 0], [4, 3], 3),
    "rigid": Problem([-1], [5]),
    "atom": Problem([-1], [1]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_energy_falls_to_a_minimum_inside_the_box(backend: SimpleNamespace, name: str) -> None:
    problem = PROBLEMS[name]
    refined = problem.refine(backend)
    gains = []
    for n, (before, after) in enumerate(zip(problem.start, refined, strict=True)):
        start, _, _ = problem.energy(before, n)
        end, _, coords = problem.energy(after, n)
        # float32's rounding of a sum of some hundred pairs
        assert end <= start + 1e-3
        gains.append(start - end)
        assert np.linalg.norm(after[3:7]) == pytest.approx(1.0, abs=1e-5)
        if end < 0.0:
            assert (coords > LOW - 0.05).all()
            assert (coords < HIGH + 0.05).all()
    assert np.median(gains) > 0.3


@pytest.mark.parametrize("name", ["flexible", "rigid"])
def test_small_steps_from_a_refined_pose_gain_nothing(backend: SimpleNamespace, name: str) -> None:
    """Probed in many directions: at a kink (a ramp's end, the wall) no gradient vanishes."""
    problem, rng = PROBLEMS[name], np.random.default_rng(6)
    for n, genotype in enumerate(problem.refine(backend)[:8].astype(np.float64)):
        end = problem.energy(genotype, n)[0]
        for _ in range(15):
            step = rng.normal(size=len(genotype))
            nudged = genotype + 0.02 * step / np.linalg.norm(step)
            nudged[3:7] /= np.linalg.norm(nudged[3:7])
            assert problem.energy(nudged, n)[0] > end - 0.05


@pytest.mark.parametrize("name", ["flexible", "rigid"])
def test_refined_poses_stay_where_they_are(backend: SimpleNamespace, name: str) -> None:
    problem = PROBLEMS[name]
    once = problem.refine(backend)
    twice = problem.refine(backend, once)
    gain = [
        problem.energy(a, n)[0] - problem.energy(b, n)[0]
        for n, (a, b) in enumerate(zip(once, twice, strict=True))
    ]
    assert np.median(gain) < 0.01
    assert min(gain) > -1e-3


def test_a_pose_does_not_depend_on_the_others(backend: SimpleNamespace) -> None:
    problem = PROBLEMS["flexible"]
    together = problem.refine(backend)
    for n in (0, 7, 18):
        alone = problem.refine(backend, problem.start[n : n + 1])
        assert alone[0].tobytes() == together[n].tobytes()
    assert problem.refine(backend).tobytes() == together.tobytes()


def test_order_of_receptor_atoms_hardly_matters(backend: SimpleNamespace) -> None:
    problem, shuffled = (Problem([-1, 0, 1, 0], [4, 2, 2, 3]) for _ in range(2))
    order = np.random.default_rng(5).permutation(80)
    shuffled.receptor = problem.receptor._replace(
        xyz=np.ascontiguousarray(problem.receptor.xyz[:, order]),
        atom_type=problem.receptor.atom_type[order],
    )
    a, b = problem.refine(backend), shuffled.refine(backend)
    apart = [
        abs(problem.energy(x, n)[0] - problem.energy(y, n)[0])
        for n, (x, y) in enumerate(zip(a, b, strict=True))
    ]
    assert np.median(apart) < 0.03


def test_few_ticks_never_make_it_worse(backend: SimpleNamespace) -> None:
    problem = PROBLEMS["flexible"]
    last = [problem.energy(g, n)[0] for n, g in enumerate(problem.start)]
    for max_ticks in (1, 5, 30):
        refined = problem.refine(backend, max_ticks=max_ticks)
        now = [problem.energy(g, n)[0] for n, g in enumerate(refined)]
        assert all(x <= y + 1e-3 for x, y in zip(now, last, strict=True))


def test_nothing_to_refine(backend: SimpleNamespace) -> None:
    problem = PROBLEMS["flexible"]
    assert len(problem.refine(backend, problem.start[:0])) == 0


@pytest.mark.parametrize("name", ["flexible", "ring conformers"])
def test_reference_gradient_matches_central_differences(name: str) -> None:
    problem = PROBLEMS[name]
    genes = problem.start.astype(np.float64)
    genes[:, 3:7] /= np.linalg.norm(genes[:, 3:7], axis=1, keepdims=True)
    h, close = 1e-6, []
    for n in range(6):
        gradient = problem.energy(genes[n], n)[1]
        for dof in (0, 1, 2, *range(6, len(gradient))):
            index = dof if dof < 3 else dof + 1
            high, low = genes[n].copy(), genes[n].copy()
            high[index] += h
            low[index] -= h
            difference = (problem.energy(high, n)[0] - problem.energy(low, n)[0]) / (2 * h)
            close.append(abs(gradient[dof] - difference) < 1e-4 * (1.0 + abs(difference)))
    # one in a hundred may straddle a kink
    assert np.mean(close) > 0.97
