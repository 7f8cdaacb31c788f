from __future__ import annotations

import dataclasses
import json
from itertools import islice

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from osong.errors import InputError, ResourceError
from osong.library import (
    PreparedMolecule,
    is_prepared,
    open_prepared,
    read_prepared,
    read_records,
    resume_index,
    write_prepared,
)
from osong.ligands import PackedLigand, PreparedLigand, prepare_ligand

ARRAYS = ("coords", "atom_type", "charge", "segment", "parent", "axis_atoms", "pairs", "atom_index")


def same_ligand(a, b):
    for name in ARRAYS:
        left, right = getattr(a.packed, name), getattr(b.packed, name)
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()  # NaN and -0.0 included
        assert right.flags.writeable
        assert right.flags.c_contiguous
    rest = [f.name for f in dataclasses.fields(PackedLigand) if f.name not in ARRAYS]
    assert [getattr(a.packed, n) for n in rest] == [getattr(b.packed, n) for n in rest]
    rest = [f.name for f in dataclasses.fields(PreparedLigand) if f.name != "packed"]
    assert [getattr(a, n) for n in rest] == [getattr(b, n) for n in rest]


def same_molecules(expected, found):
    found = list(found)
    assert len(found) == len(expected)
    for a, b in zip(expected, found, strict=True):
        fields = ("index", "name", "source", "error", "stage")
        assert [getattr(a, n) for n in fields] == [getattr(b, n) for n in fields]
        assert len(a.ligands) == len(b.ligands)
        for left, right in zip(a.ligands, b.ligands, strict=True):
            same_ligand(left, right)


@st.composite
def packed_ligands(draw):
    n_conformers, n_atoms = draw(st.integers(1, 3)), draw(st.integers(0, 6))
    n_segments, n_pairs = draw(st.integers(1, 3)), draw(st.integers(0, 5))

    def array(dtype, *shape):
        return draw(hnp.arrays(dtype, shape))

    return PackedLigand(
        key=draw(st.binary(min_size=16, max_size=16)),
        coords=array(np.float32, n_conformers, n_atoms, 3),
        atom_type=array(np.int8, n_atoms),
        charge=array(np.float32, n_atoms),
        segment=array(np.int16, n_atoms),
        parent=array(np.int16, n_segments),
        axis_atoms=array(np.int16, n_segments, 2),
        pairs=array(np.int16, n_pairs, 2),
        torsion_count=draw(st.floats(0, 100)),
        atom_index=array(np.int16, n_atoms),
        n_scored=draw(st.integers(0, n_atoms)),
    )


TEXT = st.text(max_size=8)
LIGANDS = st.builds(
    PreparedLigand,
    name=TEXT,
    smiles=TEXT,
    input_smiles=TEXT,
    variant=st.integers(0, 100),
    notes=st.lists(TEXT, max_size=3).map(tuple),
    packed=packed_ligands(),
    properties=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    source_index=st.lists(st.integers(-1, 500), max_size=4).map(tuple),
)


@st.composite
def libraries(draw):
    molecules = []
    for index in range(draw(st.integers(1, 5))):
        ligands = tuple(draw(st.lists(LIGANDS, max_size=3)))
        error, stage = ("", "") if ligands else (draw(TEXT), "embed")
        molecules.append(PreparedMolecule(2 * index, draw(TEXT), draw(TEXT), ligands, error, stage))
    return molecules


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(libraries(), st.integers(1, 3))
def test_a_prepared_library_comes_back_bit_by_bit(tmp_path_factory, molecules, per_shard):
    folder = tmp_path_factory.mktemp("h") / "library"
    library = write_prepared(folder, molecules, molecules_per_shard=per_shard)
    same_molecules(molecules, read_prepared(folder))
    assert library == open_prepared(folder)
    assert library.n_molecules == len(molecules)
    assert library.n_failed == sum(not m.ligands for m in molecules)
    assert library.n_ligands == sum(len(m.ligands) for m in molecules)


def example(index, n_ligands=2):
    rng = np.random.default_rng(index)
    packed = PackedLigand(
        key=rng.bytes(16),
        coords=rng.normal(size=(1, 4, 3)).astype(np.float32),
        atom_type=np.array([0, 1, 2, -1], dtype=np.int8),
        charge=rng.normal(size=4).astype(np.float32),
        segment=np.zeros(4, dtype=np.int16),
        parent=np.array([-1], dtype=np.int16),
        axis_atoms=np.full((1, 2), -1, dtype=np.int16),
        pairs=np.empty((0, 2), dtype=np.int16),
        torsion_count=0.5,
        atom_index=np.arange(4, dtype=np.int16),
        n_scored=3,
    )
    ligands = tuple(
        PreparedLigand(f"m{index}", "C", "C", variant, ("note",), packed)
        for variant in range(n_ligands)
    )
    if index % 7 == 3:
        return PreparedMolecule(index, f"m{index}", f"f:{index}", (), "no geometry", "embed")
    return PreparedMolecule(index, f"m{index}", f"f:{index}", ligands)


