"""The loop that drives a cluster, and the runner srun with a Slurm that is this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_processes import Cluster, cluster_in
from distributed import Client, LocalCluster, get_worker
from osong_fake_tasks import FakeSource, calls

from osong.errors import CampaignError, InputError, ResourceError
from osong_workflows import worker_process
from osong_workflows.dask_cluster import SchedulerFile, listening_address
from osong_workflows.runners.remote import Patience, RemoteTasks
from osong_workflows.runners.srun import SrunRunner, srun_command
from osong_workflows.tasks import DockChunk, TaskResult, WorkOrder
from osong_workflows.worker_process import Failure, Refusal, work

IMPATIENT = Patience(first_s=1.0, again_s=1.0, refused_s=0.5)


@contextlib.contextmanager
def client_of_two() -> Iterator[Client]:
    """A client of two workers in this process, with a thread each."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def two_threads():
    with client_of_two() as client:
        yield client


@pytest.fixture
def two_fresh():
    with client_of_two() as client:
        yield client


@pytest.fixture
def cluster(tmp_path: Path):
    with cluster_in(tmp_path / "campaign") as it:
        yield it


def rest(task: DockChunk) -> TaskResult:
    time.sleep(0.01)
    return TaskResult(host=get_worker().address, seconds=0.01)


def test_every_task_is_done_once_and_few_wait(two_threads: Client) -> None:
    source = FakeSource(60)
    RemoteTasks(two_threads, source, (), function=rest).run()
    assert sorted(source.results) == list(range(60))
    assert len({result.host for result in source.results.values()}) == 2
    assert source.counts == [(2, 2)]
    assert 2 <= source.most_under_way <= 4


def test_tasks_that_come_later_are_taken_while_others_are_under_way(two_threads: Client) -> None:
    begun = threading.Event()

    class Late(FakeSource):
        def take(self, *, wait: bool) -> DockChunk | None:
            if self.under_way and not begun.is_set():
                begun.set()
                return None
            return super().take(wait=wait)

    source = Late(3)
    RemoteTasks(two_threads, source, (), function=rest).run()
    assert sorted(source.results) == [0, 1, 2]


def test_told_to_stop_it_stops(two_threads: Client) -> None:
    source = FakeSource(1000, stop_after=5)
    RemoteTasks(two_threads, source, (), function=rest).run()
    assert 5 <= len(source.results) < 20


def test_a_bug_is_not_a_lost_task(two_threads: Client) -> None:
    def bug(task: DockChunk) -> TaskResult:
        raise KeyError("a bug")

    source = FakeSource(3)
    with pytest.raises(KeyError, match="a bug"):
        RemoteTasks(two_threads, source, (), function=bug).run()
    assert not source.losses


def test_a_chunk_that_cannot_be_done_costs_no_worker(two_threads: Client) -> None:
    def some(task: DockChunk) -> TaskResult | Failure:
        if task.chunk in (3, 11):
            return Failure(get_worker().address, get_worker().address, CampaignError("no input"))
        return rest(task)

    source = FakeSource(20)
    RemoteTasks(two_threads, source, (), function=some).run()
    assert not source.rejections
    assert source.counts == [(2, 2)]
    assert sorted(source.losses) == [3, 11]
    assert source.losses[3].endswith(": no input")
    assert len(source.results) == 18


def test_an_error_of_the_file_system_is_a_lost_task(two_threads: Client) -> None:
    def stale(task: DockChunk) -> TaskResult:
        if task.chunk == 1:
            raise OSError(errno.ESTALE, "Stale file handle")
        return rest(task)

    source = FakeSource(4)
    RemoteTasks(two_threads, source, (), function=stale).run()
    assert sorted(source.results) == [0, 2, 3]
    assert "Stale file handle" in source.losses[1]


def test_a_worker_on_which_all_fails_is_sent_away(two_fresh: Client) -> None:
    bad = min(two_fresh.nthreads())

    def some(task: DockChunk) -> TaskResult | Failure:
        address = get_worker().address
        if address == bad:
            return Failure(address, address, ResourceError("scratch is full"))
        return rest(task)

    source = FakeSource(20)
    RemoteTasks(two_fresh, source, (), function=some).run()
    assert source.rejections == [(bad, "scratch is full")]
    assert len(source.losses) == 1
    assert len(source.results) == 19


