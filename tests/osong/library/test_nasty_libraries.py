"""Awkward and broken inputs of other projects: every record is accounted for."""

from __future__ import annotations

import csv

import pytest

from osong.errors import InputError, LigandError
from osong.library import count_records, parse_record, read_records
from osong.ligands import PreparedLigand

EMPTY = {"rdkit_empty.sdf", "rdkit_empty2.sdf"}

OTHER_COUNTS = {
    # records, RDKit's count and why it differs
    "handwritten_smiles.tsv": (134, "RDKit counts the comment that opens the file"),
    "openbabel_random2": (560, "lines of random bytes that start with # are comments"),
    "openbabel_random3": (796, "lines of random bytes that start with # are comments"),
    "rdkit_fewSmi.2.csv": (10, "the comment and the header are no molecules"),
    "rdkit_first_200.tpsa.csv": (200, "the comment and the header are no molecules"),
    "rdkit_O2.sdf": (2, "nothing between two $$$$ is a record, which fails"),
    "rdkit_SkipLines.sdf": (2, "a skip instruction made RDKit swallow the second molecule"),
    "rdkit_esters.prop_name_trunc.sdf": (
        6,
        "a cut property name ends RDKit's reading; 6 molecules",
    ),
    "rdkit_strictLax2.sdf": (2, "no blank line before $$$$ made RDKit swallow the second molecule"),
    "rdkit_mol_nomol.mol2": (1, "text without a molecule is a record, which fails"),
    "variant_trailing_garbage.sdf": (2, "text after the last $$$$ is a record, which fails"),
}

OTHER_OUTCOMES = {
    # read here and not by RDKit as it is called in the index
    "rdkit_fewSmi.2.csv": 10,
    "rdkit_esters.prop_name_trunc.sdf": 6,
    "rdkit_strictLax2.sdf": 2,
    "rdkit_SkipLines.sdf": 1,
    "variant_cr_only.sdf": 1,
    "variant_gzip_renamed.sdf": 1,
    # empty SMILES and bonds without order are no molecules here
    "handwritten_smiles.tsv": 102,
    "openbabel_random2": 1,
    "openbabel_random3": 2,
    "rdkit_Issue3482695.sdf": 0,
}


def rows(shared_data, kind):
    with (shared_data / "nasty" / "index.tsv").open() as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == kind]


@pytest.fixture(scope="session")
def outcomes(molecule_or_error):
    """Molecules and reasons of all records of a file."""

    def found(path, kind=None):
        molecules, reasons = [], []
        for record in read_records(path, kind=kind):
            result = molecule_or_error(record)
            if isinstance(result, LigandError):
                assert result.stage == "read"
                assert str(result).startswith(record.source)
                reasons.append(str(result))
            else:
                molecules.append(result)
        return molecules, reasons

    return found


@pytest.mark.parametrize("kind", ["smiles", "mol"])
def test_every_record_of_every_nasty_file_is_parsed_or_has_a_reason(shared_data, outcomes, kind):
    for row in rows(shared_data, kind):
        path = shared_data / "nasty" / kind / row["file"]
        if path.name in EMPTY:
            with pytest.raises(InputError, match="no molecule"):
                outcomes(path)
            continue
        as_kind = "smiles" if "random" in path.name else None
        molecules, reasons = outcomes(path, as_kind)
        n_rdkit, n_records = map(int, row["rdkit"].split("/"))
        n_records, _ = OTHER_COUNTS.get(path.name, (n_records, ""))
        assert len(molecules) + len(reasons) == n_records, path.name
        assert count_records(path, kind=as_kind) == n_records, path.name
        n_expected = OTHER_OUTCOMES.get(path.name, n_rdkit)
        n_queries = sum(" is a query" in reason for reason in reasons)
        assert len(molecules) + n_queries >= n_expected, (path.name, reasons)
        assert all(molecule.GetNumAtoms() > 0 for molecule in molecules)


def test_what_chemists_expect_of_handwritten_smiles(shared_data, molecule_or_error):
    path = shared_data / "nasty" / "smiles" / "handwritten_smiles.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    expected = [line.split("\t")[1:3] for line in lines if line.strip()]
    records = list(read_records(path))
    assert len(records) == len(expected)
    for record, (expectation, why) in zip(records, expected, strict=True):
        if why == "quoted field":
            continue  # in a table quotes are no part of the SMILES
        result = molecule_or_error(record)
        unwanted = "keep" if isinstance(result, LigandError) else "reject"
        assert expectation != unwanted, (record, result)


@pytest.mark.parametrize(
    ("name", "n_records", "step", "n_failed"),
    [
        ("chembl_drugs.smi", 1203, 1, 0),
        ("hiv_41k.smi.gz", 41913, 10, 2),
        ("pdb_ligands_1500.sdf.gz", 1500, 1, 2),
        ("dude_fabp4_actives.mol2.gz", 57, 1, 0),
        ("esol_delaney.csv", 1128, 3, 0),
        ("enamine_docked_scores.csv.gz", 33000, 100, 0),
    ],
)
def test_real_libraries(shared_data, molecule_or_error, name, n_records, step, n_failed):
    path = shared_data / "library" / name
    assert count_records(path) == n_records
    failed, seen = [], 0
    for record in read_records(path):
        seen += 1
        if record.index % step:
            continue
        result = molecule_or_error(record)
        if isinstance(result, LigandError):
            failed.append(str(result))
        else:
            assert result.GetNumAtoms() > 0
    assert seen == n_records
    assert len(failed) == n_failed, failed


def test_protomers_of_one_molecule_are_records_of_their_own(shared_data):
    path = shared_data / "library" / "dude_fabp4_actives.mol2.gz"
    records = list(read_records(path))
    assert len({record.name for record in records}) == 47
    assert [record.index for record in records] == list(range(57))


@pytest.mark.parametrize(
    ("name", "n_poses"),
    [
        ("basic_docking__1iep_ligand_vina_out.pdbqt", 4),
        ("flexible_docking__1fpu_ligand_flex_vina_out.pdbqt", 8),
        ("mulitple_ligands_docking__5x72_ligand_vina_out.pdbqt", 14),
    ],
)
def test_output_of_vina_is_a_library_of_its_poses(shared_data, name, n_poses):
    path = shared_data / "reference" / "vina" / name
    poses = [parse_record(record) for record in read_records(path)]
    assert len(poses) == count_records(path) == n_poses
    assert all(pose.packed.n_scored > 0 for pose in poses)


def test_pdbqt_of_the_redocking_set(shared_data):
    paths = sorted((shared_data / "redock").glob("*/ligand.pdbqt"))[:5]
    assert paths
    for path in paths:
        (record,) = read_records(path)
        ligand = parse_record(record)
        assert isinstance(ligand, PreparedLigand)
        assert ligand.packed.n_scored > 0
