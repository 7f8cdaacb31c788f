"""Cached machine code is thrown away when any kernel source changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import osong_kernels
from osong_kernels.compile import sources_hash
from osong_kernels.cpu.terms import ligand_terms

_RUN = """
import numpy as np
from osong_kernels.cpu.distinct import pick_distinct
coords = np.zeros((2, 1, 3), np.float32)
coords[1] = 3.0
chosen = np.zeros(2, np.int64)
n = pick_distinct(coords, np.arange(2), 1.0, chosen)
print(n, sum(pick_distinct.stats.cache_hits.values()))
"""


def _run(root: Path) -> str:
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_kernels_carry_the_stamp_of_all_sources() -> None:
    assert ligand_terms._cache._cache_file._source_stamp == sources_hash()


def test_a_change_anywhere_compiles_anew(tmp_path: Path) -> None:
    shutil.copytree(
        Path(osong_kernels.__file__).parent,
        tmp_path / "osong_kernels",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    assert _run(tmp_path) == "2 0"
    assert _run(tmp_path) == "2 1"
    elsewhere = tmp_path / "osong_kernels" / "physics" / "rotation.py"
    elsewhere.write_text(elsewhere.read_text() + "# changed\n")
    assert _run(tmp_path) == "2 0"
