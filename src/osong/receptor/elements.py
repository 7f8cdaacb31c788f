"""How an element or a foreign AutoDock type is written in a receptor: itself or a substitute."""

from __future__ import annotations

from typing import Final

from osong.receptor.vina_types import AD_TYPES, METALS

__all__ = ["DUMMY_TYPES", "canonical_ad_type", "is_metal", "substitute_for_element"]

DUMMY_TYPES: Final = frozenset({"W", "TZ", "G", "GA", "J", "Q", "G0", "G1", "G2", "G3", "LP", "Z"})
"""Pseudo atoms of AutoDock (hydration, zinc, glue): they stand for no atom and are left out."""

_SPELLINGS: Final = {name.upper(): name for name in AD_TYPES if name not in ("Na", "Ca")}
_ALIASES: Final = {"HS": "HD", "OS": "OA", "NS": "NA", "CG": "C", "CG0": "C", "CG1": "C"}
_ALIASES_CHEMISTRY: Final = {"B": "C", "GE": "Si", "TE": "S", "AS": "P", "SB": "P", "D": "HD"}
_GENERIC_METAL: Final = "Ni"
"""Written for a metal that Vina does not know; all metals score alike."""

_OTHER_METAL_NAMES: Final = (
    "Li Be Al Sc Ti V Cr Ga Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag In Sn Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Tl Pb Bi Po Fr Ra Ac Th Pa Np Pu Am Cm"
)
_OTHER_METALS: Final = frozenset(_OTHER_METAL_NAMES.upper().split())


def canonical_ad_type(raw: str) -> tuple[str | None, str]:
    """Return the AutoDock type to use for one that a PDBQT file names, and why if it differs.

    ``None`` with an empty reason means that the type is not known at all; ``None`` with a reason
    that the atom is a dummy to leave out.
    """
    if raw in AD_TYPES:
        return raw, ""
    if raw in DUMMY_TYPES:
        return None, f"dummy atom of type {raw} left out"
    upper = raw.upper()
    for table in (_SPELLINGS, _ALIASES):
        if upper in table:
            return table[upper], f"type {raw} read as {table[upper]}"
    if upper == "CAL":
        return "Ca", f"type {raw} read as Ca"
    return substitute_for_element(raw)


def substitute_for_element(symbol: str) -> tuple[str | None, str]:
    """Return the AutoDock type that stands in for an element Vina has no type for, and the reason.

    ``None`` with an empty reason where there is none.
    """
    upper = symbol.upper()
    if upper in _ALIASES_CHEMISTRY:
        name = _ALIASES_CHEMISTRY[upper]
        return name, f"Vina has no {symbol.capitalize()}: scored with the type {name}"
    if upper in _OTHER_METALS:
        text = f"Vina has no {symbol.capitalize()}: scored as a metal (written as {_GENERIC_METAL})"
        return _GENERIC_METAL, text
    return None, ""


def is_metal(symbol: str) -> bool:
    """Return whether an element symbol is that of a metal."""
    return symbol in METALS or symbol.upper() in _OTHER_METALS
