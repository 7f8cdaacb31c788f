"""Maps shared within a process: what is shared, and how much is kept."""

from __future__ import annotations

import numpy as np
import pytest

from osong import Box, Target
from osong.receptor import Receptor
from osong.scoring import map_cache, scoring_function
from osong.scoring.map_cache import forget_maps, shared_maps


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_cache, "_kept", type(map_cache._kept)())


def make_target(edge: float) -> Target:
    text = np.array(["X"])
    receptor = Receptor(
        np.zeros((1, 3), np.float32), np.zeros(1, np.int8), np.zeros(1, np.float32),
        text, text, text, text, text, text,
    )  # fmt: skip
    return Target(receptor, Box((0, 0, 0), (edge, edge, edge)))


def test_equal_targets_share_their_maps() -> None:
    vina = scoring_function("vina")
    maps = shared_maps(make_target(3.0), vina)
    assert shared_maps(make_target(3.0), vina) is maps
    assert shared_maps(make_target(4.0), vina) is not maps
    assert shared_maps(make_target(3.0), scoring_function("vinardo")) is not maps


def test_the_least_recently_used_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    vina = scoring_function("vina")
    small, other, third = (make_target(edge) for edge in (3.0, 2.9, 2.8))
    maps = shared_maps(small, vina)
    monkeypatch.setattr(map_cache, "_MAX_BYTES", 2 * maps.n_bytes)
    second = shared_maps(other, vina)
    assert shared_maps(small, vina) is maps
    shared_maps(third, vina)
    assert shared_maps(small, vina) is maps
    assert shared_maps(other, vina) is not second


def test_what_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_cache, "_MAX_BYTES", 1000)
    vina = scoring_function("vina")
    maps = shared_maps(make_target(3.0), vina)
    assert shared_maps(make_target(3.0), vina) is not maps
    assert not map_cache._kept


def test_maps_can_be_forgotten() -> None:
    vina = scoring_function("vina")
    maps = shared_maps(make_target(3.0), vina)
    forget_maps()
    assert shared_maps(make_target(3.0), vina) is not maps
