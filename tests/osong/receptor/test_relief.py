from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from osong.receptor.relief import relieve_clashes
from osong.receptor.structure import Atom, Residue, read_structure


def test_a_rebuilt_side_chain_turns_away_and_the_rest_stays(
    peptide_lines: Callable[[str], list[str]], write: Callable[..., Path]
) -> None:
    residues, _ = read_structure(write(peptide_lines("GLG")))
    before = {name: atom.position for name, atom in residues[1].atoms.items()}
    wall = Atom("C1", "C", before["CD1"] + np.array([0.7, 0.7, 0.0]))
    residues.append(Residue("LIG", "A", "9", {"C1": wall}))
    new = {"CG", "CD1", "CD2"}
    relieve_clashes(residues, 1, new)
    after = {name: atom.position for name, atom in residues[1].atoms.items()}

    def distances(atoms: dict[str, np.ndarray]) -> np.ndarray:
        xyz = np.array([atoms[n] for n in ("CB", "CG", "CD1", "CD2")])
        return np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)

    assert min(np.linalg.norm(after[n] - wall.position) for n in new) > 2.1
    assert all(np.array_equal(before[n], after[n]) for n in before.keys() - new)
    assert np.allclose(distances(before), distances(after), atol=5e-3)


def test_a_side_chain_with_room_is_left_alone(
    peptide_lines: Callable[[str], list[str]], write: Callable[..., Path]
) -> None:
    residues, _ = read_structure(write(peptide_lines("GLG")))
    before = residues[1].coords
    relieve_clashes(residues, 1, {"CG", "CD1", "CD2"})
    assert np.array_equal(before, residues[1].coords)
