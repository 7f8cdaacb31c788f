"""Relaxation of embedded geometries by a force field."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from osong.errors import LigandError
from osong.ligands.descent import Descent
from osong.ligands.stiffness import stiffness

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdkit.ForceField.rdForceField import ForceField

__all__ = ["clean_up", "too_slow"]

_STEPS = 20
"""Bond lengths are then within 0.004 A of those at the minimum, angles within 0.9 degrees (RMS);
RDKit's minimiser needs 95 steps and twice the time for that."""
_FIRST_STEPS = 8
"""After which conformers that are much too high are given up."""
_SLACK = 20.0
"""kcal/mol; what the remaining steps may bring one conformer more than another."""
_MOST_ATOMS = 150
"""Larger molecules are left to RDKit's minimiser: inverting takes the third power of the size."""
_ITERATIONS = 100
_ITERATIONS_AT_ONCE = 10_000
"""RDKit's iterations times atoms between two looks at the clock."""
_FORCE_TOLERANCE = 0.05
"""As RDKit scales it; its default of 0.0001 is not reached within the iterations."""
_UNKNOWN_ENERGY = 1e9


def clean_up(
    mol: Chem.Mol, coords: npt.NDArray[np.float64], window: float, deadline: float
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
    window
        kcal/mol above the best within which conformers are wanted; what is far above on the way
        is not relaxed to the end.
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
    work = Chem.Mol(mol)
    work.RemoveAllConformers()
    work.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    new_field = _force_field(work)
    if new_field is None:
        return coords, np.zeros(len(coords))
    relax = _relax_small if mol.GetNumAtoms() <= _MOST_ATOMS else _relax_large
    relaxed, energies = relax(work, new_field, coords, window, deadline)
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


def _relax_small(
    mol: Chem.Mol,
    new_field: Callable[[], ForceField | None],
    coords: npt.NDArray[np.float64],
    window: float,
    deadline: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    model = stiffness(mol)
    descents = []
    for positions in coords:
        _check(deadline)
        mol.GetConformer().SetPositions(positions)
        field = new_field()
        if field is None:
            return coords, np.zeros(len(coords))
        field.Initialize()
        descents.append(Descent(field, positions.ravel(), model.inverse(positions)))
        descents[-1].run(_FIRST_STEPS)
    lowest = min(descent.energy for descent in descents)
    for descent in descents:
        _check(deadline)
        if not descent.energy > lowest + _SLACK + window:
            descent.run(_STEPS - _FIRST_STEPS)
    return (
        np.array([descent.position.reshape(-1, 3) for descent in descents]),
        np.array([descent.energy for descent in descents]),
    )


def _relax_large(
    mol: Chem.Mol,
    new_field: Callable[[], ForceField | None],
    coords: npt.NDArray[np.float64],
    window: float,
    deadline: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Relax by RDKit's minimiser, in slices between which the clock is looked at."""
    slice_ = max(1, min(_ITERATIONS, _ITERATIONS_AT_ONCE // mol.GetNumAtoms()))
    energies = np.zeros(len(coords))
    relaxed = coords.copy()
    for k, positions in enumerate(coords):
        mol.GetConformer().SetPositions(positions)
        field = new_field()
        if field is None:
            continue
        try:
            field.Initialize()
            for done in range(0, _ITERATIONS, slice_):
                _check(deadline)
                at_once = min(slice_, _ITERATIONS - done)
                if not field.Minimize(maxIts=at_once, forceTol=_FORCE_TOLERANCE):
                    break
            energies[k] = field.CalcEnergy()
        except RuntimeError:
            # RDKit's minimiser gives up on a few strained metal clusters and cages; their
            # embedded geometry is used, after any that it could relax.
            energies[k] = np.inf
        relaxed[k] = mol.GetConformer().GetPositions()
    return relaxed, energies


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise too_slow("3D geometry")


def too_slow(what: str) -> LigandError:
    """Return the error of a molecule whose time is up."""
    return LigandError(
        f"{what}: the time limit of conformer generation passed; a larger embed_timeout_s "
        "(--embed-timeout-s) may help",
        stage="embed",
    )
