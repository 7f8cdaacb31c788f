"""Scaling over processes and threads: the part runs whole, and its arithmetic is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from osong_benchmarks.child import ChildError
from osong_benchmarks.part import Gap, Settings
from osong_benchmarks.parts import scaling
from osong_benchmarks.parts.scaling import Kind, ScalingResult, ScalingRow
from osong_benchmarks.scaling_child import Workers, workers


def row(kind: Kind, n_workers: int, n_dockings: int, wall_s: float) -> ScalingRow:
    return ScalingRow(
        kind=kind, n_workers=n_workers, n_dockings=n_dockings, wall_s=wall_s, cpu_s=8.0
    )


@pytest.fixture
def four_cores() -> ScalingResult:
    rows = (
        row("strong", 1, 8, 8.0),
        row("strong", 4, 8, 2.5),
        row("weak", 1, 8, 8.0),
        row("weak", 4, 32, 10.0),
        row("threads", 1, 1, 3.0),
        row("threads", 4, 1, 1.0),
    )
    return ScalingResult(ligand="22_atoms", n_cores=4, load_before=0.0, rows=rows)


def test_efficiencies(four_cores: ScalingResult) -> None:
    found = {name: merit.value for name, merit in scaling.merits(four_cores).items()}
    assert found["scaling.strong.all_cores"] == pytest.approx(0.8)
    assert found["scaling.weak.all_cores"] == pytest.approx(0.8)
    assert found["scaling.threads.all_cores"] == pytest.approx(0.75)
    assert found["scaling.dockings.one_core"] == pytest.approx(1.0)
    assert found["scaling.dockings.all_cores"] == pytest.approx(3.2)
    assert found["scaling.cpu_a_docking.all_cores"] == pytest.approx(250.0)


def test_section_shows_them(four_cores: ScalingResult) -> None:
    pytest.importorskip("matplotlib")
    shown = scaling.section(four_cores)
    assert shown.summary == "3.2 dockings a second on 4 cores, 80 % of ideal."
    assert [line[-1] for line in shown.tables[0].rows] == [
        "100 %", "80 %", "100 %", "80 %", "100 %", "75 %",
    ]  # fmt: skip
    assert len(shown.figures) == 1
    assert shown.figures[0].svg.lstrip().startswith("<svg")


def test_the_part_runs_on_two_cores(tmp_path: Path) -> None:
    result = scaling.run(Settings("smallest", out=tmp_path, cores=2), lambda line: None)
    assert ScalingResult.model_validate_json(result.model_dump_json()) == result
    seen = {(row.kind, row.n_workers, row.n_dockings) for row in result.rows}
    assert seen == {
        ("strong", 1, 4), ("strong", 2, 4), ("weak", 1, 4), ("weak", 2, 8),
        ("threads", 1, 1), ("threads", 2, 1),
    }  # fmt: skip
    assert all(row.wall_s > 0 for row in result.rows)
    assert [gap.what for gap in result.gaps] == ["scaling over ranks", "scaling of whole campaigns"]


def test_one_core_has_no_efficiency(tmp_path: Path) -> None:
    result = scaling.run(Settings("smallest", out=tmp_path, cores=1), lambda line: None)
    assert Gap(what="scaling over cores", reason="one core was to be used") in result.gaps
    assert set(scaling.merits(result)) == {
        "scaling.dockings.one_core", "scaling.dockings.all_cores",
        "scaling.cpu_a_docking.one_core", "scaling.cpu_a_docking.all_cores",
    }  # fmt: skip
    assert scaling.section(result).figures == []


def test_a_worker_that_cannot_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ChildError, match="ended with code 1"),
        workers(1, "no such ligand", 14.0, "fast"),
    ):
        pass
    assert "no such ligand" in capfd.readouterr().err


def test_a_worker_that_says_no_number_is_an_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input(); print('no number')"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        answers = Workers([process])
        with pytest.raises(ChildError, match="no number"):
            answers.dock([1])
        with pytest.raises(ChildError, match="ended with code"):
            answers.dock([1])
        process.communicate()  # forgives that what is still to be sent has no reader
