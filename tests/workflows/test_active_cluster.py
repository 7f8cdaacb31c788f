"""Campaigns with a strategy under MPI and Slurm: rounds are rounds wherever they are docked."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from active_helpers import UNREADABLE, N, open_active, picks_of, write_library
from campaign_helpers import DOCKER, fake_screen
from cluster_processes import cluster_in
from slurm_bed import wait_for
from slurm_campaigns import log_of, make_of, site

from osong_workflows.active_campaign import ActiveCampaign
from osong_workflows.jobs import job_states, read_jobs
from osong_workflows.strategy import make_strategy
from osong_workflows.submit import submit

pytest.importorskip("torch", reason="needs osong[ml]")
pytestmark = pytest.mark.slow

MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
NO_MPI = any(importlib.util.find_spec(name) is None for name in ("mpi4py", "dask_mpi"))
STRATEGY = {"kind": "active", "batch": 12, "top": 10, "patience": 9, "initial": "random"}
BUDGET = 24


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("library") / "library.smi")


@pytest.fixture(scope="module")
def alone(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("alone") / "run"
    return fake_screen(library, out, strategy=STRATEGY, budget=BUDGET)


def begun(library: Path, out: Path) -> Path:
    """A campaign of which nothing is done."""
    return make_of(library, out, strategy=make_strategy(STRATEGY, BUDGET))


def is_same(folder: Path, alone: Any) -> None:
    found = ActiveCampaign(folder, docker=DOCKER)
    assert found.status().is_finished
    assert picks_of(folder) == picks_of(alone)
    assert found.ledger().equals(alone.ledger())
    assert found.top(None).equals(alone.top(None))


@pytest.mark.skipif(NO_MPI or not Path(MPIEXEC).exists(), reason="needs osong[mpi] with MPICH")
def test_ranks_of_mpi_go_through_all_rounds(library: Path, alone: Any, tmp_path: Path) -> None:
    begun(library, tmp_path / "run")
    program = str(Path(__file__).parent / "osong_with_fake_docker.py")
    with cluster_in(tmp_path / "run") as cluster:
        cluster.start(
            *(MPIEXEC, "-n", "4", sys.executable, program),
            *("resume", str(cluster.folder), "--runner", "mpi", "--quiet"),
        )
        code, _, err = cluster.end()
    assert code == 0, err
    is_same(tmp_path / "run", alone)


@pytest.mark.parametrize("launch", ["local", "srun"])
def test_slurm_jobs_go_through_all_rounds(
    in_slurm: Any, library: Path, alone: Any, tmp_path: Path, launch: str
) -> None:
    folder = begun(library, tmp_path / "run")
    submit(folder, site(launch=launch, nodes_per_pilot=1), 2 if launch == "local" else 1)

    def is_over() -> bool:
        return not any(s.is_active for s in job_states(read_jobs(folder).submissions))

    wait_for(is_over, "the jobs are over")
    assert ActiveCampaign(folder, docker=DOCKER).status().is_finished, log_of(folder)
    is_same(folder, alone)
    assert (folder / "hits.sdf").exists() == (alone.status().n_ok > 0), log_of(folder)


def test_the_library_is_what_it_should_be(alone: Any) -> None:
    """The tests above would pass on an empty one."""
    assert alone.plan.n_records == N
    assert alone.status().n_ok == BUDGET
    assert alone.status().failures == {"fingerprint": len(UNREADABLE)}
    assert open_active(alone).status().n_rounds == 2
