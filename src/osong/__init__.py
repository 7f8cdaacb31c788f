"""Osong screens molecules against proteins.

    >>> import osong
    >>> target = osong.Target.named("EGFR")  # doctest: +SKIP
    >>> poses = osong.dock(target, "CC(=O)Oc1ccccc1C(=O)O")  # doctest: +SKIP
    >>> campaign = osong.screen(target, "library.smi.gz", out="run1")  # doctest: +SKIP

Names are imported when first used: ``import osong`` itself loads neither RDKit nor Numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osong.box import Box
    from osong.campaigns import Campaign, open_campaign, prepare_library, screen
    from osong.errors import (
        BoxError,
        CampaignError,
        InputError,
        LigandError,
        MissingExtraError,
        OsongError,
        ReceptorError,
        ResourceError,
    )
    from osong.library import Record, parse_record, read_records
    from osong.ligands import (
        LigandOptions,
        PackedLigand,
        PreparedLigand,
        pack_pdbqt,
        pack_pose,
        pdbqt_string,
        prepare_ligand,
        write_pdbqt,
    )
    from osong.receptor import Receptor, Target
    from osong.rescoring.api import rescore
    from osong.scoring import Score, score
    from osong.search import DockingSession, Pose, dock, minimize

__all__ = [
    "Box",
    "BoxError",
    "Campaign",
    "CampaignError",
    "DockingSession",
    "InputError",
    "LigandError",
    "LigandOptions",
    "MissingExtraError",
    "OsongError",
    "PackedLigand",
    "Pose",
    "PreparedLigand",
    "Receptor",
    "ReceptorError",
    "Record",
    "ResourceError",
    "Score",
    "Target",
    "dock",
    "minimize",
    "open_campaign",
    "pack_pdbqt",
    "pack_pose",
    "parse_record",
    "pdbqt_string",
    "prepare_library",
    "prepare_ligand",
    "read_records",
    "rescore",
    "score",
    "screen",
    "write_pdbqt",
]

_NAMES_BY_MODULE = {
    "osong.box": ("Box",),
    "osong.campaigns": ("Campaign", "open_campaign", "prepare_library", "screen"),
    "osong.errors": (
        "BoxError",
        "CampaignError",
        "InputError",
        "LigandError",
        "MissingExtraError",
        "OsongError",
        "ReceptorError",
        "ResourceError",
    ),
    "osong.library": ("Record", "parse_record", "read_records"),
    "osong.ligands": (
        "LigandOptions",
        "PackedLigand",
        "PreparedLigand",
        "pack_pdbqt",
        "pack_pose",
        "pdbqt_string",
        "prepare_ligand",
        "write_pdbqt",
    ),
    "osong.receptor": ("Receptor", "Target"),
    "osong.rescoring.api": ("rescore",),
    "osong.scoring": ("Score", "score"),
    "osong.search": ("DockingSession", "Pose", "dock", "minimize"),
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("osong")
    if name not in _MODULE_OF:
        msg = f"module 'osong' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
