from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from osong.atom_types import ATOM_TYPES
from osong.box import Box
from osong.errors import BoxError, InputError, ReceptorError
from osong.receptor import Target

Build = Callable[[str], list[str]]
Write = Callable[..., Path]
WIDE = Box((0.0, 0.0, 0.0), (400.0, 400.0, 400.0))


def het(
    name: str, atom: str, xyz: tuple[float, float, float], element: str, *, chain: str = "A",
    number: str = "900 ", occupancy: float = 1.0, altloc: str = " ",
) -> str:  # fmt: skip
    x, y, z = xyz
    field = f"{atom:<4s}" if len(element) == 2 else f" {atom:<3s}"
    return (
        f"HETATM 9000 {field}{altloc}{name:>3s} {chain}{number:>5s}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}  0.00          {element:>2s}"
    )


def hydrogens_on(target: Target, number: str, atom: str) -> int:
    """Return how many polar hydrogens follow an atom in the arrays."""
    r = target.receptor
    here = np.flatnonzero((r.residue_number == number) & (r.atom_name == atom))
    assert len(here) == 1
    count = 0
    while here[0] + 1 + count < r.n_atoms and r.element[here[0] + 1 + count] == "H":
        count += 1
    return count


def kinds(target: Target) -> dict[str, int]:
    return target.report.counts()


def type_of(target: Target, number: str, atom: str) -> str:
    r = target.receptor
    index = np.flatnonzero((r.residue_number == number) & (r.atom_name == atom))[0]
    return ATOM_TYPES[r.atom_type[index]].name


def test_standard_residues_get_the_hydrogens_of_neutral_ph(
    peptide_lines: Build, write: Write
) -> None:
    target = Target.from_file(write(peptide_lines("ADKRSNQWYPTC")), box=WIDE)
    expected = {
        ("1", "N"): 3, ("2", "N"): 1, ("2", "OD1"): 0, ("2", "OD2"): 0, ("3", "NZ"): 3,
        ("4", "NE"): 1, ("4", "NH1"): 2, ("4", "NH2"): 2, ("5", "OG"): 1, ("6", "ND2"): 2,
        ("7", "NE2"): 2, ("8", "NE1"): 1, ("9", "OH"): 1, ("10", "N"): 0, ("11", "OG1"): 1,
        ("12", "SG"): 1, ("12", "O"): 0, ("12", "OXT"): 0,
    }  # fmt: skip
    assert {key: hydrogens_on(target, *key) for key in expected} == expected
    assert type_of(target, "5", "OG") == "O_DA"
    assert type_of(target, "2", "O") == "O_A"
    assert type_of(target, "3", "NZ") == "N_D"
    assert type_of(target, "10", "N") == "N_P"
    assert type_of(target, "1", "CB") == "C_H"
    assert type_of(target, "1", "CA") == "C_P"


def test_hydrogens_lie_one_bond_from_their_atom_and_apart(
    peptide_lines: Build, write: Write
) -> None:
    receptor = Target.from_file(write(peptide_lines("KRSHWYTNQE")), box=WIDE).receptor
    heavy = np.flatnonzero(receptor.element != "H")
    for i in np.flatnonzero(receptor.element == "H"):
        distance = np.linalg.norm(receptor.coords - receptor.coords[i], axis=1)
        parent = heavy[heavy < i][-1]
        assert 0.9 < distance[parent] < 1.4
        distance[[i, parent]] = 9.0
        assert distance.min() > 1.3


def test_ph_moves_acids_and_bases(peptide_lines: Build, write: Write) -> None:
    path = write(peptide_lines("GDGEGHGKGC"))
    acid = Target.from_file(path, box=WIDE, ph=1.0)
    basic = Target.from_file(path, box=WIDE, ph=13.5)
    assert hydrogens_on(acid, "2", "OD1") + hydrogens_on(acid, "2", "OD2") == 1
    assert hydrogens_on(acid, "4", "OE1") + hydrogens_on(acid, "4", "OE2") == 1
    assert hydrogens_on(acid, "6", "ND1") == hydrogens_on(acid, "6", "NE2") == 1
    assert hydrogens_on(basic, "6", "ND1") + hydrogens_on(basic, "6", "NE2") == 1
    assert hydrogens_on(basic, "8", "NZ") == 2
    assert type_of(basic, "8", "NZ") == "N_DA"
    assert hydrogens_on(basic, "10", "SG") == 0
    assert {c.residue for c in acid.report.of_kind("protonation")} >= {"A:ASP 2", "A:GLU 4"}
    with pytest.raises(InputError, match="ph=77"):
        Target.from_file(path, box=WIDE, ph=77.0)


