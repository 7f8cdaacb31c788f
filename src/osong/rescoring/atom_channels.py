"""Which channel of GNINA's grids an atom is drawn in, and with what radius.

Atoms have the types of smina (Koes et al. 2013, doi:10.1021/ci300604z), which are those of AutoDock
with the flags of X-Score: whether a carbon is aromatic, whether a hetero atom is bonded to it,
whether nitrogen and oxygen carry a hydrogen. The channels are the two maps that GNINA's default
networks were trained with (McNutt et al. 2021, doi:10.1186/s13321-021-00522-2; their names stand in
the metadata of GNINA 1.3's files of weights). GNINA finds bonds and aromatic rings with Open Babel,
here they come from RDKit or from the receptor; ``docs/rescoring.md`` says how often that differs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.receptor.model import Receptor
from osong.receptor.vina_types import AD_TYPES, perceive_bonds

__all__ = [
    "LIGAND_CHANNELS",
    "N_LIGAND_CHANNELS",
    "N_RECEPTOR_CHANNELS",
    "RADIUS",
    "RECEPTOR_CHANNELS",
    "AtomChannels",
    "channels_of_ligand",
    "channels_of_receptor",
    "parse_channels",
]

RADIUS: Final[dict[str, float]] = {
    "AliphaticCarbonXSHydrophobe": 1.9,
    "AliphaticCarbonXSNonHydrophobe": 1.9,
    "AromaticCarbonXSHydrophobe": 1.9,
    "AromaticCarbonXSNonHydrophobe": 1.9,
    "Nitrogen": 1.8,
    "NitrogenXSAcceptor": 1.8,
    "NitrogenXSDonor": 1.8,
    "NitrogenXSDonorAcceptor": 1.8,
    "Oxygen": 1.7,
    "OxygenXSAcceptor": 1.7,
    "OxygenXSDonor": 1.7,
    "OxygenXSDonorAcceptor": 1.7,
    "Sulfur": 2.0,
    "SulfurAcceptor": 2.0,
    "Phosphorus": 2.1,
    "Fluorine": 1.5,
    "Chlorine": 1.8,
    "Bromine": 2.0,
    "Iodine": 2.2,
    "Magnesium": 1.2,
    "Manganese": 1.2,
    "Zinc": 1.2,
    "Calcium": 1.2,
    "Iron": 1.2,
    "GenericMetal": 1.2,
    "Boron": 1.92,
}
"""Angstrom, of smina's types of heavy atoms (its ``xs_radius``)."""

_CARBON: Final = """
AliphaticCarbonXSHydrophobe
AliphaticCarbonXSNonHydrophobe
AromaticCarbonXSHydrophobe
AromaticCarbonXSNonHydrophobe
"""
_POLAR: Final = """
Nitrogen NitrogenXSAcceptor
NitrogenXSDonor NitrogenXSDonorAcceptor
Oxygen OxygenXSAcceptor
OxygenXSDonorAcceptor OxygenXSDonor
Sulfur SulfurAcceptor
Phosphorus
"""


