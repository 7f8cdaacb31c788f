"""Memory over molecules: the part runs whole without data, and its numbers are told right."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from osong.errors import ResourceError
from osong_benchmarks.memory import MemoryRun, Watch
from osong_benchmarks.part import Settings
from osong_benchmarks.parts import memory
from osong_benchmarks.parts.memory import MemoryResult

MIB = 2**20


def grown(n: int, mib_in_10_000: float, prepare_only: bool) -> MemoryRun:
    """A campaign whose worker starts with 200 MiB and grows evenly, warm after a tenth."""
    samples = []
    for k in range(101):
        done = n * k // 100
        worker = 200 + mib_in_10_000 * done / 1e4 if k >= 10 else 20 * k
        samples.append((0.1 * k, done, 100 * MIB, int(worker * MIB)))
    return MemoryRun(
        samples=tuple(samples), n=n, n_ok=n - 1, n_failed=1, n_files=46, bytes=20 * MIB,
        prepare_only=prepare_only,
    )  # fmt: skip


@pytest.mark.parametrize("growth", [0.0, 15.0])
def test_growth_and_peaks(growth: float) -> None:
    measured = grown(20_000, growth, prepare_only=True)
    assert measured.trends_mib == pytest.approx((0.0, growth), abs=0.01)
    assert measured.peaks_mib == pytest.approx((100.0, 200.0 + 2 * growth), abs=0.01)
    found = memory.merits(MemoryResult(library="x", runs=(measured,)))
    assert found["memory.prepare.worker_peak"].value == pytest.approx(200 + 2 * growth, abs=0.01)
    expected = 1 + growth / (200 + 2 * growth)
    assert found["memory.prepare.worker_growth"].value == pytest.approx(expected, abs=1e-3)
    assert found["memory.prepare.files"].value == pytest.approx(2.3)
    assert found["memory.prepare.disk"].value == pytest.approx(20 * MIB / 20_000)


def test_a_short_run_tells_no_growth() -> None:
    result = MemoryResult(library="x", runs=(grown(400, 15.0, prepare_only=False),))
    assert "memory.dock.worker_growth" not in memory.merits(result)
    assert "memory.dock.worker_peak" in memory.merits(result)


def test_section() -> None:
    pytest.importorskip("matplotlib")
    runs = (grown(20_000, 15.0, prepare_only=True), grown(1000, 0.0, prepare_only=False))
    shown = memory.section(MemoryResult(library="moses", runs=runs))
    assert "at most 230 MiB" in shown.summary
    assert [row[2] for row in shown.tables[0].rows] == ["100", "208", "215", "222", "230"]
    assert "campaign +0.0, docking process +15.0" in shown.tables[0].caption
    assert "46 files, 20.0 MiB" in shown.tables[0].caption
    assert all(figure.svg.lstrip().startswith("<svg") for figure in shown.figures)


def test_the_part_runs_without_data(tmp_path: Path) -> None:
    result = memory.run(Settings("smallest", out=tmp_path), lambda line: None)
    assert MemoryResult.model_validate_json(result.model_dump_json()) == result
    (measured,) = result.runs
    assert (measured.n, measured.n_ok, measured.prepare_only) == (50, 50, True)
    campaign, worker = measured.peaks_mib
    assert campaign > 20
    assert worker > 20
    assert measured.n_files < 50
    assert {gap.what for gap in result.gaps} == {"growth over molecules", "memory while docking"}
    assert "drugs that come with Osong" in memory.section(result).summary


def test_molecules_repeat_under_new_names() -> None:
    lines = list(memory._molecules(memory.DRUGS, 300))
    assert len(lines) == len({line.split("\t")[1] for line in lines}) == 300
    assert lines[0].split("\t")[0] == lines[146].split("\t")[0]


def test_molecules_of_the_shared_library(shared_data: Path, tmp_path: Path) -> None:
    settings = Settings("smallest", data=shared_data, out=tmp_path)
    result = memory.run(settings, lambda line: None)
    assert result.library == "moses_100k.smi.gz"
    assert result.runs[0].n_ok == 50


class Child:
    def memory_info(self) -> None:
        raise psutil.AccessDenied(1)


def test_a_child_that_cannot_be_looked_at_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [Child()])
    with Watch(60.0) as watch:
        pass
    ((_, _, own, children),) = watch.samples
    assert own > 0
    assert children == 0


@pytest.mark.parametrize(
    ("failure", "raised"), [(psutil.NoSuchProcess(1), ResourceError), (KeyError("x"), KeyError)]
)
def test_looking_that_ends_too_early_is_an_error(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, raised: type[Exception]
) -> None:
    def fail(self: psutil.Process, recursive: bool) -> None:
        raise failure

    monkeypatch.setattr(psutil.Process, "children", fail)
    with pytest.raises(raised), Watch(60.0):
        pass
    with pytest.raises(ZeroDivisionError), Watch(60.0):  # what came first is what is told
        raise ZeroDivisionError
