"""The runner mpi with real ranks: by MPICH's mpiexec, and by srun of a real Slurm."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import slurm_bed
from campaign_helpers import fake_screen, molecules, part_bytes, part_paths, reopen
from cluster_processes import PILOT, Cluster, cluster_in
from osong_fake_tasks import calls

from osong_workflows.mpi_world import fault_of_launch
from osong_workflows.tls import ensure_certificates

MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
NO_MPI = any(importlib.util.find_spec(name) is None for name in ("mpi4py", "dask_mpi"))

_STARTS = 4

needs_mpi = pytest.mark.skipif(
    NO_MPI or not Path(MPIEXEC).exists(), reason="needs osong[mpi] with MPICH from PyPI"
)


@pytest.fixture
def cluster(tmp_path: Path):
    with cluster_in(tmp_path / "campaign") as it:
        yield it


def start_ranks(cluster: Cluster, n: int, function: str, n_tasks: int) -> None:
    program = (sys.executable, PILOT, "mpi", str(cluster.folder), function, str(n_tasks))
    cluster.start(MPIEXEC, "-n", str(n), *program)


def rank(cluster: Cluster, number: int) -> psutil.Process:
    """The process that is a rank; workers that it started carry its number too."""

    def is_it(process: psutil.Process) -> bool:
        return process.environ().get("PMI_RANK") == str(number) and PILOT in process.cmdline()

    (found,) = [process for process in cluster.processes() if is_it(process)]
    return found


@needs_mpi
def test_ranks_do_all_tasks_and_part_in_peace(cluster: Cluster) -> None:
    start_ranks(cluster, 4, "nap", 20)
    cluster.begun(4)
    cluster.until(lambda: len(cluster.workers()) == 2, "two workers")
    # A nanny starts a worker that dies again.
    cluster.workers()[0].kill()
    code, heard, err = cluster.end()
    assert (code, err) == (0, "")
    assert heard["done"] == list(range(20))
    assert not heard["losses"]
    assert [2, 2] in heard["counts"]
    assert (cluster.folder / "tls").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@needs_mpi
def test_a_campaign_is_the_same_whoever_ran_it(cluster: Cluster, tmp_path: Path) -> None:
    library = [*molecules(24), ("SEGFAULT_C", "deadly"), ("FAIL_C", "bad")]
    alone = fake_screen(library, tmp_path / "alone", chunk_size=4)
    shutil.copytree(alone.folder, cluster.folder, dirs_exist_ok=True)
    for part in part_paths(reopen(cluster.folder)):
        part.unlink()
    program = str(Path(__file__).parent / "osong_with_fake_docker.py")
    cluster.start(
        *(MPIEXEC, "-n", "4", sys.executable, program),
        *("resume", str(cluster.folder), "--runner", "mpi", "--quiet"),
        OSONG_FAKE_PAUSE="0.1",
    )
    cluster.until(lambda: len(cluster.workers()) == 2, "two workers")
    cluster.until(lambda: part_paths(reopen(cluster.folder)), "a chunk is finished")
    cluster.workers()[0].kill()
    code, _, err = cluster.end()
    assert code == 0, err
    assert part_bytes(reopen(cluster.folder)) == part_bytes(alone)


@needs_mpi
def test_ranks_hear_none_of_the_warnings_for_the_pilot(cluster: Cluster) -> None:
    start_ranks(cluster, 3, "nap", 12)
    cluster.begun(2)
    for number in (0, 2):
        for warning in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            rank(cluster, number).send_signal(warning)
    code, heard, err = cluster.end()
    assert (code, err) == (0, "")
    assert heard["done"] == list(range(12))
    assert max(calls(cluster.folder).values()) == 1


@needs_mpi
def test_mpiexec_takes_a_lost_rank_for_the_end_and_nobody_stays(cluster: Cluster) -> None:
    start_ranks(cluster, 4, "nap", 1000)
    cluster.begun(4)
    rank(cluster, 3).kill()
    code, heard, _ = cluster.end()
    assert code != 0
    assert not heard
    assert cluster.are_gone()


@needs_mpi
@pytest.mark.parametrize("n", [1, 2])
def test_too_few_ranks_are_refused_in_one_line(cluster: Cluster, n: int) -> None:
    start_ranks(cluster, n, "nap", 1)
    code, _, err = cluster.end()
    assert code != 0
    (line,) = [line for line in err.splitlines() if line.startswith("osong:")]
    assert f"at least 3 ranks (scheduler, pilot, workers) and has {n}" in line
    assert "Traceback" not in err
    assert [path.name for path in cluster.folder.iterdir()] == ["campaign.toml"]


@needs_mpi
def test_certificates_that_cannot_be_used_are_refused_in_one_line(cluster: Cluster) -> None:
    place = ensure_certificates(cluster.folder).folder
    (place / "key.pem").chmod(0o644)
    start_ranks(cluster, 3, "nap", 1)
    code, _, err = cluster.end()
    assert code != 0
    (line,) = [line for line in err.splitlines() if line.startswith("osong:")]
    assert "key.pem is open to other users" in line
    assert sorted(path.name for path in cluster.folder.iterdir()) == ["campaign.toml", "tls"]


@needs_mpi
def test_a_folder_that_is_no_campaign_is_left_alone(cluster: Cluster) -> None:
    (cluster.folder / "campaign.toml").unlink()
    start_ranks(cluster, 3, "nap", 1)
    code, _, err = cluster.end()
    assert code != 0
    (line,) = [line for line in err.splitlines() if line.startswith("osong:")]
    assert "is no campaign folder" in line
    assert not list(cluster.folder.iterdir())


def test_a_launcher_that_does_not_fit_is_told_from_too_few_ranks() -> None:
    assert fault_of_launch(4, {}) == ""
    assert fault_of_launch(4, {"PMI_SIZE": "4", "SLURM_STEP_NUM_TASKS": "2"}) == ""
    assert "4 processes were started, but MPI sees 1" in fault_of_launch(1, {"PMI_SIZE": "4"})
    assert "--mpi=" in fault_of_launch(1, {"SLURM_STEP_NUM_TASKS": "8"})
    assert "at least 3 ranks" in fault_of_launch(2, {"OMPI_COMM_WORLD_SIZE": "2"})


@pytest.mark.parametrize("missing", ["mpi4py", "dask_mpi"])
def test_a_missing_package_is_named(cluster: Cluster, missing: str) -> None:
    (cluster.folder / "hide.py").write_text(
        "import sys, runpy, importlib.util\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name: None if name == {missing!r} else find(name)\n"
        f"sys.argv = {[PILOT, 'mpi', str(cluster.folder), 'nap', '1']!r}\n"
        f"runpy.run_path({PILOT!r}, run_name='__main__')\n"
    )
    cluster.start(sys.executable, str(cluster.folder / "hide.py"))
    code, _, err = cluster.end()
    assert code == 1
    assert "pip install 'osong[mpi]'" in err
    assert len(err.splitlines()) == 1


@pytest.fixture(scope="module")
def bed():
    """A Slurm of four nodes, whose srun lets the others live when a rank is lost."""
    if NO_MPI:
        pytest.skip("needs osong[mpi]")
    if reason := slurm_bed.why_not():
        pytest.skip(reason)
    slurm = slurm_bed.SlurmBed(4)
    try:
        slurm.up()
        yield slurm
    finally:
        slurm.down()


@pytest.fixture
def quiet_bed(bed):
    """The same, without the jobs of a test that failed."""
    yield bed
    bed.end_jobs()


def start_in_slurm(cluster: Cluster, bed: slurm_bed.SlurmBed, function: str, n: int) -> None:
    """Start ranks by srun, again where they do not find each other.

    On a busy machine, MPICH under the pmi2 of Slurm 22.05 now and then stays in MPI_Init. Osong's
    ranks end after five minutes of that, and their job is requeued; a test is less patient.
    """
    for _ in range(_STARTS):
        _srun(cluster, bed, function, n)
        if cluster.has_begun(within_s=45.0):
            return
        cluster.kill()
        bed.end_jobs()
    pytest.fail(f"ranks did not find each other in {_STARTS} starts")


def _srun(cluster: Cluster, bed: slurm_bed.SlurmBed, function: str, n: int) -> None:
    srun = shutil.which("srun")
    assert srun is not None
    flags = "--mpi=pmi2 -N4 -n4 --quiet --no-kill --kill-on-bad-exit=0 --wait=0"
    program = (sys.executable, PILOT, "mpi", str(cluster.folder), function, str(n))
    cluster.start(
        *(srun, *flags.split(), *program),
        SLURM_CONF=str(bed.config),
        # On a busy machine, Slurm 22.05 now and then cannot read the addresses of UCX.
        MPIR_CVAR_CH4_NETMOD="ofi",
    )


def in_slurm(cluster: Cluster, number: int) -> psutil.Process:
    """The process of a rank that srun started."""
    ranks = [
        process
        for process in cluster.processes()
        if process.environ().get("SLURM_PROCID") == str(number) and PILOT in process.cmdline()
    ]
    # Of some processes, the parent is the same program just before it becomes another.
    return min(ranks, key=lambda process: process.create_time())


@pytest.mark.slow
def test_a_lost_worker_rank_costs_nothing_but_time(cluster: Cluster, quiet_bed) -> None:
    start_in_slurm(cluster, quiet_bed, "nap", 40)
    cluster.begun(6)
    in_slurm(cluster, 3).kill()
    code, heard, err = cluster.end()
    assert heard["done"] == list(range(40)), err
    assert not heard["losses"]
    assert heard["counts"][-1] == [1, 1]
    assert code == 137
    assert "osong:" not in err


def end_of_scheduler(cluster: Cluster) -> None:
    in_slurm(cluster, 0).kill()


def end_of_pilot(cluster: Cluster) -> None:
    in_slurm(cluster, 1).kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "what"),
    [
        (end_of_scheduler, "the scheduler is gone"),
        (end_of_pilot, r"the pilot (rank 1) is gone"),
    ],
)
def test_without_scheduler_or_pilot_all_end_with_one_line(
    cluster: Cluster, quiet_bed, end: Callable[[Cluster], None], what: str
) -> None:
    start_in_slurm(cluster, quiet_bed, "nap", 1000)
    cluster.begun(4)
    end(cluster)
    code, _, err = cluster.end()
    assert code == 137
    (line,) = [line for line in err.splitlines() if line.startswith("osong:")]
    assert what in line
    assert "osong resume" in line
    assert "Traceback" not in err
    assert cluster.are_gone()
