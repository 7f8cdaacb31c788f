"""Campaigns without chemistry: a fake target, the fake docker, small libraries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from osong.box import Box
from osong_workflows.api import Campaign, screen

DOCKER = "osong_fake_docker:build"


@dataclass(frozen=True)
class FakeTarget:
    name: str = "fake"
    key: bytes = b"0123456789abcdef"
    box: Box = field(default_factory=lambda: Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)))

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.key)


def molecules(n: int) -> list[tuple[str, str]]:
    """Different strings that look like SMILES, named."""
    return [("C" * (1 + i % 7) + "N" * (i // 7), f"m{i}") for i in range(n)]


def fake_screen(library: Any, out: Path, *, target: Any = None, **options: Any) -> Campaign:
    options = {"runner": "serial", "docker": DOCKER, "progress": False} | options
    return screen(target or FakeTarget(), library, out=out, **options)


def reopen(campaign: Campaign | Path) -> Campaign:
    return Campaign(getattr(campaign, "folder", campaign), docker=DOCKER)


def part_paths(campaign: Campaign) -> list[Path]:
    return sorted((campaign.folder / "parts").glob("*.parquet"))


def per_ligand(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Everything that the parts say about each molecule, but where it stood in the library."""
    rows: dict[str, dict[str, Any]] = {}
    for part in part_paths(campaign):
        with pq.ParquetFile(part) as file:
            for row in file.read().to_pylist():
                assert row["name"] not in rows, "a molecule has two rows"
                rows[row["name"]] = {k: v for k, v in row.items() if k not in ("index", "source")}
    return rows


def part_bytes(campaign: Campaign) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in part_paths(campaign)}


def read_calls(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []
