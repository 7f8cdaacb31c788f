"""Philox 4x32-10 gives the numbers of its authors, and uniform ones cover [0, 1) evenly."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from osong_kernels.physics.random import philox, uniform

# kat_vectors of Random123: counter (4), key (2), result (4)
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


@numba.njit
def compiled_philox(k0: Any, k1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> Any:
    return philox(k0, k1, c0, c1, c2, c3)


@numba.njit
def compiled_uniform(words: Any, out: Any) -> None:
    for i in range(len(words)):
        out[i] = uniform(words[i])


def words(text: str) -> list[np.uint64]:
    return [np.uint64(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize("function", [philox, compiled_philox], ids=["python", "compiled"])
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(function: Any, counter: str, key: str, expected: str) -> None:
    result = function(*words(key), *words(counter))
    assert [int(word) for word in result] == [int(word) for word in words(expected)]


def test_each_word_of_key_and_counter_matters() -> None:
    base = [np.uint64(7)] * 6
    results = {tuple(map(int, philox(*base)))}
    for k in range(6):
        changed = [*base]
        changed[k] = np.uint64(8)
        results.add(tuple(map(int, philox(*changed))))
    assert len(results) == 7


def test_uniform_ends_and_exactness_in_float32() -> None:
    edge = np.array([0, 2**32 - 1, 2**31], np.uint64)
    out = np.empty(3)
    compiled_uniform(edge, out)
    assert out.tolist() == [0.0, 1.0 - 2.0**-24, 0.5]
    assert out.tolist() == [uniform(word) for word in edge]
    assert (out == out.astype(np.float32)).all()


def test_uniform_is_even() -> None:
    drawn = [
        uniform(word)
        for c in range(5000)
        for word in philox(*(np.uint64(v) for v in (1, 2, c, 0, 0, 0)))
    ]
    counts = np.histogram(drawn, bins=20, range=(0.0, 1.0))[0]
    # chi-square of 19 degrees of freedom: 43.8 is passed once in a thousand seeds; this is one
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 43.8
