"""The serial runner: one chunk after the other, in order; the specification of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_workflows.runners.base import ChunkWork

__all__ = ["SerialRunner"]


class SerialRunner:
    """Docks chunks one after the other in the calling thread."""

    def run(self, work: ChunkWork, chunks: Sequence[int]) -> None:
        """Call ``work.dock_chunk`` for each chunk in order."""
        for index in chunks:
            work.dock_chunk(index)
