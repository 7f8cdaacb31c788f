"""``python -m benchmarks tables FILE.json --write``: tables of a run, put into the documents.

A part's tables stand where a document has the markers of ``bench-PART``. Documents without them are
left alone, so that every document chooses what it shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from osong_benchmarks import registry
from osong_benchmarks.part import Section, Table
from osong_benchmarks.report.numbers import readable
from osong_benchmarks.report.schema import Run, read_run
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["add_arguments", "documents_with", "main", "part_text"]

_PACKAGES: Final = ("numpy", "numba", "rdkit", "vina", "rustina", "meeko")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("results", type=Path, metavar="FILE.json")
    parser.add_argument("--parts", nargs="+", choices=registry.known_parts())
    parser.add_argument("--root", type=Path, default=Path(), help="of the checkout")


def main(args: argparse.Namespace) -> None:
    """Print the tables of the parts, and write them where documents want them."""
    run = read_run(args.results)
    for name in args.parts or registry.known_parts():
        text = part_text(run, name)
        if not text:
            continue
        print(f"{text}\n")
        if args.write:
            for document in documents_with(args.root, f"bench-{name}"):
                write_table(document, f"bench-{name}", text, provenance_of(run))
                print(f"written into {document}\n")


def part_text(run: Run, name: str) -> str:
    """Return a part's summary and tables as Markdown; nothing where it was not measured."""
    record = run.parts.get(name)
    if record is None or record.result is None:
        return ""
    section = registry.load(name).section(record.result)
    blocks = [section.summary, *(_table_text(table) for table in section.tables)]
    return "\n\n".join([*filter(None, blocks), *_gap_lines(section)])


def _table_text(table: Table) -> str:
    rows = [[_cell(value) for value in row] for row in table.rows]
    text = markdown_table([str(name) for name in table.header], rows)
    return f"{table.caption}:\n\n{text}" if table.caption else text


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else readable(value)


def _gap_lines(section: Section) -> Sequence[str]:
    return [f"Not measured: {gap.what} ({gap.reason})." for gap in section.gaps]


def provenance_of(run: Run) -> str:
    """Return machine, date, versions and command of a run in one line."""
    hardware = run.parts.get("hardware")
    found: dict[str, str] = getattr(hardware.result, "packages", {}) if hardware else {}
    versions = [f"osong {run.osong_version}"]
    versions += [f"{name} {found[name]}" for name in _PACKAGES if name in found]
    return (
        f"{run.started:%Y-%m-%d}; {run.machine}, {run.cores} cores; {', '.join(versions)}; "
        f"`{run.command}`"
    )


def documents_with(root: Path, name: str) -> list[Path]:
    """Return README.md and the documents that have the markers of a table."""
    marker = f"<!-- table: {name} -->"
    candidates = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    return [
        path
        for path in candidates
        if path.is_file() and marker in path.read_text(encoding="utf-8").splitlines()
    ]
