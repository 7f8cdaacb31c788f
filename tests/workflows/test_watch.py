"""Watching a campaign: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from campaign_helpers import fake_screen, molecules
from pilot_files import write_log, write_pilot
from rich.console import Console

from osong.errors import CampaignError
from osong_workflows import watch
from osong_workflows.watch import default_interval, watch_campaign, watch_campaigns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """20 molecules in four chunks, all done; `hide` takes some back."""
    return fake_screen(molecules(20), tmp_path / "run1", chunk_size=5).folder


def hide(campaign: Path, n: int) -> list[tuple[Path, Path]]:
    """Take the last ``n`` parts away; return pairs to put them back with."""
    paths = sorted((campaign / "parts").rglob("*.parquet"))[-n:]
    pairs = [(path, campaign.parent / path.name) for path in paths]
    for path, hidden in pairs:
        path.rename(hidden)
    return pairs


def terminal(width: int = 80, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, highlight=False
    )


def pipe() -> Console:
    return Console(file=io.StringIO(), width=300, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Nap:
    """Stands for sleeping: does one thing of a list each time, and counts."""

    def __init__(self, *actions: object) -> None:
        self._actions = list(actions)
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        action = self._actions.pop(0)
        if isinstance(action, BaseException):
            raise action
        for path, hidden in action:
            hidden.rename(path)


def test_a_finished_campaign_is_shown_and_left(campaign: Path) -> None:
    console = terminal()
    seen = watch_campaign(campaign, console=console)
    assert seen.status.is_finished
    assert "20 ok, 0 failed of 20 molecules; finished" in printed(console)
    assert "osong top" in printed(console)
    assert "Ctrl-C" not in printed(console)


def test_it_goes_on_until_the_campaign_is_finished(campaign: Path) -> None:
    first, second = hide(campaign, 2)
    write_pilot(campaign, "node1", n_ok=10, core_seconds=10.0)
    write_log(campaign, "node1", (1e9, "ChunkFinished", {"chunk": 1}))
    console = terminal()
    nap = Nap([first], [second])
    (seen,) = watch_campaigns([campaign], every_s=3.0, console=console, sleep=nap)
    assert seen.status.is_finished
    text = printed(console)
    for words in ("50.0 %", "75.0 %", "100.0 %", "node1", "chunk finished", "Ctrl-C ends watching"):
        assert words in text, words
    assert all(seconds >= 3.0 for seconds in nap.seconds)


def test_ctrl_c_ends_watching_and_says_what_goes_on(campaign: Path) -> None:
    hide(campaign, 1)
    write_pilot(campaign, "node1")
    console = terminal()
    nap = Nap(KeyboardInterrupt())
    (seen,) = watch_campaigns([campaign], console=console, sleep=nap)
    assert not seen.status.is_finished
    assert "stopped watching; 1 pilot at work goes on" in printed(console)


def test_where_nobody_looks_a_line_comes_now_and_then(
    campaign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hide(campaign, 2)
    write_pilot(campaign, "node1", n_ok=10, core_seconds=10.0, tasks=1)
    console = pipe()
    watch_campaigns([campaign], console=console, sleep=Nap([first], [second]))
    lines = printed(console).splitlines()
    # The first and the last: the look between them came too early for a line of its own.
    assert len(lines) == 2
    assert "10 ok, 0 failed of 20 molecules; 10 left; 1.0/s, 10 s left; at work: 1" in lines[0]
    assert lines[1].endswith("20 ok, 0 failed of 20 molecules; finished")
    monkeypatch.setattr(watch, "_LINE_EVERY_S", 0.0)
    for path, hidden in (first, second):
        path.rename(hidden)
    console = pipe()
    watch_campaigns([campaign], console=console, sleep=Nap([], [first], [second]))
    assert len(printed(console).splitlines()) == 3, "a line without news is not printed"


def test_without_pilots_it_waits_unless_told_not_to(campaign: Path) -> None:
    (last,) = hide(campaign, 1)
    seen = watch_campaign(campaign, until_finished=False, console=pipe())
    assert not seen.status.is_finished
    (seen,) = watch_campaigns([campaign], console=pipe(), sleep=Nap([], [last]))
    assert seen.status.is_finished


def test_several_are_one_table_until_all_are_finished(campaign: Path, tmp_path: Path) -> None:
    other = fake_screen(molecules(4), tmp_path / "run2", chunk_size=4).folder
    (last,) = hide(campaign, 1)
    console = terminal()
    seen = watch_campaigns([campaign, other], console=console, sleep=Nap([last]))
    assert [overview.status.is_finished for overview in seen] == [True, True]
    assert "run1" in printed(console)
    assert "run2" in printed(console)


def test_a_small_terminal_shows_fewer_pilots(campaign: Path) -> None:
    hide(campaign, 1)
    for number in range(30):
        write_pilot(campaign, f"node{number}")
    console = terminal(height=24)
    watch_campaigns([campaign], console=console, sleep=Nap(KeyboardInterrupt()))
    assert "and 24 more pilots at work" in printed(console)


def test_looking_takes_a_small_share_of_the_time(
    campaign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(campaign, 1)
    ticks = iter(range(0, 10_000, 100))
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    nap = Nap(KeyboardInterrupt())
    watch_campaigns([campaign], every_s=1.0, console=terminal(), sleep=nap)
    assert nap.seconds[0] >= 400.0


def test_no_campaign_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="no campaign folder"):
        watch_campaign(tmp_path, console=pipe())


@pytest.mark.parametrize(
    ("folder", "seconds"),
    [("/home/me/run", 2.0), ("/lustre/me/run", 10.0), ("/lustre/local/run", 2.0), ("/net/x", 10.0)],
)
def test_file_systems_that_others_share_are_spared(
    tmp_path: Path, folder: str, seconds: float
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nmgs:/fs /lustre lustre rw 0 0\n/dev/sdb /lustre/local xfs rw 0 0\n"
        "server:/x /net nfs4 rw 0 0\nodd\n"
    )
    assert default_interval(type(tmp_path)(folder), mounts=mounts) == seconds
    assert default_interval(type(tmp_path)(folder), mounts=tmp_path / "missing") == 2.0
