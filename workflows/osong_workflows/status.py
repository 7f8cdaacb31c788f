"""`CampaignStatus`: how far a campaign is, counted from the footers of its files."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from osong.errors import CampaignError
from osong_workflows.amounts import on_one_line
from osong_workflows.part_files import opened_part, read_groups, runs_of_groups
from osong_workflows.part_names import Piece, find_results, foreign_parts, part_footer
from osong_workflows.plan import Shard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.part_names import PartFooter
    from osong_workflows.plan import Plan

__all__ = ["CampaignStatus", "FailureExample", "StatusReader", "count_status"]

_PLACES: Final = {"cuda": "devices", "cpu": "CPUs"}
_THREADS: Final = 8
"""Files opened at a time: on a parallel file system each waits for an answer."""
_ATTEMPTS: Final = 3
"""Listings, where files vanish between a listing and their reading because they are packed."""


@dataclass(frozen=True)
class CampaignStatus:
    """Counts of a campaign's molecules and chunks.

    Attributes
    ----------
    folder
        The campaign's folder.
    n_records
        Molecules of the library.
    n_ok, n_failed
        Molecules with poses, and without; the rest is not done yet.
    n_chunks, n_chunks_done
        Units of work.
    failures
        How many molecules failed at each stage.
    n_damaged
        Files of results that cannot be read; resume does their chunks again.
    n_foreign
        Files of results that are of another campaign; somebody has to take them out.
    backends
        Molecules with poses by who docked them: "cpu", "cuda".
    """

    folder: Path
    n_records: int
    n_ok: int
    n_failed: int
    n_chunks: int
    n_chunks_done: int
    failures: dict[str, int]
    n_damaged: int = 0
    n_foreign: int = 0
    backends: dict[str, int] = field(default_factory=dict)

    @property
    def n_done(self) -> int:
        """Molecules that have a row."""
        return self.n_ok + self.n_failed

    @property
    def n_left(self) -> int:
        """Molecules without a row yet."""
        return self.n_records - self.n_done

    @property
    def is_finished(self) -> bool:
        """Whether every molecule has its row."""
        return self.n_left == 0

    @property
    def strategy(self) -> dict[str, Any]:
        """How far a strategy is, for JSON; {} where all molecules are docked."""
        return {}

    @property
    def ok(self) -> str:
        """How many have poses, and who docked them where that was not the CPU alone."""
        shares = [
            f"{self.backends[name]:,} on {places}"
            for name, places in _PLACES.items()
            if self.backends.get(name)
        ]
        by = f" ({', '.join(shares)})" if self.backends.get("cuda") else ""
        return f"{self.n_ok:,} ok{by}"

    @property
    def counts(self) -> str:
        """What became of the molecules, in one line."""
        failures = ", ".join(f"{stage} {n:,}" for stage, n in sorted(self.failures.items()))
        failed = f"{self.n_failed:,} failed" + (f" ({failures})" if failures else "")
        line = f"{self.ok}, {failed} of {self.n_records:,} molecules"
        if self.n_damaged:
            line += f"; {self.n_damaged:,} damaged parts"
        if self.n_foreign:
            line += f"; {self.n_foreign:,} parts of another campaign lie in {self.folder / 'parts'}"
        return line + ("; finished" if self.is_finished else f"; {self.n_left:,} left")

    def __str__(self) -> str:
        """Return one line."""
        line = f"{self.folder}: {self.counts}"
        return line if self.is_finished else f"{line}, continue with: osong resume {self.folder}"


@dataclass(frozen=True)
class FailureExample:
    """The first molecule that failed at a stage, and why."""

    name: str
    reason: str


class StatusReader:
    """Counts again and again, while a campaign runs; a footer is read once.

    A file's name holds the checksum of its bytes, so a name that was read needs no second look.

    Parameters
    ----------
    folder, plan
        The campaign.
    """

    def __init__(self, folder: CampaignFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._counts: dict[str, Counter[str]] = {}
        self._backends: dict[str, Counter[str]] = {}
        self._examples: dict[tuple[str, str], FailureExample] = {}
        self._files: dict[Path, Piece] = {}

    def count(self) -> CampaignStatus:
        """Count from the footers; no row is read and no checksum is made.

        A file that cannot be read, or has other counts than its chunks, counts as damaged.
        """
        n_before = sum(piece.n_records for piece in self._files.values())
        for _ in range(_ATTEMPTS):
            found = find_results(self._folder, self._plan)
            self._files = {part.path: part.piece for part in found.parts}
            gone = self._read_footers()
            self._files = {part: p for part, p in self._files.items() if part not in gone}
            # Fewer than before: a shard was packed while one folder was listed after the other.
            if not gone and found.n_records >= n_before:
                break
        n_done = n_damaged = 0
        outcomes: Counter[str] = Counter()
        backends: Counter[str] = Counter()
        for part, piece in self._files.items():
            counts = self._counts.get(part.name)
            if counts is None or counts.total() != piece.n_records:
                n_damaged += 1
            else:
                n_done += piece.n_chunks if isinstance(piece, Shard) else 1
                outcomes += counts
                backends += self._backends[part.name]
        n_ok = outcomes.pop(_OK, 0)
        return CampaignStatus(
            folder=self._folder.path,
            n_records=self._plan.n_records,
            n_ok=n_ok,
            n_failed=outcomes.total(),
            n_chunks=self._plan.n_chunks,
            n_chunks_done=n_done,
            failures=dict(sorted(outcomes.items())),
            n_damaged=n_damaged,
            n_foreign=len(foreign_parts(self._folder, self._plan)),
            backends=dict(sorted(backends.items())),
        )

    def examples(self) -> dict[str, FailureExample]:
        """Return the first failure of each stage, of the files that were counted last.

        One file is opened for each stage, and three columns of it are read: cheap at any size.
        """
        first: dict[str, Path] = {}
        for part in self._files:
            for stage in self._counts.get(part.name) or ():
                if stage != _OK:
                    first.setdefault(stage, part)
        found = {}
        for stage, part in first.items():
            example = self._examples.get((stage, part.name)) or _first_failure(part, stage)
            if example is not None:
                found[stage] = self._examples[stage, part.name] = example
        return found

    def _read_footers(self) -> set[Path]:
        """Read the footers that are new; return the files that were gone by then."""
        new = [part for part in self._files if part.name not in self._counts]
        if not new:
            return set()
        with ThreadPoolExecutor(_THREADS) as threads:
            footers = dict(zip(new, threads.map(_read_footer, new), strict=True))
        for part, footer in footers.items():
            if footer is not None:
                self._counts[part.name] = Counter({_OK: footer.n_ok}) + footer.failures
                self._backends[part.name] = footer.backends
        return {part for part, footer in footers.items() if footer is None and not part.exists()}


def count_status(folder: CampaignFolder, plan: Plan) -> CampaignStatus:
    """Count what became of a campaign's molecules."""
    return StatusReader(folder, plan).count()


_OK: Final = ""
"""Stands among the stages for molecules that have poses."""


def _read_footer(part: Path) -> PartFooter | None:
    """Return the counts of a file, or None for one that is gone or damaged."""
    try:
        return part_footer(part)
    except CampaignError:
        return None


def _first_failure(part: Path, stage: str) -> FailureExample | None:
    """Return the first molecule of a file that failed at a stage."""
    try:
        with opened_part(part) as file:
            for groups in runs_of_groups(file, range(file.metadata.num_row_groups)):
                table = read_groups(file, groups, ["stage", "name", "reason"])
                row = _first_row(table["stage"].to_pylist(), stage)
                if row is not None:
                    name, reason = (str(table[column][row]) for column in ("name", "reason"))
                    return FailureExample(on_one_line(name), on_one_line(reason))
    except CampaignError:
        # Damaged where no footer tells, or packed meanwhile: the count stands without an example.
        return None
    return None


def _first_row(stages: Iterable[str | None], stage: str) -> int | None:
    """Return where a stage stands first."""
    return next((row for row, value in enumerate(stages) if value == stage), None)
