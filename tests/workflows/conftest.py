from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    # For the tests' helpers, and for the fake docker: docking processes get this process's path.
    sys.path.append(HERE)

from device_campaigns import batches, machine  # noqa: E402, F401 (fixtures)
from slurm_bed import SlurmBed, why_not  # noqa: E402 (lies here)
from slurm_campaigns import undisturbed  # noqa: E402, F401 (a fixture)
from slurm_stand_in import campaign, slurm  # noqa: E402, F401 (fixtures)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file to which every docking call appends the molecule's index."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv("OSONG_FAKE_CALLS", str(path))
    return path


@pytest.fixture(scope="session")
def slurm_bed() -> Iterator[SlurmBed]:
    """A Slurm of 16 nodes, one core each, for the tests that take `in_slurm`."""
    why = why_not()
    if why:
        pytest.skip(why)
    bed = SlurmBed(16)
    try:
        bed.up()
        yield bed
    finally:
        bed.down()


@pytest.fixture
def in_slurm(slurm_bed: SlurmBed, monkeypatch: pytest.MonkeyPatch) -> SlurmBed:
    """The same, with this process's commands talking to it."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_bed.config))
    return slurm_bed