def test_the_same_file_gives_the_same_bytes(
    peptide_lines: Build, write: Write, tmp_path: Path
) -> None:
    lines = [line for line in peptide_lines("AKFHSRE") if " CG  PHE" not in line]
    path = write([*lines, het("HOH", "O", (12.0, 0, 0), "O")])
    for name in ("one", "two"):
        target = Target.from_file(path, box=WIDE, keep_waters=True, name="x")
        target.save(tmp_path / name)
    assert kinds(target)["missing atoms"] == 1
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_missing_side_chain_atoms_are_added_where_they_belong(
    peptide_lines: Build, write: Write
) -> None:
    lines = peptide_lines("AFA")
    cut = [line for line in lines if line[12:16].strip() not in ("CE1", "CE2", "CZ")]
    assert len(lines) - len(cut) == 3
    target = Target.from_file(write(cut), box=WIDE)
    receptor = target.receptor
    names = receptor.atom_name[(receptor.residue_number == "2") & (receptor.element != "H")]
    assert set(names) == {"N", "CA", "C", "O", "CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ"}
    assert "added" in target.report.of_kind("missing atoms")[0].text
    ring = receptor.coords[(receptor.residue_number == "2") & np.isin(
        receptor.atom_name, ["CG", "CD1", "CD2", "CE1", "CE2", "CZ"])]  # fmt: skip
    nearest = np.sort(np.linalg.norm(ring[:, None] - ring[None], axis=-1), axis=1)[:, 1:3]
    assert np.all((nearest > 1.2) & (nearest < 1.6))


def test_alternate_locations_keep_the_fuller_and_a_on_ties(
    peptide_lines: Build, write: Write
) -> None:
    for occupancy, expected in ((0.3, "B"), (0.5, "A")):
        lines = []
        for line in peptide_lines("GSG"):
            if line[12:16].strip() == "OG":
                other = f"{float(line[30:38]) + 1.0:8.3f}"
                lines.append(f"{line[:16]}A{line[17:54]}{occupancy:6.2f}{line[60:]}")
                rest = f"{line[38:54]}{1 - occupancy:6.2f}{line[60:]}"
                lines.append(f"{line[:16]}B{line[17:30]}{other}{rest}")
                original = float(line[30:38])
            else:
                lines.append(line)
        target = Target.from_file(write(lines), box=WIDE)
        og = target.receptor.coords[target.receptor.atom_name == "OG"]
        assert len(og) == 1
        assert og[0, 0] == pytest.approx(original + (1.0 if expected == "B" else 0.0), abs=1e-3)
        assert f"{expected} kept" in target.report.of_kind("alternate location")[0].text


def test_selenomethionine_becomes_methionine(peptide_lines: Build, write: Write) -> None:
    lines = []
    for line in peptide_lines("AMA"):
        text = line.replace("MET", "MSE")
        if line[12:16].strip() == "SD":
            text = f"{text[:12]}SE  {text[16:76]}SE"
        lines.append(text.replace("ATOM  ", "HETATM") if "MSE" in text else text)
    target = Target.from_file(write(lines), box=WIDE)
    assert "SE" not in target.receptor.atom_name
    assert type_of(target, "2", "SD") == "S_P"
    assert hydrogens_on(target, "2", "N") == 1
    assert target.report.of_kind("replaced")[0].residue == "A:MSE 2"


