"""Three-dimensional geometry: ETKDG without hydrogens, a clean-up with them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from osong.errors import LigandError
from osong.ligands.bare import strip_hydrogens, whole_as_bare
from osong.ligands.clean_up import clean_up, too_slow
from osong.ligands.rings import RingSystem, distinct_conformers, flexible_ring_systems

if TYPE_CHECKING:
    from osong.ligands.options import LigandOptions

__all__ = ["embed"]

_MACROCYCLE = 8
"""Ring size from which rings count as macrocycles: many conformers, no simple rules."""
_ATOMS_PER_ROUND = 700
"""Caps the embeddings of large molecules: cyclosporin (85 heavy atoms) gets 8 a round, not 16."""
_ENERGY_WINDOW = 8.0
"""kcal/mol (MMFF94s without charges) above the best within which conformers are kept."""
_FEW_ATTEMPTS = 10
_MANY_ATTEMPTS = 100
"""Steroids with all stereocentres set need some 50 attempts: of dexamethasone's embeddings with
five seeds none succeeded within 10, three within 30, all within 100."""


def embed(mol: Chem.Mol, key: bytes, options: LigandOptions) -> npt.NDArray[np.float64]:
    """Return a few geometries of a molecule: those whose rings differ first, lowest energy first.

    Torsions are the search's to find, but bond lengths, angles and rings stay as they are here, and
    the best energy in a pocket depends on them; so there are several for rigid rings too.

    Heavy atoms are embedded by themselves, which takes a fifth of the time of all atoms for each
    conformer. Those that differ get their hydrogens, and all atoms are relaxed together.

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
    deadline = time.monotonic() + options.embed_timeout_s
    bare = strip_hydrogens(mol)
    systems = flexible_ring_systems(bare.mol)
    wanted = _conformers_wanted(systems, options)
    try:
        embedded = _embed_distinct(bare.mol, key, systems, wanted, deadline)
    except LigandError:
        # Rare: some cages and crowded centres need their hydrogens to come out right.
        if time.monotonic() > deadline or not len(bare.added):
            raise
        bare = whole_as_bare(mol)
        systems = flexible_ring_systems(mol)
        embedded = _embed_distinct(mol, key, systems, wanted, deadline)
    geometries, energies = clean_up(mol, bare.complete(embedded), _ENERGY_WINDOW, deadline)
    order = np.argsort(energies, kind="stable")
    geometries = geometries[order]
    if not np.isfinite(geometries).all():
        raise LigandError("3D geometry has coordinates that are not finite", stage="embed")
    if wanted == 1:
        return geometries
    geometries = geometries[energies[order] <= energies[order[0]] + _ENERGY_WINDOW]
    return geometries[_distinct_first(geometries[:, bare.index], systems, wanted)]


def _distinct_first(
    geometries: npt.NDArray[np.float64], systems: list[RingSystem], wanted: int
) -> list[int]:
    """Return up to ``wanted`` conformers: those that differ in a ring, then others in order."""
    distinct = distinct_conformers(geometries, systems, limit=wanted)
    others = [k for k in range(len(geometries)) if k not in distinct]
    return (distinct + others)[:wanted]


def _conformers_wanted(systems: list[RingSystem], options: LigandOptions) -> int:
    if any(system.largest_ring >= _MACROCYCLE for system in systems):
        return options.max_macrocycle_conformers
    return options.max_conformers


def _embed_distinct(
    mol: Chem.Mol, key: bytes, systems: list[RingSystem], wanted: int, deadline: float
) -> Chem.Mol:
    """Return a copy of the molecule with conformers, those whose rings differ first.

    In two rounds where rings are flexible, or one: rings that come out alike each time are taken
    for rigid (cages, steroids). How many are tried depends on the molecule alone,
    never on the time: the same ligand has the same conformers on any machine.
    """
    work = Chem.Mol(mol)
    if wanted == 1:
        _embed_one(work, key, deadline)
        return work
    per_round = max(2, min(wanted, _ATOMS_PER_ROUND // mol.GetNumAtoms()))
    n_first = per_round + 1 if systems else per_round
    if not _run(work, n_first, _parameters(key, deadline, _FEW_ATTEMPTS), deadline):
        _embed_one(work, key[4:], deadline)
    if systems and 1 < len(distinct_conformers(_positions(work), systems, limit=wanted)) < wanted:
        _run(work, per_round, _parameters(key[8:], deadline, _FEW_ATTEMPTS), deadline)
    keep = _distinct_first(_positions(work), systems, wanted + (wanted // 2 if systems else 0))
    kept = [Chem.Conformer(work.GetConformers()[k]) for k in keep]
    work.RemoveAllConformers()
    for conformer in kept:
        work.AddConformer(conformer, assignId=True)
    return work


def _embed_one(mol: Chem.Mol, key: bytes, deadline: float) -> None:
    """Embed one conformer, from random coordinates where the ordinary start fails."""
    for use_random_coords in (False, True):
        parameters = _parameters(key, deadline, _MANY_ATTEMPTS)
        parameters.useRandomCoords = use_random_coords
        if _run(mol, 1, parameters, deadline):
            return
    raise LigandError(
        "no 3D geometry satisfies the bonds and the stereochemistry of this molecule; "
        "check its stereocentres and ring fusions",
        stage="embed",
    )


def _parameters(key: bytes, deadline: float, attempts: int) -> rdDistGeom.EmbedParameters:
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = int.from_bytes(key[:4], "little") & 0x7FFFFFFF
    parameters.useSmallRingTorsions = True
    # A tenth quicker than the default 0.001; the clean-up follows anyway.
    parameters.optimizerForceTol = 0.0135
    parameters.clearConfs = False
    # Past the deadline, never before it: what RDKit then lacks is an error, not fewer conformers.
    parameters.timeout = max(1, math.ceil(deadline - time.monotonic()) + 1)
    parameters.maxIterations = attempts
    return parameters


def _run(
    mol: Chem.Mol, n: int, parameters: rdDistGeom.EmbedParameters, deadline: float
) -> list[int]:
    """Embed up to n conformers and return their numbers."""
    try:
        found = [c for c in rdDistGeom.EmbedMultipleConfs(mol, n, parameters) if c >= 0]
    except (RuntimeError, ValueError) as error:
        raise LigandError(f"no 3D geometry: {_reason(error)}", stage="embed") from error
    if time.monotonic() > deadline:
        raise too_slow("3D geometry")
    return found


def _reason(error: Exception) -> str:
    """Return the informative line of an RDKit exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line != "Invariant Violation"]
    return told[0] if told else type(error).__name__


def _positions(mol: Chem.Mol) -> npt.NDArray[np.float64]:
    return np.array([conformer.GetPositions() for conformer in mol.GetConformers()])
