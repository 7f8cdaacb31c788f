from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.box import Box
from osong.errors import BoxError

BENZAMIDE = "NC(=O)c1ccccc1"


@pytest.fixture(scope="module")
def mol() -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(BENZAMIDE))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    return mol


def heavy_box(mol: Chem.Mol, padding: float) -> Box:
    xyz = Chem.RemoveHs(mol).GetConformer().GetPositions()
    low, high = xyz.min(axis=0) - padding, xyz.max(axis=0) + padding
    return Box(tuple((low + high) / 2), tuple(high - low))


def close(left: Box, right: Box, tolerance: float = 2e-3) -> bool:
    return np.allclose(left.center, right.center, atol=tolerance) and np.allclose(
        left.size, right.size, atol=tolerance
    )


@pytest.mark.parametrize(
    ("center", "size", "word"),
    [
        ((0, 0, 0), (10, 0, 10), "positive"),
        ((0, 0, 0), (10, -1, 10), "positive"),
        ((math.nan, 0, 0), (10, 10, 10), "finite"),
        ((0, 0, 0), (10, math.inf, 10), "finite"),
        ((0, 0), (10, 10, 10), "three numbers"),
        ("abc", (10, 10, 10), "three numbers"),
        (None, (10, 10, 10), "three numbers"),
    ],
)
def test_a_malformed_box_is_refused(center: object, size: object, word: str) -> None:
    with pytest.raises(BoxError, match=word):
        Box(center=center, size=size)  # type: ignore[arg-type]


def test_numpy_and_lists_become_plain_floats() -> None:
    box = Box(np.zeros(3, dtype=np.float32), [1, 2, 3])  # type: ignore[arg-type]
    assert box == Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))
    assert all(type(v) is float for v in (*box.center, *box.size))
    assert hash(box) == hash(Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)))


coordinate = st.floats(-500, 500)
edge = st.floats(0.5, 200)


@given(st.tuples(coordinate, coordinate, coordinate), st.tuples(edge, edge, edge))
def test_the_lattice_covers_the_box_and_corners_are_inside(
    center: tuple[float, float, float], size: tuple[float, float, float]
) -> None:
    box = Box(center, size)
    assert box.contains([center]).all()
    assert not box.contains([(box.high + 0.01).tolist()]).any()
    assert np.allclose(box.distance((box.high + np.array([3.0, 4.0, 0.0]))[None]), 5.0)
    for n, length in zip(box.n_points(0.375), size, strict=True):
        assert (n - 1) * 0.375 >= length - 1e-6
        assert (n - 2) * 0.375 < length


@pytest.mark.parametrize("suffix", [".sdf", ".sdf.gz", ".mol", ".pdb", ".pdb.gz", ".mol2"])
def test_around_reads_every_kind_of_ligand_file(mol: Chem.Mol, tmp_path: Path, suffix: str) -> None:
    texts = {
        ".sdf": Chem.MolToMolBlock(mol) + "$$$$\n" + "a second molecule that is not read",
        ".mol": Chem.MolToMolBlock(mol),
        ".pdb": Chem.MolToPDBBlock(mol),
        ".mol2": mol2_block(mol),
    }
    text = texts[suffix.removesuffix(".gz")]
    path = tmp_path / f"ligand{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert close(Box.around(path, padding=3.0), heavy_box(mol, 3.0))
    assert close(Box.around(str(path), padding=0.5), heavy_box(mol, 0.5))


def mol2_block(mol: Chem.Mol) -> str:
    lines = ["@<TRIPOS>MOLECULE", "lig", "@<TRIPOS>ATOM"]
    for i, (atom, xyz) in enumerate(
        zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True)
    ):
        x, y, z = xyz
        symbol = atom.GetSymbol()
        lines.append(f"{i + 1} {symbol}{i} {x:.4f} {y:.4f} {z:.4f} {symbol}.3 1 LIG 0.0")
    return "\n".join([*lines, "@<TRIPOS>BOND", "1 1 2 1", ""])


def test_around_takes_a_molecule_or_coordinates(mol: Chem.Mol) -> None:
    assert close(Box.around(mol, 4.0), heavy_box(mol, 4.0), 1e-6)
    box = Box.around([[0, 0, 0], [2, 4, 6]], padding=1.0)
    assert box == Box((1.0, 2.0, 3.0), (4.0, 6.0, 8.0))


def test_around_says_what_is_wrong(mol: Chem.Mol, tmp_path: Path) -> None:
    with pytest.raises(BoxError, match="no coordinates"):
        Box.around(Chem.MolFromSmiles("CC"))
    with pytest.raises(BoxError, match=r"lost\.sdf: cannot be read"):
        Box.around(tmp_path / "lost.sdf")
    with pytest.raises(BoxError, match="not numbers"):
        Box.around([[0.0, 0.0, math.nan]])
    with pytest.raises(BoxError, match=r"\(n, 3\)"):
        Box.around([[0.0, 0.0]])
    with pytest.raises(BoxError, match="padding"):
        Box.around(mol, padding=math.nan)
    (tmp_path / "empty.sdf").write_text("")
    with pytest.raises(BoxError, match="empty"):
        Box.around(tmp_path / "empty.sdf")
    (tmp_path / "ligand.xyz").write_text("1\n\nC 0 0 0\n")
    with pytest.raises(BoxError, match="must be SDF"):
        Box.around(tmp_path / "ligand.xyz")


def test_from_residues_honours_chain_and_insertion_code(tmp_path: Path) -> None:
    line = "ATOM  {:5d}  CA  ALA {}{:>5s}   {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           C"
    rows = [("A", "52 ", 0.0), ("A", "52A", 10.0), ("B", "52 ", 20.0)]
    text = [line.format(i + 1, chain, n, x, x, x) for i, (chain, n, x) in enumerate(rows)]
    path = tmp_path / "r.pdb"
    path.write_text("\n".join([*text, "END"]))
    assert Box.from_residues(path, ["A:52A"], 2.0) == Box((10.0,) * 3, (4.0,) * 3)
    assert Box.from_residues(path, ["A:52", "B:52"], 1.0) == Box((10.0,) * 3, (22.0,) * 3)
    with pytest.raises(BoxError, match=r"no residue 'C:1'.*chains here: A, B"):
        Box.from_residues(path, ["C:1"])
    with pytest.raises(BoxError, match="no residues given"):
        Box.from_residues(path, [])
