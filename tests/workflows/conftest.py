from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    # For the tests' helpers, and for the fake docker: docking processes get this process's path.
    sys.path.append(HERE)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file to which every docking call appends the molecule's index."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv("OSONG_FAKE_CALLS", str(path))
    return path
