"""`kill -9` of the whole process group at random moments, then resume: nothing lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
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

N = 60
CHUNK = 4


def start_run(out: Path, source: Path, runner: str) -> subprocess.Popen[bytes]:
    """Start, or go on with, a campaign in a process group of its own."""
    script = (
        "from pathlib import Path\n"
        "from campaign_helpers import fake_screen\n"
        f"fake_screen(Path({str(source)!r}), Path({str(out)!r}), runner={runner!r}, workers=2,"
        f" chunk_size={CHUNK})\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OSONG_FAKE_PAUSE": "0.05",
    }
    return subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)


def docked_in(out: Path) -> set[int]:
    """Indices of molecules in finished parts, from the parts' names."""
    chunks = [int(part.name[:6]) for part in (out / "parts").glob("[0-9]*.parquet")]
    return {CHUNK * chunk + i for chunk in chunks for i in range(CHUNK)}


def wait_for_calls(calls: Path, process: subprocess.Popen[bytes], n: int) -> None:
    """Wait until a run has begun some molecules."""
    while len(read_calls(calls)) < n:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "serial"])
def test_kill_at_ten_random_moments(tmp_path, calls, runner):
    source = tmp_path / "library.smi"
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in molecules(N)))
    undisturbed = fake_screen(source, tmp_path / "quiet", chunk_size=CHUNK)
    calls.unlink()

    out = tmp_path / "run"
    moments = random.Random(20 if runner == "local" else 21)
    for _ in range(10):
        done = docked_in(out)
        calls.unlink(missing_ok=True)
        process = start_run(out, source, runner)
        # A run gets to finish a chunk or two of the 15 at most, so there is always a run to kill.
        wait_for_calls(calls, process, moments.randint(0, 6))
        time.sleep(moments.uniform(0, 0.05))
        assert process.poll() is None, "the run ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not done & set(read_calls(calls)), "a molecule of a finished part was docked again"
        assert done <= docked_in(out), "a finished part was lost"

    done = docked_in(out)
    calls.unlink(missing_ok=True)
    campaign = fake_screen(source, out, runner=runner, workers=2)
    assert sorted(read_calls(calls)) == sorted(set(range(N)) - done)
    assert part_bytes(campaign) == part_bytes(undisturbed)
    assert per_ligand(campaign) == per_ligand(undisturbed)
    assert campaign.ledger().equals(undisturbed.ledger())
    assert campaign.top(N).equals(undisturbed.top(N))
    assert sorted(path.name for path in out.iterdir()) == [
        "campaign.toml",
        "input",
        "lock",
        "logs",
        "parts",
        "pilots",
        "plan.json",
        "target.osong",
    ]


def test_no_docking_process_outlives_its_run(tmp_path, calls):
    """Killing the run alone, not its group: the docking process sees the pipe close and ends."""
    import psutil

    source = tmp_path / "library.smi"
    source.write_text("HANG hang\n")
    process = start_run(tmp_path / "run", source, "serial")
    while not read_calls(calls):
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert (len(gone), alive) == (1, [])
    assert part_paths(reopen(tmp_path / "run")) == []


def test_ctrl_c_keeps_what_is_finished(tmp_path, calls):
    source = tmp_path / "library.smi"
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in molecules(N)))
    process = start_run(tmp_path / "run", source, "local")
    while len(read_calls(calls)) < 4 * CHUNK:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    status = reopen(tmp_path / "run").status()
    assert status.n_ok >= CHUNK
    assert status.n_failed == 0
    assert not list((tmp_path / "run" / "parts").glob(".*"))
