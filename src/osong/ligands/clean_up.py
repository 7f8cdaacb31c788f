"""Relaxation of embedded geometries by a force field."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from osong.errors import LigandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdkit.ForceField.rdForceField import ForceField

__all__ = ["clean_up", "too_slow"]

_ITERATIONS = 100
"""Of at most 200 or so that a drug-like molecule needs to its minimum; bond lengths are then within
0.003 A of those there, angles within 0.8 degrees (RMS), for two thirds of the time."""
_ITERATIONS_AT_ONCE = 10_000
"""Iterations times atoms between two looks at the clock; molecules of 100 atoms need one look."""
_FORCE_TOLERANCE = 0.05
"""kcal/mol/A as RDKit scales it; its default of 0.0001 is not reached within the iterations."""
_UNKNOWN_ENERGY = 1e9


def clean_up(
    mol: Chem.Mol, coords: npt.NDArray[np.float64], deadline: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Relax conformers by MMFF94s without charges, or UFF.

    Charges would fold a molecule in vacuum onto itself, and they take time. Where neither force
    field knows the atoms the embedded geometry stays, energies are zero.

    Parameters
    ----------
    mol
        With all hydrogens.
    coords
        (n_conformers, n_atoms, 3) float64, angstrom.
    deadline
        Of ``time.monotonic``, seconds.

    Returns
    -------
    The coordinates, and (n_conformers,) float64 energies in kcal/mol.

    Raises
    ------
    LigandError
        At stage "embed", where the time is up.
    """
    energies = np.zeros(len(coords))
    work = Chem.Mol(mol)
    work.RemoveAllConformers()
    new_field = _force_field(work)
    if new_field is None:
        return coords, energies
    relaxed = coords.copy()
    for k, positions in enumerate(coords):
        conformer = Chem.Conformer(len(positions))
        conformer.SetPositions(positions)
        work.RemoveAllConformers()
        work.AddConformer(conformer)
        energies[k] = _relax(new_field, work.GetNumAtoms(), deadline)
        relaxed[k] = work.GetConformer().GetPositions()
    return relaxed, np.where(np.isfinite(energies), energies, _UNKNOWN_ENERGY)


def _force_field(mol: Chem.Mol) -> Callable[[], ForceField | None] | None:
    """Return what builds the force field of the molecule's conformer."""
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    if properties is not None:
        properties.SetMMFFEleTerm(False)
        return lambda: rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties)
    if rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        return lambda: rdForceFieldHelpers.UFFGetMoleculeForceField(mol)
    return None


def _relax(new_field: Callable[[], ForceField | None], n_atoms: int, deadline: float) -> float:
    """Relax the molecule's conformer in place and return its energy, kcal/mol.

    In slices that depend on the molecule alone, between which the clock is looked at.
    """
    field = new_field()
    if field is None:
        return 0.0
    left = _ITERATIONS
    slice_ = max(1, min(left, _ITERATIONS_AT_ONCE // n_atoms))
    try:
        field.Initialize()
        more = 1
        while more and left > 0:
            if time.monotonic() > deadline:
                raise too_slow("3D geometry")
            more = field.Minimize(maxIts=min(slice_, left), forceTol=_FORCE_TOLERANCE)
            left -= slice_
        return float(field.CalcEnergy())
    except RuntimeError:
        # RDKit's minimiser gives up on a few strained metal clusters and cages; their
        # embedded geometry is used, after any that it could relax.
        return np.inf


def too_slow(what: str) -> LigandError:
    """Return the error of a molecule whose time is up."""
    return LigandError(
        f"{what}: the time limit of conformer generation passed; a larger embed_timeout_s "
        "(--embed-timeout-s) may help",
        stage="embed",
    )
