"""The parts of the suite by name; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any, Final, Protocol, get_type_hints

from osong.errors import InputError
from osong_benchmarks.part import Merit, PartResult, Say, Section, Settings

__all__ = ["ON_DEMAND", "PARTS", "Part", "known_parts", "load", "result_class"]

_FOLDER: Final = "osong_benchmarks.parts"
PARTS: Final = ("hardware", "kernels", "docking", "screen", "scaling", "memory")
"""In the order in which they run and are shown."""
ON_DEMAND: Final = ("gpu",)
"""Parts that run only when they are named."""


class Part(Protocol):
    """A module of ``osong_benchmarks.parts``; see `osong_benchmarks.part`."""

    def run(self, settings: Settings, say: Say) -> PartResult:
        """Measure."""
        ...

    def section(self, result: Any) -> Section:
        """Draw."""
        ...

    def merits(self, result: Any) -> dict[str, Merit]:
        """Return the numbers that tell two machines or versions apart."""
        ...


def known_parts() -> tuple[str, ...]:
    """Return the names of all parts, those on demand last."""
    return (*PARTS, *ON_DEMAND)


def load(name: str) -> Part:
    """Return a part.

    Raises
    ------
    InputError
        If there is no part of that name.
    """
    if name not in known_parts():
        raise InputError(f"there is no part '{name}': choose among {', '.join(known_parts())}")
    module: Any = importlib.import_module(f"{_FOLDER}.{name}")
    part: Part = module
    return part


def result_class(name: str) -> type[PartResult]:
    """Return the class of a part's results, as its ``run`` declares it."""
    kind: type[PartResult] = get_type_hints(load(name).run)["return"]
    return kind
