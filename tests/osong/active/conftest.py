"""A small library with scores that fragments explain."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from osong.active import FeatureStore, write_features

_HEADS = [
    "c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccc(F)cc1", "c1ccc(Cl)cc1", "C1CCOCC1", "c1ccsc1",
    "c1ccoc1", "CC(C)", "c1ccc2ccccc2c1", "c1cn[nH]c1", "C1CCNCC1", "CCC", "c1ccc(C#N)cc1",
]  # fmt: skip
_LINKS = ["", "C", "CC", "C(=O)N", "S(=O)(=O)N", "OC", "NC(=O)", "CCO", "C=C", "NC"]
_TAILS = ["C", "CC", "C(F)(F)F", "C(=O)O", "N(C)C", "OC", "CO", "C#N", "Cl", "CCN"]


@pytest.fixture(scope="session")
def library() -> list[str]:
    """1,400 molecules."""
    return [a + b + c for a, b, c in itertools.product(_HEADS, _LINKS, _TAILS)]


@pytest.fixture(scope="session")
def known_scores(library: list[str]) -> npt.NDArray[np.float64]:
    """What each head, link and tail adds, and some noise."""
    rng = np.random.default_rng(5)
    parts = [rng.normal(0, scale, n) for scale, n in ((1.0, 14), (0.6, 10), (0.6, 10))]
    sums = parts[0][:, None, None] + parts[1][:, None] + parts[2]
    return np.asarray(-7.0 + sums.ravel() + rng.normal(0, 0.3, len(library)))


@pytest.fixture(scope="session")
def store(library: list[str], tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder: Path = tmp_path_factory.mktemp("active") / "features"
    return write_features(library, folder)