def test_waters_additives_ions_and_cofactors(peptide_lines: Build, write: Write) -> None:
    extra = [
        het("HOH", "O", (30, 0, 0), "O", number="901 "),
        het("GOL", "C1", (40, 0, 0), "C", number="902 "),
        het("ZN", "ZN", (50, 0, 0), "ZN", number="903 "),
        het("MO", "MO", (60, 0, 0), "MO", number="904 "),
        het("CL", "CL", (70, 0, 0), "CL", number="905 "),
    ]
    path = write([*peptide_lines("GAG"), *extra])
    target = Target.from_file(path, box=WIDE)
    assert set(target.receptor.residue_name) == {"GLY", "ALA", "ZN", "MO", "CL"}
    assert type_of(target, "903", "ZN") == type_of(target, "904", "MO") == "Met_D"
    assert type_of(target, "905", "CL") == "Cl_H"
    assert any("Mo" in c.text for c in target.report.of_kind("substituted"))
    assert {c.text for c in target.report.of_kind("removed")} == {
        "1 waters (keep_waters=True keeps them)",
        "crystallisation additive (glycerol)",
    }
    wet = Target.from_file(path, box=WIDE, keep_waters=True, keep="GOL", remove=["cl"])
    assert set(wet.receptor.residue_name) == {"GLY", "ALA", "HOH", "GOL", "ZN", "MO"}
    assert hydrogens_on(wet, "901", "O") == 2
    assert type_of(wet, "901", "O") == "O_DA"


def test_boron_is_scored_as_carbon_and_reported(peptide_lines: Build, write: Write) -> None:
    group = [
        het("BOA", "B1", (30.0, 0.0, 0.0), "B"),
        het("BOA", "O1", (31.37, 0.0, 0.0), "O"),
        het("BOA", "C1", (29.2, 1.33, 0.0), "C"),
    ]
    target = Target.from_file(write([*peptide_lines("GAG"), *group]), box=WIDE)
    assert type_of(target, "900", "B1") == "C_P"
    assert "Vina has no B" in target.report.of_kind("substituted")[0].text


def test_an_element_without_any_type_is_an_error(peptide_lines: Build, write: Write) -> None:
    path = write([*peptide_lines("GAG"), het("XE", "XE", (30.0, 0.0, 0.0), "XE")])
    with pytest.raises(ReceptorError, match=r"element Xe.*remove=\['XE'\]"):
        Target.from_file(path, box=WIDE)
    assert "XE" not in Target.from_file(path, box=WIDE, remove=["XE"]).receptor.residue_name


def benzamidine(x: float, chain: str = "A", number: str = "900 ") -> list[str]:
    ring = [(1.39 * np.cos(t), 1.39 * np.sin(t), 0.0) for t in np.arange(6) * np.pi / 3]
    xyz = [*ring, (2.87, 0.0, 0.0), (3.54, 1.15, 0.0), (3.54, -1.15, 0.0)]
    names = ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "N1", "N2"]
    return [
        het("BEN", name, (x + a, b + 4.0, c + 6.0), name[0], chain=chain, number=number)
        for name, (a, b, c) in zip(names, xyz, strict=True)
    ]


def test_the_ligand_that_defines_the_box_is_taken_out(
    peptide_lines: Build, write: Write, tmp_path: Path
) -> None:
    protein = peptide_lines("GAGAG")
    path = write([*protein, *benzamidine(5.0), *benzamidine(60.0, "B", "901 ")])
    for spec in ("BEN", "ben", "A:BEN", "A:900", "A:BEN:900"):
        target = Target.from_file(path, ligand=spec, padding=5.0)
        assert "BEN" not in target.receptor.residue_name
        assert target.box.size[2] == pytest.approx(10.0)
        assert target.box.center[0] == pytest.approx(5.0 + (3.54 - 1.39) / 2, abs=2e-3)
        assert kinds(target)["removed"] == 2
    file = write(benzamidine(5.0), "ben.pdb")
    by_file = Target.from_file(path, ligand=file, padding=5.0)
    assert by_file.box == target.box
    assert set(by_file.receptor.residue_number[by_file.receptor.residue_name == "BEN"]) == {"901"}
    kept = Target.from_file(path, box=WIDE)
    assert [c.residue for c in kept.report.of_kind("occupied box")] == ["A:BEN 900", "B:BEN 901"]
    assert hydrogens_on(kept, "900", "N1") == hydrogens_on(kept, "900", "N2") == 2
    assert (kept.receptor.ad_type[kept.receptor.residue_name == "BEN"] == "A").sum() == 12
    with pytest.raises(ReceptorError, match=r"no ligand 'XYZ'.*BEN"):
        Target.from_file(path, ligand="XYZ")
    with pytest.raises(BoxError, match=r"no box.*A:BEN:900"):
        Target.from_file(path)
    with pytest.raises(BoxError, match=r"lost\.sdf: cannot be read"):
        Target.from_file(path, ligand=tmp_path / "lost.sdf")
    with pytest.raises(BoxError, match="not several"):
        Target.from_file(path, box=WIDE, residues=["A:1"])


