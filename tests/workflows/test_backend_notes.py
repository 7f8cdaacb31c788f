"""Where molecules are docked, as a terminal is told: whose device it is, and nothing twice."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from campaign_helpers import fake_screen, molecules
from rich.console import Console

from osong_workflows.events import BackendNote, Event, MoleculesDone, Publisher
from osong_workflows.feed import Feed
from osong_workflows.pilots import PilotWatch, new_pilot
from osong_workflows.progress import BackendPrinter, ProgressBar
from osong_workflows.tasks import DockChunk, TaskResult

HERE = socket.gethostname()


@pytest.mark.parametrize("kind", [BackendPrinter, ProgressBar])
def test_a_note_comes_with_its_host_once_there_are_several(kind: type) -> None:
    screen = io.StringIO()
    printer = kind(Console(file=screen, width=40))
    events: list[Event] = [
        BackendNote(HERE, "backend cuda: [two] devices of a name that is longer than a line"),
        MoleculesDone(1, 0),
        BackendNote("node7", "device 0 is given up"),
        BackendNote(HERE, "device 1 is given up"),
    ]
    for event in events:
        printer(event)
    assert screen.getvalue().splitlines() == [
        "backend cuda: [two] devices of a name that is longer than a line",
        "node7: device 0 is given up",
        f"{HERE}: device 1 is given up",
    ]


def test_nodes_alike_say_once_where_they_dock_and_each_what_it_lost(
    tmp_path: Path,
) -> None:
    campaign = fake_screen(molecules(8), tmp_path / "run", chunk_size=2)
    for part in campaign.folder.glob("parts/**/*.parquet"):
        part.unlink()
    me = new_pilot("srun")
    me.write(campaign._folder)
    heard: list[Event] = []
    watch = PilotWatch(campaign._folder, me)
    feed = Feed(
        campaign._folder, campaign.plan, me, watch, Publisher([heard.append]), is_live=False
    )
    notes = ("backend cuda: 0: H100", "device 0 (H100) is given up: lost; the CPU takes over")
    for host in ("node1", "node2", "node2"):
        task = feed.take(wait=True)
        assert isinstance(task, DockChunk)
        feed.done(task, TaskResult(host=host, n_ok=2, notes=notes))
    feed.close()
    told = [event for event in heard if isinstance(event, BackendNote)]
    assert told == [
        BackendNote("node1", notes[0]),
        BackendNote("node1", notes[1]),
        BackendNote("node2", notes[1]),
    ]
