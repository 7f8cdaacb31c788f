"""How a crystal structure is made ready."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ReceptorOptions"]


class ReceptorOptions(BaseModel):
    """Settings of receptor preparation; unknown names are refused.

    Attributes
    ----------
    ph
        pH of the protonation states.
    keep_waters
        Keep crystal waters.
    hydrogens
        ``"keep"`` those of the file, ``"replace"`` them, or ``"auto"``: keep them where at least
        four fifths of the amino acids have some.
    keep
        Residue names to keep though they are on the list of additives.
    remove
        Residue names to remove.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ph: float = Field(default=7.4, ge=0.0, le=14.0)
    keep_waters: bool = False
    hydrogens: Literal["auto", "keep", "replace"] = "auto"
    keep: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()

    @field_validator("keep", "remove", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        """Accept one name or several, in any case."""
        if isinstance(value, str):
            return frozenset([value.strip().upper()])
        if isinstance(value, (list, tuple, set, frozenset)):
            return frozenset(str(name).strip().upper() for name in value)
        return value
