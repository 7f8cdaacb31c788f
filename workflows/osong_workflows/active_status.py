"""How far an active campaign is: all its rounds together, and what its strategy says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from osong.active.stopping import Recall
from osong_workflows.active_results import FINGERPRINT
from osong_workflows.active_rounds import ActiveRounds, Library, rounds_of
from osong_workflows.active_run import settings_of_run
from osong_workflows.plan import read_plan
from osong_workflows.settings import read_settings
from osong_workflows.status import CampaignStatus, count_status

if TYPE_CHECKING:
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan
    from osong_workflows.settings import CampaignSettings

__all__ = ["ActiveStatus", "count_active", "status_of"]


@dataclass(frozen=True)
class ActiveStatus(CampaignStatus):
    """Counts of an active campaign: molecules that were chosen, or that never can be.

    Attributes
    ----------
    n_library
        Molecules of the library; of those that are neither ok nor failed none is docked.
    n_rounds
        Rounds that have begun.
    reason
        Why the strategy ended; "" while it has not.
    recall
        The last estimate of what is docked of the top, in words; "" where there is none.
    recall_values
        The same as the fields of an ``osong.active.Recall``.
    """

    n_library: int = 0
    n_rounds: int = 0
    reason: str = ""
    recall: str = ""
    recall_values: dict[str, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the strategy ended and every molecule that it chose has its row."""
        return bool(self.reason) and self.n_left == 0

    @property
    def progress(self) -> str:
        """How far the strategy is, in one line."""
        rounds = f"{self.n_rounds} round" + "s" * (self.n_rounds != 1)
        line = f"{rounds}, {self.n_library:,} molecules in the library"
        if self.recall:
            line += f"; {self.recall}"
        return line + (f"; ended: {self.reason}" if self.reason else "")

    @property
    def strategy(self) -> dict[str, Any]:
        """How far the strategy is, for JSON."""
        return {
            "n_library": self.n_library,
            "n_not_chosen": self.n_library - self.n_done - self.n_left,
            "n_rounds": self.n_rounds,
            "ended": self.reason,
            "recall": self.recall_values,
        }

    @property
    def counts(self) -> str:
        """What became of the molecules, in one line."""
        failures = ", ".join(f"{stage} {n:,}" for stage, n in sorted(self.failures.items()))
        failed = f"{self.n_failed:,} failed" + (f" ({failures})" if failures else "")
        line = f"{self.ok}, {failed} of {self.n_records:,}; {self.progress}"
        if self.n_damaged:
            line += f"; {self.n_damaged:,} damaged parts"
        return line if self.is_finished else f"{line}; {self.n_left:,} left"


def count_active(folder: CampaignFolder, plan: Plan, settings: CampaignSettings) -> ActiveStatus:
    """Count what became of the molecules of an active campaign."""
    rounds = rounds_of(folder, settings)
    begun = rounds.campaigns()
    each = [count_status(own, read_plan(own)) for own in begun if own.plan.exists()]
    asked = settings_of_run(rounds, Library(folder, plan), settings)
    finished = rounds.state.finished() if rounds.is_begun else None
    if finished is not None and finished.get("until") != asked.until():
        finished = None
    n_unread = len(rounds.unread_reasons())
    n_asked = sum(status.n_records for status in each)
    if len(each) < len(begun):  # the campaign of a round is still to be made, or gone
        n_asked = sum(len(one.index) for one in rounds.state.rounds())
    most = n_asked if finished else max(n_asked, min(asked.budget, plan.n_records - n_unread))
    failures: Counter[str] = Counter({FINGERPRINT: n_unread} if n_unread else {})
    backends: Counter[str] = Counter()
    for status in each:
        failures += Counter(status.failures)
        backends += Counter(status.backends)
    told = _last_recall(rounds, len(begun))
    return ActiveStatus(
        folder=folder.path,
        n_records=most + n_unread,
        n_ok=sum(status.n_ok for status in each),
        n_failed=failures.total(),
        n_chunks=sum(status.n_chunks for status in each),
        n_chunks_done=sum(status.n_chunks_done for status in each),
        failures=dict(sorted(failures.items())),
        n_damaged=sum(status.n_damaged for status in each),
        n_foreign=sum(status.n_foreign for status in each),
        backends=dict(sorted(backends.items())),
        n_library=plan.n_records,
        n_rounds=len(begun),
        reason=str(finished["reason"]) if finished else "",
        recall=str(Recall(**told)) if told else "",
        recall_values=told,
    )


def _last_recall(rounds: ActiveRounds, n_rounds: int) -> dict[str, Any]:
    """Return the newest estimate of the recall; {} where there is none."""
    if not n_rounds:
        return {}
    notes = [rounds.state.notes(n_rounds - 1), rounds.state.finished() or {}]
    newest = max(notes, key=lambda one: int(one.get("n_docked", -1)))
    recall: dict[str, Any] = newest.get("recall") or {}
    return recall


def status_of(folder: CampaignFolder) -> CampaignStatus:
    """Count what became of a campaign's molecules, whatever its strategy; nothing is written."""
    settings, plan = read_settings(folder.settings), read_plan(folder)
    if settings.strategy is None:
        return count_status(folder, plan)
    return count_active(folder, plan, settings)
