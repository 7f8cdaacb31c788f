"""Strategies over prepared libraries, over several targets, and in campaign files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from active_helpers import BATCH, UNREADABLE, N, active_screen, learnable, picks_of, write_library
from campaign_helpers import fake_screen
from rich.console import Console

from osong.errors import InputError
from osong_workflows.api import prepare_library
from osong_workflows.campaign_file import read_campaign_file
from osong_workflows.file_campaigns import create_campaigns
from osong_workflows.file_problems import CampaignFileError
from osong_workflows.plan_view import plan_view
from osong_workflows.planning import plan_campaign

pytest.importorskip("torch", reason="needs osong[ml]")

FAKE = "osong_fake_docker:build"
STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.010   1.420   0.000  1.00  0.00           C
ATOM      4  O   GLY A   1       1.250   2.390   0.000  1.00  0.00           O
END
"""
TARGETS = "".join(
    f'[[target]]\nreceptor = "glycine.pdb"\nlabel = "{name}"\ncenter = [0, 0, 0]\n'
    f"size = [{edge}, 20, 20]\n"
    for name, edge in (("a", 20), ("b", 22))
)
STRATEGY = '[strategy]\nkind = "active"\nbudget = "10%"\nbatch = 12\ninitial = "random"\n'


@pytest.fixture
def write(tmp_path: Path) -> Any:
    write_library(tmp_path / "library.smi")
    (tmp_path / "glycine.pdb").write_text(STRUCTURE)

    def write(text: str) -> Path:
        path = tmp_path / "gly.toml"
        path.write_text(text)
        return path

    return write


def test_a_prepared_library_is_chosen_from(tmp_path: Path) -> None:
    """Its molecules have no structure in their records: fingerprints are of what was prepared."""
    rows = [row for row in learnable(60) if row[0] != "C1CC"]
    source = tmp_path / "library.smi"
    lines = [f"{smiles} {name}\n" for smiles, name in rows]
    source.write_text("".join([*lines, "nonsense bad\n"]))
    prepare_library(source, tmp_path / "prepared", workers=1, progress=False)
    done = active_screen(tmp_path / "prepared", tmp_path / "run", 24, docker=FAKE)
    plain = active_screen(source, tmp_path / "plain", 24, docker=FAKE)
    assert [len(batch) for batch in picks_of(done)] == [BATCH] * 2
    # The first round is drawn by position alone, and the library is the same.
    assert picks_of(done)[0] == picks_of(plain)[0]
    ledger = {row["index"]: row for row in done.ledger().to_pylist()}
    assert (ledger[len(rows)]["status"], ledger[len(rows)]["stage"]) == ("failed", "fingerprint")
    assert done.status().n_ok == 24


def test_campaigns_share_the_fingerprints_of_a_library(tmp_path: Path) -> None:
    library = write_library(tmp_path / "library.smi")
    place = tmp_path / "shared"
    strategy = {"kind": "active", "batch": 12, "top": 10, "features": place}
    options = {"strategy": strategy, "docker": FAKE}
    one = fake_screen(library, tmp_path / "one", budget=12, **options)
    made = (place / "features-00000.parquet").stat().st_mtime_ns
    two = fake_screen(library, tmp_path / "two", budget=12, seed=3, **options)
    assert (place / "features-00000.parquet").stat().st_mtime_ns == made
    assert not (tmp_path / "one" / "features").exists()
    assert one.status().failures == two.status().failures == {"fingerprint": len(UNREADABLE)}
    other = write_library(tmp_path / "other.smi", N - 10)
    with pytest.raises(InputError, match="the library has changed"):
        fake_screen(other, tmp_path / "three", budget=12, **options)


def test_targets_of_one_file_share_them(write: Any, tmp_path: Path) -> None:
    file = read_campaign_file(write(f'library = "library.smi"\nout = "runs"\n{TARGETS}{STRATEGY}'))
    assert file.tables.strategy is not None
    assert file.tables.strategy.features == str(tmp_path / "runs" / "features")
    folders = create_campaigns(file.path, workers=1, docker=FAKE)
    assert [folder.path.name for folder in folders] == ["a", "b"]
    # Another budget in the file: the folders that are there go by it.
    larger = file.path.read_text().replace("10%", "20%")
    again = create_campaigns(write(larger), workers=1, docker=FAKE)
    assert all('budget = "20%"' in folder.settings.read_text() for folder in again)


def test_mistakes_in_a_file_have_their_line(write: Any) -> None:
    head = f'library = "library.smi"\n{TARGETS}'
    line = head.count("\n") + 1
    with pytest.raises(CampaignFileError) as caught:
        read_campaign_file(
            write(f'{head}[strategy]\nkind = "active"\nbudget = "200%"\nbeta = -1.0\n')
        )
    first, second = caught.value.problems
    assert f"gly.toml:{line + 2}: strategy.budget" in first
    assert 'should be a number of molecules, or a share such as "2%"' in first
    assert f"gly.toml:{line + 3}: strategy.beta" in second
    with pytest.raises(CampaignFileError, match=r"is no key in \[strategy\].*patience"):
        read_campaign_file(write(f"{head}{STRATEGY}stop_recall = 0.5\n"))
    with pytest.raises(CampaignFileError, match=r"strategy.budget"):
        read_campaign_file(write(f'{head}[strategy]\nkind = "active"\n'))


def test_a_plan_knows_that_not_all_is_docked(write: Any) -> None:
    text = f'library = "library.smi"\nout = "runs"\n{TARGETS}'
    whole = plan_campaign(write(text))
    some = plan_campaign(write(text + STRATEGY))
    assert (whole.n_dockings, some.n_dockings) == (2 * N, 2 * N // 10)
    assert some.n_library == N
    assert some.core_hours < 0.2 * whole.core_hours
    shown = Console(record=True, width=160)
    for part in plan_view(some):
        shown.print(part)
    text = shown.export_text()
    assert "240 molecules, 24 of them docked" in text
    assert "note: strategy: 10% of the library in 2 rounds" in text
    small = (text_of := f'library = "library.smi"\nout = "runs"\n{TARGETS}') + STRATEGY
    line = text_of.count("\n") + 3
    with pytest.raises(InputError, match=rf"gly.toml:{line}: strategy.budget: .*at least 8"):
        plan_campaign(write(small.replace("10%", "1%")))
