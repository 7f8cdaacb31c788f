"""The way to the benchmark suite, through one entry point; ``osong bench`` stands on it.

The library measures nothing itself. Whatever package stands behind the entry point group
``osong.benchmarks`` under the name ``suite`` does; Osong's own unless another took its place.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from osong.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Suite", "suite"]


class Suite(Protocol):
    """What a suite of benchmarks can do."""

    def measure(
        self,
        listener: Any,
        *,
        size: str = "quick",
        parts: Sequence[str] = (),
        peers: Sequence[str] = (),
        data: Path | None = None,
        out: Path = ...,
        cores: int | None = None,
        seed: int = 1,
    ) -> Any:
        """Measure; return the run, its file of results and its page."""
        ...

    def write_page(
        self, results: str | os.PathLike[str], page: str | os.PathLike[str] | None = None
    ) -> Path:
        """Draw the page of a file of results; return where it is."""
        ...

    def compare_files(
        self,
        a: str | os.PathLike[str],
        b: str | os.PathLike[str],
        tolerance: float | None = None,
    ) -> Any:
        """Return what differs between two files of results."""
        ...

    def check_device(self) -> str:
        """Return what the device is that would be measured; raises ResourceError without one."""
        ...

    def active(
        self,
        scores: str | os.PathLike[str],
        *,
        out: Path,
        say: Callable[[str], None] = ...,
        **options: Any,
    ) -> tuple[str, list[Path]]:
        """Run active learning on known scores; return what was found and the files."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a file of results."""
        ...

    def part_names(self) -> tuple[str, ...]:
        """Return the names of the parts."""
        ...


def suite() -> Suite:
    """Return the benchmark suite that is installed.

    Raises
    ------
    InputError
        If there is none.
    """
    found = list(entry_points(group="osong.benchmarks", name="suite"))
    if not found:
        raise InputError(
            "no benchmark suite is installed: Osong's own is missing from this installation; "
            "install it again with pip install --force-reinstall osong"
        )
    loaded: Suite = found[0].load()
    return loaded
