"""What a part of the suite is: settings in, a result out; how it is shown and compared.

A part is a module of ``osong_benchmarks.parts`` with three functions::

    def run(settings: Settings, say: Say) -> <its own PartResult>
    def section(result: <its own PartResult>) -> Section
    def merits(result: <its own PartResult>) -> dict[str, Merit]

``run`` measures and knows nothing of pages; ``section`` draws and measures nothing, so a page can
be made again from a file, on any machine. What could not be measured is a gap with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Figure", "Gap", "Merit", "PartResult", "Say", "Section", "Settings", "Size", "Table"]

Size = Literal["smallest", "quick", "full"]
"""``smallest`` for tests (seconds a part), ``quick`` (two minutes in all), ``full`` (hours)."""

Say = Callable[[str], None]
"""Takes one line on what is being measured now."""


@dataclass(frozen=True)
class Settings:
    """How to run a part.

    Attributes
    ----------
    size
        How much to measure.
    data
        The folder of shared complexes and libraries; None where there is none.
    peers
        Programs to measure beside Osong: ``"vina"``, ``"rustina"``.
    out
        Folder for what a part keeps between runs (rows of long ones, so that they resume).
    cores
        Most cores to use.
    seed
        Of every search.
    """

    size: Size = "quick"
    data: Path | None = None
    peers: tuple[str, ...] = ()
    out: Path = Path("results/benchmarks")
    cores: int = 1
    seed: int = 1


class PartModel(BaseModel):
    """Base of all that goes into a result file: frozen, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Gap(PartModel):
    """Something that was not measured."""

    what: str
    reason: str


class PartResult(PartModel):
    """What every part's result has; parts add their own fields.

    Attributes
    ----------
    gaps
        What was not measured, and why (no GPU, a peer that is not installed, no data).
    """

    gaps: tuple[Gap, ...] = ()


class Merit(PartModel):
    """One number that tells two machines or versions apart.

    Attributes
    ----------
    value
        The number.
    unit
        Its unit.
    is_higher_better
        False for times and sizes.
    tolerance
        Relative change that is still noise.
    """

    value: float
    unit: str
    is_higher_better: bool
    tolerance: float = 0.1


@dataclass(frozen=True)
class Figure:
    """A plot: an SVG element as text, and what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A table; cells are text or numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part's place on the page: the figures first, then the tables."""

    title: str
    summary: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    gaps: Sequence[Gap] = field(default_factory=tuple)
