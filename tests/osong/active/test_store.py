"""Fingerprints of a library on disk: every record is a row, and changes are seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from osong.active import FeatureStore, write_features
from osong.active.acquisition import similarities
from osong.active.fingerprints import N_BITS, N_BYTES, fingerprint, unpack
from osong.errors import InputError

SMILES = ["CCO", "c1ccccc1O", "C1CC", "CC(=O)Nc1ccc(O)cc1", "", "C" * 40]


def test_bits_are_those_of_rdkit() -> None:
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1CCN")
    bits = unpack(fingerprint(mol)[None])[0]
    assert bits.shape == (N_BITS,)
    for k, make in enumerate(
        (rdFingerprintGenerator.GetMorganGenerator, rdFingerprintGenerator.GetAtomPairGenerator)
    ):
        radius = {"radius": 2} if k == 0 else {}
        expected = make(fpSize=2048, countSimulation=True, **radius).GetFingerprint(mol)
        assert np.flatnonzero(bits[2048 * k :][:2048]).tolist() == list(expected.GetOnBits())


def test_four_bits_count() -> None:
    bits = unpack(fingerprint(Chem.MolFromSmiles("C" * 30))[None])[0].reshape(-1, 4)
    assert bits.any(axis=0).all()
    assert (np.diff(bits.astype(int), axis=1) <= 0).all()  # eight times is four times, too


def test_similarity_is_that_of_rdkit() -> None:
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "CCCO", "c1ccccc1")]
    packed = np.array([fingerprint(mol) for mol in mols])
    vectors = [DataStructs.CreateFromBitString("".join(map(str, row))) for row in unpack(packed)]
    expected = DataStructs.BulkTanimotoSimilarity(vectors[0], vectors)
    np.testing.assert_allclose(similarities(packed[0], packed), expected)


def test_every_record_is_a_row(tmp_path: Path) -> None:
    store = write_features(SMILES, tmp_path / "f")
    assert (store.n_records, store.n_failed) == (6, 2)
    (batch,) = store.batches(with_smiles=True)
    assert batch.index.tolist() == [0, 1, 3, 5]
    assert batch.bits.shape == (4, N_BYTES)
    assert batch.smiles[1] == "Oc1ccccc1"
    failures = dict(store.failures())
    assert list(failures) == [2, 4]
    assert "unclosed ring" in failures[2]
    assert store.n_records == len(batch.index) + len(failures)


def test_molecules_are_taken_in_the_order_asked_for(tmp_path: Path) -> None:
    store = write_features(SMILES, tmp_path / "f")
    taken = store.take(np.array([5, 0, 3]), with_smiles=True)
    assert taken.smiles[1] == "CCO"
    for row, smiles in zip(taken.bits, taken.smiles, strict=True):
        np.testing.assert_array_equal(row, fingerprint(Chem.MolFromSmiles(smiles)))
    with pytest.raises(InputError, match="1 of 2 molecules that were asked for have no finger"):
        store.take(np.array([0, 2]))


def test_many_shards_and_row_groups_are_one_library(tmp_path: Path) -> None:
    smiles = [f"C{'C' * (k % 7)}O" for k in range(20_000)]
    store = write_features(smiles, tmp_path / "f", records_per_shard=8192)
    assert [shard.n_records for shard in store.shards] == [8192, 8192, 3616]
    batches = list(store.batches())
    assert np.concatenate([batch.index for batch in batches]).tolist() == list(range(20_000))
    wanted = np.array([19_999, 8192, 5, 8191])
    bits = np.concatenate([batch.bits for batch in batches])
    np.testing.assert_array_equal(store.take(wanted).bits, bits[wanted])
    with pytest.raises(InputError, match="records 8192 to 16383 are not those of"):
        store.check_library([*smiles[:9000], "CN", *smiles[9001:]])
    with pytest.raises(InputError, match="more than the 20000 records"):
        store.check_library([*smiles, "C"])
    store.check_library(smiles)


def test_a_changed_library_is_refused_in_one_line(tmp_path: Path) -> None:
    write_features(SMILES, tmp_path / "f")
    assert write_features(SMILES, tmp_path / "f").n_records == 6
    with pytest.raises(InputError, match="the library has changed") as caught:
        write_features(SMILES[:-1], tmp_path / "f")
    assert "\n" not in str(caught.value)


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    with pytest.raises(InputError, match="no finished fingerprints here"):
        FeatureStore.open(folder)
    store = write_features(SMILES, folder)
    shard = folder / store.shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    with pytest.raises(InputError, match="was changed or is damaged"):
        store.check()
    index = folder / "features.json"
    told = json.loads(index.read_text())
    index.write_text(json.dumps({**told, "fingerprint": "other"}))
    with pytest.raises(InputError, match="fingerprints 'other'"):
        FeatureStore.open(folder)
    index.write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        FeatureStore.open(folder)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_damage_within_a_page_is_noticed_while_reading(tmp_path: Path, compression: str) -> None:
    """Uncompressed, where any bytes are a page, only its checksum can tell."""
    store = write_features(SMILES, tmp_path / "f")
    path = tmp_path / "f" / store.shards[0].file
    if compression == "none":
        table = pq.read_table(path)
        pq.write_table(table, path, compression="none", write_page_checksum=True)
    column = pq.read_metadata(path).row_group(0).column(1)
    assert column.path_in_schema == "fingerprint"
    end = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[end + column.total_compressed_size - 1] ^= 16
    path.write_bytes(content)
    for read in (lambda: list(store.batches()), lambda: store.take(np.array([0]))):
        with pytest.raises(InputError, match=r"features-00000\.parquet: cannot be read") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert len(dict(store.failures())) == 2  # pages of other columns


def test_damage_of_what_describes_the_pages_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    """It has no checksum of its own; bit by bit, what is read is right or refused in words."""
    store = write_features(SMILES, tmp_path / "f")
    path = tmp_path / "f" / store.shards[0].file

    def read() -> tuple[object, ...]:
        (batch,) = store.batches(with_smiles=True)
        return batch.index.tolist(), batch.bits.tobytes(), batch.smiles, dict(store.failures())

    known, content = read(), path.read_bytes()
    begin = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    refused: list[str] = []
    for where in range(begin, len(content), 5):
        path.write_bytes(content[:where] + bytes([content[where] ^ 16]) + content[where + 1 :])
        try:
            assert read() == known, where
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert all("cannot be read" in line and "\n" not in line for line in refused)


def test_stores_without_checksums_of_pages_are_read(tmp_path: Path) -> None:
    store = write_features(SMILES, tmp_path / "f")
    shard = tmp_path / "f" / store.shards[0].file
    (new,) = store.batches()
    pq.write_table(pq.read_table(shard), shard, compression="zstd")
    (old,) = store.batches()
    np.testing.assert_array_equal(old.bits, new.bits)
