"""Campaigns for a real Slurm, and the same run by one process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from campaign_helpers import DOCKER, FakeTarget, fake_screen, molecules, part_bytes
from slurm_bed import slurm

from osong_workflows.campaign import Campaign
from osong_workflows.create import create_campaign
from osong_workflows.jobs import job_states, read_jobs
from osong_workflows.settings import dump_ligand_options, make_settings
from osong_workflows.sites import Site
from osong_workflows.submit import submit

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
    return make_of(molecules(n), folder, chunk_size=chunk_size)


def make_of(
    library: object, folder: Path, *, chunk_size: int | None = None, strategy: object = None
) -> Path:
    """The same over any library, with a strategy or without."""
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
        strategy=strategy,
    )
    create_campaign(FakeTarget(), library, folder, settings, workers=1, chunk_size=chunk_size)
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


def log_of(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "logs").glob("slurm*"))
