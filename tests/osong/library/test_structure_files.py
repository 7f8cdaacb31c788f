from __future__ import annotations

import gzip

import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import LigandError
from osong.library import count_records, parse_record, read_records
from osong.ligands import PreparedLigand

NAMES = ["one", "two", "three"]
SMILES = ["CC(=O)[O-]", "C[NH3+]", "C[C@H](F)Cl"]


def block(smiles, name, v3000=False):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    mol.SetProp("_Name", name)
    return Chem.MolToMolBlock(mol, forceV3000=v3000)


@pytest.fixture(params=[False, True], ids=["V2000", "V3000"])
def blocks(request):
    return [block(s, n, request.param) for s, n in zip(SMILES, NAMES, strict=True)]


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def outcome(molecule_or_error):
    """Names of records, those that fail in brackets."""

    def names(records):
        found = []
        for record in records:
            result = molecule_or_error(record)
            if isinstance(result, LigandError):
                assert result.stage == "read"
                assert record.source in str(result)
                found.append(f"({record.name})")
            else:
                found.append(result.GetProp("_Name"))
        return found

    return names


def joined(blocks):
    return "".join(f"{b}>  <k>\nv\n\n$$$$\n" for b in blocks)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_sd_records(tmp_path, outcome, blocks, end, last):
    text = joined(blocks) if last else joined(blocks).removesuffix("$$$$\n")
    path = write(tmp_path, "a.sdf", text.replace("\n", end))
    records = list(read_records(path))
    assert outcome(records) == NAMES
    assert count_records(path) == 3
    for record, smiles in zip(records, SMILES, strict=True):
        mol = parse_record(record)
        assert mol.GetProp("k") == "v"
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(smiles)
        assert mol.GetConformer().Is3D()
        assert any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms())


def test_a_broken_record_harms_no_neighbour(tmp_path, outcome, blocks):
    broken = blocks[1].replace("M  END", "M  EMD").replace(" N ", " Qq ")
    path = write(tmp_path, "a.sdf", joined([blocks[0], broken, blocks[2]]))
    assert outcome(read_records(path)) == ["one", "(two)", "three"]


