"""What disks do to campaigns: damage, no space, two at once."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from campaign_helpers import (
    fake_screen,
    molecules,
    part_bytes,
    part_paths,
    per_ligand,
    read_calls,
    reopen,
)

from osong.errors import CampaignError, ResourceError
from osong_workflows.events import PartSetAside
from osong_workflows.folder import CampaignFolder


def flip_a_bit(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-100])


def empty(part: Path) -> None:
    part.write_bytes(b"")


def another_chunks_part(part: Path) -> None:
    """A file that is whole, but of other molecules."""
    other = sorted(part.parent.iterdir())[0]
    part.unlink()
    ours, theirs = part.name.split("-"), other.name.split("-")
    shutil.copy(other, part.with_name(f"{ours[0]}-{ours[1]}-{theirs[2]}"))


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty, another_chunks_part])
def test_damaged_part_is_set_aside_and_done_again(tmp_path, calls, damage):
    campaign = fake_screen(molecules(20), tmp_path / "run", chunk_size=5)
    before = part_bytes(campaign)
    damage(part_paths(campaign)[2])
    calls.unlink()
    events: list = []
    reopen(campaign).resume(runner="serial", subscribers=[events.append])
    assert part_bytes(campaign) == before
    assert sorted(read_calls(calls)) == [10, 11, 12, 13, 14]
    (told,) = [event for event in events if isinstance(event, PartSetAside)]
    assert Path(told.moved_to).exists()
    assert reopen(campaign).status().is_finished


@pytest.mark.parametrize("sizes", [{"chunk_size": 5}, {"chunk_size": 5, "shard_chunks": 2}])
def test_parts_of_another_campaign_are_refused_and_left(tmp_path, calls, sizes):
    campaign = fake_screen(molecules(20), tmp_path / "run", **sizes)
    other = fake_screen(molecules(20), tmp_path / "other", seed=1, **sizes)
    for part in part_paths(other):
        shutil.copy(part, campaign.folder / "parts")
    part_paths(campaign)[0].with_name("000000").mkdir()
    shutil.copy(part_paths(other)[0], campaign.folder / "parts" / "000000")
    calls.unlink()
    before = sorted(campaign.folder.rglob("*"))
    n_foreign = len(part_paths(other)) + 1
    status = reopen(campaign).status()
    assert (status.n_ok, status.n_foreign, status.is_finished) == (20, n_foreign, True)
    assert f"{n_foreign} parts of another campaign lie in {campaign.folder}" in str(status)
    for verify in (False, True):
        with pytest.raises(CampaignError, match=f"{n_foreign - 1} more: a part of another") as told:
            reopen(campaign).resume(runner="serial", verify=verify)
        assert "\n" not in str(told.value)
    assert sorted(campaign.folder.rglob("*")) == before
    assert not calls.exists()


def test_another_campaigns_part_under_our_name_is_done_again(tmp_path, calls):
    campaign = fake_screen(molecules(20), tmp_path / "run", chunk_size=5)
    other = fake_screen(molecules(20), tmp_path / "other", chunk_size=5, seed=1)
    before = part_bytes(campaign)
    ours, theirs = part_paths(campaign)[1], part_paths(other)[1]
    ours.unlink()
    shutil.copy(theirs, ours.with_name(ours.name[:24] + theirs.name[24:]))
    calls.unlink()
    events: list = []
    reopen(campaign).resume(runner="serial", subscribers=[events.append])
    (told,) = [event for event in events if isinstance(event, PartSetAside)]
    assert "of another campaign" in told.reason
    assert part_bytes(campaign) == before
    assert sorted(read_calls(calls)) == [5, 6, 7, 8, 9]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_scratch_that_cannot_be_made(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    check_scratch(tmp_path, locked / "s")


def test_scratch_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    check_scratch(tmp_path, tmp_path / "file" / "s")


def check_scratch(tmp_path: Path, scratch: Path) -> None:
    campaign = fake_screen(molecules(4), tmp_path / "run")
    part_paths(campaign)[0].unlink()
    with pytest.raises(ResourceError, match=rf"\(--scratch {scratch}\) cannot be made on"):
        reopen(campaign).resume(runner="serial", scratch=str(scratch))


def test_unreadable_part_shows_in_the_status(tmp_path):
    campaign = fake_screen(molecules(20), tmp_path / "run", chunk_size=5)
    truncate(part_paths(campaign)[1])
    status = campaign.status()
    assert (status.n_ok, status.n_damaged, status.is_finished) == (15, 1, False)
    assert "1 damaged" in str(status)
    with pytest.raises(CampaignError, match=f"osong resume {campaign.folder} --verify"):
        campaign.ledger()


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    campaign = fake_screen(molecules(4), tmp_path / "run", chunk_size=2)
    (campaign.folder / "parts" / "000000").mkdir()
    for leftover in (
        "parts/.000001-p-01234567.tmp",
        "parts/000000/.000001-p-01234567.tmp",
        ".campaign.toml.tmp",
    ):
        (campaign.folder / leftover).write_bytes(b"half a file")
    campaign.resume(runner="serial")
    assert not (campaign.folder / "parts" / "000000").exists()
    assert list(campaign.folder.rglob(".*")) == []


def test_run_killed_before_it_began(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "lock").touch()
    (out / ".campaign.toml.tmp").write_text("osong =")
    assert fake_screen(molecules(2), out).status().is_finished


def test_second_run_waits_for_who_begins_the_campaign(tmp_path, calls, capfd):
    campaign = fake_screen(molecules(6), tmp_path / "run", chunk_size=2)
    part_paths(campaign)[0].unlink()
    calls.unlink()
    with CampaignFolder.at(campaign.folder).locked() as is_locked:
        assert is_locked
        second = threading.Thread(target=fake_screen, args=(molecules(6), campaign.folder))
        second.start()
        second.join(1.5)
        assert second.is_alive()
        assert read_calls(calls) == []
        assert campaign.status().n_left == 2, "looking is allowed"
    second.join()
    assert f"process {os.getpid()} on " in capfd.readouterr().err
    assert reopen(campaign).status().is_finished


def test_file_system_without_locks_works(tmp_path, monkeypatch):
    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with CampaignFolder.at(tmp_path).locked() as is_locked:
        assert not is_locked
    assert fake_screen(molecules(4), tmp_path / "run").status().is_finished


def test_two_processes_without_locks_share_the_work(tmp_path, monkeypatch, calls):
    """Claims need no locks: nothing is docked twice."""
    quiet = fake_screen(molecules(30), tmp_path / "quiet", chunk_size=3)
    campaign = fake_screen(molecules(30), tmp_path / "run", chunk_size=3)
    for part in part_paths(campaign):
        part.unlink()
    calls.unlink()
    monkeypatch.setenv("OSONG_FAKE_PAUSE", "0.01")
    script = (
        "import errno, fcntl\n"
        "def flock(*args): raise OSError(errno.ENOLCK, 'none')\n"
        "fcntl.flock = flock\n"
        "from campaign_helpers import reopen\n"
        f"from pathlib import Path; reopen(Path({str(campaign.folder)!r})).resume(runner='serial')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    both = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert part_bytes(campaign) == part_bytes(quiet)
    assert sorted(read_calls(calls)) == list(range(30))


def test_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    class FullDisk(pq.ParquetWriter):
        n_written = 0

        def write_table(self, *args, **options):
            FullDisk.n_written += 1
            if FullDisk.n_written > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write_table(*args, **options)

    fake_screen(molecules(2), tmp_path / "other")
    campaign = fake_screen(molecules(20), tmp_path / "run", chunk_size=5)
    whole = part_bytes(campaign)
    for part in part_paths(campaign):
        part.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("osong_workflows.parts.pq.ParquetWriter", FullDisk)
        with pytest.raises(ResourceError, match="No space left on device") as caught:
            campaign.resume(runner="serial")
    assert str(campaign.folder) in str(caught.value)
    assert "free space" in str(caught.value)
    left = part_bytes(campaign)
    assert len(left) == 2
    assert left.items() <= whole.items()
    assert [path.name for path in (campaign.folder / "parts").glob(".*")] == []
    assert part_bytes(reopen(campaign).resume(runner="serial")) == whole


def test_file_size_limit_is_a_full_disk(tmp_path):
    """The system itself refuses to write (RLIMIT_FSIZE): no folder, no half-read library."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from campaign_helpers import fake_screen\n"
        "from osong.errors import ResourceError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "names = (('C', f'{i * 2654435761 % 2**64:x}' * 5) for i in range(20_000))\n"
        f"out = Path({str(tmp_path / 'run')!r})\n"
        "try:\n"
        "    fake_screen(names, out)\n"
        "except ResourceError as error:\n"
        "    sys.exit(0 if 'File too large' in str(error) and not out.exists() else 4)\n"
        "sys.exit(5)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == 0
    assert resource.RLIMIT_FSIZE is not None


