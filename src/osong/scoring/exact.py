"""`score`: the exact energy of a pose, and which terms and atoms it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem

from osong.atom_types import ATOM_TYPES
from osong.errors import InputError
from osong.ligands.origin import check_is_molecule
from osong.ligands.packed import PackedLigand
from osong.ligands.pose import pack_pose
from osong.ligands.prepared import PreparedLigand
from osong.receptor.model import Receptor
from osong.receptor.target import Target, check_is_target
from osong.scoring.functions import ScoringFunction, scoring_function
from osong.scoring.grid import CAP_KCAL, GridMaps, grid_energies
from osong_kernels.cpu.terms import ligand_terms, receptor_terms
from osong_kernels.physics.pair_terms import TERM_NAMES, cap

__all__ = ["CAP_KCAL", "ExactScorer", "Score", "score", "score_pose"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Score:
    """The exact energy of one pose.

    Attributes
    ----------
    total
        kcal/mol, the reported energy: ``inter`` scaled by the torsion count. As in Vina, the
        pose's own intramolecular energy is its reference, so ``intra`` cancels.
    inter, intra
        kcal/mol: between ligand and receptor, and within the ligand, before scaling.
    terms
        kcal/mol, what each term gives to ``inter``; the part that Vina's cap of large clashes
        takes off is the entry ``cap`` (0 for reasonable poses), so the terms add up to ``inter``.
    torsion_count, torsion_factor
        Vina's count of active torsions, and what it scales ``inter`` by.
    scoring
        Name of the scoring function.
    atoms
        One row a heavy atom: index in the molecule as given, element, type, energy, each term.
    """

    total: float
    inter: float
    intra: float
    terms: dict[str, float]
    torsion_count: float
    torsion_factor: float
    scoring: str
    atoms: pd.DataFrame

    def __repr__(self) -> str:
        """Show the numbers a chemist asks for first."""
        return (
            f"Score(total={self.total:.3f}, inter={self.inter:.3f}, intra={self.intra:.3f}, "
            f"torsions={self.torsion_count:g}, scoring={self.scoring!r})"
        )


def score(
    target: Target,
    mol: Chem.Mol | PreparedLigand,
    scoring: str = "vina",
    method: str = "exact",
) -> Score:
    """Score a pose where it is, without moving it.

    Parameters
    ----------
    target
        Receptor and box. Atoms outside the box are scored like any other.
    mol
        RDKit molecule with a 3D conformer in the receptor's frame; missing hydrogens are added.
        Or a prepared ligand, whose first conformer is scored.
    scoring
        ``"vina"`` or ``"vinardo"``.
    method
        ``"exact"``: pair by pair. ``"grid"``: from the maps that the search uses, to see what
        their interpolation costs; it has no terms but ``grid``, and a wall around the box.

    Raises
    ------
    InputError
        If the molecule has no 3D conformer, or an argument is unknown.
    LigandError
        If the molecule cannot be typed.
    """
    check_is_target(target)
    if method not in ("exact", "grid"):
        raise InputError(f"method={method!r} is unknown: choose 'exact' or 'grid'")
    if isinstance(mol, PreparedLigand):
        ligand = mol
    else:
        check_is_molecule(mol)
        if mol.GetNumConformers() == 0:
            raise InputError(
                "this molecule has no coordinates, so there is no pose to score: "
                "dock it with osong.dock, or read it from a file with 3D coordinates"
            )
        ligand = pack_pose(mol)
    if method == "grid":
        return _grid_score(target, ligand, scoring_function(scoring))
    return score_pose(target, ligand, ligand.packed.coords[0], scoring_function(scoring))


@dataclass(frozen=True, eq=False)
class ExactScorer:
    """Exact energies of poses in one receptor; holds what does not change from pose to pose."""

    coords: Float64
    atom_type: npt.NDArray[np.int32]
    r0: Float64
    is_hydrophobic: Float64
    is_hydrogen_bond: Float64
    function: ScoringFunction

    @classmethod
    def of(cls, receptor: Receptor, function: ScoringFunction) -> ExactScorer:
        """Take the receptor's scored atoms and the function's tables, in float64."""
        scored = receptor.atom_type >= 0
        return cls(
            receptor.coords[scored].astype(np.float64),
            receptor.atom_type[scored].astype(np.int32),
            function.r0.astype(np.float64),
            function.is_hydrophobic.astype(np.float64),
            function.is_hydrogen_bond.astype(np.float64),
            function,
        )

    def terms(
        self, packed: PackedLigand, coords: npt.NDArray[np.floating]
    ) -> tuple[Float64, Float64]:
        """Return the terms of each scored atom (n, 5) and of each own pair (n_pairs, 5).

        ``coords`` is (n_atoms, 3), angstrom, in packed order. kcal/mol, before Vina's cap.
        """
        n = packed.n_scored
        xyz = np.ascontiguousarray(coords[:n], np.float64)
        types = packed.atom_type[:n].astype(np.int32)
        tables = (self.r0, self.is_hydrophobic, self.is_hydrogen_bond)
        by_atom = np.empty((n, len(TERM_NAMES)))
        receptor_terms(
            xyz, types, self.coords, self.atom_type, tables[0], tables[1], tables[2],
            self.function.weights, by_atom,
        )  # fmt: skip
        by_pair = np.empty((len(packed.pairs), len(TERM_NAMES)))
        ligand_terms(
            xyz, types, np.ascontiguousarray(packed.pairs, np.int32), tables[0], tables[1],
            tables[2], self.function.weights, by_pair,
        )  # fmt: skip
        return by_atom, by_pair

    def energies(
        self, packed: PackedLigand, coords: npt.NDArray[np.floating]
    ) -> tuple[float, float]:
        """Return the inter- and the intramolecular energy of a pose, kcal/mol, unscaled."""
        by_atom, by_pair = self.terms(packed, coords)
        return float(_capped(by_atom).sum()), float(_capped(by_pair).sum())


def score_pose(
    target: Target, ligand: PreparedLigand, coords: npt.NDArray[np.floating], f: ScoringFunction
) -> Score:
    """Score a prepared ligand at ``coords`` (n_atoms, 3) in packed order, angstrom."""
    packed = ligand.packed
    by_atom, by_pair = ExactScorer.of(target.receptor, f).terms(packed, coords)
    energies = _capped(by_atom)
    inter, intra = float(energies.sum()), float(_capped(by_pair).sum())
    terms = {name: float(v) for name, v in zip(TERM_NAMES, by_atom.sum(axis=0), strict=True)}
    terms["cap"] = inter - float(by_atom.sum())
    factor = f.torsion_factor(packed.torsion_count)
    return Score(
        total=inter * factor,
        inter=inter,
        intra=intra,
        terms=terms,
        torsion_count=packed.torsion_count,
        torsion_factor=factor,
        scoring=f.name,
        atoms=_atom_table(
            ligand, energies, {name: by_atom[:, k] for k, name in enumerate(TERM_NAMES)}
        ),
    )


def _grid_score(target: Target, ligand: PreparedLigand, f: ScoringFunction) -> Score:
    exact = score_pose(target, ligand, ligand.packed.coords[0], f)
    energies = grid_energies(GridMaps(target.receptor, target.box, f), ligand.packed)
    inter = float(energies.sum())
    return replace(
        exact,
        total=inter * exact.torsion_factor,
        inter=inter,
        terms={"grid": inter},
        atoms=_atom_table(ligand, energies, {}),
    )


def _capped(terms: Float64) -> Float64:
    """Return the capped energy of each row of terms."""
    energies = terms.sum(axis=1)
    # The cap leaves all others as they are, and these are few: calls take time.
    for row in np.flatnonzero(energies > 0.0):
        energies[row] = cap(float(energies[row]), CAP_KCAL)[0]
    return energies


def _atom_table(
    ligand: PreparedLigand, energies: Float64, by_atom: dict[str, Float64]
) -> pd.DataFrame:
    """Return one row a scored atom; ``by_atom`` gives further columns by their names."""
    packed = ligand.packed
    mol = ligand.mol()
    index = packed.atom_index[: packed.n_scored].astype(int)
    given = np.array(ligand.source_index)[index] if ligand.source_index else index
    table = pd.DataFrame(
        {
            "atom": given,
            "element": [mol.GetAtomWithIdx(int(i)).GetSymbol() for i in index],
            "type": [ATOM_TYPES[t].name for t in packed.atom_type[: packed.n_scored]],
            "energy": energies,
            **by_atom,
        }
    )
    return table.sort_values("atom", ignore_index=True)
