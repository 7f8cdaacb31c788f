"""Protonation states at a pH, by dimorphite-dl."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["protonation_states"]


@cache
def _protonate_smiles() -> Callable[..., list[str]]:
    # Imported late: it takes half a second, and whoever docks a prepared library needs it never.
    from dimorphite_dl import protonate_smiles
    from loguru import logger

    logger.disable("dimorphite_dl")
    return protonate_smiles


def protonation_states(mol: Chem.Mol, ph: float, max_states: int) -> tuple[list[Chem.Mol], str]:
    """Return the protonation states of a molecule at a pH, the most populated first, and a note.

    Where dimorphite-dl finds no valid state the molecule stays as drawn, and the note says so.

    Parameters
    ----------
    mol
        Without hydrogens as atoms.
    ph
        A single state is the dominant one at this pH; further ones come from sites whose pKa is
        within one standard deviation of it.
    max_states
        Most states to return.
    """
    smiles = Chem.MolToSmiles(mol)
    with rdBase.BlockLogs():
        answers = _protonate_smiles()(
            smiles,
            ph_min=ph,
            ph_max=ph,
            precision=0.0 if max_states == 1 else 1.0,
            max_variants=max_states,
        )
        states = []
        for answer in dict.fromkeys(answers):
            state = Chem.MolFromSmiles(answer)
            if state is not None and _same_skeleton(state, mol):
                states.append(state)
    if not states:
        return [mol], "protonation failed: state kept as drawn"
    note = "" if Chem.MolToSmiles(states[0]) == smiles else f"protonated for pH {ph:g}"
    return states[:max_states], note


def _same_skeleton(a: Chem.Mol, b: Chem.Mol) -> bool:
    return bool(a.GetNumHeavyAtoms() == b.GetNumHeavyAtoms() and a.GetNumBonds() == b.GetNumBonds())
