"""The table of active screens beside a whole one."""

from __future__ import annotations

import numpy as np
import pytest

from osong_benchmarks.active_screen import Truth, _check_same, share_found, table_of


def truth(n: int = 300) -> Truth:
    energies = -np.arange(n, dtype=float)  # the last ones are the best
    energies[5] = np.nan
    return Truth(energies, np.arange(n) >= n - 2)


def test_shares_of_the_best_grow_with_what_is_docked() -> None:
    known = truth()
    assert known.n_top == 3
    batches = [np.array([0, 5, 299]), np.array([1, 2]), np.array([298, 297])]
    assert share_found(batches, known) == pytest.approx([1 / 3, 1 / 3, 1.0])


def test_the_table_says_what_came_with_it() -> None:
    known = truth()
    docked = np.zeros(300, bool)
    docked[[0, 1, 10, 20, 298, 299]] = True
    text = table_of([["greedy, campaign", "33.3", "66.7"]], known, docked, "half of it")
    assert "| found, % of the best | 1.0 % | 2.0 % |" in text
    assert "| at random, expected | 1.0 | 2.0 |" in text
    assert "300 molecules, 2 of them actives; the best 3" in text
    assert "docked 6 and said of itself: half of it." in text
    assert "Actives among its best 3: 2; among those of the whole screen: 2." in text


def test_energies_that_differ_are_no_table() -> None:
    energies = truth().energies
    other = energies.copy()
    _check_same(other, energies)
    other[7] += 1e-6
    with pytest.raises(AssertionError, match="not those of the whole screen"):
        _check_same(other, energies)
