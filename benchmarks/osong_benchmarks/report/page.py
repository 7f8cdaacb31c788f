"""One page a run: a single file that needs nothing else, readable at a glance, on paper too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from osong_benchmarks import registry
from osong_benchmarks.part import Figure, Gap, Section, Table
from osong_benchmarks.report.numbers import readable, with_unit
from osong_benchmarks.report.schema import PartRecord, Run

__all__ = ["HEADLINES", "draw_page"]

HEADLINES: Final = (
    ("docking.balanced.success", "top pose within 2 Å, effort balanced"),
    ("docking.balanced.cpu_s_per_ligand", "CPU time a ligand, effort balanced"),
    ("docking.balanced.times_faster_than_vina", "fewer CPU seconds than Vina, balanced"),
    ("docking.balanced.times_faster_than_rustina", "fewer CPU seconds than Rustina, balanced"),
    ("screen.fast.ligands_per_cpu_s", "ligands screened a CPU second, effort fast"),
    ("kernels.evaluation.22_atoms", "one energy and gradient, 22 heavy atoms"),
    ("kernels.peak_share.22_atoms", "of the core's multiply-add peak in it"),
    ("scaling.strong.all_cores", "strong scaling over all cores"),
    ("memory.dock.worker_peak", "memory of a docking worker, at most"),
    ("hardware.fma_peak.one_core", "multiply-add peak of one core"),
)
"""Merits that stand at the top of the page where a run has them, and what they are called there."""
_TEMPLATE: Final = "page.html.jinja"
_LONG_TABLE: Final = 24


@dataclass(frozen=True)
class _Tile:
    """One number at the top: what it is, and its value in readable parts."""

    label: str
    number: str
    unit: str


@dataclass(frozen=True)
class _Block:
    """A part as the template wants it."""

    name: str
    section: Section
    figures: Sequence[Figure]
    record: PartRecord
    gaps: Sequence[Gap]


def draw_page(run: Run) -> str:
    """Return the page of a run as HTML: no script, no link to anything outside.

    Raises
    ------
    MissingExtraError
        If Jinja or Matplotlib is not installed.
    """
    template = _environment().from_string(
        files("osong_benchmarks.report").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    )
    blocks = [_block(name, record) for name, record in run.parts.items()]
    hardware = next((block.section.summary for block in blocks if block.name == "hardware"), "")
    page: str = template.render(
        run=run, blocks=blocks, tiles=_tiles(run), hardware=hardware, long_table=_LONG_TABLE
    )
    return page


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["cell"] = _cell
    environment.filters["numeric_columns"] = _numeric_columns
    return environment


def _block(name: str, record: PartRecord) -> _Block:
    if record.result is None:
        section = Section(title=name.capitalize(), summary="")
        return _Block(name, section, (), record, (record.gap,) if record.gap else ())
    section = registry.load(name).section(record.result)
    gaps = list(dict.fromkeys([*section.gaps, *record.result.gaps]))
    figures = [
        Figure(_inlined(figure.svg, f"{name}-{k}", figure.caption), figure.caption)
        for k, figure in enumerate(section.figures)
    ]
    return _Block(name, section, figures, record, gaps)


def _inlined(svg: str, name: str, caption: str) -> str:
    """Return an SVG that shares a page with others: its ids are its own, and it has a text."""
    referenced = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in referenced else "", svg
    )
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    label = re.sub(r"[<>&\"]", " ", caption)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _tiles(run: Run) -> list[_Tile]:
    merits = run.merits
    tiles = []
    for name, label in HEADLINES:
        if name in merits:
            number, _, unit = with_unit(merits[name].value, merits[name].unit).partition(" ")
            tiles.append(_Tile(label, number, unit))
    return tiles


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else readable(value)


def _numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether it stands at the right: every cell is a number or none."""
    return [
        all(_is_numeric(row[k], is_first=k == 0) for row in table.rows)
        for k in range(len(table.header))
    ]


def _is_numeric(value: str | float, *, is_first: bool) -> bool:
    """Return whether a cell is a number, or text that begins as one; names such as 1iep do too."""
    if not isinstance(value, str):
        return True
    return not is_first and re.match(r"[-+<~]?[\d.]*\d|-?$", value.strip()) is not None
