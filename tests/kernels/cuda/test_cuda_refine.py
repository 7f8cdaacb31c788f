"""Exact refinement on a device: down to the CPU's minima, and each pose by itself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from kernel_backends import Backend
from kernel_cases import VINA, make_receptor
from test_refine import PROBLEMS, Problem

from osong_kernels.cpu.refine import refine_poses

CPU = SimpleNamespace(refine_poses=refine_poses)


@pytest.mark.parametrize(
    ("name", "n_poses", "n_ticks"),
    [("flexible", 3, 12), ("ring conformers", 3, 12), ("rigid", 3, 15), ("atom", 3, 30)],
)
def test_energy_falls_as_far_as_on_the_cpu(
    backend: Backend, name: str, n_poses: int, n_ticks: int
) -> None:
    problem = PROBLEMS[name]
    start = problem.start[:n_poses]
    found = problem.refine(backend, start, n_ticks)
    expected = problem.refine(CPU, start, n_ticks)
    before, of_cpu, of_device = (
        np.array([problem.energy(genotype, n)[0] for n, genotype in enumerate(genotypes)])
        for genotypes in (start, expected, found)
    )
    assert (of_device <= before + 1e-3).all()
    assert (before - of_device > 0.1).any()
    # on the way to a minimum chains may part; most do not in so few steps
    assert np.median(np.abs(of_device - of_cpu)) < 0.05
    np.testing.assert_allclose(np.linalg.norm(found[:, 3:7], axis=1), 1.0, atol=1e-5)


def test_one_tick_leaves_a_pose_where_it_is(backend: Backend) -> None:
    problem = PROBLEMS["rigid"]
    start = problem.start[:2]
    np.testing.assert_array_equal(problem.refine(backend, start, 1), start)


def test_a_pose_does_not_depend_on_the_others(backend: Backend) -> None:
    problem = PROBLEMS["rigid"]
    together = problem.refine(backend, problem.start[:3], 8)
    alone = problem.refine(backend, problem.start[:1], 8)
    assert alone[0].tobytes() == together[0].tobytes()


@pytest.mark.parametrize("n_receptor", [1, 17])
def test_walls_bring_a_pose_back_to_where_its_list_is_another(
    backend: Backend, n_receptor: int
) -> None:
    """It starts beyond the reach of all receptor atoms, so that none of them is listed."""
    problem = Problem([-1], [2])
    problem.receptor = make_receptor(np.random.default_rng(3), n_receptor, 4.0)
    start = problem.start[:1].copy()
    start[0, :3] = 15.0, 0.5, -0.5
    refined = problem.refine(backend, start, 30)
    energy, _, coords = problem.energy(refined[0], 0)
    assert coords[:, 0].max() < 4.1
    expected = problem.refine(CPU, start, 30)
    assert energy == pytest.approx(problem.energy(expected[0], 0)[0], abs=0.1)


def test_nothing_to_refine(backend: Backend) -> None:
    problem = PROBLEMS["flexible"]
    assert len(problem.refine(backend, problem.start[:0])) == 0


def test_no_ticks_change_nothing(backend: Backend) -> None:
    problem = PROBLEMS["rigid"]
    start = problem.start[:2]
    np.testing.assert_array_equal(problem.refine(backend, start, 0), start)


def test_a_pose_stays_where_its_energy_is_no_number(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS["rigid"]
    monkeypatch.setattr("test_refine.VINA", VINA._replace(gauss1_weight=np.nan))
    np.testing.assert_array_equal(problem.refine(backend, problem.start[:2], 5), problem.start[:2])
