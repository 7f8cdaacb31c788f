"""The local runner: a Dask cluster on this machine, one worker for each docking process.

The Dask workers are threads of this process that wait on pipes; docking runs in processes of its
own that a `Supervisor` watches (see docs/adr/0005-campaign-folder.md for why not in nannies).
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_workflows.runners.base import ChunkWork

__all__ = ["LocalRunner"]

_WORK: Final[dict[str, ChunkWork]] = {}
"""Work under way in this process by token: Dask tasks carry the token, not pipes and threads."""


class LocalRunner:
    """Docks several chunks at a time.

    Parameters
    ----------
    workers
        Chunks at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, work: ChunkWork, chunks: Sequence[int]) -> None:
        """Call ``work.dock_chunk`` for each chunk, lowest index first."""
        from distributed import Client, LocalCluster, as_completed

        token = uuid.uuid4().hex
        _WORK[token] = work
        try:
            with (
                LocalCluster(
                    n_workers=min(self._workers, len(chunks)),
                    threads_per_worker=1,
                    processes=False,
                    # The limits that count are those of the docking processes.
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                ) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                try:
                    futures = client.map(
                        _dock_chunk, [token] * len(chunks), chunks, pure=False, retries=0
                    )
                    for future in as_completed(futures, loop=client.loop):
                        future.result()
                        future.release()
                except BaseException:
                    # Workers are told before the cluster waits for them to close.
                    work.stop()
                    raise
        finally:
            del _WORK[token]


def _dock_chunk(token: str, index: int) -> None:
    """Dock one chunk; the Dask task."""
    _WORK[token].dock_chunk(index)