def test_insertion_codes_chains_models_and_deuterium(peptide_lines: Build, write: Write) -> None:
    lines = peptide_lines("GSA")
    inserted = [line.replace(" A   3 ", " A   2A") for line in lines]
    other = [
        f"{line[:21]}B{line[22:30]}{float(line[30:38]) + 30:8.3f}{line[38:]}" for line in lines
    ]
    og = next(line for line in lines if line[12:16].strip() == "OG")
    deuterium = f"{og[:12]} DG {og[16:30]}{float(og[30:38]) + 0.9:8.3f}{og[38:76]} D"
    model = ["MODEL        1", *inserted, deuterium, *other, "ENDMDL"]
    path = write(
        [*model, *(line.replace("   1", "   2", 1) for line in model[:1]), *lines, "ENDMDL"]
    )
    target = Target.from_file(path, box=WIDE)
    receptor = target.receptor
    pairs = set(zip(receptor.chain.tolist(), receptor.residue_number.tolist(), strict=True))
    assert pairs == {("A", "1"), ("A", "2"), ("A", "2A"), ("B", "1"), ("B", "2"), ("B", "3")}
    assert kinds(target)["model"] == 1
    assert kinds(target)["deuterium"] == 1
    assert "1 of the file removed" in target.report.of_kind("hydrogens")[0].text
    kept = Target.from_file(path, box=WIDE, hydrogens="keep").receptor
    at = np.flatnonzero((kept.atom_name == "DG") & (kept.chain == "A"))
    assert kept.element[at].tolist() == ["H"]


def test_mmcif_and_pdb_give_the_same_target(peptide_lines: Build, write: Write) -> None:
    path = write([*peptide_lines("KFHSRE"), het("ZN", "ZN", (30, 0, 0), "ZN")])
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    cif = path.with_suffix(".cif")
    structure.make_mmcif_document().write_file(str(cif))
    assert Target.from_file(cif, box=WIDE).key == Target.from_file(path, box=WIDE).key


def test_a_chain_break_is_reported_and_not_built(peptide_lines: Build, write: Write) -> None:
    lines = [line for line in peptide_lines("AGGGGA") if line[22:26].strip() not in ("3", "4")]
    target = Target.from_file(write(lines), box=WIDE)
    assert [c.residue for c in target.report.of_kind("chain break")] == ["A:GLY 2"]
    assert hydrogens_on(target, "5", "N") == 1


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda lines: [lines[0][:40]], "cannot be read"),
        (lambda lines: [lines[0][:30] + "     nan" + lines[0][38:]], "not numbers"),
        (lambda lines: ["HEADER    NOTHING", "REMARK 1"], "no ATOM or HETATM"),
        (lambda lines: [het("HOH", "O", (0, 0, 0), "O")], "nothing is left"),
        (lambda lines: [x for x in lines if x[12:16].strip() == "CA"], "C-alpha trace"),
    ],
)
def test_broken_structures_are_named_with_a_remedy(
    peptide_lines: Build, write: Write, edit: Callable[[list[str]], list[str]], word: str
) -> None:
    path = write(edit(peptide_lines("GAGAGA")))
    with pytest.raises(ReceptorError, match=rf"structure\.pdb.*{word}") as caught:
        Target.from_file(path, box=WIDE)
    assert "\n" not in str(caught.value)
