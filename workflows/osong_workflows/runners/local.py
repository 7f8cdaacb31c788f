"""The local runner: a Dask cluster on this machine, one worker for each docking process.

The Dask workers are threads of this process that wait on pipes; docking runs in processes of its
own that a `Supervisor` watches (see docs/adr/0005-campaign-folder.md for why not in nannies).
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, LocalCluster, Worker, as_completed

from osong.errors import OsongError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_workflows.runners.base import ChunkWork

__all__ = ["LocalRunner"]

_LOOPBACK: Final = "127.0.0.1:0"
"""Any free port, and none that another machine can reach."""

_WORK: Final[dict[str, ChunkWork]] = {}
"""Work under way in this process by token: Dask tasks carry the token, not pipes and threads."""


class _LoopbackWorker(Worker):
    """A Dask worker whose health page is for this machine only; Dask would listen to all."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options |= {"dashboard": False, "dashboard_address": _LOOPBACK}
        super().__init__(*arguments, **options)


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
                    worker_class=_LoopbackWorker,
                    # None would take port 8787 all the same, and warn where it is taken.
                    dashboard_address=_LOOPBACK,
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.ERROR,
                ) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                try:
                    futures = client.map(
                        _dock_chunk, [token] * len(chunks), chunks, pure=False, retries=0
                    )
                    for future in as_completed(futures, loop=client.loop):
                        error = future.result()
                        if error is not None:
                            raise error
                        future.release()
                except BaseException:
                    # Workers are told before the cluster waits for them to close.
                    work.stop()
                    raise
        finally:
            del _WORK[token]


def _dock_chunk(token: str, index: int) -> OsongError | None:
    """Dock one chunk; the Dask task. An error is returned, since Dask logs what is raised."""
    try:
        _WORK[token].dock_chunk(index)
    except OsongError as error:
        return error
    return None
