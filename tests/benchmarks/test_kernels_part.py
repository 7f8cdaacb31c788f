"""What the kernels are timed on is right, what is counted is there, and the part runs whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

import numpy as np
import pytest

from osong.scoring.functions import VINA
from osong_benchmarks import operations
from osong_benchmarks.cases import (
    LIGANDS,
    POCKET_EDGE,
    Call,
    KernelCase,
    in_float64,
    kernel_function,
    made_target,
    make_case,
    with_poses,
)
from osong_benchmarks.child import ChildError
from osong_benchmarks.kernel_child import time_in_child
from osong_benchmarks.part import Settings
from osong_benchmarks.parts import kernels
from osong_kernels.call_check import mismatches
from osong_kernels.contract import KERNELS, Array
from osong_kernels.cpu import elementary
from osong_kernels.physics import interpolation, ops, pair_table, pair_terms, rotation

BY_LOOPS = [kernel for kernel in KERNELS if kernel.definition == "loops"]


@pytest.fixture(scope="module")
def case() -> KernelCase:
    return make_case("12_atoms", POCKET_EDGE["smallest"])


def test_every_kernel_of_the_contract_is_timed(case: KernelCase) -> None:
    assert case.missing == ()
    assert set(case.calls) == {kernel.name for kernel in KERNELS}
    for call in case.calls.values():
        assert mismatches(call.kernel, call.arguments) == []
        assert call.work > 0


def reduced(call: Call) -> Call:
    """The call with less work, so that plain loops can follow."""
    if call.kernel.name == "pose_energy":
        return with_poses(call, 17)
    if call.kernel.name == "build_maps":  # two planes through the middle, every eighth column
        maps = call.argument("maps")
        arguments = list(call.arguments)
        arguments[-2] = maps.shape[1] // 2
        arguments[-1] = np.zeros_like(maps[:, :2, :4, :4])
        return Call(call.kernel, tuple(arguments), 1.0, "")
    if call.kernel.name == "voxelise":  # a few points at the middle, and atoms near it
        arguments = list(call.arguments)
        distance = np.linalg.norm(arguments[0] - arguments[7][0], axis=1)
        near = np.argsort(distance, kind="stable")[:40]
        arguments[:3] = [np.ascontiguousarray(value[near]) for value in arguments[:3]]
        arguments[-1] = np.zeros((len(arguments[7]), 28, 7, 7, 7), np.float32)
        return Call(call.kernel, tuple(arguments), 1.0, "")
    if call.kernel.name == "run_bit_networks":  # a few molecules
        packed, *networks, out = call.arguments
        return Call(call.kernel, (packed[:3], *networks, out[:3].copy()), 1.0, "")
    return call


@pytest.mark.parametrize("kernel", BY_LOOPS, ids=lambda kernel: kernel.name)
def test_what_is_timed_is_what_the_reference_says(case: KernelCase, kernel: Any) -> None:
    call = reduced(case.calls[kernel.name])
    got, expected = call.fresh(), in_float64(call)
    result = kernel_function(kernel)(*got)
    assert result == kernel_function(kernel, "reference")(*expected)
    for described, value, wanted in zip(kernel.arguments, got, expected, strict=True):
        if described.direction == "out" and isinstance(described, Array):
            assert np.isfinite(wanted.astype(float)).all()
            np.testing.assert_allclose(value, wanted, rtol=2e-4, atol=2e-3)


def test_replaying_changes_nothing_that_was_recorded(case: KernelCase) -> None:
    call = case.calls["run_chains"]
    outcomes = []
    for _ in range(2):
        arguments = call.fresh()
        kernel_function(call.kernel)(*arguments)
        outcomes.append(arguments[-1].current.tobytes())
    assert outcomes[0] == outcomes[1] != call.argument("state").current.tobytes()


def test_pairs_in_reach_of_less_than_a_lane_vector(case: KernelCase) -> None:
    call = case.calls["pose_energy"]
    few = replace(case, calls={"pose_energy": with_poses(call, 3)})
    one = replace(case, calls={"pose_energy": with_poses(call, 1)})
    assert 0 < kernels._near_pairs(one) <= kernels._near_pairs(few) <= case.n_pairs


def test_a_process_that_gives_no_times_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"failed: .*no such ligand"):
        time_in_child(tmp_path, POCKET_EDGE["smallest"], ["no such ligand"])
    with (
        mock.patch("subprocess.run", return_value=CompletedProcess([], 0, stdout="", stderr="")),
        pytest.raises(ChildError, match="no times"),
    ):
        time_in_child(tmp_path, 14.0, [])


def test_the_pocket_is_like_a_protein() -> None:
    coords = made_target(30.0).receptor.coords
    assert 2000 < len(coords) < 5000
    inside = (np.abs(coords) < 12).all(axis=1) & (coords[:, 2] < 0)
    volume = 24 * 24 * 12 - 2 / 3 * np.pi * 8**3  # the pocket is empty
    assert inside.sum() / volume == pytest.approx(1 / 20, rel=0.2)
    small = made_target(14.0).receptor.coords
    assert {tuple(x) for x in small.tolist()} < {tuple(x) for x in coords.tolist()}


# --- the counted model ---


class Counted(float):
    """A number that counts what is done with it."""

    n = 0


def _counting(name: str) -> Callable[[Counted, float], Counted]:
    def operation(self: Counted, other: float) -> Counted:
        Counted.n += 1
        return Counted(getattr(float, name)(self, float(other)))

    return operation


for _name in ("add", "sub", "mul", "truediv"):
    for _prefix in ("__", "__r"):
        setattr(Counted, f"{_prefix}{_name}__", _counting(f"{_prefix}{_name}__"))
setattr(Counted, "__neg__", lambda self: Counted(-float(self)))  # noqa: B010 (a sign is free)


def counted(function: Callable[..., Any], *arguments: Any) -> int:
    Counted.n = 0
    function(*arguments)
    return Counted.n


def costing(n: int, *results: float) -> Callable[[Any], Any]:
    def function(a: Any) -> Any:
        Counted.n += n
        values = tuple(Counted(x) for x in results)
        return values if len(values) > 1 else values[0]

    return function


def test_operations_of_the_elementary_functions() -> None:
    with (
        mock.patch.object(ops, "floor_to_int", return_value=Counted(0)),
        mock.patch.object(ops, "to_float", lambda a: a),
        mock.patch.object(ops, "power_of_two", return_value=Counted(1)),
        mock.patch.object(elementary, "inverse_square_root_guess", return_value=Counted(1)),
    ):
        x = Counted(0.5)
        exponential = elementary.lane_exponential.py_func  # type: ignore[attr-defined]
        sine_cosine = elementary.lane_sine_cosine.py_func  # type: ignore[attr-defined]
        root = elementary.lane_inverse_square_root.py_func  # type: ignore[attr-defined]
        assert counted(exponential, x) == operations.EXPONENTIAL
        assert counted(sine_cosine, x) == operations.SINE_COSINE
        assert counted(root, x) == operations.INVERSE_ROOT


def test_operations_of_the_formulae() -> None:
    x = [Counted(0.3 + 0.01 * k) for k in range(11)]
    with (
        mock.patch.object(pair_terms, "minimum", lambda a, b: Counted(min(a, b))),
        mock.patch.object(pair_terms, "maximum", lambda a, b: Counted(max(a, b))),
        mock.patch.object(pair_terms, "exponential", costing(operations.EXPONENTIAL, 0.5)),
        mock.patch.object(pair_terms, "inverse_square_root", costing(operations.INVERSE_ROOT, 0.2)),
    ):
        pair = counted(pair_terms.pair_energy, Counted(16.0), Counted(3.8), 1.0, 1.0, VINA.weights)
        assert pair == operations.PAIR_FORMULA
    assert counted(interpolation.trilinear, *x) == operations.TRILINEAR
    assert counted(rotation.matrix_from_quaternion, *x[:4]) == operations.ROOT_FRAME
    assert counted(rotation.axis_matrix, *x[:5]) == operations.AXIS_MATRIX


def test_operations_of_the_table_of_pairs() -> None:
    table = pair_table.tabulate_pairs(VINA.weights, 10.0)
    root = costing(operations.INVERSE_ROOT, 0.2)
    with (
        mock.patch.object(pair_table, "minimum", lambda a, b: Counted(min(a, b))),
        mock.patch.object(pair_table, "maximum", lambda a, b: Counted(max(a, b))),
        mock.patch.object(pair_table, "truncate", lambda a: Counted(int(a))),
        mock.patch.object(pair_table, "to_float", Counted),
        mock.patch.object(pair_table, "look_up", return_value=Counted(0.5)),
        mock.patch.object(pair_table, "inverse_square_root", root),
    ):
        pair = counted(pair_table.table_energy, Counted(16.0), 3.8, 1.0, 0.0, table)
    assert pair == operations.PAIR_TABLE


def test_pairs_out_of_reach_cost_less() -> None:
    near, far, formula = (
        operations.evaluation_costs(20, 4, 100, n, by_table=by_table)["pairs"]
        for n, by_table in ((100, True), (0, True), (100, False))
    )
    assert near.flops == 100 * (8 + 25 + 10)
    assert formula.flops - near.flops == 100 * (69 - 25)
    assert far.flops == 100 * 8
    assert near.intensity > far.intensity


# --- the part ---


def test_the_part_runs_and_draws(tmp_path: Any) -> None:
    said: list[str] = []
    result = kernels.run(Settings("smallest", out=tmp_path), said.append)
    assert said
    read = kernels.KernelsResult.model_validate_json(result.model_dump_json())
    assert read == result
    assert {row.kernel for row in result.rates} == {kernel.name for kernel in KERNELS}
    assert all(row.seconds > 0 for row in result.rates)
    assert [row.name for row in result.ligands] == list(LIGANDS)[:1]
    # what is not measured at this size, and nothing else
    assert {gap.what for gap in result.gaps} <= {"narrower instruction sets", "compile times"}
    assert {row.stage for row in result.stages} == {
        "kinematics", "field", "pairs", "optimiser and moves",
    }  # fmt: skip
    found = kernels.merits(read)
    assert found["kernels.evaluation.12_atoms"].value > 0
    assert 0 < found["kernels.peak_share.12_atoms"].value < 1
    assert 10 <= len(found) <= 20


def test_the_page_says_what_the_numbers_say(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    result = kernels.run(Settings("smallest", out=tmp_path), lambda line: None)
    shown = kernels.section(result)
    assert len(shown.figures) == 2
    assert all(figure.svg.lstrip().startswith("<svg") for figure in shown.figures)
    assert shown == kernels.section(result)
    evaluation = kernels.merits(result)["kernels.evaluation.12_atoms"].value
    assert f"{evaluation:.3f}" in shown.tables[0].rows[0]
