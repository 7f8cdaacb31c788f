"""The atom types of the Vina family of scoring functions, and how AutoDock types map to them.

A type is a row of :data:`ATOM_TYPES`; arrays hold its index as int8 (``UNSCORED`` for hydrogens,
which carry no energy). Radii are those of AutoDock Vina 1.2.7 (Trott and Olson 2010,
doi:10.1002/jcc.21334; Eberhardt et al. 2021, doi:10.1021/acs.jcim.1c00203) and of Vinardo
(Quiroga and Villarreal 2016, doi:10.1371/journal.pone.0155183).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ATOM_TYPES", "TYPE_INDEX", "UNSCORED", "AtomType"]


@dataclass(frozen=True)
class AtomType:
    """One atom type: name, radii in angstrom and the roles it can play."""

    name: str
    vina_radius: float
    vinardo_radius: float
    is_hydrophobic: bool = False
    is_donor: bool = False
    is_acceptor: bool = False


ATOM_TYPES: Final = (
    AtomType("C_H", 1.9, 2.0, is_hydrophobic=True),  # carbon bonded to C and H only
    AtomType("C_P", 1.9, 2.0),  # carbon bonded to a heteroatom
    AtomType("N_P", 1.8, 1.7),
    AtomType("N_D", 1.8, 1.7, is_donor=True),
    AtomType("N_A", 1.8, 1.7, is_acceptor=True),
    AtomType("N_DA", 1.8, 1.7, is_donor=True, is_acceptor=True),
    AtomType("O_P", 1.7, 1.6),
    AtomType("O_D", 1.7, 1.6, is_donor=True),
    AtomType("O_A", 1.7, 1.6, is_acceptor=True),
    AtomType("O_DA", 1.7, 1.6, is_donor=True, is_acceptor=True),
    AtomType("S_P", 2.0, 2.0),
    AtomType("P_P", 2.1, 2.1),
    AtomType("F_H", 1.5, 1.5, is_hydrophobic=True),
    AtomType("Cl_H", 1.8, 1.8, is_hydrophobic=True),
    AtomType("Br_H", 2.0, 2.0, is_hydrophobic=True),
    AtomType("I_H", 2.2, 2.2, is_hydrophobic=True),
    AtomType("Si", 2.2, 2.2),
    AtomType("At", 2.3, 2.3),
    AtomType("Met_D", 1.2, 1.2, is_donor=True),  # any metal ion
)

TYPE_INDEX: Final = {t.name: i for i, t in enumerate(ATOM_TYPES)}

UNSCORED: Final = -1
"""Type index of an atom without energy terms: hydrogen."""