def test_disk_that_cannot_hold_the_results_is_refused_before_docking(tmp_path, monkeypatch, calls):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "osong_workflows.plan.shutil.disk_usage", lambda path: usage._replace(free=1000)
    )
    with pytest.raises(ResourceError, match="results need about"):
        fake_screen(molecules(10), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert read_calls(calls) == []


def test_only_files_of_the_library_need_space(tmp_path, monkeypatch):
    nested = tmp_path / "library" / "raw"
    nested.mkdir(parents=True)
    (nested / "trajectory.bin").write_bytes(b" " * 2_000_000)
    (tmp_path / "library" / "a.smi").write_text("C methane\n")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "osong_workflows.create.shutil.disk_usage", lambda path: usage._replace(free=1_000_000)
    )
    assert fake_screen(tmp_path / "library", tmp_path / "run").status().n_ok == 1


def test_missing_input_is_told(tmp_path):
    campaign = fake_screen(molecules(10), tmp_path / "run")
    part_paths(campaign)[0].unlink()
    (campaign.folder / "input" / "records-00000.parquet").unlink()
    with pytest.raises(CampaignError, match=r"records-00000\.parquet"):
        reopen(campaign).resume(runner="serial")


def test_interrupted_planning_is_planned_again(tmp_path):
    campaign = fake_screen(molecules(10), tmp_path / "run")
    rows = per_ligand(campaign)
    (campaign.folder / "plan.json").unlink()
    with pytest.raises(CampaignError, match="run osong screen with the same library"):
        reopen(campaign).resume(runner="serial")
    assert per_ligand(fake_screen(molecules(10), tmp_path / "run")) == rows