def parse_channels(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the types of each channel of a map as GNINA writes it: a line a channel."""
    return tuple(tuple(line.split()) for line in text.splitlines() if line.strip())


RECEPTOR_CHANNELS: Final = parse_channels(
    f"""{_CARBON}
    Bromine Iodine Chlorine Fluorine
    {_POLAR}
    Calcium
    Zinc
    GenericMetal Boron Manganese Magnesium Iron
    """
)
"""Types of each channel of the receptor."""

LIGAND_CHANNELS: Final = parse_channels(
    f"""{_CARBON}
    Bromine Iodine
    Chlorine
    Fluorine
    {_POLAR}
    GenericMetal Boron Manganese Magnesium Zinc Calcium Iron
    """
)
"""Types of each channel of the ligand, which come behind those of the receptor."""

N_RECEPTOR_CHANNELS: Final = len(RECEPTOR_CHANNELS)
N_LIGAND_CHANNELS: Final = len(LIGAND_CHANNELS)

_NO_CHANNEL: Final = -1
_TYPE_OF_NUMBER: Final = {
    5: "Boron", 9: "Fluorine", 12: "Magnesium", 15: "Phosphorus", 16: "Sulfur", 17: "Chlorine",
    20: "Calcium", 25: "Manganese", 26: "Iron", 30: "Zinc", 34: "Sulfur", 35: "Bromine",
    53: "Iodine",
}  # fmt: skip
_OTHER: Final = "GenericMetal"
_NONMETALS: Final = frozenset({0, 2, 10, 14, 18, 32, 33, 34, 36, 51, 52, 54, 85, 86})
"""Drawn as something that they are not; smina does so too."""
_SMALLEST_AROMATIC_RING: Final = 5
_HISTIDINES: Final = ("HIS", "HID", "HIE", "HIP", "HSD", "HSE", "HSP")
_PHENYL: Final = ("CG", "CD1", "CD2", "CE1", "CE2", "CZ")
_RINGS: Final = {
    "PHE": _PHENYL,
    "TYR": _PHENYL,
    "TRP": ("CG", "CD1", "CD2", "CE2", "CE3", "CZ2", "CZ3", "CH2"),
    **dict.fromkeys(_HISTIDINES, ("CG", "CD2", "CE1")),
}
"""Carbons of aromatic rings by residue: the types of PDBQT files are not always right."""
_UNKNOWN_COVALENT: Final = 0.75  # angstrom


@dataclass(frozen=True, eq=False)
class AtomChannels:
    """How the atoms of a molecule are drawn.

    Attributes
    ----------
    channel
        (n_atoms,) int32, channel of the molecule's own map, -1 for hydrogens, which are not drawn.
    radius
        (n_atoms,) float32, angstrom.
    notes
        What was decided for odd elements.
    """

    channel: npt.NDArray[np.int32]
    radius: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()


def channels_of_ligand(mol: Chem.Mol) -> AtomChannels:
    """Return how the atoms of a ligand are drawn.

    Parameters
    ----------
    mol
        Sanitized; its hydrogens may be atoms or not, and are counted in either case.
    """
    atoms = list(mol.GetAtoms())
    numbers = np.array([atom.GetAtomicNum() for atom in atoms], np.int64)
    bonds = np.array(
        [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], np.int64
    ).reshape(-1, 2)
    donor = _has_neighbour(bonds, numbers == 1)
    donor |= np.array([atom.GetTotalNumHs() > 0 for atom in atoms], np.bool_)
    polar = _has_neighbour(bonds, ~np.isin(numbers, (1, 6)))
    aromatic = np.array([atom.GetIsAromatic() for atom in atoms], np.bool_)
    # GNINA's aromatic rings have five atoms or more; RDKit's model finds squaric acids too
    aromatic[_only_in_small_rings(mol)] = False
    return _drawn(numbers, aromatic, polar, donor, LIGAND_CHANNELS)


def _only_in_small_rings(mol: Chem.Mol) -> list[int]:
    """Return the atoms that are in a ring too small to be aromatic, and in no larger one."""
    rings = mol.GetRingInfo().AtomRings()
    small = {atom for ring in rings if len(ring) < _SMALLEST_AROMATIC_RING for atom in ring}
    large = {atom for ring in rings if len(ring) >= _SMALLEST_AROMATIC_RING for atom in ring}
    return sorted(small - large)


def channels_of_receptor(receptor: Receptor, *, as_prepared: bool = False) -> AtomChannels:
    """Return how the atoms of a receptor are drawn.

    Bonds are perceived from distances, donors are what carries a hydrogen, aromatic carbon is what
    has the AutoDock type ``A``; in standard residues, the rings that are.

    Parameters
    ----------
    receptor
        With polar hydrogens.
    as_prepared
        Leave out what GNINA makes of such a receptor when it reads it with Open Babel, and the
        networks have learned from: one oxygen of a carboxylate gets a hydrogen, of a phosphate all
        but one (that with the lowest z keeps the double bond), and a histidine is aromatic with its
        only hydrogen on ND1, not otherwise.
    """
    numbers = _atomic_numbers(receptor.element)
    names, which = np.unique(receptor.element, return_inverse=True)
    radii = np.array([_covalent_radius(str(name)) for name in names])[which]
    bonds = perceive_bonds(receptor.coords.astype(np.float64), radii)
    donor = _has_neighbour(bonds, numbers == 1)
    aromatic = _aromatic_carbons(receptor)
    if not as_prepared:
        donor |= _protonated_acids(numbers, bonds, receptor.coords[:, 2])
        aromatic &= ~_plain_imidazoles(receptor, donor)
    polar = _has_neighbour(bonds, ~np.isin(numbers, (1, 6)))
    return _drawn(numbers, aromatic, polar, donor, RECEPTOR_CHANNELS)


def _aromatic_carbons(receptor: Receptor) -> npt.NDArray[np.bool_]:
    """Return which atoms are carbons of aromatic rings."""
    aromatic = receptor.ad_type == "A"
    for residue, atoms in _RINGS.items():
        here = receptor.residue_name == residue
        aromatic[here] = np.isin(receptor.atom_name[here], atoms)
    return aromatic


def _protonated_acids(
    numbers: npt.NDArray[np.int64], bonds: npt.NDArray[np.int64], z: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Return the oxygens of carboxylates and phosphates that Open Babel gives a hydrogen."""
    n_bonds = np.bincount(bonds.ravel(), minlength=len(numbers))
    ends: dict[int, list[int]] = defaultdict(list)
    for first, second in bonds.tolist():
        for oxygen, centre in ((first, second), (second, first)):
            if numbers[oxygen] == 8 and n_bonds[oxygen] == 1 and numbers[centre] in (6, 15):
                ends[centre].append(oxygen)
    out = np.zeros(len(numbers), np.bool_)
    for centre, oxygens in ends.items():
        if numbers[centre] == 15 or (len(oxygens) == 2 and n_bonds[centre] == 3):
            out[sorted(oxygens, key=lambda oxygen: float(z[oxygen]))[1:]] = True
    return out


def _plain_imidazoles(receptor: Receptor, donor: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the atoms of histidines that Open Babel takes for not aromatic."""
    is_histidine = np.isin(receptor.residue_name, _HISTIDINES)
    residue = np.char.add(np.char.add(receptor.chain, "|"), receptor.residue_number)
    hydrogen_on = [
        set(residue[is_histidine & donor & (receptor.atom_name == name)]) for name in ("ND1", "NE2")
    ]
    aromatic = hydrogen_on[0] - hydrogen_on[1]
    return is_histidine & ~np.isin(residue, list(aromatic))


def _drawn(
    numbers: npt.NDArray[np.int64],
    aromatic: npt.NDArray[np.bool_],
    polar: npt.NDArray[np.bool_],
    donor: npt.NDArray[np.bool_],
    channels: tuple[tuple[str, ...], ...],
) -> AtomChannels:
    """Return channels and radii from element, aromaticity, hetero atom and hydrogen bonded."""
    index = {name: c for c, names in enumerate(channels) for name in names}
    channel = np.full(len(numbers), _NO_CHANNEL, np.int32)
    radius = np.ones(len(numbers), np.float32)
    for i, number in enumerate(numbers.tolist()):
        if number != 1:
            name = _type_name(number, bool(aromatic[i]), bool(polar[i]), bool(donor[i]))
            channel[i], radius[i] = index[name], RADIUS[name]
    return AtomChannels(channel, radius, _notes(numbers))


def _type_name(number: int, aromatic: bool, polar: bool, donor: bool) -> str:
    """Return smina's type of a heavy atom; acceptors share a channel with what accepts nothing."""
    match number:
        case 6:
            kind = "NonHydrophobe" if polar else "Hydrophobe"
            return f"{'Aromatic' if aromatic else 'Aliphatic'}CarbonXS{kind}"
        case 7:
            return "NitrogenXSDonor" if donor else "Nitrogen"
        case 8:
            return "OxygenXSDonorAcceptor" if donor else "OxygenXSAcceptor"
        case _:
            return _TYPE_OF_NUMBER.get(number, _OTHER)


def _notes(numbers: npt.NDArray[np.int64]) -> tuple[str, ...]:
    table = Chem.GetPeriodicTable()
    found = Counter(number for number in numbers.tolist() if number in _NONMETALS)
    return tuple(
        f"{table.GetElementSymbol(number) if number else 'unknown element'} ({count} "
        f"atom{'s' if count > 1 else ''}) drawn as {_TYPE_OF_NUMBER.get(number, _OTHER)}, "
        "as GNINA does"
        for number, count in sorted(found.items())
    )


def _atomic_numbers(elements: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """Return the atomic number of each element, 0 for what is none."""
    table = Chem.GetPeriodicTable()
    names, which = np.unique(elements, return_inverse=True)
    known = {table.GetElementSymbol(number): number for number in range(1, 119)}
    known |= {"D": 1, "T": 1}
    numbers = [known.get(str(name).strip().capitalize(), 0) for name in names]
    return np.array(numbers, np.int64)[which]


def _covalent_radius(element: str) -> float:
    """Return the radius in angstrom that bonds are perceived by."""
    symbol = element.strip().capitalize()
    if symbol in AD_TYPES:
        return AD_TYPES[symbol][1]
    number = int(_atomic_numbers(np.array([symbol]))[0])
    return float(Chem.GetPeriodicTable().GetRcovalent(number)) if number else _UNKNOWN_COVALENT


def _has_neighbour(
    bonds: npt.NDArray[np.int64], flag: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return for each atom whether any atom bonded to it carries the flag."""
    out = np.zeros(len(flag), np.bool_)
    out[bonds[flag[bonds[:, 1]], 0]] = True
    out[bonds[flag[bonds[:, 0]], 1]] = True
    return out
