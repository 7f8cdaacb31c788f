"""When devices are used, by whose choice, and what they may take of the memory."""

from __future__ import annotations

import itertools
import threading
import time

import pyarrow.parquet as pq
import pytest
from campaign_helpers import DOCKER, fake_screen, molecules, part_paths, reopen
from device_campaigns import backends, read_batches
from typer.testing import CliRunner

from osong.backend import Backend
from osong.cli.main import app
from osong.errors import CampaignError, InputError, MissingExtraError
from osong_workflows import pipeline, run
from osong_workflows.device_docking import DEVICE_DOCKERS, DeviceDockers
from osong_workflows.file_tables import RunTable
from osong_workflows.folder import CampaignFolder
from osong_workflows.outputs import Wishes, store_wishes
from osong_workflows.part_names import part_backends
from osong_workflows.run import Run
from osong_workflows.tasks import DockChunk, WorkOrder


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
