"""Looking at a campaign, whatever its strategy: once, again and again, or at its logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osong_workflows.active_rounds import ActiveRounds
from osong_workflows.active_status import count_active
from osong_workflows.folder import CampaignFolder, who_holds
from osong_workflows.logs import LogLine, last_lines, recent_logs
from osong_workflows.overview import LOGS_READ, Observer, Overview
from osong_workflows.rate import measure_rate
from osong_workflows.settings import read_settings

if TYPE_CHECKING:
    import os

    from osong_workflows.pilot_views import PilotView
    from osong_workflows.status import FailureExample

__all__ = ["ActiveObserver", "log_lines", "observe", "observer_of"]


def observe(folder: str | os.PathLike[str], *, n_log: int = 0) -> Overview:
    """Look at a campaign once."""
    return observer_of(folder).look(n_log=n_log)


def observer_of(folder: str | os.PathLike[str]) -> Observer:
    """Return what looks at a campaign, whatever its strategy."""
    has_strategy = read_settings(CampaignFolder.at(folder).settings).strategy is not None
    return (ActiveObserver if has_strategy else Observer)(folder)


def log_lines(folder: str | os.PathLike[str], n: int) -> list[LogLine]:
    """Return the last lines of all logs of a campaign, merged by time.

    Raises
    ------
    CampaignError
        There is no campaign.
    """
    place = CampaignFolder.at(folder)
    read_settings(place.settings)
    logs = recent_logs(place.logs)
    for own in ActiveRounds(place).campaigns():
        logs += recent_logs(own.logs)
    return last_lines(logs, n)


class ActiveObserver(Observer):
    """Looks at an active campaign: its counts are those of all rounds, its pilots the last one's.

    Parameters
    ----------
    folder
        The campaign folder.
    """

    def look(self, *, n_log: int = 0) -> Overview:
        """Return the campaign as it is now, with the last ``n_log`` lines of its logs."""
        status = count_active(self._folder, self._plan, read_settings(self._folder.settings))
        jobs = self._jobs.states(status.is_finished)
        notes = [status.progress]
        if self._jobs.problem:
            notes.append(self._jobs.problem)
        pilots: tuple[PilotView, ...] = ()
        examples: dict[str, FailureExample] = {}
        logs = recent_logs(self._folder.logs)
        chunk_size, rate = 1, measure_rate(0, ())
        last = ActiveRounds(self._folder).round_folder(status.n_rounds - 1)
        if status.n_rounds and last.plan.exists():
            now = Observer(last.path).look()
            pilots, examples, rate = now.pilots, now.examples, now.rate
            chunk_size = now.chunk_size
            notes += now.notes
            logs += recent_logs(last.logs)
        return Overview(
            status=status,
            key=self._plan.key,
            target=self._settings.target_name,
            scoring=self._settings.scoring,
            effort=self._settings.effort,
            chunk_size=chunk_size,
            examples=examples,
            pilots=pilots,
            rate=rate,
            notes=tuple(notes),
            log=tuple(last_lines(logs[:LOGS_READ], n_log)) if n_log else (),
            jobs=tuple(jobs),
            given_up=self._jobs.known.given_up,
            site=self._jobs.site,
            learning="" if status.is_finished else who_holds(ActiveRounds(self._folder).lock),
        )
