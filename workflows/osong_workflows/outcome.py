"""What docking one record gives: the plain data that crosses from a docking process to a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from osong.library import Record
    from osong.rescoring.stream import CnnScore

__all__ = ["DockedMolecule", "DockedPose", "Docker", "FailedMolecule", "Outcome", "checked"]


@dataclass(frozen=True)
class DockedPose:
    """One pose of one variant of a molecule.

    Attributes
    ----------
    energy, inter, intra
        kcal/mol.
    variant
        Which variant (protomer, stereoisomer, tautomer) of the molecule.
    conformer
        Which geometry of the variant, of those that are mixed for the campaign's effort.
    genotype
        (7 + n_torsions,) float32: position in angstrom, unit quaternion, torsions in radian.
    smiles
        The variant with all hydrogens explicit, in the order of ``coords``.
    coords
        (n_atoms, 3) float32, angstrom, hydrogens included.
    """

    energy: float
    inter: float
    intra: float
    variant: int
    conformer: int
    genotype: npt.NDArray[np.float32]
    smiles: str
    coords: npt.NDArray[np.float32]


@dataclass(frozen=True)
class DockedMolecule:
    """A molecule with its poses, best first.

    Attributes
    ----------
    poses
        At least one.
    n_variants
        Variants that were docked.
    notes
        What preparation did and a chemist should know.
    smiles
        The best pose's variant, canonical, without explicit hydrogens.
    n_heavy
        Its heavy atoms.
    properties
        What came with it (data items of an SD file), names and values.
    backend
        Where it was docked, "cpu" or "cuda": counted for a part, and in no row.
    cnn
        What networks say of each pose, or why they cannot; empty where none were asked.
    """

    poses: tuple[DockedPose, ...]
    n_variants: int
    notes: tuple[str, ...]
    smiles: str
    n_heavy: int
    properties: tuple[tuple[str, str], ...] = ()
    backend: str = "cpu"
    cnn: tuple[CnnScore | str, ...] = ()


@dataclass(frozen=True)
class FailedMolecule:
    """A molecule without poses: where it failed and why, in words for a chemist."""

    stage: str
    reason: str


Outcome: TypeAlias = DockedMolecule | FailedMolecule
Docker: TypeAlias = "Callable[[Record], DockedMolecule]"


def checked(outcome: DockedMolecule) -> Outcome:
    """Return the outcome, or a failure where it holds no pose or a number that is none."""
    if not outcome.poses:
        return FailedMolecule("dock", "the search found no pose; is the box large enough?")
    for pose in outcome.poses:
        if not (math.isfinite(pose.energy) and np.isfinite(pose.coords).all()):
            return FailedMolecule("dock", "the energy or a coordinate of a pose is not finite")
    return outcome
