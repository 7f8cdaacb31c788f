from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong_benchmarks.statistics import (
    Differences,
    RatioOfTimes,
    percent,
    share,
    sign_test,
    wilson_interval,
)


def test_differences_are_absolute() -> None:
    found = Differences([-0.03, 0.01, 0.0, 0.005])
    assert found.maximum == 0.03
    assert found.within(0.01) == 0.75
    assert found.percentile(100) == 0.03


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_differences_refuse_nothing_and_nan(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Differences(values)


def test_shares() -> None:
    assert share([True, False, False, False]) == 0.25
    assert math.isnan(share([]))
    assert percent(np.array([True] * 47 + [False] * 17)) == "73 % (47 of 64)"


def test_wilson_interval_of_a_textbook_case() -> None:
    low, high = wilson_interval(15, 20)
    assert low == pytest.approx(0.5313, abs=1e-3)
    assert high == pytest.approx(0.8881, abs=1e-3)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_holds_the_share(n: int, data: st.DataObject) -> None:
    n_true = data.draw(st.integers(0, n))
    low, high = wilson_interval(n_true, n)
    assert 0.0 <= low <= n_true / n + 1e-12
    assert n_true / n - 1e-12 <= high <= 1.0


def test_ratio_of_paired_times() -> None:
    found = RatioOfTimes.of([1.0, 2.0, 1.0], [10.0, 10.0, 30.0])
    assert (found.of_totals, found.median, found.n) == (12.5, 10.0, 3)
    assert math.isnan(RatioOfTimes.of([], []).of_totals)
    with pytest.raises(ValueError, match="pairs"):
        RatioOfTimes.of([1.0], [1.0, 2.0])


@given(st.integers(0, 40), st.integers(0, 40))
def test_sign_test_is_a_probability_that_knows_no_side(a: int, b: int) -> None:
    assert sign_test(a, b) == sign_test(b, a)
    assert 0.0 < sign_test(a, b) <= 1.0
    assert (sign_test(a, b) == 1.0) == (abs(a - b) <= 1)
