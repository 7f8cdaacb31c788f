"""`CampaignStatus`: how far a campaign is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osong.errors import CampaignError
from osong_workflows.parts import find_parts, part_counts

if TYPE_CHECKING:
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan

__all__ = ["CampaignStatus", "count_status"]


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
        Parts that cannot be read; resume does their chunks again.
    """

    folder: Path
    n_records: int
    n_ok: int
    n_failed: int
    n_chunks: int
    n_chunks_done: int
    failures: dict[str, int]
    n_damaged: int = 0

    @property
    def n_left(self) -> int:
        """Molecules without a row yet."""
        return self.n_records - self.n_ok - self.n_failed

    @property
    def is_finished(self) -> bool:
        """Whether every molecule has its row."""
        return self.n_left == 0

    def __str__(self) -> str:
        """Return one line."""
        failures = ", ".join(f"{stage} {n:,}" for stage, n in sorted(self.failures.items()))
        failed = f"{self.n_failed:,} failed" + (f" ({failures})" if failures else "")
        line = f"{self.folder}: {self.n_ok:,} ok, {failed} of {self.n_records:,} molecules"
        if self.n_damaged:
            line += f"; {self.n_damaged:,} damaged parts"
        if self.is_finished:
            return f"{line}; finished"
        return f"{line}; {self.n_left:,} left, continue with: osong resume {self.folder}"


def count_status(folder: CampaignFolder, plan: Plan) -> CampaignStatus:
    """Count from the footers of the parts; no row is read and no checksum is made.

    A part that cannot be read, or has other counts than its chunk, counts as damaged.
    """
    n_ok = n_done = n_damaged = 0
    failures: Counter[str] = Counter()
    for index, part in find_parts(folder, plan).items():
        try:
            ok, failed = part_counts(part)
        except CampaignError:
            n_damaged += 1
            continue
        if ok + failed.total() != plan.chunks[index].n_records:
            n_damaged += 1
            continue
        n_done += 1
        n_ok += ok
        failures += failed
    return CampaignStatus(
        folder=folder.path,
        n_records=plan.n_records,
        n_ok=n_ok,
        n_failed=failures.total(),
        n_chunks=plan.n_chunks,
        n_chunks_done=n_done,
        failures=dict(sorted(failures.items())),
        n_damaged=n_damaged,
    )