def examples(n, first=0):
    return [example(i) for i in range(first, n)]


def test_any_range_is_read_across_shards_and_row_groups(tmp_path):
    expected = examples(700)
    library = write_prepared(tmp_path / "lib", expected, molecules_per_shard=300)
    assert [shard.groups for shard in library.shards] == [(256, 44), (256, 44), (100,)]
    for start, stop in [(0, None), (0, 5), (250, 310), (299, 301), (599, 700), (700, None), (3, 3)]:
        same_molecules(expected[start:stop], read_prepared(tmp_path / "lib", start, stop))


def test_the_content_hash_is_of_the_molecules_alone(tmp_path):
    a = write_prepared(tmp_path / "a", examples(20))
    b = write_prepared(tmp_path / "b", examples(20), molecules_per_shard=3)
    changed = [*examples(19), dataclasses.replace(example(19), name="other")]
    c = write_prepared(tmp_path / "c", changed)
    assert a.content_hash == b.content_hash != c.content_hash


def test_an_interrupted_run_leaves_whole_shards_and_goes_on(tmp_path):
    folder = tmp_path / "lib"

    def interrupted():
        yield from examples(25)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_prepared(folder, interrupted(), options={"ph": 7.4}, molecules_per_shard=10)
    assert sorted(p.name for p in folder.iterdir()) == [
        "shard-00000.parquet",
        "shard-00001.parquet",
    ]
    assert not is_prepared(folder)
    with pytest.raises(InputError, match="unfinished"):
        read_prepared(folder)
    with pytest.raises(InputError, match="resume=True from molecule 20"):
        write_prepared(folder, examples(40))
    with pytest.raises(InputError, match="other options"):
        write_prepared(folder, examples(40, 20), options={"ph": 5.0}, resume=True)
    (folder / ".shard-00002.parquet.77.tmp").write_text("half a shard of a killed process")
    first = resume_index(folder)
    assert first == 20
    resumed = write_prepared(
        folder, examples(40, first), options={"ph": 7.4}, molecules_per_shard=10, resume=True
    )
    whole = write_prepared(tmp_path / "whole", examples(40), molecules_per_shard=10)
    assert resumed.content_hash == whole.content_hash
    assert not list(folder.glob(".*"))
    same_molecules(examples(40), read_prepared(folder))


def test_other_contents_of_a_folder_are_safe(tmp_path):
    write_prepared(tmp_path / "lib", examples(3))
    with pytest.raises(InputError, match="prepared library already"):
        write_prepared(tmp_path / "lib", examples(3))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"other files \(thesis\.txt\)"):
        write_prepared(tmp_path / "full", examples(3))
    with pytest.raises(InputError, match="read it with read_prepared"):
        read_records(tmp_path / "lib")


def test_wrong_molecules_are_refused(tmp_path):
    with pytest.raises(InputError, match="no molecule to write"):
        write_prepared(tmp_path / "a", [])
    with pytest.raises(InputError, match=r"molecule 1 .* comes after 2"):
        write_prepared(tmp_path / "b", [example(2), example(1)])
    neither = PreparedMolecule(0, "x", "f:1")
    with pytest.raises(InputError, match="either ligands or the stage"):
        write_prepared(tmp_path / "c", [neither])


def test_damage_is_named(tmp_path):
    folder = tmp_path / "lib"
    write_prepared(folder, examples(30), molecules_per_shard=10)
    shard = folder / "shard-00001.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"shard-00001\.parquet: is missing or damaged"):
        list(read_prepared(folder))
    assert len(list(islice(read_prepared(folder), 10))) == 10
    shard.unlink()
    with pytest.raises(InputError, match=r"shard-00001\.parquet: is missing or damaged"):
        list(read_prepared(folder))
    assert len(list(read_prepared(folder, start=20))) == 10
    index = folder / "library.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"version": 99}))
    with pytest.raises(InputError, match="version 99"):
        read_prepared(folder)
    with pytest.raises(InputError, match="no such folder"):
        open_prepared(tmp_path / "absent")


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def full(self, table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(ResourceError, match=r"shard-00000\.parquet.*No space left"):
        write_prepared(tmp_path / "lib", examples(3))


def test_real_ligands_survive(tmp_path):
    smiles = ["CC(=O)Nc1ccc(O)cc1", "CC(N)C(=O)O", "C1CCCCC1CCO"]
    molecules = []
    for record in read_records(smiles):
        ligands = prepare_ligand(record.data, name=record.name)
        molecules.append(PreparedMolecule(record.index, record.name, record.source, tuple(ligands)))
    write_prepared(tmp_path / "lib", molecules, options={"ph": 7.4})
    back = list(read_prepared(tmp_path / "lib"))
    same_molecules(molecules, back)
    for a, b in zip(molecules, back, strict=True):
        left, right = a.ligands[0].mol(), b.ligands[0].mol()
        np.testing.assert_array_equal(
            left.GetConformer().GetPositions(), right.GetConformer().GetPositions()
        )
    assert open_prepared(tmp_path / "lib").options == {"ph": 7.4}
