"""Energies of poses on a device: against the definition, with warps that have too few lanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from kernel_backends import Backend
from kernel_cases import Case, cases, is_smooth, make_case, place
from test_pose_energy import (
    HAND_MADE,
    check,
    test_atoms_on_lattice_points_have_the_maps_values,
    test_atoms_outside_pay_the_wall_and_are_pushed_back,
)

from osong_kernels.cuda.warp import LANES

__all__ = [
    "test_atoms_on_lattice_points_have_the_maps_values",
    "test_atoms_outside_pay_the_wall_and_are_pushed_back",
]

MORE_THAN_LANES = {
    "more segments than lanes": make_case(
        21, [-1, 0, 1, 2, 2, 4, 5, 0, 7, 8, 9, 10], [3, *[2] * 11], n_poses=40
    ),
    "more atoms than lanes in a segment": make_case(22, [-1], [3 * LANES + 1], pair_share=1.0),
    "as many atoms as lanes": make_case(23, [-1, 0], [LANES - 2, 2], is_tabulated=True),
}


def few_poses(case: Case, n: int) -> Case:
    """Return the case with some of its poses, those first whose gradient can be compared."""
    smooth = [
        is_smooth(case, place(case.topology, *pose))
        for pose in zip(case.genotypes, case.conformers, strict=True)
    ]
    chosen = np.argsort(~np.array(smooth), kind="stable")[:n]
    return replace(case, genotypes=case.genotypes[chosen], conformers=case.conformers[chosen])


@pytest.mark.parametrize("name", [*HAND_MADE, *MORE_THAN_LANES])
def test_kernel_agrees_with_the_reference(backend: Backend, name: str) -> None:
    assert check(backend, few_poses((HAND_MADE | MORE_THAN_LANES)[name], 4)) > 0


@given(cases())
@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
def test_kernel_agrees_with_the_reference_for_any_ligand(backend: Backend, case: Case) -> None:
    check(backend, few_poses(case, 2))


def test_poses_do_not_depend_on_their_neighbours(backend: Backend) -> None:
    together = HAND_MADE["chain"].with_genotypes(HAND_MADE["chain"].genotypes[:3])
    together = replace(together, conformers=together.conformers[:3])
    alone = replace(together, genotypes=together.genotypes[2:], conformers=together.conformers[2:])
    found, expected = alone.arguments(np.float32), together.arguments(np.float32)
    backend.pose_energy(*found)
    backend.pose_energy(*expected)
    for one, three in zip(found[-3:], expected[-3:], strict=True):
        assert one[0].tobytes() == three[2].tobytes()


@pytest.mark.parametrize("is_tabulated", [False, True])
def test_atoms_at_one_place_are_finite(backend: Backend, is_tabulated: bool) -> None:
    case = few_poses(make_case(31, [-1, 0], [3, 3], pair_share=1.0, is_tabulated=is_tabulated), 2)
    still = case.with_topology(case.topology._replace(local=np.zeros_like(case.topology.local)))
    arguments = still.arguments(np.float32)
    backend.pose_energy(*arguments)
    assert all(np.isfinite(array).all() for array in arguments[-3:])
    np.testing.assert_allclose(arguments[-3], still.reference()[0], rtol=1e-4)


def test_no_poses_are_no_launch(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    # A device refuses a launch of no blocks; what is None cannot be launched.
    monkeypatch.setattr("osong_kernels.cuda.pose_energy.poses_by_formula", None)
    monkeypatch.setattr("osong_kernels.cuda.pose_energy.poses_by_table", None)
    with pytest.raises(TypeError):
        backend.pose_energy(*HAND_MADE["rigid"].arguments(np.float32))
    case = HAND_MADE["rigid"].with_genotypes(HAND_MADE["rigid"].genotypes[:0])
    backend.pose_energy(*replace(case, conformers=case.conformers[:0]).arguments(np.float32))
