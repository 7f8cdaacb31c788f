"""Residue names: what is water, what is an additive, what a standard residue's atoms are."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADDITIVES",
    "AMINO_ACIDS",
    "NUCLEOTIDES",
    "RENAMED",
    "STANDARD",
    "WATERS",
    "donor_hydrogens",
    "expected_atoms",
    "standard_ad_type",
]

WATERS: Final = frozenset(
    ["HOH", "DOD", "WAT", "H2O", "OH2", "TIP", "TIP3", "TP3", "TIP4", "SOL", "SPC", "MTO"]
)

ADDITIVES: Final = {
    "SO4": "sulfate",
    "SUL": "sulfate",
    "PO4": "phosphate",
    "PI": "phosphate",
    "GOL": "glycerol",
    "EDO": "ethylene glycol",
    "PGO": "propylene glycol",
    "PGR": "propylene glycol",
    "PDO": "propanediol",
    "BU1": "butanediol",
    "MPD": "methylpentanediol",
    "MRD": "methylpentanediol",
    "HEZ": "hexanediol",
    "PEG": "polyethylene glycol",
    "PGE": "polyethylene glycol",
    "PG4": "polyethylene glycol",
    "PG5": "polyethylene glycol",
    "PG6": "polyethylene glycol",
    "PE3": "polyethylene glycol",
    "PE4": "polyethylene glycol",
    "PE5": "polyethylene glycol",
    "PE8": "polyethylene glycol",
    "1PE": "polyethylene glycol",
    "2PE": "polyethylene glycol",
    "P6G": "polyethylene glycol",
    "7PE": "polyethylene glycol",
    "12P": "polyethylene glycol",
    "15P": "polyethylene glycol",
    "DMS": "dimethyl sulfoxide",
    "DMF": "dimethylformamide",
    "EOH": "ethanol",
    "MOH": "methanol",
    "IPA": "isopropanol",
    "POL": "propanol",
    "ACN": "acetone",
    "CCN": "acetonitrile",
    "DIO": "dioxane",
    "ACT": "acetate",
    "ACY": "acetic acid",
    "FMT": "formate",
    "CIT": "citrate",
    "FLC": "citrate",
    "TLA": "tartrate",
    "TAR": "tartrate",
    "MLI": "malonate",
    "MLA": "malonic acid",
    "TRS": "Tris buffer",
    "EPE": "HEPES buffer",
    "MES": "MES buffer",
    "B3P": "Bis-Tris propane buffer",
    "BTB": "Bis-Tris buffer",
    "CAC": "cacodylate buffer",
    "BCN": "bicine buffer",
    "CXS": "CAPS buffer",
    "NHE": "CHES buffer",
    "IMD": "imidazole",
    "BME": "mercaptoethanol",
    "DTT": "dithiothreitol",
    "DTU": "dithiothreitol",
    "DTV": "dithiothreitol",
    "TCE": "TCEP",
    "NO3": "nitrate",
    "NH4": "ammonium",
    "SCN": "thiocyanate",
    "AZI": "azide",
    "BCT": "bicarbonate",
    "CO3": "carbonate",
    "LDA": "detergent",
    "BOG": "detergent",
    "BNG": "detergent",
    "LMT": "detergent",
    "C8E": "detergent",
    "SDS": "detergent",
    "UNX": "unknown atom",
    "UNL": "unknown ligand",
}
"""Crystallisation additives and buffers, removed unless asked to be kept."""

RENAMED: Final = {
    "HID": "HIS",
    "HIE": "HIS",
    "HIP": "HIS",
    "HSD": "HIS",
    "HSE": "HIS",
    "HSP": "HIS",
    "CYX": "CYS",
    "CYM": "CYS",
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
    "RA": "A",
    "RC": "C",
    "RG": "G",
    "RU": "U",
    "ADE": "A",
    "CYT": "C",
    "GUA": "G",
    "URA": "U",
    "THY": "DT",
    "T": "DT",
}
"""Names that force fields give to protonation states and nucleotides: the standard name."""

_BACKBONE: Final = ("N", "CA", "C", "O")
AMINO_ACIDS: Final[dict[str, tuple[str, ...]]] = {
    name: (*_BACKBONE, *side.split())
    for name, side in {
        "ALA": "CB",
        "ARG": "CB CG CD NE CZ NH1 NH2",
        "ASN": "CB CG OD1 ND2",
        "ASP": "CB CG OD1 OD2",
        "CYS": "CB SG",
        "GLN": "CB CG CD OE1 NE2",
        "GLU": "CB CG CD OE1 OE2",
        "GLY": "",
        "HIS": "CB CG ND1 CD2 CE1 NE2",
        "ILE": "CB CG1 CG2 CD1",
        "LEU": "CB CG CD1 CD2",
        "LYS": "CB CG CD CE NZ",
        "MET": "CB CG SD CE",
        "PHE": "CB CG CD1 CD2 CE1 CE2 CZ",
        "PRO": "CB CG CD",
        "SER": "CB OG",
        "THR": "CB OG1 CG2",
        "TRP": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2",
        "TYR": "CB CG CD1 CD2 CE1 CE2 CZ OH",
        "VAL": "CB CG1 CG2",
    }.items()
}
"""Heavy atoms of each amino acid in a chain."""

_SUGAR: Final = "P OP1 OP2 O5' C5' C4' O4' C3' O3' C2' C1'"
_BASES: Final = {
    "A": "N9 C8 N7 C5 C6 N6 N1 C2 N3 C4",
    "G": "N9 C8 N7 C5 C6 O6 N1 C2 N2 N3 C4",
    "C": "N1 C2 O2 N3 C4 N4 C5 C6",
    "U": "N1 C2 O2 N3 C4 O4 C5 C6",
    "T": "N1 C2 O2 N3 C4 O4 C5 C7 C6",
}
NUCLEOTIDES: Final[dict[str, tuple[str, ...]]] = {
    **{base: tuple(f"{_SUGAR} O2' {_BASES[base]}".split()) for base in "AGCU"},
    **{f"D{base}": tuple(f"{_SUGAR} {_BASES[base]}".split()) for base in "AGCT"},
}
"""Heavy atoms of each nucleotide in a chain."""

STANDARD: Final = AMINO_ACIDS.keys() | NUCLEOTIDES.keys()

_AROMATIC: Final = {
    "HIS": "CG CD2 CE1",
    "PHE": "CG CD1 CD2 CE1 CE2 CZ",
    "TYR": "CG CD1 CD2 CE1 CE2 CZ",
    "TRP": "CG CD1 CD2 CE2 CE3 CZ2 CZ3 CH2",
}
_BASE_ACCEPTORS: Final = {"A": "N1 N3 N7", "G": "N3 N7", "C": "N3", "U": "", "T": ""}
_BASE_DONORS: Final = {
    "A": {"N6": 2},
    "G": {"N1": 1, "N2": 2},
    "C": {"N4": 2},
    "U": {"N3": 1},
    "T": {"N3": 1},
}
_DONORS: Final[dict[str, dict[str, int]]] = {
    "ARG": {"NE": 1, "NH1": 2, "NH2": 2},
    "ASN": {"ND2": 2},
    "GLN": {"NE2": 2},
    "LYS": {"NZ": 3},
    "SER": {"OG": 1},
    "THR": {"OG1": 1},
    "TYR": {"OH": 1},
    "TRP": {"NE1": 1},
    "CYS": {"SG": 1},
    "HIS": {"NE2": 1},
}


def expected_atoms(residue_name: str) -> tuple[str, ...]:
    """Return the heavy atoms that a standard residue within a chain has."""
    return AMINO_ACIDS.get(residue_name) or NUCLEOTIDES.get(residue_name, ())


def donor_hydrogens(residue_name: str) -> dict[str, int]:
    """Return polar hydrogens on each side-chain or base atom at neutral pH.

    Backbone, termini and titration are the caller's: they depend on the neighbours and the pH.
    """
    if residue_name in NUCLEOTIDES:
        return _BASE_DONORS[residue_name[-1]]
    return _DONORS.get(residue_name, {})


def standard_ad_type(residue_name: str, atom_name: str, element: str) -> str:
    """Return the AutoDock type of a standard residue's heavy atom, hydrogens aside."""
    if element == "O":
        return "OA"
    if element == "S":
        return "SA"
    if element == "C":
        aromatic = _AROMATIC.get(residue_name, "").split()
        is_base = residue_name in NUCLEOTIDES and "'" not in atom_name and atom_name != "C7"
        return "A" if atom_name in aromatic or is_base else "C"
    if element == "N" and residue_name in NUCLEOTIDES:
        return "NA" if atom_name in _BASE_ACCEPTORS[residue_name[-1]].split() else "N"
    return element
