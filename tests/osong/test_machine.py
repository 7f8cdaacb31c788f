"""Cores and memory after cgroups of both versions, from files as kernels write them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil
import pytest

from osong.machine import usable_cores, usable_memory

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def limits(tmp_path: Path, cgroup: str, files: dict[str, str]) -> tuple[int, int]:
    write(tmp_path / "sys", files)
    (tmp_path / "cgroup").write_text(cgroup)
    where = {"proc": tmp_path / "cgroup", "cgroups": tmp_path / "sys"}
    return usable_cores(**where), usable_memory(**where)


@pytest.fixture
def big_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    memory = psutil.virtual_memory()._replace(total=512 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_no_limits_is_the_affinity(tmp_path, big_machine):
    assert limits(tmp_path, "", {}) == (64, 512 * GIB)


def test_version_2_job_within_a_slice(tmp_path, big_machine):
    files = {
        "slurm/job_1/cpu.max": "max 100000",
        "slurm/cpu.max": "800000 100000",
        "slurm/job_1/memory.max": str(16 * GIB),
        "slurm/memory.max": str(200 * GIB),
        "memory.max": "max",
    }
    assert limits(tmp_path, "0::/slurm/job_1\n", files) == (8, 16 * GIB)


def test_version_2_container_root(tmp_path, big_machine):
    files = {"cpu.max": "150000 100000", "memory.max": str(4 * GIB)}
    assert limits(tmp_path, "0::/\n", files) == (2, 4 * GIB)


def test_version_1(tmp_path, big_machine):
    files = {
        "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
        "memory/docker/abc/memory.limit_in_bytes": str(8 * GIB),
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    text = "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=systemd:/x\n"
    assert limits(tmp_path, text, files) == (3, 8 * GIB)


def test_version_1_without_quota(tmp_path, big_machine):
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert limits(tmp_path, "4:cpu:/\n", files)[0] == 64


def test_a_tenth_of_a_core_is_one_worker(tmp_path, big_machine):
    assert limits(tmp_path, "0::/\n", {"cpu.max": "10000 100000"})[0] == 1


def test_affinity_counts(tmp_path, monkeypatch, big_machine):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert limits(tmp_path, "0::/\n", {"cpu.max": "800000 100000"})[0] == 2


def test_resident_limit_counts(tmp_path, monkeypatch, big_machine):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3 * GIB, 4 * GIB))
    assert limits(tmp_path, "", {})[1] == 3 * GIB
