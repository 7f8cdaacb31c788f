"""Three-dimensional geometry: ETKDG, a clean-up by force field, ring conformers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from osong.errors import LigandError
from osong.ligands.rings import RingSystem, distinct_conformers, flexible_ring_systems

if TYPE_CHECKING:
    from osong.ligands.options import LigandOptions

__all__ = ["embed"]

_CLEAN_UP_ITERATIONS = 200
_MACROCYCLE = 8
"""Ring size from which rings count as macrocycles: many conformers, no simple rules."""
_ATOMS_PER_ROUND = 1500
"""Caps the embeddings of large molecules: cyclosporin (196 atoms) gets 7 a round, not 16."""
_ENERGY_WINDOW = 8.0
"""kcal/mol (MMFF94s) above the best within which ring conformers are kept."""


def embed(mol: Chem.Mol, key: bytes, options: LigandOptions) -> npt.NDArray[np.float64]:
    """Return the ring conformers of a molecule, lowest energy first.

    Parameters
    ----------
    mol
        With all hydrogens; gets no conformers itself.
    key
        16 bytes; seeds the embedding, so that it depends on the molecule alone.
    options
        Time limit and numbers of conformers.

    Returns
    -------
    (n_conformers, n_atoms, 3) float64, angstrom.

    Raises
    ------
    LigandError
        At stage "embed", where no geometry is found or the time is up.
    """
    systems = flexible_ring_systems(mol)
    wanted = _conformers_wanted(systems, options)
    work = Chem.Mol(mol)
    deadline = time.monotonic() + options.embed_timeout_s
    conformer_ids = [_embed_first(work, key, options.embed_timeout_s)]
    if wanted > 1:
        conformer_ids = _embed_more(work, conformer_ids[0], systems, wanted, key, deadline)
    energies = _clean_up(work, conformer_ids)
    order = np.argsort(energies, kind="stable")
    geometries = _positions(work, [conformer_ids[k] for k in order])
    if not np.isfinite(geometries).all():
        raise LigandError("3D geometry has coordinates that are not finite", stage="embed")
    if wanted == 1:
        return geometries
    within = energies[order] <= energies[order[0]] + _ENERGY_WINDOW
    geometries = geometries[within]
    return geometries[distinct_conformers(geometries, systems, limit=wanted)]


def _conformers_wanted(systems: list[RingSystem], options: LigandOptions) -> int:
    if not systems:
        return 1
    if max(system.largest_ring for system in systems) >= _MACROCYCLE:
        return options.max_macrocycle_conformers
    return options.max_ring_conformers


def _parameters(key: bytes, timeout_s: int) -> rdDistGeom.EmbedParameters:
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = int.from_bytes(key[:4], "little") & 0x7FFFFFFF
    parameters.useSmallRingTorsions = True
    # A quarter quicker than the default 0.001; the clean-up follows anyway.
    parameters.optimizerForceTol = 0.0135
    parameters.clearConfs = False
    parameters.timeout = timeout_s
    return parameters


def _run(mol: Chem.Mol, n: int, parameters: rdDistGeom.EmbedParameters) -> list[int]:
    """Embed up to n conformers and return their numbers."""
    try:
        return [c for c in rdDistGeom.EmbedMultipleConfs(mol, n, parameters) if c >= 0]
    except (RuntimeError, ValueError) as error:
        raise LigandError(f"no 3D geometry: {_reason(error)}", stage="embed") from error


def _embed_first(mol: Chem.Mol, key: bytes, timeout_s: int) -> int:
    """Embed one conformer, from random coordinates where the ordinary start fails."""
    started = time.monotonic()
    # Steroids with all stereocentres set need some 50 attempts: of dexamethasone's embeddings with
    # five seeds none succeeded within 10, three within 30, all within 100.
    for use_random_coords, attempts in ((False, 100), (True, 100)):
        left = timeout_s - int(time.monotonic() - started)
        if left < 1:
            break
        parameters = _parameters(key, left)
        parameters.useRandomCoords = use_random_coords
        parameters.maxIterations = attempts
        found = _run(mol, 1, parameters)
        if found:
            return found[0]
    if time.monotonic() - started >= timeout_s - 1:
        raise _too_slow("3D geometry")
    raise LigandError(
        "no 3D geometry satisfies the bonds and the stereochemistry of this molecule; "
        "check its stereocentres and ring fusions",
        stage="embed",
    )


def _embed_more(
    mol: Chem.Mol,
    first: int,
    systems: list[RingSystem],
    wanted: int,
    key: bytes,
    deadline: float,
) -> list[int]:
    """Embed further conformers, return those whose rings differ, the first one included.

    In two rounds: rings that come out alike each time in the first are taken for rigid (cages,
    steroids), and the second round is saved. How many are tried depends on the molecule alone,
    never on the time: the same ligand has the same conformers on any machine.
    """
    per_round = max(2, min(wanted, _ATOMS_PER_ROUND // mol.GetNumAtoms()))
    ids = [first]
    keep = [0]
    for round_number in (1, 2):
        if round_number == 2 and len(keep) == 1:
            break
        parameters = _parameters(key[4 * round_number :], int(deadline - time.monotonic()) + 1)
        parameters.maxIterations = 10
        ids += _run(mol, per_round, parameters)
        if time.monotonic() > deadline:
            raise _too_slow("ring conformers")
        keep = distinct_conformers(_positions(mol, ids), systems, limit=wanted + wanted // 2)
    return [ids[k] for k in keep]


def _too_slow(what: str) -> LigandError:
    return LigandError(
        f"{what}: the time limit of conformer generation passed; a larger embed_timeout_s "
        "(--embed-timeout-s) may help",
        stage="embed",
    )


def _reason(error: Exception) -> str:
    """Return the informative line of an RDKit exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line != "Invariant Violation"]
    return told[0] if told else type(error).__name__


def _positions(mol: Chem.Mol, conformer_ids: list[int]) -> npt.NDArray[np.float64]:
    return np.array([mol.GetConformer(c).GetPositions() for c in conformer_ids])


def _clean_up(mol: Chem.Mol, conformer_ids: list[int]) -> npt.NDArray[np.float64]:
    """Relax the conformers in place by MMFF94s, or UFF, and return their energies, kcal/mol.

    Where neither force field knows the atoms the embedded geometry stays, energies are zero.
    """
    energies = np.zeros(len(conformer_ids))
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    if properties is None and not rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        return energies
    for k, conformer_id in enumerate(conformer_ids):
        if properties is not None:
            field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
                mol, properties, confId=conformer_id
            )
        else:
            field = rdForceFieldHelpers.UFFGetMoleculeForceField(mol, confId=conformer_id)
        if field is None:
            continue
        try:
            field.Initialize()
            field.Minimize(maxIts=_CLEAN_UP_ITERATIONS)
            energies[k] = field.CalcEnergy()
        except RuntimeError:
            # RDKit's minimiser gives up on a few strained metal clusters and cages; their
            # embedded geometry is used, after any that it could relax.
            energies[k] = np.inf
    return np.where(np.isfinite(energies), energies, 1e9)
