"""Two small parts to try the frame of the suite with, and a listener that takes notes."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from osong.errors import InputError
from osong_benchmarks import registry
from osong_benchmarks.part import Figure, Gap, Merit, PartResult, Say, Section, Settings, Table
from osong_benchmarks.report.schema import PartRecord
from osong_benchmarks.report.style import new_figure, to_svg

FULL_GAP = Gap(what="GPU column", reason="no GPU <here>")


class CountResult(PartResult):
    rate: float
    seconds: float
    peers: tuple[str, ...] = ()


class BrokenResult(PartResult):
    nothing: int = 0


class Notes:
    """Hears of a run and writes it down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, part: str) -> None:
        self.lines.append(f"begin {part}")

    def say(self, line: str) -> None:
        self.lines.append(line)

    def end(self, part: str, record: PartRecord) -> None:
        self.lines.append(f"end {part} {'gap' if record.gap else 'ok'}")


def count_run(settings: Settings, say: Say) -> CountResult:
    say("counting")
    (settings.out / "row.txt").write_text("kept between runs")
    return CountResult(rate=1234.5, seconds=0.5, peers=settings.peers, gaps=(FULL_GAP,))


def count_section(result: CountResult) -> Section:
    figures = []
    for label in ("first", "second"):
        figure, axes = new_figure(4, 3)
        axes.plot([1, 2, 10], [1, 10, 100 * result.rate], "o-", label=label)
        axes.set(xscale="log", yscale="log", xlabel="cores", ylabel=label)
        axes.legend()
        figures.append(Figure(to_svg(figure), f"Figure that shows the {label} & more."))
    table = Table(("case", "rate", "share"), [("1iep", result.rate, "12 %")], "Rates of <cases>")
    long = Table(("n",), [(n,) for n in range(40)], "Every row")
    return Section("Counting", "It counted.", figures, (table, long), result.gaps)


def count_merits(result: CountResult) -> dict[str, Merit]:
    return {
        "count.rate": Merit(value=result.rate, unit="1/s", is_higher_better=True),
        "count.seconds": Merit(value=result.seconds, unit="s", is_higher_better=False),
    }


def broken_run(settings: Settings, say: Say) -> BrokenResult:
    raise InputError("needs a folder of complexes:\n  give --data FOLDER")


def no_section(result: Any) -> Section:
    raise AssertionError("nothing was measured, so nothing is drawn")


def module(name: str, **functions: Any) -> ModuleType:
    made = ModuleType(f"osong_benchmarks.parts.{name}")
    made.__dict__.update(functions)
    return made


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        "count": module("count", run=count_run, section=count_section, merits=count_merits),
        "broken": module("broken", run=broken_run, section=no_section, merits=no_section),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, f"osong_benchmarks.parts.{name}", part)
    monkeypatch.setattr(registry, "PARTS", tuple(parts))
    monkeypatch.setattr(registry, "ON_DEMAND", ())