def test_a_lost_record_end_swallows_no_molecule(tmp_path, outcome, blocks):
    path = write(tmp_path, "a.sdf", joined(blocks).replace("$$$$\n", "", 1))
    assert outcome(read_records(path)) == NAMES
    half = blocks[0][: len(blocks[0]) // 2].rsplit("\n", 1)[0] + "\n"
    cut = write(tmp_path, "b.sdf", half + joined(blocks[1:]))
    assert outcome(read_records(cut)) == ["(one)", "two", "three"]


def test_a_molecule_as_a_property_is_no_record(tmp_path, outcome, blocks):
    text = f"{blocks[0]}>  <reactant>\n{blocks[1]}\n$$$$\n{blocks[2]}$$$$\n"
    assert outcome(read_records(write(tmp_path, "a.sdf", text))) == ["one", "three"]


def test_empty_records_count_and_white_space_at_the_end_does_not(tmp_path, outcome, blocks):
    text = f"{blocks[0]}$$$$\n\n$$$$\n{blocks[2]}$$$$\n\n  \n"
    assert outcome(read_records(write(tmp_path, "a.sdf", text))) == ["one", "(a_000001)", "three"]
    rest = write(tmp_path, "b.sdf", f"{blocks[0]}$$$$\n  garbage\n")
    assert outcome(read_records(rest)) == ["one", "(garbage)"]


def test_bytes_that_are_no_utf8(tmp_path, outcome, blocks):
    text = blocks[0].replace("one", "caf\u00e9") + "$$$$\n"
    path = write(tmp_path, "a.sdf", text.encode("latin-1"))
    assert outcome(read_records(path)) == ["caf\u00e9"]


def test_names_of_untitled_records(tmp_path, blocks):
    untitled = blocks[0].replace("one\n", "\n", 1)
    text = f"{untitled}>  <idnumber>\nZ1\n\n$$$$\n{untitled}$$$$\n{blocks[1]}> 1 <x-y>\nq\n\n$$$$\n"
    path = write(tmp_path, "a.sdf", text)
    assert [r.name for r in read_records(path)] == ["Z1", "a_000001", "two"]
    assert [r.name for r in read_records(path, name_column="x-y")] == ["a_000000", "a_000001", "q"]
    assert [r.name for r in read_records(write(tmp_path, "m.mol", untitled))] == ["m"]


def test_content_wins_over_the_suffix(tmp_path, outcome, blocks):
    path = write(tmp_path, "a.smi", gzip.compress(joined(blocks).encode()))
    assert outcome(read_records(path)) == NAMES


MOL2 = """# made by hand
@<TRIPOS>MOLECULE
{name}
 6 5 0 0 0
SMALL
USER_CHARGES

@<TRIPOS>ATOM
 1 C1 0.0 0.0 0.0 C.3 1 LIG 0.0
 2 O1 1.4 0.0 0.0 O.3 1 LIG 0.0
 3 H1 -0.5 0.9 0.0 H 1 LIG 0.0
 4 H2 -0.5 -0.9 0.0 H 1 LIG 0.0
 5 H3 -0.5 0.0 0.9 H 1 LIG 0.0
 6 H4 1.7 0.9 0.0 {last} 1 LIG 0.0
@<TRIPOS>BOND
 1 1 2 1
 2 1 3 1
 3 1 4 1
 4 1 5 1
 5 2 6 1
"""


def test_mol2_records(tmp_path, outcome):
    text = "".join(
        MOL2.format(name=name, last=last)
        for name, last in [("first", "H"), ("bad", "Qx"), ("*****", "H")]
    )
    path = write(tmp_path, "a.mol2", text)
    assert outcome(read_records(path)) == ["first", "(bad)", "a_000002"]
    assert [r.source for r in read_records(path)][1] == f"{path}:22 (record 2)"
    mol = parse_record(next(read_records(path)))
    assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == "CO"
    assert mol.GetConformer().GetAtomPosition(1).x == pytest.approx(1.4)


def test_mol2_of_programs_that_leave_charges_out(tmp_path):
    ammonium = """@<TRIPOS>MOLECULE
ammonium
 6 5 0 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
 1 N1 0.0 0.0 0.0 N.3
 2 C1 1.4 0.0 0.0 C.3
 3 C2 -0.5 1.4 0.0 C.3
 4 C3 -0.5 -1.4 0.0 C.3
 5 C4 0.0 0.0 1.4 C.3
 6 F1 0.0 0.0 2.4 F
@<TRIPOS>BOND
 1 1 2 1
 2 1 3 1
 3 1 4 1
 4 1 5 1
 5 5 6 1
"""
    mol = parse_record(next(read_records(write(tmp_path, "a.mol2", ammonium))))
    assert mol.GetAtomWithIdx(0).GetFormalCharge() == 1


PDBQT = """REMARK  Name = {name}
ROOT
ATOM      1  C1  LIG A   1       0.000   0.000   0.000  1.00  0.00     0.100 C
ATOM      2  O1  LIG A   1       1.400   0.000   0.000  1.00  0.00    -0.300 OA
ENDROOT
TORSDOF 0
"""


def test_pdbqt_models_and_ligands_in_a_row(tmp_path):
    ligand = PDBQT.format(name="first")
    single = write(tmp_path, "lig7.pdbqt", ligand.replace("REMARK  Name = first\n", ""))
    assert [r.name for r in read_records(single)] == ["lig7"]
    models = "".join(f"MODEL {i}\n{ligand}ENDMDL\n" for i in (1, 2, 3))
    path = write(tmp_path, "out.pdbqt", models)
    records = list(read_records(path))
    assert [r.name for r in records] == ["first"] * 3
    assert {r.data for r in records} == {ligand}
    assert [r.source for r in records][2] == f"{path}:17 (record 3)"
    row = write(tmp_path, "row.pdbqt", ligand + PDBQT.format(name="second"))
    assert [r.name for r in read_records(row)] == ["first", "second"]


def test_side_chains_are_no_ligands(tmp_path):
    chain = "BEGIN_RES ALA A 1\n" + PDBQT.format(name="chain") + "END_RES ALA A 1\n"
    models = "".join(
        f"MODEL {i}\n{PDBQT.format(name='ligand')}{chain}{chain}ENDMDL\n" for i in (1, 2)
    )
    path = write(tmp_path, "out.pdbqt", models)
    records = list(read_records(path))
    assert [r.name for r in records] == ["ligand", "ligand"]
    assert "RES" not in records[0].data + records[1].data
    alone = write(tmp_path, "flex.pdbqt", chain)
    with pytest.raises(LigandError, match="flexible residue"):
        parse_record(next(read_records(alone)))


def test_pdbqt_record_is_a_ligand_ready_to_dock(tmp_path):
    path = write(tmp_path, "a.pdbqt", PDBQT.format(name="methanol"))
    ligand = parse_record(next(read_records(path)))
    assert isinstance(ligand, PreparedLigand)
    assert ligand.name == "methanol"
    assert ligand.packed.n_scored == 2
    bad = write(tmp_path, "b.pdbqt", PDBQT.format(name="x").replace(" 1.400", " abcde"))
    with pytest.raises(LigandError, match=r"b\.pdbqt:1 .*'x'") as failure:
        parse_record(next(read_records(bad)))
    assert failure.value.stage == "read"
