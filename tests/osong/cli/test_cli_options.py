"""Shared options: how they are declared, read and refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from osong.box import Box
from osong.cli.expand import expand_options
from osong.cli.inputs import library_path
from osong.cli.options import LibraryChoice, LigandChoice, TargetChoice
from osong.errors import InputError
from osong.receptor import Target


@dataclass(frozen=True)
class Colours:
    red: Annotated[int, typer.Option(help="How red.")] = 1
    blue: Annotated[bool, typer.Option("--blue", help="Blue too.")] = False


def test_fields_of_a_dataclass_become_options() -> None:
    seen = []
    app = typer.Typer()

    @app.command()
    @expand_options
    def paint(wall: str, n: Annotated[int, typer.Option("-n")] = 3, *, colours: Colours) -> None:
        seen.append((wall, n, colours))

    runner = CliRunner()
    assert runner.invoke(app, ["north", "--red", "7", "--blue"]).exit_code == 0
    assert runner.invoke(app, ["south", "-n", "5"]).exit_code == 0
    assert seen == [("north", 3, Colours(7, True)), ("south", 5, Colours(1, False))]
    assert "How red." in runner.invoke(app, ["--help"]).output


@pytest.mark.parametrize(
    ("text", "ph"), [("auto", "auto"), ("none", None), ("7.4", 7.4), ("5", 5.0)]
)
def test_ph(text: str, ph: object) -> None:
    assert LigandChoice(ph=text).options().ph == ph


def test_ph_that_is_none_of_these_is_named() -> None:
    with pytest.raises(InputError, match="--ph acid: give a number, 'auto' or 'none'"):
        LigandChoice(ph="acid").options()


def test_option_out_of_range_is_named_as_the_option() -> None:
    with pytest.raises(InputError, match=r"^--max-stereoisomers 0: .*greater than or equal to 1"):
        LigandChoice(max_stereoisomers=0).options()


def test_every_ligand_option_defaults_as_in_the_library() -> None:
    from osong.ligands import LigandOptions

    assert LigandChoice().options() == LigandOptions()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (TargetChoice(), "nothing to dock to"),
        (TargetChoice(receptor=Path("a.pdb"), target="EGFR"), "not both"),
        (TargetChoice(receptor=Path("nowhere.pdb")), "nowhere.pdb: there is no such file"),
    ],
)
def test_target_that_cannot_be_is_refused(choice: TargetChoice, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choice.load()


def test_named_target_takes_another_box(egfr: Target) -> None:
    x, y, z = egfr.box.center
    choice = TargetChoice(target="EGFR", center=(x, y, z), size=(10.0, 12.0, 14.0))
    target = choice.load()
    assert target.box == Box((x, y, z), (10.0, 12.0, 14.0))
    assert target.key != egfr.key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"center": (0.0, 0.0, 0.0)}, "add --size A B C"),
        ({"size": (9.0, 9.0, 9.0)}, "add --center X Y Z"),
        ({"residues": "A:1"}, "--residues needs the structure itself"),
        ({"ligand_box": "STI"}, "--ligand-box STI: there is no such file"),
        (
            {"ligand_box": "STI", "center": (0.0, 0.0, 0.0), "size": (9.0, 9.0, 9.0)},
            "give one box",
        ),
    ],
)
def test_half_a_box_is_refused(egfr: Target, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TargetChoice(target=egfr.name, **changes).load()


def test_saved_target_is_loaded_as_a_receptor(egfr: Target, tmp_path: Path) -> None:
    egfr.save(tmp_path / "egfr.target")
    loaded = TargetChoice(receptor=tmp_path / "egfr.target").load()
    assert loaded.key == egfr.key
    assert loaded.box == egfr.box


# A residue with a hydrogen, an additive and a metal.
STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.010   1.420   0.000  1.00  0.00           C
ATOM      4  O   GLY A   1       1.250   2.390   0.000  1.00  0.00           O
ATOM      5  HA2 GLY A   1       1.820  -0.530   0.880  1.00  0.00           H
HETATM    6  O1  GOL A 900       6.000   0.000   4.000  1.00  0.00           O
HETATM    7 ZN    ZN A 901       0.000   0.000   6.000  1.00  0.00          ZN
END
"""


def test_a_structure_is_changed_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "small.pdb"
    path.write_text(STRUCTURE)
    box = {"receptor": path, "center": (0.0, 0.0, 0.0), "size": (20.0, 20.0, 20.0)}
    plain = TargetChoice(**box).load()
    assert {"ZN", "GLY"} == set(plain.receptor.residue_name)
    changed = TargetChoice(**box, keep="gol", remove="ZN,XX", hydrogens="replace").load()
    assert {"GOL", "GLY"} == set(changed.receptor.residue_name)
    assert "1 in the file: polar ones kept" in str(plain.report)
    assert "1 of the file removed (as asked)" in str(changed.report)


@pytest.mark.parametrize("change", [{"hydrogens": "replace"}, {"keep": "GOL"}, {"remove": "ZN"}])
def test_a_receptor_that_is_ready_is_not_changed(
    egfr: Target, tmp_path: Path, change: dict[str, str]
) -> None:
    saved, pdbqt = tmp_path / "egfr.target", tmp_path / "egfr.pdbqt"
    egfr.save(saved)
    egfr.to_pdbqt(pdbqt)
    for choice in ({"target": "EGFR"}, {"receptor": saved}, {"receptor": pdbqt}):
        with pytest.raises(InputError, match="--hydrogens, --keep and --remove need the structure"):
            TargetChoice(**choice, **change).load()


@pytest.mark.parametrize(
    ("choice", "reading"),
    [
        (LibraryChoice(), {}),
        (LibraryChoice("structure", "code"), {"smiles_column": "structure", "name_column": "code"}),
        (LibraryChoice("0", "12"), {"smiles_column": 0, "name_column": 12}),
        (LibraryChoice(kind="csv"), {"kind": "csv"}),
    ],
)
def test_only_what_was_said_of_a_library_is_passed_on(
    choice: LibraryChoice, reading: dict[str, object]
) -> None:
    assert choice.reading() == reading


def test_kinds_are_those_that_the_library_knows() -> None:
    from typing import get_args

    from osong.cli.options import Kind
    from osong.library.detect import KINDS

    assert get_args(Kind) == KINDS


def test_drugs_are_those_in_the_package_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert library_path("drugs").name == "drugs.smi"
    (tmp_path / "drugs").touch()
    assert library_path("drugs") == Path("drugs")


def test_library_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"nothing\.smi: there is no such file or folder"):
        library_path("nothing.smi")
