"""Segments of killed MPI ranks go, those in use and those of others stay."""

from __future__ import annotations

import mmap
import os
import time

import pytest

from osong_workflows import shared_memory
from osong_workflows.shared_memory import sweep_shared_memory


@pytest.fixture
def segments(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "_YOUNG_S", 0.2)
    for name in ("mpich_shm_1f_0", "mpich_shm_2f_0", "mpich_shm_3f_0", "other"):
        (tmp_path / name).write_bytes(b"\0" * 4096)
    return tmp_path


def test_only_old_unmapped_segments_of_ours_go(segments):
    with (segments / "mpich_shm_2f_0").open("r+b") as file, mmap.mmap(file.fileno(), 4096):
        time.sleep(0.3)
        (segments / "mpich_shm_4f_0").write_bytes(b"young")
        assert sweep_shared_memory(segments) == ["mpich_shm_1f_0", "mpich_shm_3f_0"]
    left = sorted(path.name for path in segments.iterdir())
    assert left == ["mpich_shm_2f_0", "mpich_shm_4f_0", "other"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")
def test_segments_of_others_stay(segments):
    os.chown(segments / "mpich_shm_1f_0", 12345, 12345)
    time.sleep(0.3)
    assert sweep_shared_memory(segments) == ["mpich_shm_2f_0", "mpich_shm_3f_0"]


def test_no_shared_memory_is_no_error(tmp_path):
    assert sweep_shared_memory(tmp_path / "nowhere") == []
