from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def vina_installed() -> None:
    if importlib.util.find_spec("vina") is None:
        pytest.skip("needs osong[peers]")
