"""Libraries are prepared by watched processes: bad molecules are rows, workers change no byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from campaign_helpers import read_calls

import osong
from osong.errors import CampaignError, InputError, ResourceError
from osong.library import LOCK_FILE, PreparedLibrary, is_prepared, read_prepared
from osong_workflows.api import prepare_library
from osong_workflows.events import MoleculeFailed, WorkerRestarted
from osong_workflows.folder import locked_by

PREPARER = "osong_fake_docker:build_preparer"

GOOD = [("C" * n + "O", f"good{n}") for n in range(1, 13)]
BAD = [("SEGFAULT", "segfault"), ("HANG", "hang"), ("EXIT", "exit"), ("FAIL", "fail")]
LIBRARY = [*GOOD[:5], *BAD, *GOOD[5:]]


def prepare(library: object, out: Path, **options: object) -> PreparedLibrary:
    options = {"docker": PREPARER, "molecule_timeout_s": 5.0, "progress": False} | options
    return prepare_library(library, out, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> PreparedLibrary:
    return prepare(LIBRARY, tmp_path_factory.mktemp("prepared") / "one", workers=1)


def test_bad_molecules_are_rows_and_nothing_else_is_lost(one_worker: PreparedLibrary) -> None:
    rows = list(read_prepared(one_worker.folder))
    assert [(row.index, row.name) for row in rows] == [
        (index, name) for index, (_, name) in enumerate(LIBRARY)
    ]
    assert {row.name: (row.stage, row.error) for row in rows if not row.ligands} == {
        "segfault": ("crash", "the process died of SIGSEGV"),
        "hang": ("time", "took longer than 5 s"),
        "exit": ("crash", "the process ended itself with code 3"),
        "fail": ("embed", "item:8: made to fail: mend it"),
    }
    assert (one_worker.n_molecules, one_worker.n_failed) == (16, 4)
    ready = [ligand for row in rows for ligand in row.ligands]
    assert [(ligand.input_smiles, ligand.name) for ligand in ready] == GOOD


def test_the_number_of_workers_changes_no_byte(one_worker: PreparedLibrary, tmp_path: Path) -> None:
    two = prepare(LIBRARY, tmp_path / "two", workers=2)
    assert files(two.folder) == files(one_worker.folder)
    assert set(files(two.folder)) == {"shard-00000.parquet", "library.json"}


def test_molecules_wait_for_earlier_ones_within_bounds(
    one_worker: PreparedLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osong_workflows.prepare_run._AHEAD", 2)
    assert files(prepare(LIBRARY, tmp_path / "two", workers=2).folder) == files(one_worker.folder)


def test_an_accident_is_forgiven_and_failures_are_told(tmp_path: Path, calls: Path) -> None:
    events: list = []
    library = [*GOOD[:2], ("ONCE", "once"), ("FAIL", "f")]
    prepared = prepare(library, tmp_path / "p", workers=1, subscribers=[events.append])
    assert (prepared.n_molecules, prepared.n_failed) == (4, 1)
    assert read_calls(calls) == [0, 1, 2, 2, 3]
    assert [event.index for event in events if isinstance(event, WorkerRestarted)] == [2]
    assert [event.name for event in events if isinstance(event, MoleculeFailed)] == ["f"]


def test_what_all_molecules_need_ends_the_run_and_the_same_call_goes_on(
    tmp_path: Path, calls: Path
) -> None:
    with pytest.raises(ResourceError, match="nothing works any more"):
        prepare([*GOOD[:3], ("BROKEN", "x")], tmp_path / "p", workers=2)
    assert not psutil.Process().children(recursive=True)
    assert not is_prepared(tmp_path / "p")
    assert prepare(GOOD, tmp_path / "p").n_molecules == len(GOOD)


def test_whole_shards_are_not_prepared_again(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import osong_workflows.prepare_run as run

    def small_shards(folder: Path, molecules: object, **options: object) -> PreparedLibrary:
        return osong.library.write_prepared(folder, molecules, molecules_per_shard=4, **options)

    monkeypatch.setattr(run, "write_prepared", small_shards)
    whole = prepare(GOOD, tmp_path / "whole", workers=1)
    calls.unlink()
    with pytest.raises(ResourceError):
        prepare([*GOOD[:6], ("BROKEN", "x")], tmp_path / "p", workers=1)
    calls.unlink()
    resumed = prepare(GOOD, tmp_path / "p", workers=1)
    assert read_calls(calls) == list(range(4, len(GOOD)))
    assert files(resumed.folder) == files(whole.folder)
    with pytest.raises(InputError, match="a prepared library already"):
        prepare(GOOD, tmp_path / "p")


def test_a_folder_in_work_is_refused(tmp_path: Path) -> None:
    prepared = tmp_path / "p"
    prepared.mkdir()
    unfinished = prepared / ".shard-00000.parquet.1.tmp"
    unfinished.touch()
    with locked_by(prepared / LOCK_FILE, "library folder") as is_locked:
        assert is_locked
        with pytest.raises(CampaignError, match=f"process {os.getpid()} on .* wait for it") as said:
            prepare(GOOD, prepared)
    assert "\n" not in str(said.value)
    assert unfinished.exists(), "what the other one writes is left alone"
    assert prepare(GOOD, prepared).n_failed == 0


def test_a_foreign_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds other files \(thesis.tex\)"):
        prepare(GOOD, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        prepare(tmp_path / "missing.smi", tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"molecule_timeout_s": 0}, {"options": {"max_protomers": -1}}]
)
def test_bad_settings_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        prepare(GOOD, tmp_path / "p", **options)
    assert not (tmp_path / "p").exists()


def test_real_molecules_by_the_public_function(tmp_path: Path) -> None:
    source = tmp_path / "small.csv"
    source.write_text("drawn,id\nOc1ccccc1,phenol\nC1CC,broken\nCC(=O)N,acetamide\n")
    reading = {"smiles_column": "drawn", "name_column": "id"}
    one, two = (
        osong.prepare_library(source, tmp_path / f"{n}", workers=n, **reading) for n in (1, 2)
    )
    assert files(one.folder) == files(two.folder)
    assert (one.n_molecules, one.n_failed) == (3, 1)
    rows = list(read_prepared(one.folder))
    assert [(row.name, row.stage) for row in rows] == [
        ("phenol", ""),
        ("broken", "read"),
        ("acetamide", ""),
    ]
    (direct,) = osong.prepare_ligand("Oc1ccccc1", name="phenol")
    assert rows[0].ligands[0].smiles == direct.smiles
    assert (rows[0].ligands[0].packed.coords == direct.packed.coords).all()
    assert one.options["reading"] == reading


def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(tmp_path: Path, calls: Path) -> None:
    """The command itself, on a fake that hangs: only a process of its own can be interrupted."""
    source = tmp_path / "small.smi"
    source.write_text("CO good\nHANG hang\n")
    code = (
        "import osong_workflows.prepare_run as run, osong_workflows.api as api\n"
        "from functools import partial\n"
        f"api.prepare_library = partial(run.prepare_library, docker={PREPARER!r})\n"
        "from osong.cli.main import app\n"
        f"app(['prepare', 'library', {str(source)!r}, '-o', {str(tmp_path / 'p')!r}])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, env=environment, text=True
    )
    try:
        while len(read_calls(calls)) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == "osong: stopped: whole shards are kept; the same command goes on from there\n"
    assert children
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_a_library_says_how_it_was_prepared(one_worker: PreparedLibrary) -> None:
    content = json.loads((one_worker.folder / "library.json").read_text())
    assert content["options"]["molecule_timeout_s"] == 5.0
    assert content["options"]["library"] == "items"
    assert content["options"]["ligands"]["max_stereoisomers"] == 4
