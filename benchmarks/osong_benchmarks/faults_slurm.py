"""Faults in jobs of a real Slurm: ranks, workers and pilots die, nodes go, jobs are requeued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from osong_benchmarks.faults_bed import changed_environment
from osong_benchmarks.faults_campaign import Trial, is_nanny, is_pilot, is_rank, is_worker
from osong_benchmarks.faults_cases import Case, Done, Scene, kill, random_one, settle
from osong_workflows.jobs import job_states, read_jobs
from osong_workflows.submit import submit

if TYPE_CHECKING:
    from osong_benchmarks.faults_bed import Bed

__all__ = ["SLURM_CASES", "InSlurm"]

_PACE_S: Final = 0.1
_N: Final = 600
_LIMIT_S: Final = 300.0
_FROZEN_S: Final = 18.0
"""Three leases, and what makes Slurm give a node up."""


@dataclass(frozen=True)
class InSlurm:
    """A campaign that was submitted.

    Attributes
    ----------
    trial
        The campaign.
    bed
        The cluster.
    """

    trial: Trial
    bed: Bed

    @property
    def array(self) -> str:
        """The job array of the last submission."""
        return read_jobs(self.trial.folder).submissions[-1].pilots

    def running(self) -> list[str]:
        """Return the elements that run now."""
        words = ("squeue", "--noheader", f"--jobs={self.array}", "--states=RUNNING", "--format=%i")
        return self.bed.slurm(*words, "--array").split()

    def nodes(self, element: str) -> list[str]:
        """Return the nodes of an element, the one with the batch script first."""
        names = self.bed.slurm("squeue", "--noheader", f"--jobs={element}", "--format=%N").strip()
        return self.bed.slurm("scontrol", "show", "hostnames", names).split() if names else []

    def n_pilots(self) -> int:
        """Return how many pilots ever began."""
        return len(list((self.trial.folder / "pilots").glob("*.json")))

    def wait_for_another(self, n_pilots: int) -> None:
        """Wait for one more pilot; meanwhile workers of the last may begin what they were given."""

        def has_begun() -> bool:
            if self.n_pilots() > n_pilots:
                return True
            self.trial.note_under_way()
            return False

        self.trial.wait(has_begun, f"another pilot\n{self.log()}", _LIMIT_S)

    def log(self) -> str:
        """Return the ends of the jobs' logs."""
        logs = sorted((self.trial.folder / "logs").glob("slurm*.out"))
        return "\n".join(log.read_text("utf-8", "replace")[-500:] for log in logs)

    def cancel(self) -> None:
        """Take all jobs out of the queue."""
        for submission in read_jobs(self.trial.folder).submissions:
            for job in filter(None, (submission.finish, submission.pilots)):
                self.bed.slurm("scancel", "--quiet", job)

    def is_over(self) -> bool:
        """Whether no job is left."""
        return not any(s.is_active for s in job_states(read_jobs(self.trial.folder).submissions))


_SRUN: Final = "srun"
_MPI: Final = "mpi (srun)"
_LOCAL: Final = "local, two jobs"
_LAUNCH: Final[dict[str, dict[str, Any]]] = {
    _SRUN: {"launch": "srun", "nodes_per_pilot": 2},
    _MPI: {"launch": "mpi", "nodes_per_pilot": 2, "mpi": {"ranks_per_node": 2}},
    _LOCAL: {"launch": "local", "nodes_per_pilot": 1},
}
_ENDS: Final[dict[str, Any]] = {"ends_pilot": True}
_THREE_NODES: Final[dict[str, Any]] = {"nodes": 3, "nodes_per_pilot": 3}
_LIMITED: Final[dict[str, Any]] = {"time_limit": "1", "warning_s": 15, "most": 2, "pace_s": 1.0}

Strike = Callable[[Scene, InSlurm], None]


def in_slurm(
    strike: Strike,
    *,
    ends_pilot: bool = False,
    most: int = 5,
    nodes: int = 2,
    n: int = _N,
    pace_s: float = _PACE_S,
    **site: Any,
) -> Callable[[Scene], Done]:
    """Return what submits a campaign, strikes it several times, and waits for its end."""

    def run(scene: Scene) -> Done:
        undisturbed, trial, bed = scene.undisturbed(n), scene.trial(n, pace_s=pace_s), scene.bed
        profile = bed.site(**site)
        with changed_environment(trial.environment):
            submit(trial.folder, profile, nodes)
        it = InSlurm(trial, bed)
        times = min(scene.times, most)
        try:
            for _ in range(times):
                # By then every worker docks.
                trial.wait_for_calls(20 + scene.moment())
                before = it.n_pilots()
                trial.note_under_way()
                strike(scene, it)
                settle(trial)
                if ends_pilot:
                    it.wait_for_another(before)
            trial.hurry()
            note = _end(it)
        finally:
            it.cancel()
            bed.mend()
        return Done(trial, undisturbed, times, note)

    return run


