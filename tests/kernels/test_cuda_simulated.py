"""All tests of CUDA kernels pass in Numba's simulator, in a process that has it switched on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_backends import HAS_NUMBA_CUDA

TESTS = Path(__file__).parents[1]
FOLDERS = sorted(
    str(folder.relative_to(TESTS))
    for folder in TESTS.rglob("cuda")
    if any(folder.glob("test_*.py"))
)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_NUMBA_CUDA, reason="needs osong[cuda]")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kernels_pass_in_the_simulator(folder: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / folder]
    done = subprocess.run(
        command,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    summary = done.stdout.splitlines()[-1]
    assert re.search(r"\b\d+ passed\b", summary), summary
    assert "skipped" not in summary, summary


def test_there_are_kernels_to_simulate() -> None:
    assert "kernels/cuda" in FOLDERS
