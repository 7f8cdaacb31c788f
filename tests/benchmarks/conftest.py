from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The benchmarks are no installed package: they run from the checkout, as `python -m benchmarks`.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture
def vina_installed() -> None:
    if importlib.util.find_spec("vina") is None:
        pytest.skip("needs osong[peers]")
