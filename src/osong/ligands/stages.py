"""The stages that a molecule passes, as they stand in errors and in the ledger of a campaign."""

from __future__ import annotations

from typing import Final

__all__ = ["STAGES"]

STAGES: Final = (
    "read",  # the record or SMILES could not be understood
    "sanitize",  # impossible valences, rings that cannot be aromatic
    "standardize",  # salts, dummies, size: not one molecule that can be docked
    "tautomers",
    "protonate",
    "stereo",
    "embed",  # no three-dimensional geometry
    "type",  # an element without parameters
    "pack",  # torsion tree and arrays
    "dock",
    "crash",  # the molecule ended its process
    "time",  # the molecule took longer than allowed
    "memory",  # the molecule needed more memory than allowed
)
