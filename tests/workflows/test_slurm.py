"""Campaigns as jobs of a real Slurm, disturbed in every way that Slurm knows.

The disturbed campaigns run at the same time on nodes of their own, since most of each one's time is
waiting: for a time limit, for Slurm to notice a lost node, for the end of the others.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from campaign_helpers import (
    DOCKER,
    FakeTarget,
    fake_screen,
    molecules,
    part_bytes,
    read_calls,
    reopen,
)
from slurm_bed import SlurmBed, slurm, wait_for
from typer.testing import CliRunner

from osong.cli.main import app
from osong_workflows.campaign import Campaign
from osong_workflows.create import create_campaign
from osong_workflows.jobs import job_states, read_jobs
from osong_workflows.settings import dump_ligand_options, make_settings
from osong_workflows.sites import Mpi, Site
from osong_workflows.submit import cancel, submit

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CHUNK = 4
PYTHON = sys.executable


def site(**fields: object) -> Site:
    """A profile for the test bed: pilots of one node and one core, workers that do no chemistry."""
    values = {
        "name": "bed",
        "cores_per_node": 1,
        "memory_per_node": "4000",
        "launch": "local",
        "time_limit": "20",
        "warning_s": 30,
        "lease_s": 15,
        "finish_time": "10",
        "osong": (PYTHON, str(HERE / "osong_with_fake_docker.py")),
        "setup": (f"export PYTHONPATH='{HERE}'",),
    }
    return Site.model_validate(values | fields)


@dataclass
class Disturbed:
    """A campaign in Slurm and what was done to it.

    Attributes
    ----------
    folder
        The campaign folder.
    calls
        Each docking call adds a line to it.
    n
        Molecules.
    """

    folder: Path
    calls: Path
    n: int
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def job(self) -> str:
        """The first array."""
        return read_jobs(self.folder).submissions[0].pilots

    def states(self) -> dict[str, str]:
        """State of each job."""
        return {s.job: s.state for s in job_states(read_jobs(self.folder).submissions)}

    def nodes(self, job: str) -> list[str]:
        """Where a job is."""
        names = slurm("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
        return slurm("scontrol", "show", "hostnames", names).split() if names else []

    def log(self) -> str:
        """What the jobs wrote."""
        return "".join(path.read_text() for path in sorted((self.folder / "logs").glob("slurm*")))

    def has_begun(self) -> bool:
        """Whether a chunk is finished, so that there is something to lose."""
        return any(self.folder.glob("parts/[0-9]*.parquet"))

    def is_over(self) -> bool:
        """Whether no job is left."""
        return not any(s.is_active for s in job_states(read_jobs(self.folder).submissions))


def make(folder: Path, n: int, chunk_size: int = CHUNK) -> Path:
    """A campaign of which nothing is done."""
    settings = make_settings(
        target_name="fake",
        target_key=FakeTarget().key.hex(),
        scoring="vina",
        effort="fast",
        n_poses=3,
        seed=0,
        molecule_timeout_s=600.0,
        docker=DOCKER,
        ligands=dump_ligand_options(None),
    )
    create_campaign(FakeTarget(), molecules(n), folder, settings, workers=1, chunk_size=chunk_size)
    return folder


def begin(place: Path, name: str, n: int, pause: float, profile: Site, nodes: int = 1) -> Disturbed:
    """Submit a campaign in which each molecule takes so many seconds."""
    folder, calls = make(place / name, n), place / f"{name}.calls"
    with pytest.MonkeyPatch.context() as patch:
        # Slurm hands a job the environment of whoever submits it.
        patch.setenv("OSONG_FAKE_PAUSE", str(pause))
        patch.setenv("OSONG_FAKE_CALLS", str(calls))
        submit(folder, profile, nodes)
    return Disturbed(folder, calls, n)


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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Campaign]:
    """The same campaign by number of molecules, run by one process that nobody disturbed."""
    place = tmp_path_factory.mktemp("undisturbed")
    runs: dict[int, Campaign] = {}

    def run(n: int) -> Campaign:
        if n not in runs:
            runs[n] = fake_screen(molecules(n), place / str(n), n_poses=3, chunk_size=CHUNK)
        return runs[n]

    return run


def is_same(one: Campaign, other: Campaign) -> None:
    assert part_bytes(one) == part_bytes(other)
    assert one.ledger().equals(other.ledger())
    assert one.top(None).equals(other.top(None))


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


def test_cancel_then_go_on_elsewhere(in_slurm, tmp_path, undisturbed, monkeypatch):
    it = begin(tmp_path, "it's a $(run) 100%", 40, 0.2, site())
    wait_for(it.has_begun, "has begun")
    result = CliRunner().invoke(app, ["cancel", str(it.folder)])
    assert result.exit_code == 0, result.stderr
    assert "cancelled pilots: 1 running; finishing job: 1 pending (Dependency)" in result.stdout
    wait_for(it.is_over, "is over")
    assert set(it.states().values()) == {"CANCELLED"}
    kept = part_bytes(reopen(it.folder))
    assert kept, "what is finished stays"
    assert not reopen(it.folder).status().is_finished
    n_calls = len(read_calls(it.calls))
    campaign = reopen(it.folder).resume(runner="serial", progress=False)
    is_same(campaign, undisturbed(it.n))
    assert kept.items() <= part_bytes(campaign).items()
    assert len(read_calls(it.calls)) == n_calls, "the test's own process notes no calls"


def test_refused_partition_is_one_line_and_the_folder_is_as_it_was(in_slurm, tmp_path):
    folder = make(tmp_path / "run", 4)
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(
        app, ["submit", str(folder), "--site", "generic", "--partition", "nope"]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "invalid partition specified: nope" in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("option", ["--constraint=sunny", "--mem=9999999"])
def test_what_slurm_cannot_do_is_said_in_its_words(in_slurm, tmp_path, option):
    folder = make(tmp_path / "run", 4)
    result = CliRunner().invoke(
        app, ["submit", str(folder), "--site", str(profile(tmp_path, option))]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "sbatch: error" in result.stderr


def profile(folder: Path, option: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'cores_per_node = 1\nextra = ["{option}"]\n')
    return path


def test_dry_run_is_accepted_by_slurm_as_it_is_printed(in_slurm, tmp_path):
    """What it prints can be pasted into a shell."""
    folder = make(tmp_path / "it's 100% $HOME", 4)
    before = sorted(folder.rglob("*"))
    mine = profile(tmp_path, '--comment=a \\"b\\" #c')
    result = CliRunner().invoke(app, ["submit", str(folder), "--site", str(mine), "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert sorted(folder.rglob("*")) == before
    pilots = result.stdout[: result.stdout.index("\nEND") + 4]
    job = slurm("bash", "-c", pilots.replace("sbatch ", "sbatch --hold ", 1)).strip()
    shown = slurm("scontrol", "show", "job", job)
    slurm("scancel", job)
    assert 'Comment=a "b" #c' in shown
    assert f"WorkDir={folder}" in shown


def test_pilot_that_cannot_begin_is_tried_again(in_slurm, tmp_path):
    folder = make(tmp_path / "run", 4)
    submit(folder, site(osong=("/nowhere/osong",), setup=()))
    wait_for(lambda: "an error, try again" in log_of(folder), "an error")
    assert cancel(folder)
    assert "No such file" in log_of(folder)


def test_campaign_that_gets_nowhere_is_given_up(in_slurm, tmp_path):
    it = begin(tmp_path, "run", 4, 60.0, site())
    for n in (1, 2, 3, 4):
        wait_for(lambda n=n: len(read_jobs(it.folder).submissions) == n, f"submission {n}")
        wait_for(lambda: read_jobs(it.folder).submissions[-1].finish, "its finishing job")
        slurm("scancel", read_jobs(it.folder).submissions[-1].pilots)
    wait_for(lambda: read_jobs(it.folder).given_up, "given up")
    wait_for(it.is_over, "is over")
    assert "3 submissions in a row finished no molecule" in read_jobs(it.folder).given_up
    assert it.states()[read_jobs(it.folder).submissions[-1].finish] == "FAILED"
    assert "nobody works at them" in it.log()


def test_resume_with_slurm_submits_once_and_watches_to_the_end(in_slurm, tmp_path, undisturbed):
    folder = make(tmp_path / "run", 20)
    own = tmp_path / "own.toml"
    lines = [
        f"{key} = {json.dumps(value)}"
        for key, value in site().model_dump(exclude_defaults=True, exclude={"name"}).items()
    ]
    own.write_text("\n".join(lines))
    command = ["resume", str(folder), "--runner", "slurm", "--site", str(own), "--nodes", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    is_same(reopen(folder), undisturbed(20))
    (submission,) = read_jobs(folder).submissions
    assert submission.n_pilots == 2
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert len(read_jobs(folder).submissions) == 1, "it is finished"


def log_of(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "logs").glob("slurm*"))
