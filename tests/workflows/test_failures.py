"""Molecules that crash, hang or eat memory become ledger rows; what all need ends the run."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from campaign_helpers import fake_screen, molecules, part_bytes, per_ligand, read_calls, reopen

from osong.errors import CampaignError, InputError, ResourceError
from osong_workflows.events import MoleculeFailed, WorkerRestarted

BAD = [
    ("SEGFAULT", "segfault"),
    ("EXIT", "exit"),
    ("BUG", "bug"),
    ("FAIL", "fail"),
    ("HANG", "hang"),
]


def with_bad() -> list[tuple[str, str]]:
    good = molecules(30)
    return [*good[:10], *BAD, *good[10:]]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / "run"
    return fake_screen(with_bad(), folder, molecule_timeout_s=6)


def test_bad_molecules_are_rows_and_nothing_else_is_lost(serial):
    rows = per_ligand(serial)
    failed = {n: (r["stage"], r["reason"]) for n, r in rows.items() if r["status"] == "failed"}
    assert failed == {
        "segfault": ("crash", "the process died of SIGSEGV"),
        "exit": ("crash", "the process ended itself with code 3"),
        "bug": ("crash", "unexpected error: KeyError: <object object at 0x...>"),
        "fail": ("embed", "item:13: made to fail: mend it"),
        "hang": ("time", "took longer than 6 s"),
    }
    assert len(rows) == 35
    status = serial.status()
    assert (status.n_ok, status.n_failed) == (30, 5)
    assert status.failures == {"crash": 3, "embed": 1, "time": 1}


def test_the_local_runner_gives_the_same_bytes(serial, tmp_path):
    size = serial.plan.chunk_size
    campaign = fake_screen(
        with_bad(),
        tmp_path / "run",
        molecule_timeout_s=6,
        runner="local",
        workers=2,
        chunk_size=size,
    )
    assert part_bytes(campaign) == part_bytes(serial)


def test_an_accident_is_forgiven(tmp_path, calls):
    events: list = []
    campaign = fake_screen(
        [*molecules(4), ("ONCE", "once")], tmp_path / "run", subscribers=[events.append]
    )
    assert campaign.status().n_ok == 5
    assert read_calls(calls).count(4) == 2
    (restart,) = [event for event in events if isinstance(event, WorkerRestarted)]
    assert "SIGKILL" in restart.reason


def test_retries_are_bounded(tmp_path, calls):
    campaign = fake_screen([("SEGFAULT", "s"), ("BUG", "b")], tmp_path / "run")
    assert campaign.status().n_failed == 2
    assert read_calls(calls) == [0, 0, 1], "a crash may be chance, an exception is not"


def test_error_of_the_library_about_one_molecule_is_a_row(tmp_path):
    campaign = fake_screen([("C", "c"), ("INPUT", "odd")], tmp_path / "run")
    assert per_ligand(campaign)["odd"]["reason"] == "not this one"


def test_a_run_of_deaths_stops_the_campaign(tmp_path, monkeypatch):
    monkeypatch.setattr("osong_workflows.supervisor._MAX_DEATHS_IN_A_ROW", 3)
    library = [*molecules(4), *[(f"BUG_{i}", f"b{i}") for i in range(6)]]
    with pytest.raises(CampaignError, match="3 molecules in a row"):
        fake_screen(library, tmp_path / "run", chunk_size=4)
    assert reopen(tmp_path / "run").status().n_ok == 4


def test_memory_hog_is_a_row(tmp_path, calls):
    campaign = fake_screen(
        [*molecules(2), ("BIG", "big")], tmp_path / "run", memory_per_worker=250 * 2**20
    )
    rows = per_ligand(campaign)
    assert (rows["big"]["stage"], rows["big"]["reason"]) == ("memory", "needed more than 250 MiB")
    assert read_calls(calls) == [0, 1, 2, 2], "earlier molecules may have filled the process"


def test_modules_of_the_working_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise RuntimeError('the wrong queue')\n")
    monkeypatch.chdir(tmp_path)
    assert fake_screen(molecules(2), tmp_path / "run").status().n_ok == 2


def test_what_all_molecules_need_ends_the_run(tmp_path, capfd):
    library = [*molecules(8), ("BROKEN", "x")]
    with pytest.raises(ResourceError, match="nothing works any more"):
        fake_screen(library, tmp_path / "run", runner="local", workers=2, chunk_size=3)
    status = reopen(tmp_path / "run").status()
    assert status.n_failed == 0
    assert not status.is_finished
    assert capfd.readouterr() == ("", ""), "the error says it all; Dask has nothing to add"


@pytest.mark.parametrize("runner", ["serial", "local"])
@pytest.mark.parametrize(
    ("docker", "error", "message"),
    [
        ("osong_fake_docker:build_broken", ResourceError, "use a smaller box"),
        ("osong_fake_docker:build_crashing", CampaignError, "cannot start: .*SIGSEGV"),
        ("osong_fake_docker:nothing", InputError, "cannot be loaded"),
    ],
)
def test_docker_that_cannot_start(tmp_path, runner, docker, error, message):
    with pytest.raises(error, match=message):
        fake_screen(molecules(3), tmp_path / "run", docker=docker, runner=runner)


def test_warnings_of_a_batch_system_to_docking_processes_are_passed_over(
    tmp_path, calls, monkeypatch
):
    """Slurm sends SIGTERM to every process of a job; what comes of it, the pilot decides."""
    monkeypatch.setenv("OSONG_FAKE_PAUSE", "0.3")

    def warn() -> None:
        import psutil

        while len(read_calls(calls)) < 3:
            time.sleep(0.02)
        for child in psutil.Process().children():
            if "osong_workflows.child" in child.cmdline():
                os.kill(child.pid, signal.SIGTERM)
                os.kill(child.pid, signal.SIGUSR1)

    thread = threading.Thread(target=warn)
    thread.start()
    campaign = fake_screen(molecules(5), tmp_path / "run", chunk_size=5)
    thread.join()
    assert campaign.status().n_ok == 5
    assert read_calls(calls) == list(range(5)), "no molecule was docked twice"


def test_stopping_a_docking_process_as_it_starts_blames_no_molecule(tmp_path, monkeypatch):
    """SIGTERM may come before the process has learned to pass it over."""
    from osong_workflows import supervisor

    begin = supervisor.Supervisor._start

    def start_and_stop(self):
        begin(self)
        # This process may be deaf to the signal itself: nohup, or a batch system, made it so.
        monkeypatch.setattr(type(self._process), "wait", lambda *_, **__: -signal.SIGTERM)
        self._process.kill()

    monkeypatch.setattr(supervisor.Supervisor, "_start", start_and_stop)
    with pytest.raises(CampaignError, match="told to stop"):
        fake_screen([("HANG", "hang")], tmp_path / "run", chunk_size=2)
    status = reopen(tmp_path / "run").status()
    assert (status.n_ok, status.n_failed) == (0, 0)


def test_failures_are_told(tmp_path):
    events: list = []
    fake_screen([("FAIL", "f")], tmp_path / "run", subscribers=[events.append])
    (failed,) = [event for event in events if isinstance(event, MoleculeFailed)]
    assert (failed.index, failed.name, failed.stage) == (0, "f", "embed")


def test_memory_of_a_campaign_file_is_a_limit(tmp_path):
    from osong_workflows.file_tables import Budget
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.outputs import Wishes, store_wishes

    library = [*molecules(2), ("BIG", "big")]
    campaign = fake_screen(library, tmp_path / "run", memory_per_worker=200 * 2**20)
    for part in (campaign.folder / "parts").iterdir():
        part.unlink()
    wishes = Wishes(budget=Budget(memory_per_worker="250 MB"))
    store_wishes(CampaignFolder.at(campaign.folder), wishes)
    reopen(campaign).resume(runner="serial")
    assert per_ligand(campaign)["big"]["reason"] == "needed more than 238 MiB"
