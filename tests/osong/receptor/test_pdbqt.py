from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from osong.box import Box
from osong.errors import ReceptorError
from osong.receptor import Target
from osong.receptor.pdbqt import read_pdbqt

BOX = Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.0))
Write = Callable[..., Path]


def atom(name: str, ad_type: str, x: float, *, residue: str = "SER A  10 ") -> str:
    return (
        f"ATOM      1  {name:<3s} {residue}   {x:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00"
        f"    {-0.123:6.3f} {ad_type:<2s}"
    )


HYDROXYL = [atom("CB", "C", -1.43), atom("OG", "OA", 0.0), atom("HG", "HD", 0.96)]


def test_fields_come_from_their_columns(write: Write) -> None:
    path = write([*HYDROXYL, atom("ZN", "Zn", 5.0, residue=" ZN B 900A")], "r.pdbqt")
    receptor, changes = read_pdbqt(path)
    assert changes == []
    assert receptor.ad_type.tolist() == ["C", "OA", "HD", "Zn"]
    assert receptor.element.tolist() == ["C", "O", "H", "Zn"]
    assert receptor.residue_number.tolist() == ["10", "10", "10", "900A"]
    assert receptor.chain.tolist() == ["A", "A", "A", "B"]
    assert receptor.charge == pytest.approx(-0.123)
    assert receptor.label(3) == "B:ZN 900A ZN"


def test_gzip_and_plain_are_the_same_target(write: Write, tmp_path: Path) -> None:
    plain = write(HYDROXYL, "r.pdbqt")
    packed = tmp_path / "p.pdbqt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert Target.from_file(plain, box=BOX).key == Target.from_file(packed, box=BOX).key


def test_written_files_read_back_the_same(write: Write, tmp_path: Path) -> None:
    path = write([*HYDROXYL, atom("ZN", "Zn", 5.0, residue=" ZN B 900A")], "r.pdbqt")
    target = Target.from_file(path, box=BOX)
    target.to_pdbqt(tmp_path / "again.pdbqt")
    again = Target.from_file(tmp_path / "again.pdbqt", box=BOX)
    assert again.key == target.key
    for field in ("ad_type", "atom_name", "residue_name", "chain", "residue_number"):
        assert np.array_equal(getattr(again.receptor, field), getattr(target.receptor, field))


@pytest.mark.parametrize(
    ("raw", "used"), [("ZN", "Zn"), ("CL", "Cl"), ("HS", "HD"), ("B", "C"), ("Mo", "Ni")]
)
def test_foreign_types_are_substituted_and_reported(write: Write, raw: str, used: str) -> None:
    receptor, changes = read_pdbqt(write([*HYDROXYL, atom("X", raw, 5.0)], "r.pdbqt"))
    assert receptor.ad_type[3] == used
    assert [c.kind for c in changes] == ["substituted"]
    assert used in changes[0].text


def test_dummy_atoms_are_left_out(write: Write) -> None:
    receptor, changes = read_pdbqt(write([*HYDROXYL, atom("W", "W", 5.0)], "r.pdbqt"))
    assert receptor.n_atoms == 3
    assert changes[0].kind == "removed"


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([], "no ATOM"),
        ([HYDROXYL[0], HYDROXYL[1]], "no hydrogens.*PDB or mmCIF"),
        ([*HYDROXYL, atom("X", "Qx", 5.0)], "no AutoDock atom type"),
        ([*HYDROXYL, HYDROXYL[0][:50]], "cut off"),
        ([*HYDROXYL, HYDROXYL[0].replace("  -1.430", "     nan")], "not numbers"),
        ([*HYDROXYL, HYDROXYL[0].replace("  -1.430", "  -1.x30")], "cannot be read"),
        (["ROOT", *HYDROXYL], "ligand"),
    ],
)
def test_bad_files_are_named_with_a_remedy(write: Write, lines: list[str], word: str) -> None:
    path = write(lines, "bad.pdbqt")
    with pytest.raises(ReceptorError, match=rf"bad\.pdbqt.*{word}") as caught:
        read_pdbqt(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"PK\x00\x00\x00", "not a text file"),
        (gzip.compress(b"ATOM" * 50)[:-12], "damaged or cut off"),
    ],
)
@pytest.mark.parametrize("name", ["x.pdbqt", "x.pdb", "x.cif"])
def test_unreadable_bytes_are_named(tmp_path: Path, data: bytes, word: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ReceptorError, match=word):
        Target.from_file(path, box=BOX)
    with pytest.raises(ReceptorError, match=r"lost.*cannot be read"):
        Target.from_file(tmp_path / f"lost_{name}", box=BOX)
