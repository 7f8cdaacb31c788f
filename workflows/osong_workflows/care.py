"""Care: finding the molecule that ends not its docking process but the whole worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from osong_workflows.folder import full_disk
from osong_workflows.outcome import FailedMolecule

if TYPE_CHECKING:
    from osong.library import Record
    from osong_workflows.folder import CampaignFolder

__all__ = ["CarefulNotes"]

_DEATHS: Final = 2
"""A worker may die by accident; a molecule that two died with is to blame."""


class CarefulNotes:
    """Notes on disk which molecule of a chunk comes next; a note that stays tells who did it.

    One small write a molecule, so only for chunks that more than one worker died with.

    Parameters
    ----------
    folder, chunk
        The campaign and the chunk's index.
    """

    def __init__(self, folder: CampaignFolder, chunk: int) -> None:
        self._path = folder.suspects / f"{chunk:06d}.json"
        self._deaths: dict[int, int] = {}
        note = self._read()
        self._deaths = {int(index): int(n) for index, n in note.get("deaths", {}).items()}
        if "at" in note:
            self._deaths[note["at"]] = self._deaths.get(note["at"], 0) + 1

    def check(self, record: Record) -> FailedMolecule | None:
        """Return the failure of a molecule that ends workers; otherwise note that it is next."""
        if self._deaths.get(record.index, 0) >= _DEATHS:
            return FailedMolecule("crash", f"the whole worker died with it, {_DEATHS} times")
        with full_disk(self._path.parent):
            self._path.parent.mkdir(exist_ok=True)
            # It need not survive a power cut, only this process.
            self._path.write_text(json.dumps({"at": record.index, "deaths": self._deaths}))
        return None

    def clear(self) -> None:
        """Forget the notes: the chunk is done."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            note = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}
