"""MPI that never comes up: a rank that is lost in MPI_Init leaves the others there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("mpi4py")
pytest.importorskip("dask_mpi")

MPI4PY = "class rc:\n    finalize = None\n"
HANGING = "import ctypes\nctypes.PyDLL(None).sleep(600)\n"
"""Waits as MPI_Init does: below Python, whose lock it holds."""
BROKEN = "raise RuntimeError('no MPI library')\n"
SCRIPT = """\
import signal
from osong_workflows import mpi_world
mpi_world.START_LIMIT_S = 1
try:
    mpi_world.world()
finally:
    assert signal.alarm(0) == 0
"""


def start(place, mpi: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call `world` with a stand-in for mpi4py."""
    package = place / "mpi4py"
    package.mkdir()
    (package / "__init__.py").write_text(MPI4PY)
    (package / "MPI.py").write_text(mpi)
    path = os.pathsep.join([str(place), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        | {"PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rank_that_waits_in_vain_is_ended(tmp_path):
    begin = time.monotonic()
    done = start(tmp_path, HANGING)
    assert done.returncode == -signal.SIGALRM, done.stderr
    assert time.monotonic() - begin < 50


def test_alarm_does_not_outlive_the_start(tmp_path):
    done = start(tmp_path, BROKEN)
    assert done.returncode == 1
    assert "MPI cannot be loaded (no MPI library)" in done.stderr
    assert "AssertionError" not in done.stderr


ABORTING = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
SCANCEL = '#!/bin/sh\necho "$@" >> "$0.log"\n'


@pytest.mark.parametrize(("mpi", "code"), [(ABORTING, -9), (BROKEN, 1)])
def test_rank_that_dies_at_the_start_ends_the_step(tmp_path, mpi: str, code: int):
    scancel = tmp_path / "scancel"
    scancel.write_text(SCANCEL)
    scancel.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = start(tmp_path, mpi, SLURM_JOB_ID="7", SLURM_STEP_ID="0", PATH=path)
    assert done.returncode == code, done.stderr
    log = tmp_path / "scancel.log"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert log.read_text() == "--signal=KILL 7.0\n"


def test_somebodys_shell_is_no_step_of_ranks(tmp_path):
    scancel = tmp_path / "scancel"
    scancel.write_text(SCANCEL)
    scancel.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    start(tmp_path, BROKEN, SLURM_JOB_ID="7", SLURM_STEP_ID="4294967290", PATH=path)
    time.sleep(3.0)
    assert not (tmp_path / "scancel.log").exists()


def test_rank_that_comes_up_ends_nobody(tmp_path):
    from osong_workflows.mpi_start import guarded_start

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "7")
        patch.setenv("SLURM_STEP_ID", "0")
        patch.setenv("PATH", str(tmp_path))
        scancel = tmp_path / "scancel"
        scancel.write_text(SCANCEL)
        scancel.chmod(0o755)
        with guarded_start():
            pass
    time.sleep(2.5)
    assert not (tmp_path / "scancel.log").exists()


def test_libfabric_is_taken_unless_somebody_says_otherwise(tmp_path, monkeypatch):
    from osong_workflows import mpi_start

    monkeypatch.setattr(mpi_start, "_has_mpich", lambda: True)
    environment = {"LD_LIBRARY_PATH": f":{tmp_path}"}
    mpi_start.prefer_ofi(environment)
    assert environment.pop("MPIR_CVAR_CH4_NETMOD") == "ofi"
    (tmp_path / "libmpi.so.12").touch()
    mpi_start.prefer_ofi(environment)
    assert "MPIR_CVAR_CH4_NETMOD" not in environment, "a site's own MPI"
    said = {"MPIR_CVAR_CH4_NETMOD": "ucx"}
    mpi_start.prefer_ofi(said)
    assert said == {"MPIR_CVAR_CH4_NETMOD": "ucx"}
    monkeypatch.setattr(mpi_start, "_has_mpich", lambda: False)
    environment = {}
    mpi_start.prefer_ofi(environment)
    assert not environment
