"""The programs of the redocking benchmark: what docks, with which settings.

A name carries the setting ("osong fast", "vina 8"), so a row of results says what it is.
Rustina has no presets; its README names the default (``qvina2-active``, 16 runs, Vinardo), says
that the staged modes need at least 16 runs, and points to ``qvina2`` for less. Its ``steps`` and
``bfgs_iter`` belong to the GPU search. So its effort is: ``qvina2`` with one run, the default, and
the default with four times the runs. Its neural network is off: the comparison is of docking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Literal

from osong.errors import InputError

__all__ = ["PROGRAMS", "Engine", "Program", "chosen_programs", "program_named"]

Engine = Literal["osong", "vina", "rustina"]


@dataclass(frozen=True)
class Program:
    """One program at one setting.

    Attributes
    ----------
    name
        As rows and tables have it.
    engine
        Which program.
    family
        Settings that differ in nothing but effort share it, and a line on a figure.
    options
        For the docking process.
    is_default
        Whether it runs unless others are named.
    """

    name: str
    engine: Engine
    family: str
    options: Mapping[str, Any]
    is_default: bool = True


def _osong(effort: str, **options: Any) -> Program:
    more = " same conformer" if options.get("is_same_conformer") else ""
    scoring = options.setdefault("scoring", "vina")
    more += "" if scoring == "vina" else f" {scoring}"
    is_default = not more or (effort == "balanced" and scoring == "vina")
    return Program(f"osong {effort}{more}", "osong", f"osong{more}",
                   {"effort": effort, **options}, is_default)  # fmt: skip


def _vina(exhaustiveness: int) -> Program:
    options = {"exhaustiveness": exhaustiveness, "scoring": "vina"}
    return Program(f"vina {exhaustiveness}", "vina", "vina", options, exhaustiveness <= 8)


def _rustina(scoring: str, more: str = "", **options: Any) -> Program:
    name = f"rustina {scoring}"
    is_default = scoring == "vinardo" or not more
    return Program(f"{name}{more}", "rustina", name, {"scoring": scoring, **options}, is_default)


PROGRAMS: Final = (
    *(_osong(effort) for effort in ("fast", "balanced", "thorough")),
    *(_osong(effort, is_same_conformer=True) for effort in ("fast", "balanced", "thorough")),
    *(_osong(effort, scoring="vinardo") for effort in ("fast", "balanced", "thorough")),
    _vina(1),
    _vina(8),
    _vina(32),
    _rustina("vinardo", " qvina2 1", search_mode="qvina2", runs=1),
    _rustina("vinardo"),
    _rustina("vinardo", " 64", runs=64),
    _rustina("vina", " qvina2 1", search_mode="qvina2", runs=1),
    _rustina("vina"),
    _rustina("vina", " 64", runs=64),
)
"""All that can be asked for, least effort first within a family."""


def program_named(name: str) -> Program:
    """Return a program.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for program in PROGRAMS:
        if program.name == name:
            return program
    raise InputError(
        f"there is no program '{name}': choose among {', '.join(p.name for p in PROGRAMS)}"
    )


def chosen_programs(peers: Sequence[str], names: Sequence[str] = ()) -> list[Program]:
    """Return the programs of that name, or the default ones, of Osong and installed peers."""
    asked = [program_named(name) for name in names] or [p for p in PROGRAMS if p.is_default]
    return [p for p in asked if p.engine == "osong" or (p.engine in peers and find_spec(p.engine))]
