"""Prepared molecules as Arrow tables, one row a ligand, and back without loss."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from osong.ligands.packed import PackedLigand
from osong.ligands.prepared import PreparedLigand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["SCHEMA", "PreparedMolecule", "molecule_digest", "molecules_of", "table_of"]


@dataclass(frozen=True, eq=False)
class PreparedMolecule:
    """What became of one molecule of a library: its ligands, or why there are none.

    Attributes
    ----------
    index, name, source
        Those of its `Record`.
    ligands
        Its variants, ready to dock; empty where it failed.
    error, stage
        Why and where it failed; empty texts otherwise.
    """

    index: int
    name: str
    source: str
    ligands: tuple[PreparedLigand, ...] = ()
    error: str = ""
    stage: str = ""


_ARRAYS: Final[dict[str, tuple[Any, Any, tuple[int, ...]]]] = {
    # name: Arrow type, NumPy type, shape of an item
    "coords": (pa.float32(), np.float32, (3,)),
    "atom_type": (pa.int8(), np.int8, ()),
    "charge": (pa.float32(), np.float32, ()),
    "segment": (pa.int16(), np.int16, ()),
    "parent": (pa.int16(), np.int16, ()),
    "axis_atoms": (pa.int16(), np.int16, (2,)),
    "pairs": (pa.int16(), np.int16, (2,)),
    "atom_index": (pa.int16(), np.int16, ()),
}

SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("source", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("error", pa.string()),
        pa.field("variant", pa.int32()),  # null in the row of a failed molecule
        pa.field("ligand_name", pa.string()),
        pa.field("smiles", pa.string()),
        pa.field("input_smiles", pa.string()),
        pa.field("notes", pa.list_(pa.string())),
        pa.field("properties", pa.string()),  # JSON: [[name, value], ...]
        pa.field("source_index", pa.list_(pa.int32())),
        pa.field("key", pa.binary()),
        pa.field("torsion_count", pa.float64()),
        pa.field("n_scored", pa.int32()),
        pa.field("n_conformers", pa.int32()),
        *(pa.field(name, pa.list_(arrow)) for name, (arrow, _, _) in _ARRAYS.items()),
    ]
)
"""One row a ligand, in the order of the molecules; a failed molecule has one row."""

Row = tuple[PreparedMolecule, PreparedLigand | None]


def table_of(molecules: Sequence[PreparedMolecule]) -> pa.Table:
    """Return the rows of some molecules."""
    rows: list[Row] = [
        (molecule, ligand) for molecule in molecules for ligand in molecule.ligands or (None,)
    ]
    columns: dict[str, Any] = {
        name: [getattr(molecule, name) for molecule, _ in rows]
        for name in ("index", "name", "source", "stage", "error")
    }
    ligands = [ligand for _, ligand in rows]
    for name, value in _SCALARS.items():
        columns[name] = [None if ligand is None else value(ligand) for ligand in ligands]
    for name, (arrow, numpy_type, _) in _ARRAYS.items():
        arrays = [_flat(ligand, name, numpy_type) for ligand in ligands]
        columns[name] = _list_array(arrays, arrow, numpy_type)
    return pa.table(columns, schema=SCHEMA)


_SCALARS: Final[dict[str, Callable[[PreparedLigand], Any]]] = {
    "variant": lambda ligand: int(ligand.variant),
    "ligand_name": lambda ligand: ligand.name,
    "smiles": lambda ligand: ligand.smiles,
    "input_smiles": lambda ligand: ligand.input_smiles,
    "notes": lambda ligand: list(ligand.notes),
    "properties": lambda ligand: json.dumps(ligand.properties) if ligand.properties else "",
    "source_index": lambda ligand: [int(i) for i in ligand.source_index],
    "key": lambda ligand: ligand.packed.key,
    "torsion_count": lambda ligand: float(ligand.packed.torsion_count),
    "n_scored": lambda ligand: int(ligand.packed.n_scored),
    "n_conformers": lambda ligand: ligand.packed.n_conformers,
}


def _flat(ligand: PreparedLigand | None, name: str, numpy_type: Any) -> npt.NDArray[Any]:
    """Return an array of a ligand as one run of numbers, refusing to change its type."""
    if ligand is None:
        return np.empty(0, dtype=numpy_type)
    array: npt.NDArray[Any] = getattr(ligand.packed, name)
    if array.dtype != numpy_type:
        raise TypeError(f"{name} of {ligand.name} is {array.dtype}, not {np.dtype(numpy_type)}")
    return array.reshape(-1)


def _list_array(arrays: Sequence[npt.NDArray[Any]], arrow: Any, numpy_type: Any) -> pa.ListArray:
    """Return an Arrow list array: one contiguous array and offsets."""
    offsets = np.zeros(len(arrays) + 1, dtype=np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    values = np.concatenate([np.empty(0, dtype=numpy_type), *arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, type=arrow))


def molecules_of(table: pa.Table) -> Iterator[PreparedMolecule]:
    """Yield the molecules of a table that `table_of` made."""
    table = table.combine_chunks()
    lists = {name: _slices(table[name], *kinds[1:]) for name, kinds in _ARRAYS.items()}
    names = [name for name in SCHEMA.names if name not in _ARRAYS]
    scalars = table.select(names).to_pylist()
    for index, numbered in groupby(enumerate(scalars), key=lambda row: row[1]["index"]):
        rows = list(numbered)
        first = rows[0][1]
        yield PreparedMolecule(
            index=index,
            name=first["name"],
            source=first["source"],
            ligands=tuple(
                _ligand(row, {name: lists[name][i] for name in _ARRAYS})
                for i, row in rows
                if row["variant"] is not None
            ),
            error=first["error"],
            stage=first["stage"],
        )


def _slices(column: pa.ChunkedArray, numpy_type: Any, item: tuple[int, ...]) -> Any:
    """Return the arrays of a column, each a copy.

    A view into Arrow's memory would be read-only, for which Numba compiles every kernel anew, and
    would keep the whole row group alive.
    """
    if column.num_chunks == 0:
        return []
    array = column.chunk(0)
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy()
    return [
        values[begin:end].astype(numpy_type, copy=True).reshape(-1, *item)
        for begin, end in pairwise(offsets)
    ]


def _ligand(row: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> PreparedLigand:
    """Return the ligand of one row."""
    n_atoms = len(arrays["atom_type"])
    arrays["coords"] = arrays["coords"].reshape(row["n_conformers"], n_atoms, 3)
    properties = json.loads(row["properties"]) if row["properties"] else []
    return PreparedLigand(
        name=row["ligand_name"],
        smiles=row["smiles"],
        input_smiles=row["input_smiles"],
        variant=row["variant"],
        notes=tuple(row["notes"]),
        packed=PackedLigand(
            key=row["key"],
            torsion_count=row["torsion_count"],
            n_scored=row["n_scored"],
            **arrays,
        ),
        properties=tuple((key, value) for key, value in properties),
        source_index=tuple(row["source_index"]),
    )


def molecule_digest(molecule: PreparedMolecule) -> bytes:
    """Return 16 bytes that depend on all that is kept of a molecule."""
    digest = blake2b(digest_size=16)
    texts = [molecule.index, molecule.name, molecule.source, molecule.stage, molecule.error]
    digest.update(json.dumps(texts).encode())
    for ligand in molecule.ligands:
        for name, value in _SCALARS.items():
            digest.update(f"{name}={value(ligand)!r};".encode())
        for name in _ARRAYS:
            digest.update(getattr(ligand.packed, name).tobytes())
    return digest.digest()
