"""`LigandOptions`: how molecules are made ready for docking."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LigandOptions"]


class LigandOptions(BaseModel):
    """How molecules are made ready; frozen, and it refuses fields that it does not know.

    Attributes
    ----------
    ph
        pH of the protonation state. ``"auto"``: 7.4, unless the molecule carries its hydrogens,
        then the state is kept as drawn. ``None``: always as drawn.
    max_protomers
        Protonation states to keep, the most populated first. 1: only the dominant one.
    max_stereoisomers
        Isomers to enumerate where centres or double bonds are unassigned.
    tautomers
        Enumerate tautomers, best scored first, at most ``max_tautomers``.
    max_conformers
        Geometries to keep: conformers of flexible rings first, then others, whose bond angles
        differ by some degrees. The search chooses among them.
    max_macrocycle_conformers
        The same where a ring has eight atoms or more.
    embed_timeout_s
        Limit of the conformer generation of one variant, seconds; the molecule fails when it
        passes, so that no result depends on how fast the machine is.
    keep_geometry
        Take the coordinates that come with the molecule as its only conformer; its state is kept
        as drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ph: float | Literal["auto"] | None = "auto"
    max_protomers: int = Field(default=1, ge=1, le=64)
    max_stereoisomers: int = Field(default=4, ge=1, le=256)
    tautomers: bool = False
    max_tautomers: int = Field(default=4, ge=1, le=64)
    max_conformers: int = Field(default=6, ge=1, le=64)
    max_macrocycle_conformers: int = Field(default=16, ge=1, le=256)
    embed_timeout_s: int = Field(default=60, ge=1)
    keep_geometry: bool = False
