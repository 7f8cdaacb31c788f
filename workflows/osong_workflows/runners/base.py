"""What a runner is: something that calls a function once for each chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChunkWork", "Runner", "RunnerName", "check_runner"]

RunnerName: TypeAlias = Literal["serial", "local"]


class ChunkWork(Protocol):
    """The work on a campaign that a runner hands out (see ``osong_workflows.run.Run``)."""

    def dock_chunk(self, index: int) -> None:
        """Dock one chunk into one part."""

    def stop(self) -> None:
        """Make chunks that are under way end soon."""


class Runner(Protocol):
    """Decides where and when chunks are docked; never what comes out."""

    def run(self, work: ChunkWork, chunks: Sequence[int]) -> None:
        """Call ``work.dock_chunk`` once for each chunk; the first error ends the run."""


def check_runner(name: str, workers: int | None) -> None:
    """Check a runner's name and its number of workers.

    Raises
    ------
    InputError
        There is no such runner, or it would have no worker.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if name not in get_args(RunnerName):
        raise InputError(f"runner '{name}' is unknown; choose one of {get_args(RunnerName)}")
