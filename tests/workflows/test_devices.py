"""Campaigns on devices that are made up: what is lost there is docked by the CPU, and once."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_helpers import fake_screen, molecules, part_paths, per_ligand, read_calls, reopen
from device_campaigns import Heard, backends, check_rows, read_batches, screen

from osong.errors import ResourceError
from osong_workflows import device_search, device_worker, pipeline
from osong_workflows.part_names import part_backends


@pytest.fixture(scope="module")
def by_cpu(tmp_path_factory):
    """What a CPU makes of the first molecules of all libraries here, by name."""
    out = tmp_path_factory.mktemp("cpu") / "run"
    return per_ligand(fake_screen(molecules(120), out, backend="cpu"))


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
