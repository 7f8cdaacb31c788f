"""What a campaign would cost: against the campaign itself; and all that keeps it from running."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from campaign_helpers import DOCKER
from rich.console import Console

from osong.errors import InputError
from osong.library import write_prepared
from osong_workflows import refusals as refusals_module
from osong_workflows.events import MoleculesDone
from osong_workflows.file_campaigns import create_campaigns
from osong_workflows.plan import SECONDS_PER_MOLECULE, read_plan
from osong_workflows.plan_view import plan_view
from osong_workflows.planning import plan_campaign
from osong_workflows.sites import Site
from osong_workflows.timing import spread_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from osong_workflows.estimate import CampaignEstimate

    Write = Callable[..., Path]

STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.010   1.420   0.000  1.00  0.00           C
ATOM      4  O   GLY A   1       1.250   2.390   0.000  1.00  0.00           O
END
"""
TARGET = 'receptor = "glycine.pdb"\ncenter = [0, 0, 0]\nsize = [20, 20, 20]\n'
ONE = f'library = "a.smi"\n[target]\n{TARGET}'
DiskUsage = namedtuple("DiskUsage", "total used free")
N_MOLECULES = 700


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a campaign file beside a library and a receptor."""
    lines = [f"{'C' * (1 + i % 30)}N molecule{i}\n" for i in range(N_MOLECULES)]
    (tmp_path / "a.smi").write_text("".join(lines))
    (tmp_path / "glycine.pdb").write_text(STRUCTURE)

    def write(text: str = ONE) -> Path:
        (tmp_path / "gly.toml").write_text(text)
        return tmp_path / "gly.toml"

    return write


def plan(path: Path, **options: object) -> CampaignEstimate:
    return plan_campaign(path, docker=DOCKER, **options)


def shown(estimate: CampaignEstimate, width: int = 120) -> str:
    console = Console(width=width, record=True)
    for part in plan_view(estimate):
        console.print(part)
    return console.export_text()


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def test_a_plan_is_what_the_campaign_becomes(write: Write, tmp_path: Path) -> None:
    path = write()
    before = files_of(tmp_path)
    planned = plan(path)
    assert files_of(tmp_path) == before
    assert planned.problems == ()
    (target,) = planned.targets
    (folder,) = create_campaigns(path, workers=planned.workers, docker=DOCKER)
    made = read_plan(folder)
    assert planned.is_exact
    assert (target.n_molecules, target.n_chunks, target.n_shards, target.chunk_size) == (
        made.n_records,
        made.n_chunks,
        made.n_shards,
        made.chunk_size,
    )
    assert target.n_files == made.n_files
    assert target.parts_bytes == made.parts_bytes
    assert target.input_bytes == pytest.approx(made.input_bytes, rel=0.2)
    assert target.memory_bytes_per_worker == made.memory_bytes_per_worker
    seconds = SECONDS_PER_MOLECULE["fast"]
    assert planned.core_hours == pytest.approx(N_MOLECULES * seconds / 3600)
    assert planned.wall_hours >= planned.core_hours / planned.workers
    # And what has begun can be planned again.
    assert plan(path).problems == ()


def test_targets_add_up(write: Write) -> None:
    three = "".join(f'[[target]]\n{TARGET}label = "{label}"\n' for label in "abc")
    one, all_three = plan(write()), plan(write('library = "a.smi"\n' + three))
    assert [target.label for target in all_three.targets] == ["a", "b", "c"]
    for name in ("n_dockings", "n_chunks", "n_shards", "n_files", "disk_bytes", "core_hours"):
        assert getattr(all_three, name) == pytest.approx(3 * getattr(one, name))
    text = shown(all_three)
    assert "in all" in text
    assert f"{3 * N_MOLECULES:,}" in text
    assert "(a, b, c)" in text


def fake_prepared(folder: Path, n_molecules: int) -> None:
    """A prepared library that says that it is large."""
    from osong.library import PreparedMolecule
    from osong.ligands import prepare_ligand

    molecules = [
        PreparedMolecule(i, f"m{i}", f"a.smi:{i}", tuple(prepare_ligand("CO", name=f"m{i}")))
        for i in range(5)
    ]
    write_prepared(folder, molecules)
    index = folder / "library.json"
    content = json.loads(index.read_text()) | {"n_molecules": n_molecules}
    index.write_text(json.dumps(content))


def test_a_billion_molecules_are_planned_at_once_and_are_few_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_prepared(tmp_path / "huge", 10**9)
    path = write(ONE.replace("a.smi", "huge"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(10**16, 0, 10**16))
    site = Site(name="big", cores_per_node=100, memory_per_node="300G")
    tracemalloc.start()
    try:
        planned = plan(path, site=site, nodes=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20
    (target,) = planned.targets
    assert planned.is_exact
    assert target.n_molecules == 10**9
    assert target.n_files * 100_000 <= 10**9
    assert target.n_shards * 131_072 >= 10**9
    assert planned.workers == 10_000
    # A copy of a prepared library is a list of positions: some bytes a molecule.
    assert target.input_bytes < 40 * 10**9
    assert planned.problems == ()
    assert "1,000,000,000" in shown(planned)


def test_of_a_large_library_the_number_is_said_to_be_estimated(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osong.library import sampling
    from osong_workflows import estimate

    monkeypatch.setattr(
        estimate,
        "sample_library",
        lambda *args, **options: sampling.sample_library(
            *args, **options, n_read=100, small_bytes=100
        ),
    )
    planned = plan(write())
    assert not planned.is_exact
    assert planned.n_dockings == pytest.approx(N_MOLECULES, rel=0.1)
    digits = round(planned.n_dockings, 3 - len(str(planned.n_dockings)))
    assert f"about {digits:,} molecules (estimated)" in shown(planned)


def test_where_it_runs(write: Write) -> None:
    path = write(ONE.replace("[target]", 'search.effort = "thorough"\n[target]'))
    here, ten = plan(path), plan(path, nodes=10)
    assert here.where == "this machine"
    assert ten.where == "10 nodes like this machine"
    assert ten.workers == 10 * here.workers
    assert ten.wall_hours < here.wall_hours
    site = Site(name="s", cores_per_node=16, memory_per_node="64G", nodes_per_pilot=2)
    assert plan(path, site=site).workers == 32
    assert plan(path, site=site, nodes=5).where == "site s, 5 nodes"
    unknown = plan(path, site=Site(name="s"), nodes=3)
    assert any("cores_per_node" in note for note in unknown.notes)
    with pytest.raises(InputError, match="nodes must be at least 1"):
        plan(path, nodes=0)


def test_a_library_that_cannot_be_read_is_named_with_its_line(write: Write, tmp_path: Path) -> None:
    (tmp_path / "empty.smi").touch()
    with pytest.raises(InputError, match=r"gly\.toml:2: library: .*there is no molecule in it"):
        plan(write("# none\n" + ONE.replace("a.smi", "empty.smi")))


# Refusals.

SITE = {"name": "s", "cores_per_node": 4, "memory_per_node": "16G"}


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        ("[budget]\ncore_hours = 0.01\n", {}, "7: budget.core_hours: about 0.062 core hours are n"),
        ('[budget]\ndisk = "1 MB"\n', {}, "7: budget.disk: the results need about 1.7 MB and the"),
        (
            '[budget]\nmemory_per_worker = "500 MB"\n',
            {},
            "7: budget.memory_per_worker: a worker ne",
        ),
        ("", {"site": Site(**SITE | {"memory_per_node": "1G"})}, "2: target: a worker needs about"),
        (
            '[search]\neffort = "thorough"\n',
            {"site": Site(**SITE | {"time_limit": "3", "warning_s": 60})},
            "7: search.effort: to start and to do one chunk takes about 2 min 37 s and a job",
        ),
        (
            '[run]\nbackend = "cuda"\n',
            {"site": Site(**SITE)},
            "7: run.backend: site s, 1 node: gives no GPUs; set gpus_per_node in the site's",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    write: Write, more: str, options: dict[str, object], message: str
) -> None:
    (problem,) = plan(write(ONE + more), **options).problems
    assert problem.partition("gly.toml:")[2].startswith(message)
    assert "\n" not in problem


@pytest.mark.parametrize("more", [{"gpus_per_node": 4}, {"extra": ("--gres=gpu:2",)}])
def test_a_site_with_gpus_takes_a_campaign_for_them(write: Write, more: dict[str, object]) -> None:
    path = write(ONE + '[run]\nbackend = "cuda"\n')
    assert plan(path, site=Site(**SITE, **more)).problems == ()
    assert plan(path).problems == (), "what this machine has is seen when it runs"


def test_all_that_does_not_fit_is_said(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    Files = namedtuple("Files", "f_files f_favail")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(2000, 1000, 1000))
    monkeypatch.setattr(refusals_module.os, "statvfs", lambda path: Files(100, 3))
    monkeypatch.setattr(refusals_module.os, "access", lambda path, mode, **more: False)
    text = 'out = "out"\n' + ONE + '[budget]\ncore_hours = 0.001\ndisk = "1 kB"\n'
    before = files_of(tmp_path)
    found = [line.partition("gly.toml:")[2] for line in plan(write(text)).problems]
    assert [line.split(": ")[:2] for line in found] == [
        ["1", "out"],
        ["1", "out"],
        ["9", "budget.disk"],
        ["1", "out"],
        ["1", "out"],
        ["8", "budget.core_hours"],
    ]
    assert "is not empty and holds no campaign" in found[0]
    assert "may not be written to" in found[1]
    assert "1 kB free" in found[3]
    assert "can take 3 more" in found[4]
    assert {p for p in files_of(tmp_path) if p.name != "gly.toml"} == set(before)


def test_a_folder_that_may_not_be_written_to_is_refused(write: Write, tmp_path: Path) -> None:
    path = write('out = "locked/out"\n' + ONE)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.geteuid() == 0:
        # Root may write anywhere; somebody else is asked, who may not even read what is imported.
        assert plan(path).problems == ()
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        problems = plan(path).problems
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    (problem,) = problems
    assert f"gly.toml:1: out: {locked} may not be written to; give a folder of your" in problem


def test_a_machine_without_memory_for_one_worker_is_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osong_workflows import place

    monkeypatch.setattr(place, "usable_memory", lambda: 10**9)
    monkeypatch.setattr(place, "usable_cores", lambda: 8)
    planned = plan(write())
    assert planned.workers == 1
    assert planned.problems == ()
    assert "memory suffices for 1 of 8 cores" in planned.notes
    monkeypatch.setattr(place, "usable_memory", lambda: 10**8)
    (problem,) = plan(write()).problems
    assert "of memory for glycine and this machine has 100 MB in all; take a smaller box" in problem


def test_another_campaign_in_the_folder_is_refused(write: Write) -> None:
    create_campaigns(write(), docker=DOCKER)
    (problem,) = plan(write(ONE + "[search]\nseed = 3\n")).problems
    assert "holds another campaign (seed is 0 there and 3 here)" in problem


# The sample.


def test_a_sample_is_docked_and_nothing_is_kept(
    write: Write, tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSONG_FAKE_PAUSE", "0.05")
    path = write()
    before = files_of(tmp_path)
    events: list[object] = []
    planned = plan(path, sample=7, subscribers=[events.append])
    docked = [int(line) for line in calls.read_text().split()]
    calls.unlink()
    assert files_of(tmp_path) == before
    assert docked == [0, 100, 200, 300, 400, 500, 600]
    assert planned.time.n_measured == sum(isinstance(event, MoleculesDone) for event in events) == 7
    assert planned.time.seconds > 0
    assert planned.core_hours == pytest.approx(N_MOLECULES * planned.time.seconds / 3600)
    # What the campaign's own plan will go by is another matter.
    assert planned.targets[0].chunk_size == plan(path).targets[0].chunk_size
    assert "measured here on 7 molecules" in shown(planned)


def test_molecules_of_a_sample_may_fail_and_crash(
    write: Write, tmp_path: Path, calls: Path
) -> None:
    path = write()
    (tmp_path / "a.smi").write_text("CCO a\nFAIL b\nSEGFAULT c\nCCN d\n")
    planned = plan(path, sample=50)
    assert (planned.time.n_measured, planned.time.n_failed) == (4, 2)
    assert "measured here on 4 molecules, 2 of them failed" in shown(planned)


def test_a_sample_has_at_least_one_molecule() -> None:
    assert spread_records([1, 2, 3, 4, 5, 6], 3) == [1, 3, 5]  # type: ignore[list-item]
    assert spread_records([1, 2], 3) == [1, 2]  # type: ignore[list-item]
    with pytest.raises(InputError, match="at least 1 molecule"):
        spread_records([], 0)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_plan_fits_the_terminal(write: Write, width: int) -> None:
    text = shown(plan(write()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "700 molecules of a.smi, effort fast, scoring vina" in " ".join(text.split())


def test_a_plan_is_json(write: Write) -> None:
    planned = plan(write())
    content = json.loads(planned.model_dump_json())
    assert content["targets"][0]["n_molecules"] == N_MOLECULES
    assert type(planned).model_validate(content) == planned
