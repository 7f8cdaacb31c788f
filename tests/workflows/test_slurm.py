"""Campaigns as jobs of a real Slurm, disturbed in every way that Slurm knows.

The disturbed campaigns run at the same time on nodes of their own, since most of each one's time is
waiting: for a time limit, for Slurm to notice a lost node, for the end of the others.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest
from campaign_helpers import read_calls, reopen
from slurm_bed import SlurmBed, slurm, wait_for
from slurm_campaigns import CHUNK, Disturbed, begin, is_same, site

from osong_workflows.jobs import read_jobs
from osong_workflows.sites import Mpi
from osong_workflows.submit import submit

pytestmark = pytest.mark.slow


def requeue(it: Disturbed) -> None:
    slurm("scontrol", "requeue", f"{it.job}_0")


def remove(it: Disturbed) -> None:
    """As whoever runs the cluster would: the job after it does not know why."""
    slurm("scancel", it.job)


def preempt(it: Disturbed) -> None:
    (node,) = it.nodes(f"{it.job}_0")
    slurm("sbatch", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")


def kill_pilot(it: Disturbed) -> None:
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
        except psutil.Error:
            continue
        if str(it.folder) in arguments and "resume" in arguments and arguments[0] != "srun":
            process.send_signal(signal.SIGKILL)
            return
    raise AssertionError("no pilot to kill")


def lose_node(bed: SlurmBed, which: int = -1) -> Callable[[Disturbed], None]:
    """Return what takes a node away: the last one, or another; the first has the batch script."""

    def lose(it: Disturbed) -> None:
        bed.lose(it.nodes(f"{it.job}_0")[which])

    return lose


def add_nodes(it: Disturbed) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSONG_FAKE_PAUSE", "0.2")
        patch.setenv("OSONG_FAKE_CALLS", str(it.calls))
        submit(it.folder, site())


@pytest.fixture(scope="module")
def disturbed(
    slurm_bed: SlurmBed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Disturbed]]:
    """All campaigns, begun, disturbed, and at their end."""
    place = tmp_path_factory.mktemp("campaigns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(slurm_bed.config))
        patch.delenv("OSONG_FAKE_CALLS", raising=False)
        ranks = site(launch="mpi", nodes_per_pilot=4, mpi=Mpi(plugin="pmi2", ranks_per_node=1))
        short = site(time_limit="1", warning_s=10)
        two = site(launch="srun", nodes_per_pilot=2)
        cheap = site(partition="preempt")
        # What is quickly done comes first: the others must not end before their turn.
        all_of_them = {
            "removed": (begin(place, "removed", 60, 0.3, site()), remove),
            "requeued": (begin(place, "requeued", 60, 0.3, site()), requeue),
            "preempted": (begin(place, "preempted", 60, 0.3, cheap), preempt),
            "killed": (begin(place, "killed", 60, 0.3, site()), kill_pilot),
            "lost": (begin(place, "lost", 60, 0.3, site()), lose_node(slurm_bed)),
            "lost of two": (begin(place, "lost of two", 120, 0.4, two, 2), lose_node(slurm_bed)),
            "first lost of two": (
                begin(place, "first lost of two", 120, 0.4, two, 2),
                lose_node(slurm_bed, 0),
            ),
            "lost of four": (begin(place, "lost of four", 80, 0.4, ranks, 4), lose_node(slurm_bed)),
            "limited": (begin(place, "limited", 200, 0.4, short), add_nodes),
        }
        whole = list(all_of_them.values())

        def all_are_disturbed() -> bool:
            ready = next((pair for pair in whole if pair[0].has_begun()), None)
            if ready is not None:
                it, disturb = ready
                disturb(it)
                whole.remove(ready)
            return not whole

        wait_for(all_are_disturbed, "all have begun")
        for it, _ in all_of_them.values():
            wait_for(it.is_over, f"{it.folder}: is over: {it.states()}\n{it.log()}")
        yield {name: it for name, (it, _) in all_of_them.items()}
        slurm_bed.mend()


FAULTS = [
    "limited",
    "lost",
    "lost of two",
    "first lost of two",
    "lost of four",
    "requeued",
    "preempted",
    "removed",
    "killed",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_disturbed_campaign_ends_as_one_that_nobody_disturbed(disturbed, undisturbed, fault):
    it = disturbed[fault]
    campaign = reopen(it.folder)
    assert campaign.status().is_finished, it.log()
    is_same(campaign, undisturbed(it.n))
    assert read_jobs(it.folder).given_up == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_finishing_job_wrote_the_hits(disturbed, fault):
    it = disturbed[fault]
    assert (it.folder / "hits.sdf").is_file(), it.log()
    assert "wrote" in it.log()


@pytest.mark.parametrize(
    ("fault", "n_chunks"),
    # A warning lets chunks under way finish; each other fault loses those of its workers.
    [
        ("limited", 0),
        ("lost", 1),
        ("lost of two", 2),
        ("first lost of two", 2),
        ("lost of four", 2),
        ("requeued", 1),
        ("preempted", 1),
        ("removed", 1),
        ("killed", 1),
    ],
)
def test_at_most_what_was_under_way_is_done_again(disturbed, fault, n_chunks):
    it = disturbed[fault]
    times = Counter(read_calls(it.calls))
    assert set(times) == set(range(it.n)), "every molecule was docked"
    again = [index for index, count in times.items() if count > 1]
    assert len(again) <= CHUNK * n_chunks, f"{again}\n{it.log()}"


def test_warning_before_the_time_limit_ends_in_the_queue(disturbed):
    it = disturbed["limited"]
    assert "ended with code 75 after USR1" in it.log()
    assert "work is left: back into the queue" in it.log()
    assert "run 2" in it.log()
    assert "TIMEOUT" not in set(it.states().values())


def test_second_submission_adds_pilots(disturbed):
    it = disturbed["limited"]
    jobs = read_jobs(it.folder)
    assert [s.by for s in jobs.submissions] == ["user", "user"]
    for submission in jobs.submissions:
        logs = list((it.folder / "logs").glob(f"{submission.pilots}_0-*.jsonl"))
        text = "".join(path.read_text() for path in logs)
        assert "ChunkFinished" in text, "both arrays finished chunks"
    assert it.log().count("wrote") >= 1


@pytest.mark.parametrize(
    ("fault", "n_nodes"),
    [
        ("lost", 1),
        ("lost of two", 2),
        ("first lost of two", 2),
        ("lost of four", 4),
        ("requeued", 1),
        ("preempted", 1),
    ],
)
def test_slurm_itself_brings_the_job_back(disturbed, fault, n_nodes):
    """With whole nodes: among two, srun has started Dask workers; four have ranks of MPI."""
    it = disturbed[fault]
    assert len(read_jobs(it.folder).submissions) == 1
    assert f"run 2: {n_nodes} node(s)" in it.log()


def test_job_after_the_pilots_submits_what_is_left(disturbed):
    it = disturbed["removed"]
    first, second = read_jobs(it.folder).submissions
    assert (first.by, second.by) == ("user", "finish")
    assert second.site == first.site
    assert 0 < second.n_done < it.n
    assert f"submitted again as job {second.pilots}" in it.log()


def test_killed_pilot_is_tried_again(disturbed):
    it = disturbed["killed"]
    assert "ended with code 137" in it.log()
    assert "an error, try again: back into the queue" in it.log()


def test_jobs_that_ended_are_known_as_such(disturbed):
    for fault, it in disturbed.items():
        states = set(it.states().values())
        assert states == {"COMPLETED"} | ({"CANCELLED"} if fault == "removed" else set()), it.log()
