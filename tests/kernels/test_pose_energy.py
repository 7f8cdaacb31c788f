"""Energies and gradients of poses: kernel, definition and central differences agree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from kernel_cases import VINA, VINARDO, Case, cases, is_smooth, make_case, make_pairs

from osong_kernels.arguments import Field, LigandTopology
from osong_kernels.physics.rotation import multiply_quaternions, quaternion_from_rotation_vector
from osong_kernels.reference.pose_energy import (
    field_energy,
    pair_list_energy,
    place_atoms,
    pose_energy,
)

HAND_MADE = {
    "rigid": make_case(1, [-1], [12]),
    "one atom": make_case(2, [-1], [1]),
    "no pairs": make_case(3, [-1, 0, 1], [3, 4, 2], pair_share=0.0),
    "chain": make_case(4, [-1, 0, 1, 2, 3, 4], [4] * 6, pair_share=1.0),
    "star": make_case(5, [-1, 0, 0, 0, 0], [5, 2, 3, 1, 4]),
    "empty segments": make_case(6, [-1, 0, 1, 1], [2, 0, 3, 0]),
    "ring conformers": make_case(7, [-1, 0, 0, 2], [6, 3, 3, 3], n_conformers=4),
    "smallest lattice": make_case(8, [-1, 0], [4, 4], shape=(2, 2, 2)),
    "thin lattice": make_case(9, [-1, 0], [4, 4], shape=(2, 30, 3)),
    "vinardo": make_case(10, [-1, 0, 1, 1, 3], [6, 5, 4, 3, 2], weights=VINARDO),
    "table": make_case(13, [-1, 0, 1, 1, 3], [6, 5, 4, 3, 2], pair_share=1.0, is_tabulated=True),
    "vinardo table": make_case(14, [-1, 0, 0], [6, 5, 4], weights=VINARDO, is_tabulated=True),
    "one pose": make_case(11, [-1, 0], [4, 3], n_poses=1),
    "many poses": make_case(12, [-1, 0], [4, 3], n_poses=67),
}


def check(backend: SimpleNamespace, case: Case) -> int:
    """Compare all poses' energies and coordinates, smooth poses' gradients; count the latter."""
    arguments = case.arguments(np.float32)
    backend.pose_energy(*arguments)
    energy, gradient, coords = (a.astype(np.float64) for a in arguments[-3:])
    expected_energy, expected_gradient, expected_coords = case.reference()
    # float32 at 30 A resolves 2e-6 A, and a chain of segments adds such roundings
    np.testing.assert_allclose(coords, expected_coords, atol=3e-5)
    n_smooth = 0
    for n in range(len(energy)):
        slopes = sum_of_slopes(case, expected_coords[n])
        bound = 3e-5 * (1.0 + slopes) + 2e-6 * np.abs(expected_energy[n]).sum()
        assert np.abs(energy[n] - expected_energy[n]).max() < bound
        if is_smooth(case, expected_coords[n]):
            n_smooth += 1
            scale = 1.0 + slopes * np.ptp(expected_coords[n], axis=0).max()
            assert np.abs(gradient[n] - expected_gradient[n]).max() < 2e-4 * scale
    return n_smooth


def sum_of_slopes(case: Case, coords: npt.NDArray[np.float64]) -> float:
    """Return how much the energy changes per angstrom, all atoms moving for the worst."""
    field = field_energy(coords, case.topology.map_index, case.field, case.limit)[1]
    pairs = pair_list_energy(coords, case.pairs, case.pair_law, case.limit)[1]
    return float(np.abs(field).sum() + np.abs(pairs).sum())


@pytest.mark.parametrize("name", HAND_MADE)
def test_kernel_agrees_with_the_reference(backend: SimpleNamespace, name: str) -> None:
    n_smooth = check(backend, HAND_MADE[name])
    assert n_smooth > 0


@given(cases())
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
def test_kernel_agrees_with_the_reference_for_any_ligand(
    backend: SimpleNamespace, case: Case
) -> None:
    check(backend, case)


def moved(genotype: npt.NDArray[np.float64], dof: int, step: float) -> npt.NDArray[np.float64]:
    """Return the genotype a step along one degree of freedom."""
    genes = genotype.copy()
    if dof < 3:
        genes[dof] += step
    elif dof < 6:
        vector = np.zeros(3)
        vector[dof - 3] = step
        turn = quaternion_from_rotation_vector(*vector)
        genes[3:7] = multiply_quaternions(*turn, *genes[3:7])
    else:
        genes[dof + 1] += step
    return genes


@pytest.mark.parametrize(
    "name", ["chain", "star", "ring conformers", "vinardo", "one atom", "table"]
)
def test_reference_gradient_matches_central_differences(name: str) -> None:
    # unit to the last digit: float32's 1e-7 off shows in forces that nearly cancel
    topology = HAND_MADE[name].topology
    axis = topology.axis.astype(np.float64)
    axis /= np.linalg.norm(axis, axis=2, keepdims=True)
    case = HAND_MADE[name].with_topology(topology._replace(axis=axis))
    genotypes = case.genotypes.astype(np.float64)
    genotypes[:, 3:7] /= np.linalg.norm(genotypes[:, 3:7], axis=1, keepdims=True)
    arguments = list(case.arguments(np.float64))
    arguments[5] = genotypes
    pose_energy(*arguments)
    _, gradient, coords = arguments[-3:]

    def total(n: int, genotype: npt.NDArray[np.float64]) -> float:
        one = list(case.arguments(np.float64))
        one[5:] = (
            genotype[None], case.conformers[n : n + 1], np.zeros((1, 2)),
            np.zeros((1, len(gradient[n]))), np.zeros((1, *coords[n].shape)),
        )  # fmt: skip
        pose_energy(*one)
        return float(one[-3].sum())

    n_checked, h = 0, 1e-6
    for n in range(len(genotypes)):
        if not is_smooth(case, coords[n]):
            continue
        for dof in range(gradient.shape[1]):
            high, low = (total(n, moved(genotypes[n], dof, s)) for s in (h, -h))
            difference = (high - low) / (2 * h)
            assert gradient[n, dof] == pytest.approx(difference, rel=1e-6, abs=1e-6)
            n_checked += 1
    assert n_checked >= gradient.shape[1]


def lattice_case(points: list[list[float]]) -> Case:
    """Return one unrotated rigid pose whose atoms stand at lattice positions (steps)."""
    rng = np.random.default_rng(20)
    shape = np.array([4, 5, 6], np.int32)
    maps = rng.normal(size=int(shape.prod())).astype(np.float32)
    local = (np.array(points, np.float32) * 0.5)[None]
    n = len(points)
    topology = LigandTopology(
        np.array([0, n], np.int32), np.array([-1], np.int32), local,
        np.array([[[0, 0, 1]]], np.float32), np.zeros((1, 1, 3), np.float32), np.zeros(n, np.int32),
        np.ones(6, np.float32),
    )  # fmt: skip
    field = Field(maps, shape, np.array([-1.0, 2.0, 8.0], np.float32), 0.5, 20.0)
    genotype = np.array([[-1, 2, 8, 1, 0, 0, 0]], np.float32)
    return Case(
        topology, make_pairs(rng, n, 0.0), field, genotype, np.zeros(1, np.int32), VINA, 1e9
    )


def energy_of(backend: SimpleNamespace, case: Case) -> tuple[Any, Any]:
    arguments = case.arguments(np.float32)
    backend.pose_energy(*arguments)
    return arguments[-3], arguments[-2]


def test_atoms_on_lattice_points_have_the_maps_values(backend: SimpleNamespace) -> None:
    points = [[0, 0, 0], [1, 2, 3], [3, 4, 5], [3, 0, 0], [0, 4, 0], [0, 0, 5]]
    case = lattice_case(points)
    maps = case.field.maps.reshape(4, 5, 6)
    values = np.array([maps[tuple(p)] for p in points])
    energy, gradient = energy_of(backend, case)
    assert energy[0, 0] == pytest.approx(values.sum(), rel=1e-5)
    np.testing.assert_allclose(gradient, case.reference()[1], rtol=1e-4, atol=1e-4)


def test_atoms_outside_pay_the_wall_and_are_pushed_back(backend: SimpleNamespace) -> None:
    inside, outside = lattice_case([[3.0, 2.5, 2.5]]), lattice_case([[5.0, 2.5, 2.5]])
    (at_border, _), (beyond, gradient) = (energy_of(backend, c) for c in (inside, outside))
    assert beyond[0, 0] - at_border[0, 0] == pytest.approx(2 * 0.5 * 20.0, rel=1e-5)
    assert gradient[0, 0] == pytest.approx(20.0)
    low = energy_of(backend, lattice_case([[-4.0, 2.5, 2.5]]))[1]
    assert low[0, 0] == pytest.approx(-20.0)
    np.testing.assert_allclose(gradient, outside.reference()[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_senseless_coordinates_read_no_foreign_memory(
    backend: SimpleNamespace, value: float
) -> None:
    case = make_case(30, [-1, 0], [3, 3], n_poses=20)
    good, _ = energy_of(backend, case)
    genotypes = case.genotypes.copy()
    genotypes[3, 0] = value
    bad, _ = energy_of(backend, case.with_genotypes(genotypes))
    assert not bad[3, 0] < 1e20  # NaN, infinite or huge
    others = np.arange(20) != 3
    np.testing.assert_array_equal(bad[others], good[others])


@pytest.mark.parametrize("is_tabulated", [False, True])
def test_coincident_atoms_are_finite(backend: SimpleNamespace, is_tabulated: bool) -> None:
    case = make_case(31, [-1, 0, 0], [3, 3, 3], pair_share=1.0, is_tabulated=is_tabulated)
    local = np.zeros_like(case.topology.local)
    still = case.with_topology(case.topology._replace(local=local))
    arguments = still.arguments(np.float32)
    backend.pose_energy(*arguments)
    assert all(np.isfinite(a).all() for a in arguments[-3:])
    np.testing.assert_allclose(arguments[-3], still.reference()[0], rtol=1e-4)


def test_poses_do_not_depend_on_their_neighbours(backend: SimpleNamespace) -> None:
    case = HAND_MADE["many poses"]
    together = case.arguments(np.float32)
    backend.pose_energy(*together)
    order = np.random.default_rng(40).permutation(len(case.genotypes))
    shuffled = case.with_genotypes(case.genotypes[order]).arguments(np.float32)
    backend.pose_energy(*shuffled)
    for a, b in zip(together[-3:], shuffled[-3:], strict=True):
        np.testing.assert_array_equal(a[order], b)


def test_joint_move_of_pose_and_lattice_changes_nothing() -> None:
    case = HAND_MADE["chain"]
    shift = np.array([8.0, -16.0, 4.0], np.float32)
    genotypes = case.genotypes.astype(np.float64)
    genotypes[:, :3] += shift
    field = case.field._replace(origin=case.field.origin.astype(np.float64) + shift)
    there = list(case.arguments(np.float64))
    there[2], there[5] = field, genotypes
    pose_energy(*there)
    np.testing.assert_allclose(there[-3], case.reference()[0], atol=1e-9)


def test_placing_keeps_every_distance_within_a_segment() -> None:
    case = HAND_MADE["ring conformers"]
    for n, genotype in enumerate(case.genotypes.astype(np.float64)):
        genotype[3:7] /= np.linalg.norm(genotype[3:7])
        local = case.topology.local[case.conformers[n]].astype(np.float64)
        coords, _, matrices = place_atoms(case.topology, genotype, int(case.conformers[n]))
        for s, m in enumerate(matrices):
            # the rotation axis in float32 is a unit vector to 1e-7 only
            np.testing.assert_allclose(m @ m.T, np.eye(3), atol=3e-6)
            span = slice(case.topology.segment_start[s], case.topology.segment_start[s + 1])
            a = np.linalg.norm(coords[span, None] - coords[None, span], axis=2)
            b = np.linalg.norm(local[span, None] - local[None, span], axis=2)
            np.testing.assert_allclose(a, b, atol=1e-5)
