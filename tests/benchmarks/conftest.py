from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # for the tests' helpers


@pytest.fixture
def vina_installed() -> None:
    if importlib.util.find_spec("vina") is None:
        pytest.skip("needs osong[peers]")


@pytest.fixture
def fake_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of two small parts: one that counts, one that lacks what it needs."""
    import suite_fakes

    suite_fakes.install(monkeypatch)
