"""`osong bench` and its commands, with a suite that measures nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from osong import benchmarking
from osong.cli.main import app

if TYPE_CHECKING:
    from typer.testing import Result


def row(name: str, a: float, b: float, gain: float, verdict: str) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, unit="1/s", a=a, b=b, gain=gain, gain_per_peak=None, verdict=verdict
    )


@dataclass
class FakeSuite:
    """Takes down what it is asked and gives back what it is told to."""

    asked: dict[str, Any] = field(default_factory=dict)
    page: Path | None = Path("out/run.html")
    rows: list[SimpleNamespace] = field(default_factory=list)
    interrupted: bool = False

    def measure(self, listener: Any, **options: Any) -> SimpleNamespace:
        self.asked = options
        if self.interrupted:
            raise KeyboardInterrupt
        merit = SimpleNamespace(value=123456.7, unit="1/s")
        gap = SimpleNamespace(what="GPU", reason="none here")
        good = SimpleNamespace(
            merits={"count.rate": merit}, gap=None, seconds=1.5, result=SimpleNamespace(gaps=(gap,))
        )
        broken = SimpleNamespace(
            merits={}, seconds=0.1, result=None,
            gap=SimpleNamespace(what="docking", reason="needs [data]"),
        )  # fmt: skip
        for name, record in (("count", good), ("docking", broken)):
            listener.begin(name)
            listener.say("doing things")
            listener.end(name, record)
        run = SimpleNamespace(parts={"count": good, "docking": broken}, gaps=())
        return SimpleNamespace(
            run=run, results=Path("out/run.json"), page=self.page, no_page="drawing needs things"
        )

    def write_page(self, results: Path, page: Path | None = None) -> Path:
        return page or results.with_suffix(".html")

    def compare_files(self, a: Path, b: Path, tolerance: float | None = None) -> SimpleNamespace:
        self.asked = {"tolerance": tolerance}
        return SimpleNamespace(
            differences=[("machine", "Laptop", "Server")],
            rows=self.rows,
            regressions=[r for r in self.rows if r.verdict == "worse"],
            improvements=[r for r in self.rows if r.verdict == "better"],
        )

    def json_schema(self) -> dict[str, Any]:
        return {"title": "Run"}

    def part_names(self) -> tuple[str, ...]:
        return ("count", "docking")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSuite:
    made = FakeSuite()
    monkeypatch.setattr(benchmarking, "suite", lambda: made)
    return made


def bench(*words: str) -> Result:
    return CliRunner().invoke(app, ["bench", *words])


def test_run_shows_numbers_gaps_and_files(fake: FakeSuite) -> None:
    result = bench("--parts", "count,docking", "--peers", "vina", "--cores", "3", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert fake.asked == {
        "size": "quick", "parts": ["count", "docking"], "peers": ["vina"], "data": None,
        "out": Path("results/benchmarks"), "cores": 3, "seed": 7,
    }  # fmt: skip
    assert "rate" in result.stdout
    assert "123,457" in result.stdout
    assert "not measured: GPU: none here" in result.stdout
    assert "not measured: docking: needs [data]" in result.stdout
    assert "out/run.json" in result.stdout
    assert "out/run.html" in result.stdout


def test_progress_is_plain_lines_in_a_log(fake: FakeSuite) -> None:
    lines = bench("--quick").stderr.splitlines()
    assert lines == [
        "count: doing things",
        "count: done (1.5 s)",
        "docking: doing things",
        "docking: not measured: needs [data] (0.1 s)",
    ]


@pytest.mark.parametrize(("flag", "size"), [("--quick", "quick"), ("--full", "full")])
def test_sizes(fake: FakeSuite, flag: str, size: str) -> None:
    assert bench(flag).exit_code == 0
    assert fake.asked["size"] == size


def test_two_sizes_are_refused(fake: FakeSuite) -> None:
    result = bench("--quick", "--full")
    assert result.exit_code == 1
    assert "give --quick or --full, not both" in result.stderr
    assert fake.asked == {}


def test_without_the_extra_it_says_how_to_get_the_page(fake: FakeSuite) -> None:
    fake.page = None
    result = bench()
    assert result.exit_code == 0
    assert "drawing needs things; then: osong bench page out/run.json" in result.stdout


def test_a_full_run_that_is_stopped_says_what_is_kept(fake: FakeSuite) -> None:
    fake.interrupted = True
    result = bench("--full")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr
    assert "goes on" not in bench("--quick").stderr


def test_page(fake: FakeSuite) -> None:
    assert bench("page", "out/run.json").stdout == "out/run.html\n"
    assert bench("page", "out/run.json", "-o", "x.html").stdout == "x.html\n"


def test_compare_shows_machines_first_then_numbers(fake: FakeSuite) -> None:
    fake.rows = [row("x.rate", 10, 20, 2.0, "better"), row("x.same", 10, 10, 1.0, "same")]
    result = bench("compare", "a.json", "b.json", "--tolerance", "0.2", "--fail-on-regression")
    assert result.exit_code == 0, result.output
    assert fake.asked == {"tolerance": 0.2}
    shown = result.stdout
    assert shown.index("Server") < shown.index("x.rate")
    assert "2.00" in shown
    assert "1 better, 0 worse, 1 the same" in shown


def test_regressions_are_flagged_and_may_fail(fake: FakeSuite) -> None:
    fake.rows = [row("x.rate", 20, 10, 0.5, "worse"), row("x.same", 10, 10, 1.0, "same")]
    result = bench("compare", "a.json", "b.json", "--changed")
    assert result.exit_code == 0
    assert "worse than tolerance" in result.stdout
    assert "x.same" not in result.stdout
    assert bench("compare", "a.json", "b.json", "--fail-on-regression").exit_code == 1


def test_schema(fake: FakeSuite) -> None:
    assert json.loads(bench("schema").stdout) == {"title": "Run"}


def test_the_suite_is_reached_through_its_entry_point() -> None:
    found = benchmarking.suite()
    assert "hardware" in found.part_names()


def test_no_suite_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "entry_points", lambda **wanted: ())
    result = bench()
    assert result.exit_code == 1
    assert "no benchmark suite is installed" in result.stderr


def test_real_files_from_end_to_end(tmp_path: Path) -> None:
    """The hardware part at its smallest: run, page, comparison with itself, schema."""
    out = tmp_path / "out"
    result = bench("--smallest", "--parts", "hardware", "--out", str(out), "--cores", "1")
    assert result.exit_code == 0, result.output
    (results,) = out.glob("*.json")
    assert results.with_suffix(".html").is_file()
    same = bench("compare", str(results), str(results), "--fail-on-regression")
    assert same.exit_code == 0
    assert "Same machine, versions and settings." in same.stdout
    assert "HardwareResult" in json.loads(bench("schema").stdout)["$defs"]
    refused = bench("page", str(tmp_path / "none.json"))
    assert refused.exit_code == 1
    assert "there is no such file" in refused.stderr