def _end(it: InSlurm) -> str:
    """Wait for the end of all jobs; do what is left as a user would, and say so."""
    it.trial.wait(lambda: it.trial.is_finished or it.is_over(), "the end of the jobs", _LIMIT_S)
    if it.trial.is_finished:
        it.trial.wait(it.is_over, "the end of the jobs of a finished campaign", _LIMIT_S)
        return ""
    it.trial.resume()
    return "its jobs ended before it was finished; osong resume did the rest"


def _kill_one(is_wanted: Callable[[Any, list[str]], bool]) -> Strike:
    def strike(scene: Scene, it: InSlurm) -> None:
        kill([random_one(scene, it.trial, is_wanted)])

    return strike


def _kill_all(scene: Scene, it: InSlurm) -> None:
    """Kill all processes of a job but Slurm's own; the job that comes after it submits the rest."""
    kill([process for process, _ in it.trial.processes()])


def _cancel(scene: Scene, it: InSlurm) -> None:
    """End a job as its user would: SIGTERM, and SIGKILL some seconds later."""
    it.bed.slurm("scancel", it.running()[0])


def _requeue(scene: Scene, it: InSlurm) -> None:
    it.bed.slurm("scontrol", "requeue", it.running()[0])


def _preempt(scene: Scene, it: InSlurm) -> None:
    (node, *_) = it.nodes(it.running()[0])
    words = ("--exclusive", "--output=/dev/null", "--wrap=sleep 1", "--time=1")
    it.bed.slurm("sbatch", f"--nodelist={node}", *words)


def _lose_other_node(scene: Scene, it: InSlurm) -> None:
    """Lose the node that has not the pilot; the job goes on with what is left."""
    it.bed.lose(it.nodes(it.running()[0])[-1])


def _lose_first_node(scene: Scene, it: InSlurm) -> None:
    """Lose the node with the batch script and the pilot; Slurm requeues the job."""
    it.bed.lose(it.nodes(it.running()[0])[0])


def _freeze(scene: Scene, it: InSlurm) -> None:
    """Let one of two pilots hang until the other has taken its shards over, then let it go on."""
    (node, *_) = it.nodes(scene.rng.choice(it.running()))
    before = _generations(it)
    it.bed.freeze(node)
    it.trial.note_under_way()
    it.trial.hurry()
    try:
        it.trial.wait(lambda: _generations(it) > before, "a shard is taken over", _FROZEN_S)
    finally:
        it.bed.thaw(node)


def _generations(it: InSlurm) -> int:
    """Return how often a shard was taken over, by the pilots' logs."""
    logs = (it.trial.folder / "logs").glob("*.jsonl")
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return sum("ShardClaimed" in line and '"generation": 1' not in line for line in lines)


def _await_the_limit(scene: Scene, it: InSlurm) -> None:
    """Do nothing: the time limit comes by itself."""


def _cases() -> list[Case]:
    blows: tuple[tuple[str, str, Strike, dict[str, Any]], ...] = (
        ("kill -9 of a worker", _SRUN, _kill_one(is_worker), {}),
        ("kill -9 of a nanny", _SRUN, _kill_one(is_nanny), {}),
        ("kill -9 of the pilot and its scheduler", _SRUN, _kill_one(is_pilot), _ENDS),
        ("kill -9 of the whole job", _SRUN, _kill_all, _ENDS | {"most": 3}),
        ("kill -9 of a worker", _MPI, _kill_one(is_worker), {}),
        ("kill -9 of a rank (worker)", _MPI, _kill_one(is_rank(3)), {"most": 1}),
        ("kill -9 of the pilot", _MPI, _kill_one(is_rank(1)), _ENDS),
        ("kill -9 of the scheduler", _MPI, _kill_one(is_rank(0)), _ENDS),
        ("kill -9 of the whole job", _MPI, _kill_all, _ENDS | {"most": 3}),
        ("node loses power", _SRUN, _lose_other_node, {"most": 1}),
        ("pilot's node loses power", _SRUN, _lose_first_node, _ENDS | {"most": 1}),
        ("node loses power", _MPI, _lose_other_node, _THREE_NODES | {"most": 1}),
        ("pilot's node loses power", _MPI, _lose_first_node, _ENDS | {"most": 1}),
        ("node hangs for longer than the lease", _LOCAL, _freeze, {"most": 1, "n": 180}),
        ("scancel of a job", _SRUN, _cancel, _ENDS | {"most": 3}),
        ("scontrol requeue", _SRUN, _requeue, _ENDS),
        ("scontrol requeue", _MPI, _requeue, _ENDS),
        ("preemption", _SRUN, _preempt, _ENDS | {"partition": "preempt"}),
        ("time limit with warning", _LOCAL, _await_the_limit, _ENDS | _LIMITED),
    )
    return [
        Case(
            fault,
            runner,
            in_slurm(strike, **(_LAUNCH[runner] | options)),
            "slurm mpi" if runner == _MPI else "slurm",
        )
        for fault, runner, strike, options in blows
    ]


SLURM_CASES: Final = tuple(_cases())
