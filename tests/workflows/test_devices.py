"""Campaigns on devices that are made up: what is lost there is docked by the CPU, and once."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from campaign_helpers import (
    DOCKER,
    fake_screen,
    molecules,
    part_paths,
    per_ligand,
    read_calls,
    reopen,
)
from typer.testing import CliRunner

from osong.backend import Backend, Device
from osong.cli.main import app
from osong.errors import CampaignError, InputError, MissingExtraError, ResourceError
from osong_workflows import device_search, device_worker, pipeline, run
from osong_workflows.device_docking import DEVICE_DOCKERS, DeviceDockers
from osong_workflows.events import BackendNote, WorkerRestarted
from osong_workflows.file_tables import RunTable
from osong_workflows.folder import CampaignFolder
from osong_workflows.outputs import Wishes, store_wishes
from osong_workflows.part_names import part_backends
from osong_workflows.run import Run
from osong_workflows.tasks import DockChunk, WorkOrder


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file to which every batch appends its device and its size."""
    path = tmp_path / "batches.txt"
    monkeypatch.setenv("OSONG_FAKE_BATCHES", str(path))
    return path


def read_batches(path: Path) -> list[tuple[int, int]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(device), int(size)) for device, size in map(str.split, lines)]


class Machine:
    """A machine with devices, as the run sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def has(self, n_devices: int = 1, searcher: str = "build") -> None:
        devices = tuple(Device(i, "Fake", 2**30, (9, 0)) for i in range(n_devices))

        def choose(wanted: str, **_: object) -> Backend:
            if wanted == "cpu" or not devices:
                return Backend("cpu", "as asked for")
            return Backend("cuda", "made up", devices)

        self._monkeypatch.setattr(run, "choose_backend", choose)
        dockers = DeviceDockers("osong_fake_docker:build_host", f"osong_fake_device:{searcher}")
        self._monkeypatch.setitem(DEVICE_DOCKERS, DOCKER, dockers)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def backends(campaign) -> dict[str, int]:
    return dict(sum((part_backends(part) for part in part_paths(campaign)), Counter()))


class Heard(list):
    def notes(self) -> list[str]:
        return [event.text for event in self if isinstance(event, BackendNote)]

    def restarts(self) -> list[WorkerRestarted]:
        return [event for event in self if isinstance(event, WorkerRestarted)]


def screen(library, out: Path, **options):
    heard = Heard()
    campaign = fake_screen(library, out, subscribers=[heard.append], **options)
    status = campaign.status()
    assert status.is_finished
    assert status.n_ok + status.n_failed == len(library), "N_in = N_ok + N_failed"
    return campaign, heard


@pytest.fixture(scope="module")
def by_cpu(tmp_path_factory):
    """What a CPU makes of the first molecules of all libraries here, by name."""
    out = tmp_path_factory.mktemp("cpu") / "run"
    return per_ligand(fake_screen(molecules(120), out, backend="cpu"))


def check_rows(campaign, by_cpu) -> None:
    """Check that a campaign has the rows of one on CPUs."""
    for name, row in per_ligand(campaign).items():
        assert row == by_cpu.get(name, row)


@pytest.mark.parametrize(("runner", "n_devices"), [("serial", 1), ("local", 2)])
def test_a_campaign_on_devices_has_the_rows_of_one_on_cpus(
    machine, batches, tmp_path, runner, n_devices, by_cpu
):
    library = [*molecules(60), ("FAIL", "fail"), ("SEGFAULT", "crash"), ("NOPOSE", "none")]
    machine.has(n_devices)
    campaign, heard = screen(library, tmp_path / "run", runner=runner, workers=None)
    rows = per_ligand(campaign)
    assert {name: row["stage"] for name, row in rows.items() if row["status"] == "failed"} == {
        "fail": "embed",
        "crash": "crash",
        "none": "dock",
    }
    check_rows(campaign, by_cpu)
    assert backends(campaign) == {"cuda": 60}
    assert sum(size for _, size in read_batches(batches)) == 61
    assert heard.notes() == ["backend cuda: made up"]


def test_a_molecule_that_crashes_the_device_goes_to_the_cpu_alone(
    machine, batches, tmp_path, by_cpu
):
    library = molecules(40)
    library[13:13] = [("DEVCRASH", "bad1"), ("DEVBUG", "bad2")]
    machine.has()
    campaign, heard = screen(library, tmp_path / "run", chunk_size=42)
    check_rows(campaign, by_cpu)
    assert backends(campaign) == {"cuda": 40, "cpu": 2}
    assert len(heard.restarts()) <= 2 * 7
    told = [note for note in heard.notes() if "docked by the CPU" in note]
    assert [note.split(":")[0] for note in told] == ["bad1", "bad2"]
    assert "SIGSEGV" in told[0]
    assert "an illegal memory access" in told[1]


def test_a_molecule_that_crashes_a_batch_that_was_sent_ahead_is_found_too(
    machine, batches, tmp_path, monkeypatch, by_cpu
):
    monkeypatch.setattr(device_search, "_FEWEST_AHEAD", 2)
    monkeypatch.setattr(device_worker, "MAX_BATCH", 8)
    monkeypatch.setenv("OSONG_FAKE_SEARCH", "0.2")
    machine.has()
    library = [*molecules(30), ("DEVAHEAD_1", "ahead"), *molecules(60)[30:]]
    campaign, _ = screen(library, tmp_path / "run", chunk_size=61)
    check_rows(campaign, by_cpu)
    assert backends(campaign) == {"cuda": 60, "cpu": 1}


def test_a_molecule_that_crashes_when_its_poses_are_made_is_a_row_of_its_own(
    machine, batches, tmp_path, by_cpu
):
    machine.has()
    library = [*molecules(10), ("FINCRASH_1", "unfinished"), *molecules(20)[10:]]
    campaign, _ = screen(library, tmp_path / "run", chunk_size=7)
    check_rows(campaign, by_cpu)
    status = campaign.status()
    assert (status.n_ok, status.n_failed) == (20, 1)
    assert backends(campaign) == {"cuda": 20}


def test_too_little_memory_halves_batches_until_they_fit(
    machine, batches, tmp_path, monkeypatch, by_cpu
):
    monkeypatch.setenv("OSONG_FAKE_ROOM", "5")
    monkeypatch.setenv("OSONG_FAKE_SEARCH", "0.05")
    library = molecules(50)
    machine.has()
    campaign, heard = screen(library, tmp_path / "run", chunk_size=50)
    check_rows(campaign, by_cpu)
    assert backends(campaign) == {"cuda": 50}
    assert heard.notes() == ["backend cuda: made up"]
    assert any(size > 5 for _, size in read_batches(batches)), "the test is of no use"


def test_a_lost_device_costs_a_batch_and_the_cpu_takes_over(
    machine, batches, tmp_path, monkeypatch, by_cpu
):
    library = molecules(60)
    machine.has(searcher="build_lost")
    campaign, heard = screen(library, tmp_path / "run", chunk_size=20)
    check_rows(campaign, by_cpu)
    found = backends(campaign)
    assert found["cuda"] >= 1
    assert found["cpu"] >= 1
    assert sum(found.values()) == 60
    assert len(heard.restarts()) == 1
    (line,) = heard.notes()[1:]
    assert line == ("device 0 (Fake) is given up: device 0 does not answer; the CPU takes over")


def test_when_one_of_two_devices_is_lost_the_other_goes_on(
    machine, batches, tmp_path, monkeypatch, by_cpu
):
    monkeypatch.setenv("OSONG_FAKE_SEARCH", "0.05")
    library = molecules(120)
    machine.has(2, "build_second_lost")
    campaign, heard = screen(library, tmp_path / "run", chunk_size=30, runner="local", workers=2)
    check_rows(campaign, by_cpu)
    found = backends(campaign)
    assert found["cuda"] + found.get("cpu", 0) == 120
    assert found.get("cpu", 0) <= 1, "a molecule that was alone in the batch that was lost"
    assert not any("the CPU takes over" in note for note in heard.notes())


def test_a_device_that_cannot_start_is_no_reason_not_to_dock(machine, batches, tmp_path):
    library = molecules(12)
    machine.has(searcher="build_broken")
    campaign, heard = screen(library, tmp_path / "run")
    assert backends(campaign) == {"cpu": 12}
    assert "no memory for the maps; the CPU takes over" in heard.notes()[1]


@pytest.mark.parametrize("runner", ["serial", "local"])
def test_where_devices_are_asked_for_they_have_to_start(machine, tmp_path, runner):
    library = molecules(12)
    machine.has(searcher="build_broken")
    with pytest.raises(ResourceError, match=r"no memory for the maps; run osong doctor, or dock"):
        fake_screen(library, tmp_path / "run", backend="cuda", runner=runner)
    campaign = reopen(tmp_path / "run")
    assert campaign.status().n_ok == 0
    campaign.resume(backend="cpu", runner="serial", progress=False)
    assert backends(campaign) == {"cpu": 12}


def test_a_molecule_that_fits_no_device_is_docked_by_the_cpu_which_says_so(
    machine, batches, tmp_path, by_cpu
):
    library = [*molecules(5), ("HUGE", "huge")]
    machine.has()
    campaign, heard = screen(library, tmp_path / "run")
    check_rows(campaign, by_cpu)
    assert backends(campaign) == {"cuda": 5, "cpu": 1}
    assert heard.notes()[1] == (
        "huge: docked by the CPU, since its search needs 900 GiB of device memory"
    )


def test_a_device_that_hangs_is_given_up(machine, batches, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_BATCH_S", 1.0)
    library = [(f"DEVHANG_{i}", f"m{i}") for i in range(12)]
    machine.has()
    campaign, heard = screen(library, tmp_path / "run", chunk_size=12, molecule_timeout_s=5.0)
    assert backends(campaign) == {"cpu": 12}
    assert len(read_batches(batches)) <= 4
    assert "took longer than 5 s; the CPU takes over" in heard.notes()[-1]


def test_a_campaign_begun_on_devices_is_finished_on_cpus(machine, batches, tmp_path):
    library = molecules(40)
    machine.has()
    campaign, _ = screen(library, tmp_path / "run", chunk_size=10)
    expected = per_ligand(campaign)
    for part in part_paths(campaign)[1:3]:
        part.unlink()
    campaign = reopen(campaign)
    campaign.resume(runner="serial", progress=False, backend="cpu")
    assert per_ligand(campaign) == expected
    assert backends(campaign) == {"cuda": 20, "cpu": 20}
    assert sorted(dict(part_backends(part)).popitem() for part in part_paths(campaign)) == [
        ("cpu", 10),
        ("cpu", 10),
        ("cuda", 10),
        ("cuda", 10),
    ]


def test_packed_shards_say_where_their_molecules_were_docked(machine, batches, tmp_path):
    library = [*molecules(20), ("HUGE", "huge")]
    machine.has()
    campaign, _ = screen(library, tmp_path / "run", chunk_size=7, shard_chunks=3)
    (part,) = part_paths(campaign)
    assert part_backends(part) == {"cuda": 20, "cpu": 1}


def test_a_prepared_library_needs_no_preparing(machine, batches, calls, tmp_path):
    from osong_workflows.prepare_run import prepare_library

    prepare_library(
        molecules(6), tmp_path / "lib", docker="osong_fake_docker:build_preparer", progress=False
    )
    calls.unlink()
    machine.has()
    campaign, _ = screen_prepared(tmp_path)
    assert backends(campaign) == {"cuda": 6}
    assert read_calls(calls) == [], "no process prepared anything"


def screen_prepared(tmp_path: Path):
    heard = Heard()
    campaign = fake_screen(tmp_path / "lib", tmp_path / "run", subscribers=[heard.append])
    assert campaign.status().n_ok == 6
    return campaign, heard


def test_stopping_ends_device_processes_soon_and_leaves_no_part(
    machine, batches, tmp_path, monkeypatch
):
    monkeypatch.setenv("OSONG_FAKE_SEARCH", "3600")
    machine.has()
    fake_screen(molecules(10), tmp_path / "run", backend="cpu", chunk_size=10)
    campaign = reopen(tmp_path / "run")
    for part in part_paths(campaign):
        part.unlink()
    work = Run(WorkOrder(str(campaign.folder), DOCKER, "pilot", backend="auto"))

    stopped = []

    def stop() -> None:
        while not read_batches(batches):
            time.sleep(0.05)
        stopped.append(time.monotonic())
        work.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(CampaignError, match="the run was stopped"):
        work.do(DockChunk(0))
    thread.join()
    assert time.monotonic() - stopped[0] < 3600, "the batch was not waited for"
    work.close()
    assert part_paths(campaign) == []


def test_with_care_no_device_is_used(machine, batches, tmp_path):
    fake_screen(molecules(4), tmp_path / "run", backend="cpu", chunk_size=4)
    campaign = reopen(tmp_path / "run")
    for part in part_paths(campaign):
        part.unlink()
    machine.has()
    work = Run(WorkOrder(str(campaign.folder), DOCKER, "pilot", backend="auto"))
    try:
        result = work.do(DockChunk(0, with_care=True))
    finally:
        work.close()
    assert result.n_ok == 4
    assert result.notes == ("backend cuda: made up",)
    assert backends(campaign) == {"cpu": 4}


def test_no_more_molecules_are_on_their_way_than_devices_need(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_AHEAD", 16)
    machine.has()
    fake_screen(molecules(4), tmp_path / "run", backend="cpu", chunk_size=4)
    work = Run(WorkOrder(str(tmp_path / "run"), DOCKER, "pilot", backend="auto"))
    from osong.library import read_records

    n_taken = itertools.count()
    records = (record for record in read_records(molecules(100)) if next(n_taken) >= 0)
    try:
        outcomes = work._pipeline.outcomes(records)
        next(outcomes)
        assert next(n_taken) == 16
        outcomes.close()
    finally:
        work.close()


@pytest.mark.parametrize(("n_devices", "n_processes"), [(0, 4), (1, 9), (2, 10)])
def test_all_processes_beside_devices_share_the_memory(
    machine, tmp_path, monkeypatch, n_devices, n_processes
):
    monkeypatch.setattr(run, "share_of_memory", lambda n: 2**50 // n)
    machine.has(n_devices)
    fake_screen(molecules(4), tmp_path / "run", backend="cpu")
    order = WorkOrder(str(tmp_path / "run"), DOCKER, "pilot", memory_limit=None, backend="auto")
    work = Run(order, n_threads=4)
    try:
        assert work._supervisors[False]._memory_limit == 2**50 // n_processes
        if work._pipeline is not None:
            assert work._pipeline._host._memory_limit == 2**50 // n_processes
    finally:
        work.close()


def test_the_campaign_file_chooses_and_the_command_line_has_the_last_word(
    machine, batches, tmp_path
):
    machine.has()
    campaign = fake_screen(molecules(3), tmp_path / "run", backend="cpu")
    store_wishes(CampaignFolder.at(campaign.folder), Wishes(run=RunTable(backend="cpu")))
    for wish, backend in [(None, "cpu"), ("cuda", "cuda"), ("auto", "cuda")]:
        for part in part_paths(campaign):
            part.unlink()
        reopen(campaign).resume(runner="serial", progress=False, backend=wish)
        assert backends(campaign) == {backend: 3}


def test_parts_of_before_are_of_the_cpu(tmp_path):
    campaign = fake_screen(molecules(3), tmp_path / "run", chunk_size=3)
    (part,) = part_paths(campaign)
    with pq.ParquetFile(part) as file:
        table, metadata = file.read(), file.metadata.metadata
    kept = {key: value for key, value in metadata.items() if key != b"osong.backends"}
    pq.write_table(table.replace_schema_metadata(kept), part)
    assert part_backends(part) == {"cpu": 3}


def test_slurm_goes_by_the_campaign_file():
    result = CliRunner().invoke(app, ["resume", "run1", "--runner", "slurm", "--backend", "cuda"])
    assert result.exit_code == 1
    assert "jobs go by the campaign file, [run] backend" in result.stderr


def test_scoring_of_poses_needs_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from osong_workflows.docking import DEFAULT_DOCKER
    from osong_workflows.settings import make_settings

    monkeypatch.setattr(run, "choose_backend", lambda *_, **__: pytest.fail("asked"))
    fields = {"target_name": "t", "target_key": "00", "scoring": "vina", "n_poses": 1, "seed": 0}
    settings = make_settings(
        **fields, effort="score", molecule_timeout_s=1.0, docker=DEFAULT_DOCKER
    )
    assert run.backend_for("cuda", settings).name == "cpu"


def test_what_cuda_lacks_is_said_before_there_is_a_folder(tmp_path, monkeypatch):
    def choose(wanted: str, **_: object) -> Backend:
        raise MissingExtraError("numba-cuda", extra="cuda", purpose="backend cuda")

    monkeypatch.setattr(run, "choose_backend", choose)
    monkeypatch.setitem(DEVICE_DOCKERS, DOCKER, DeviceDockers("a:b", "c:d"))
    with pytest.raises(MissingExtraError):
        fake_screen(molecules(2), tmp_path / "run", backend="cuda")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda"):
        fake_screen(molecules(2), tmp_path / "run", backend="gpu")


def test_the_choice_is_printed_once_where_no_progress_is_shown(tmp_path, capfd):
    campaign = fake_screen(molecules(2), tmp_path / "run", progress=None)
    assert capfd.readouterr().err == f"backend cpu: the docker {DOCKER} knows no device\n"
    log = next(campaign.folder.glob("logs/*.jsonl")).read_text()
    assert log.count("BackendNote") == 1