def test_when_all_fails_everywhere_what_they_say_is_the_error(two_fresh: Client) -> None:
    def full(task: DockChunk) -> Failure:
        address = get_worker().address
        return Failure(address, address, ResourceError("the disk is full"))

    source = FakeSource(20)
    with pytest.raises(ResourceError, match="the disk is full"):
        RemoteTasks(two_fresh, source, (), function=full, n_expected=1).run()
    assert len(source.rejections) == 2


def test_workers_tell_errors_of_their_own_from_those_of_a_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def do(self, task: DockChunk) -> TaskResult:
            raise OSError(errno.ESTALE, "Stale file handle", "parts/x")

    def no_run(order: WorkOrder) -> Broken:
        raise ResourceError("no room for grid maps")

    order = WorkOrder("x", "no:docker", "p")
    monkeypatch.setattr(worker_process, "get_worker", lambda: SimpleNamespace(address="tls://a"))
    monkeypatch.setattr(worker_process, "FAILED_S", 0.0)
    monkeypatch.setattr(worker_process, "_run_for", lambda order: Broken())
    answer = worker_process.run_task(order, DockChunk(0))
    assert isinstance(answer, Failure)
    assert str(answer.error) == "parts/x: Stale file handle"
    monkeypatch.setattr(worker_process, "_run_for", no_run)
    assert isinstance(worker_process.run_task(order, DockChunk(0)), Refusal)


def test_a_worker_that_cannot_work_is_sent_away(two_threads: Client) -> None:
    bad = min(two_threads.nthreads())

    def some(task: DockChunk) -> TaskResult | Refusal:
        address = get_worker().address
        if address == bad:
            return Refusal(address, "node7", ResourceError("no room for grid maps"))
        return rest(task)

    source = FakeSource(20)
    RemoteTasks(two_threads, source, (), function=some).run()
    assert sorted(source.results) == list(range(20))
    assert source.rejections == [("node7", "no room for grid maps")]
    assert source.counts[-1] == (1, 1)
    # The other one, which is the last.
    with pytest.raises(ResourceError, match="no room"):
        RemoteTasks(
            two_threads,
            FakeSource(20),
            (),
            function=lambda task: Refusal(get_worker().address, "x", ResourceError("no room")),
            n_expected=1,
        ).run()


def test_without_workers_it_says_where_to_look(tmp_path: Path) -> None:
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as empty,
        Client(empty, set_as_default=False) as client,
    ):
        source = FakeSource(3)
        with pytest.raises(CampaignError) as caught:
            RemoteTasks(client, source, (), patience=IMPATIENT, logs="logs/p.log").run()
        assert not source.under_way
        # Other pilots have finished the campaign meanwhile.
        RemoteTasks(client, FakeSource(3, is_over=True), (), patience=IMPATIENT).run()
        with pytest.raises(CampaignError, match=r"scheduler .*: srun is out of order"):
            RemoteTasks(client, source, (), why_none=lambda: "srun is out of order").run()
    message = str(caught.value)
    assert "no worker has reached the scheduler at" in message
    assert "within 1 s" in message
    assert "logs/p.log" in message
    assert "\n" not in message


def test_srun_runs_one_worker_a_node_with_all_its_cores() -> None:
    command = srun_command(
        {"SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_CPUS_PER_NODE": "32(x2),16"}, ["--qos=x"]
    )
    assert command[0] == "srun"
    assert command[-1] == "--qos=x"
    wanted = {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--cpus-per-task=16", "--no-kill"}
    assert wanted <= set(command)
    assert {"--kill-on-bad-exit=0", "--wait=0"} <= set(command)


def test_outside_of_slurm_srun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match="inside a Slurm job"):
        SrunRunner(WorkOrder(str(tmp_path), "no:docker", "p")).run(FakeSource(1))
    assert not list(tmp_path.iterdir())


