"""A library of any size of small molecules with coordinates: a few hundred, moved about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.transform import Rotation

import osong.quickstart

if TYPE_CHECKING:
    from osong.box import Box

__all__ = ["write_library"]

_N_DISTINCT: Final = 300
_MOST_ATOMS: Final = 16
_DRUGS: Final = Path(osong.quickstart.__file__).with_name("drugs.smi")


def write_library(path: Path, n: int, box: Box, seed: int) -> None:
    """Write an SD file of ``n`` molecules, each within the box, at a place and turn of its own.

    Parameters
    ----------
    path
        The file; it appears whole.
    n
        How many.
    box
        Where to.
    seed
        Of places and turns.
    """
    shapes = [_Shape(mol) for mol in _small_molecules(min(n, _N_DISTINCT))]
    rng = np.random.default_rng(seed)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="ascii") as file:
        for index in range(n):
            file.write(shapes[index % len(shapes)].placed(index, box, rng))
    temporary.replace(path)


def _small_molecules(n: int) -> list[Chem.Mol]:
    """Return the first small drugs with all hydrogens and coordinates."""
    found: list[Chem.Mol] = []
    for line in _DRUGS.read_text(encoding="utf-8").splitlines():
        mol = Chem.MolFromSmiles(line.split()[0]) if line.strip() else None
        if mol is None or not 5 <= mol.GetNumHeavyAtoms() <= _MOST_ATOMS or "." in line.split()[0]:
            continue
        mol = Chem.AddHs(mol)
        if AllChem.EmbedMolecule(mol, randomSeed=7) == 0:
            found.append(mol)
        if len(found) == n:
            break
    return found


class _Shape:
    """A molecule whose block is cut where the coordinates stand.

    Parameters
    ----------
    mol
        With hydrogens and one conformer.
    """

    def __init__(self, mol: Chem.Mol) -> None:
        lines = Chem.MolToMolBlock(mol).splitlines()
        n_atoms = mol.GetNumAtoms()
        self._head = "\n".join(lines[1:4])
        self._atoms = [line[30:34] + line[34:39] for line in lines[4 : 4 + n_atoms]]
        self._tail = "\n".join(lines[4 + n_atoms :])
        coords = mol.GetConformer().GetPositions()
        self._coords = coords - coords.mean(axis=0)

    def placed(self, index: int, box: Box, rng: np.random.Generator) -> str:
        """Return the record of this molecule at a random place, turned at random."""
        coords = Rotation.random(random_state=rng).apply(self._coords)
        # A little inside, since the file has four digits.
        room = np.asarray(box.size) / 2 - 0.01
        low, high = -room - coords.min(axis=0), room - coords.max(axis=0)
        coords += np.asarray(box.center) + rng.uniform(np.minimum(low, high), np.maximum(low, high))
        atoms = "\n".join(
            f"{x:10.4f}{y:10.4f}{z:10.4f}{rest}"
            for (x, y, z), rest in zip(coords, self._atoms, strict=True)
        )
        return f"p{index:07d}\n{self._head}\n{atoms}\n{self._tail}\n$$$$\n"
