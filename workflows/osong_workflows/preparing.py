"""The docker of library preparation: makes one record's molecule ready and docks nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from osong.library import parse_record
from osong.ligands import LigandOptions, PreparedLigand, prepare_ligand

if TYPE_CHECKING:
    from collections.abc import Callable

    from osong.library import Record

__all__ = [
    "DEFAULT_PREPARER",
    "PreparationSettings",
    "build_preparer",
    "prepare_record",
    "warm_up",
]

DEFAULT_PREPARER: Final = "osong_workflows.preparing:build_preparer"

_PLAIN: Final = {"keep_geometry": False}
"""The molecule that warms a process up comes without coordinates."""


@dataclass(frozen=True)
class PreparationSettings:
    """What a preparing process is told.

    Attributes
    ----------
    molecule_timeout_s
        Seconds after which a molecule is given up.
    ligands
        Fields of ``osong.ligands.LigandOptions``.
    docker
        "module:function" that builds what prepares one record.
    """

    molecule_timeout_s: float
    ligands: dict[str, Any] = field(default_factory=dict)
    docker: str = DEFAULT_PREPARER


def build_preparer(
    target_path: str, settings: PreparationSettings
) -> Callable[[Record], tuple[PreparedLigand, ...]]:
    """Return what prepares one record; there is no target to look at."""
    options = LigandOptions(**settings.ligands)
    warm_up(options)
    return lambda record: prepare_record(record, options)


def prepare_record(record: Record, options: LigandOptions) -> tuple[PreparedLigand, ...]:
    """Return the variants of a record's molecule."""
    parsed = parse_record(record)
    if isinstance(parsed, PreparedLigand):
        return (parsed,)
    return tuple(prepare_ligand(parsed, name=record.name, options=options))


def warm_up(options: LigandOptions) -> list[PreparedLigand]:
    """Prepare a small molecule, so that no other's time limit pays for what loads just once."""
    return prepare_ligand("CCO", name="ethanol", options=options.model_copy(update=_PLAIN))
