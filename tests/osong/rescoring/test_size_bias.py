"""Corrections of energies for the ligands' sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong.errors import InputError
from osong.rescoring.size_bias import METHODS, correct_for_size, size_corrected


def _library(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    sizes = rng.integers(10, 50, size=n)
    return -2.0 - 0.15 * sizes + rng.normal(0.0, 0.5, size=n), sizes


def test_power_divides_by_size() -> None:
    assert size_corrected([-8.0, -9.0], [8, 27]) == pytest.approx([-4.0, -3.0])
    assert size_corrected([-8.0, -9.0], [16, 36], alpha=0.5).tolist() == [-2.0, -1.5]
    assert size_corrected([-8.0], [16], alpha=1.0).tolist() == [-0.5]
    assert size_corrected([-8.0, -9.0], [16, 36], alpha=0.0).tolist() == [-8.0, -9.0]


def test_residual_takes_the_line_away() -> None:
    energies, sizes = _library()
    left = size_corrected(energies, sizes, method="residual")
    assert abs(np.corrcoef(left, sizes)[0, 1]) < 1e-12
    assert left.mean() == pytest.approx(0.0, abs=1e-12)
    slope = np.polyfit(sizes, energies, 1)
    assert left == pytest.approx(energies - np.polyval(slope, sizes))


def test_residual_of_one_size_keeps_the_order() -> None:
    assert size_corrected([-7.0, -9.0], [20, 20], method="residual").tolist() == [1.0, -1.0]
    assert size_corrected([-7.0], [20], method="residual").tolist() == [0.0]


@given(shift=st.floats(-50, 50), slope=st.floats(-1, 1))
def test_residual_does_not_see_what_is_linear_in_size(shift: float, slope: float) -> None:
    energies, sizes = _library(40)
    first = size_corrected(energies, sizes, method="residual")
    second = size_corrected(energies + shift + slope * sizes, sizes, method="residual")
    assert second == pytest.approx(first, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_energy_change_nothing(method: str) -> None:
    energies, sizes = _library(30)
    alone = size_corrected(energies, sizes, method=method)  # type: ignore[arg-type]
    with_failed = size_corrected(
        np.append(energies, [np.nan, np.nan]),
        np.append(sizes, [np.nan, 12]),
        method=method,  # type: ignore[arg-type]
    )
    assert with_failed[:-2].tolist() == alone.tolist()
    assert np.isnan(with_failed[-2:]).all()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_docked(method: str) -> None:
    found = size_corrected([np.nan], [np.nan], method=method)  # type: ignore[arg-type]
    assert np.isnan(found).all()
    assert size_corrected([], [], method=method).shape == (0,)  # type: ignore[arg-type]


def test_table_is_ranked_and_left_as_it_was() -> None:
    table = pd.DataFrame(
        {
            "name": ["large", "failed", "small", "tie_high", "tie_low"],
            "energy": [-9.0, np.nan, -8.0, -4.0, -8.0],
            "n_heavy": [36, None, 16, 4, 16],
        }
    )
    before = table.copy()
    found = correct_for_size(table, alpha=0.5)
    assert found["name"].tolist() == ["small", "tie_low", "tie_high", "large", "failed"]
    assert found["energy_for_size"].iloc[:4].tolist() == [-2.0, -2.0, -2.0, -1.5]
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-8.0], [16, 17]), "shapes"),
        (([-8.0], [0]), "heavy atoms"),
        (([-8.0], [np.nan]), "heavy atoms"),
        (([-np.inf], [10]), "infinite"),
    ],
)
def test_bad_numbers_are_told(arguments: tuple[list[float], list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        size_corrected(*arguments)


def test_bad_options_are_told() -> None:
    with pytest.raises(InputError, match="alpha is 2"):
        size_corrected([-8.0], [16], alpha=2.0)
    with pytest.raises(InputError, match="power or residual"):
        size_corrected([-8.0], [16], method="log")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="n_heavy"):
        correct_for_size(pd.DataFrame({"energy": [-8.0]}))
