from __future__ import annotations

import pytest

from osong_workflows import allocation
from osong_workflows.allocation import (
    allocated_cores,
    allocated_memory,
    cores_here,
    inside_slurm,
    job_name,
    node_name,
    tasks_here,
)

GIBIBYTE = 2**30
STEP = {"SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_NODEID": "0", "SLURM_CPUS_ON_NODE": "32"}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of 64 cores and 256 GiB."""
    monkeypatch.setattr(allocation, "usable_cores", lambda: 64)
    monkeypatch.setattr(allocation, "usable_memory", lambda: 256 * GIBIBYTE)


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({}, 64),
        ({"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_CPUS_ON_NODE": "128"}, 64),
        # A batch script may use all that its job has on the node, however its tasks are cut.
        ({"SLURM_CPUS_ON_NODE": "32", "SLURM_CPUS_PER_TASK": "8"}, 32),
        (STEP, 16),
        (STEP | {"SLURM_NODEID": "2"}, 32),
        (STEP | {"SLURM_CPUS_PER_TASK": "8"}, 8),
        (STEP | {"SLURM_CPUS_ON_NODE": "1"}, 1),
        (STEP | {"SLURM_CPUS_PER_TASK": "40"}, 32),
        (STEP | {"SLURM_NODEID": "7"}, 32),
        ({"SLURM_CPUS_ON_NODE": "none"}, 64),
    ],
)
def test_cores_are_those_of_the_allocation(environment: dict[str, str], cores: int) -> None:
    assert allocated_cores(environment) == cores


@pytest.mark.parametrize(
    ("environment", "memory"),
    [
        ({}, 256),
        ({"SLURM_MEM_PER_NODE": "65536"}, 64),
        # --mem=0 means all that the node has.
        ({"SLURM_MEM_PER_NODE": "0"}, 256),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "16"}, 32),
        (STEP | {"SLURM_MEM_PER_NODE": "65536"}, 32),
        (STEP, 128),
        (STEP | {"SLURM_NODEID": "2"}, 256),
    ],
)
def test_memory_is_that_of_the_allocation(environment: dict[str, str], memory: int) -> None:
    assert allocated_memory(environment) == memory * GIBIBYTE


def test_a_share_that_affinity_has_cut_is_not_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "usable_cores", lambda: 16)
    assert allocated_cores(STEP) == 16
    assert cores_here(STEP) == 16


def test_a_node_is_shared_by_all_processes_of_the_job() -> None:
    assert cores_here(STEP) == 32
    assert [tasks_here(STEP | {"SLURM_NODEID": n}) for n in "0123"] == [2, 2, 1, 1]
    assert tasks_here({}) == 1


def test_jobs_and_nodes_have_names() -> None:
    assert job_name({}) == ""
    assert job_name({"SLURM_JOB_ID": "7"}) == "7"
    array = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    assert job_name(array) == "7_2"
    assert node_name({"SLURMD_NODENAME": "node3"}) == "node3"
    assert node_name({})
    assert inside_slurm({"SLURM_JOB_ID": "7"})
    assert not inside_slurm({})
