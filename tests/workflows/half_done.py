"""A campaign of which two thirds are done, for what can be told from its folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from campaign_helpers import fake_screen, molecules
from rich.console import Console

from osong_workflows.observing import observe

N = 60


@pytest.fixture(scope="module", name="half_done")
def made_half_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 molecules in chunks of 10, of which four are done; two of the 40 failed."""
    library = molecules(N)
    library[3] = ("FAIL_late", "late")
    library[2] = ("FAIL_first", "first")
    folder = fake_screen(library, tmp_path_factory.mktemp("run") / "run1", chunk_size=10).folder
    for part in part_paths_of(folder)[4:]:
        part.unlink()
    return folder


def part_paths_of(folder: Path) -> list[Path]:
    return sorted((folder / "parts").rglob("*.parquet"))


@pytest.fixture(name="campaign")
def without_pilots(half_done: Path) -> Path:
    """The same, without any pilot or log."""
    for name in ("pilots", "logs"):
        for path in (half_done / name).glob("*"):
            path.unlink()
    return half_done


def drawn(folder: Path, width: int = 80, *, n_log: int = 0) -> str:
    console = Console(
        width=width, record=True, force_terminal=True, highlight=False, file=io.StringIO()
    )
    console.print(observe(folder, n_log=n_log))
    return console.export_text()
