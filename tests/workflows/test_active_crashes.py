"""Campaigns with a strategy that are killed, or shared by several processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from active_helpers import BUDGET, active_screen, open_active, picks_of, write_library
from campaign_helpers import read_calls

from osong.errors import CampaignStoppedError
from osong_workflows.active_run import stopped_by_signals

pytest.importorskip("torch", reason="needs osong[ml]")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("library") / "library.smi")


@pytest.fixture(scope="module")
def done(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return active_screen(library, tmp_path_factory.mktemp("done") / "run")


def start_run(library: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start, or go on with, a campaign in a process group of its own."""
    script = (
        "from pathlib import Path\n"
        "from active_helpers import active_screen\n"
        f"active_screen(Path({str(library)!r}), Path({str(out)!r}), chunk_size=5)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OSONG_FAKE_PAUSE": "0.02",
    }
    return subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_kill_at_random_moments(library: Path, done: Any, tmp_path: Path, calls: Path) -> None:
    """Whether it docks, trains or begins: what comes out is what comes out undisturbed."""
    out = tmp_path / "run"
    dice = random.Random(11)
    n_killed = 0
    for k in range(5):
        process = start_run(library, out)
        # The first before a round is docked, the others at whatever they do.
        time.sleep(2.0 if k == 0 else dice.uniform(2.0, 9.0))
        if process.poll() is not None:
            break
        kill(process)
        n_killed += 1
    assert n_killed
    process = start_run(library, out)
    assert process.wait() == 0
    ended = open_active(out)
    assert picks_of(ended) == picks_of(done)
    assert ended.ledger().equals(done.ledger())
    # Of a chunk that was under way some molecules are docked again: not of those that were whole.
    assert BUDGET <= len(read_calls(calls)) <= BUDGET + 6 * 5
    assert not [path for path in out.rglob("*.tmp") if "pilots" not in path.parts]


def test_a_kill_between_scores_and_choice(library: Path, done: Any, tmp_path: Path) -> None:
    """What was chosen but has no campaign yet gets it."""
    out = tmp_path / "run"
    active_screen(library, out, 12)
    second = active_screen(library, out, 24)
    round_1 = out / "rounds" / "001"
    for path in sorted(round_1.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (out / "active" / "round-001" / "answers.parquet").unlink()
    again = second.resume(runner="serial", progress=False)
    assert picks_of(again)[:2] == picks_of(done)[:2]
    assert again.status().is_finished


@pytest.mark.slow
def test_two_processes_share_the_work(
    library: Path, done: Any, tmp_path: Path, calls: Path
) -> None:
    out = tmp_path / "run"
    processes = [start_run(library, out) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    ended = open_active(out)
    assert picks_of(ended) == picks_of(done)
    assert ended.ledger().equals(done.ledger())
    assert sorted(read_calls(calls)) == sorted(set(read_calls(calls)))  # nothing twice


def test_a_warning_ends_it_while_it_learns(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    told = pytest.raises(CampaignStoppedError, match=f"go on with: osong resume {tmp_path}")
    with told, stopped_by_signals(tmp_path, heeds=True):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(5)
    assert signal.getsignal(signal.SIGUSR1) is before