def test_an_unknown_interface_is_refused() -> None:
    with pytest.raises(InputError, match="network interface 'moon0'"):
        listening_address("moon0")
    assert listening_address("lo") == "127.0.0.1"
    assert listening_address(peer="127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"address": 7}', '{"address": "tcp://h:1"}'])
def test_a_file_that_names_no_scheduler_is_refused(tmp_path: Path, content: str) -> None:
    file = SchedulerFile.of_pilot(tmp_path, "p")
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    file.path.write_text(content)
    with pytest.raises(CampaignError, match="is no scheduler file"):
        file.read(0.0)


def test_a_scheduler_file_lasts_as_long_as_its_scheduler(tmp_path: Path) -> None:
    file = SchedulerFile.of_pilot(tmp_path, "p")
    with file.telling("tls://host:1"):
        assert file.read() == "tls://host:1"
        assert file.campaign == tmp_path
    with pytest.raises(CampaignError, match="no scheduler is there"):
        file.read(0.0)


def test_a_worker_without_certificates_does_not_begin(tmp_path: Path) -> None:
    file = SchedulerFile.of_pilot(tmp_path, "p")
    with (
        file.telling("tls://127.0.0.1:1"),
        pytest.raises(CampaignError, match="tls: cannot be read"),
    ):
        work(file.path)


def test_killed_workers_and_nannies_cost_nothing_but_time(cluster: Cluster) -> None:
    cluster.start_srun("nap", 80)
    cluster.until(lambda: len(cluster.workers()) == 2, "two workers")
    # A process is there before the scheduler knows it: longer so on a busy machine.
    cluster.begun(20)
    first, second = cluster.nannies()
    cluster.workers()[0].kill()
    cluster.begun(30)
    cluster.until(lambda: len(cluster.workers()) == 2, "the worker is back")
    second.kill()
    code, heard, err = cluster.end()
    assert code == 0, err
    assert heard["done"] == list(range(80))
    assert not heard["losses"]
    assert [2, 2] in heard["counts"]
    assert [1, 1] in heard["counts"]
    assert err == ""
    assert first.pid != second.pid
    assert not list((cluster.folder / "run").iterdir())


def test_a_task_that_kills_its_workers_goes_back_to_the_pilot(cluster: Cluster) -> None:
    cluster.start_srun("deadly", 6)
    code, heard, err = cluster.end()
    assert code == 0, err
    assert heard["done"] == [0, 1, 2, 4, 5]
    assert list(heard["losses"]) == ["3"]
    assert "worker died" in heard["losses"]["3"]
    assert calls(cluster.folder)["died"] == 2


def test_a_killed_pilot_leaves_nobody_behind(cluster: Cluster) -> None:
    cluster.start_srun("long_nap", 4)
    cluster.begun(2)
    cluster.stop()
    assert cluster.are_gone()


def test_warnings_of_a_batch_system_are_for_the_pilot(cluster: Cluster) -> None:
    cluster.start_srun("nap", 30)
    cluster.begun(4)
    for process in [*cluster.nannies(), *cluster.workers()]:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGUSR1)
    code, heard, err = cluster.end()
    assert code == 0, err
    assert max(calls(cluster.folder).values()) == 1
    assert heard["counts"] in ([[2, 2]], [[1, 1], [2, 2]])


def test_an_srun_that_fails_is_tried_again_and_then_reported(cluster: Cluster) -> None:
    tools = cluster.folder / "tools"
    tools.mkdir()
    (tools / "srun").write_text("#!/bin/sh\necho srun: error: no nodes for you >&2\nexit 1\n")
    (tools / "srun").chmod(0o755)
    cluster.start(
        *(sys.executable, str(Path(__file__).parent / "osong_fake_pilot.py")),
        *("srun", str(cluster.folder), "nap", "3"),
        PATH=f"{tools}:{os.environ['PATH']}",
        SLURM_JOB_ID="1",
    )
    code, heard, err = cluster.end()
    assert code == 1
    assert heard["done"] == []
    (line,) = err.splitlines()
    assert "srun ended 4 times, the last time with code 1 (srun: error: no nodes for you)" in line
    assert "pilot-1.workers.log" in line
