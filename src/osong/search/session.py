"""`DockingSession`: everything that docking many ligands into one target shares."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from osong.errors import InputError, LigandError
from osong.ligands.mixing import mix_conformers
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target, check_is_target
from osong.scoring.exact import ExactScorer
from osong.scoring.functions import scoring_function
from osong.scoring.grid import GridMaps
from osong.scoring.kernel_ligand import KernelLigand, segment_pivots
from osong.scoring.map_cache import shared_maps
from osong.search.chains import find_minima, search_key
from osong.search.effort import effort_named
from osong.search.minima import RefinedMinima
from osong.search.pose import Pose
from osong.search.refine import place_packed, receptor_atoms, refine
from osong.search.symmetry import symmetric_rmsd, symmetries
from osong_kernels.arguments import ReceptorAtoms

__all__ = ["OUTSIDE_ANGSTROM", "DockingSession"]

_DISTINCT_RMSD: Final = 1.0
_ENERGY_RANGE_KCAL: Final = 3.0
OUTSIDE_ANGSTROM: Final = 0.25
"""Farther outside the box no pose counts; atoms that lean on its wall give way by less."""


class DockingSession:
    """Docks ligands into one target; grid maps are built when first needed.

    Sessions of one target share them, as long as those of all targets fit in 256 MiB.

    Parameters
    ----------
    target
        Receptor and box.
    scoring
        ``"vina"`` or ``"vinardo"``.
    effort
        ``"fast"``, ``"balanced"`` or ``"thorough"``.
    n_poses
        Most poses of a molecule; distinct ones (1 A apart, symmetry-corrected) within 3 kcal/mol
        of the best.
    seed
        Any integer; with the ligand itself it decides every random number.
    threads
        Threads of one ligand's search; the result does not depend on it.
    """

    def __init__(
        self,
        target: Target,
        *,
        scoring: str = "vina",
        effort: str = "balanced",
        n_poses: int = 9,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        for name, value in (("n_poses", n_poses), ("threads", threads)):
            if value < 1:
                raise InputError(f"{name}={value}: must be at least 1")
        check_is_target(target)
        self.target = target
        self.scoring = scoring_function(scoring)
        self.effort = effort_named(effort)
        self.n_poses = n_poses
        self.seed = seed
        self.threads = threads
        self._exact = ExactScorer.of(target.receptor, self.scoring)
        self._receptor = receptor_atoms(target.receptor, self.scoring)

    @cached_property
    def maps(self) -> GridMaps:
        """The target's maps; one that only finishes poses takes no room for them."""
        return shared_maps(self.target, self.scoring)

    def dock(self, ligands: Sequence[PreparedLigand]) -> list[Pose]:
        """Dock the variants of one molecule; return poses over all of them, best first.

        Raises
        ------
        LigandError
            If no pose was found inside the box.
        """
        return self.ranked([pose for ligand in ligands for pose in self._dock_one(ligand)])

    def finish(
        self, ligands: Sequence[PreparedLigand], found: Sequence[RefinedMinima]
    ) -> list[Pose]:
        """Return the poses of a molecule from what was found of each variant, best first.

        Raises
        ------
        LigandError
            If there is none inside the box.
        """
        return self.ranked(
            [
                pose
                for ligand, minima in zip(ligands, found, strict=True)
                for pose in self._poses_of(self.with_geometries(ligand), minima)
            ]
        )

    def ranked(self, poses: list[Pose]) -> list[Pose]:
        """Return the best poses of all variants of a molecule, best first.

        Raises
        ------
        LigandError
            If there is none.
        """
        if not poses:
            raise LigandError(
                "no pose found inside the box: is the box large enough for this molecule?",
                stage="dock",
            )
        return sorted(poses, key=lambda pose: (pose.energy, pose.ligand.variant))[: self.n_poses]

    def arrays_of(self, prepared: PreparedLigand) -> tuple[PreparedLigand, KernelLigand]:
        """Return a ligand with the geometries that are searched, and its arrays for kernels.

        The maps of its types of atoms are there afterwards.

        Raises
        ------
        InputError
            The ligand's arrays do not belong together.
        """
        ligand = self.with_geometries(prepared)
        # First, since it checks that the types are some.
        arrays = KernelLigand.from_packed(ligand.packed, self.scoring, self.maps.map_of_type)
        self.maps.ensure(set(arrays.atom_type.tolist()), self.threads)
        return ligand, arrays

    def with_geometries(self, prepared: PreparedLigand) -> PreparedLigand:
        """Return a ligand with the geometries that are searched; one that has them is the same."""
        packed = mix_conformers(prepared.packed, self.effort.n_conformers)
        return replace(prepared, packed=packed)

    def key_of(self, prepared: PreparedLigand) -> npt.NDArray[np.uint64]:
        """Return the (2,) uint64 key of a ligand's random numbers."""
        return search_key(self.seed, prepared.packed.key)

    @property
    def receptor(self) -> ReceptorAtoms:
        """The receptor's scored atoms."""
        return self._receptor

    def _dock_one(self, prepared: PreparedLigand) -> list[Pose]:
        ligand, arrays = self.arrays_of(prepared)
        key = self.key_of(prepared)
        with ThreadPoolExecutor(self.threads) as pool:
            minima = find_minima(
                arrays, self.maps.field(), self.target.box, self.scoring, self.effort, key,
                map if self.threads == 1 else pool.map,
            )  # fmt: skip
        if not minima:
            return []
        found = refine(minima, arrays, self._receptor, self.target.box, self.scoring)
        return self._poses_of(ligand, found)

    def _poses_of(self, ligand: PreparedLigand, found: RefinedMinima) -> list[Pose]:
        """Return the distinct poses inside the box among refined minima, best first."""
        # The energy is that of the coordinates as they are returned: at the cutoff a pair jumps
        # by 0.003 kcal/mol, so rounding after scoring would show.
        coords = place_packed(ligand.packed, segment_pivots(ligand.packed), *found)
        poses = [
            self._pose(ligand, genotype, int(conformer), xyz)
            for genotype, conformer, xyz in zip(*found, coords.astype(np.float32), strict=True)
        ]
        return self._select(ligand, poses)

    def _pose(
        self,
        ligand: PreparedLigand,
        genotype: npt.NDArray[np.float32],
        conformer: int,
        coords: npt.NDArray[np.float32],
    ) -> Pose:
        inter, intra = self._exact.energies(ligand.packed, coords)
        factor = self.scoring.torsion_factor(ligand.packed.torsion_count)
        return Pose(
            energy=(inter + intra) * factor,
            inter=inter,
            intra=intra,
            genotype=genotype,
            conformer=conformer,
            coords=coords,
            ligand=ligand,
            scoring=self.scoring.name,
        )

    def _select(self, ligand: PreparedLigand, poses: list[Pose]) -> list[Pose]:
        """Return distinct poses, best first, with energies relative to the best one's intra."""
        poses = [pose for pose in poses if self._is_inside(pose)]
        if not poses:
            return []
        poses.sort(key=lambda pose: pose.energy)
        factor = self.scoring.torsion_factor(ligand.packed.torsion_count)
        reference = poses[0].intra
        n = ligand.packed.n_scored
        permutations = symmetries(ligand)
        chosen: list[Pose] = []
        for pose in poses:
            energy = (pose.inter + pose.intra - reference) * factor
            if chosen and energy > chosen[0].energy + _ENERGY_RANGE_KCAL:
                break
            if any(
                symmetric_rmsd(pose.coords[:n], other.coords[:n], permutations) < _DISTINCT_RMSD
                for other in chosen
            ):
                continue
            chosen.append(_with_energy(pose, energy))
            if len(chosen) == self.n_poses:
                break
        return chosen

    def _is_inside(self, pose: Pose) -> bool:
        outside = self.target.box.distance(pose.coords[: pose.ligand.packed.n_scored])
        return bool(outside.max() <= OUTSIDE_ANGSTROM)


def _with_energy(pose: Pose, energy: float) -> Pose:
    return Pose(
        energy, pose.inter, pose.intra, pose.genotype, pose.conformer, pose.coords, pose.ligand,
        pose.scoring,
    )  # fmt: skip
