"""Files of results: SDF and SMILES, written molecule by molecule, whole or not at all."""

from __future__ import annotations

import gzip
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rdkit import Chem, rdBase

from osong.errors import ResourceError

__all__ = ["sdf_text", "write_sdf", "write_sdf_records", "write_smiles"]

_V2000_MOST = 999


def write_sdf(mols: Iterable[Chem.Mol], path: str | Path) -> int:
    """Write molecules with names and properties to an SD file; return how many.

    ``.gz`` at the end of the name compresses. The file appears only when it is whole.

    Raises
    ------
    ResourceError
        Where it cannot be written.
    """
    return write_sdf_records(map(sdf_text, mols), path)


def write_sdf_records(texts: Iterable[str], path: str | Path) -> int:
    """Write SD records as `sdf_text` makes them; return how many. Ends as for `write_sdf`."""
    n_texts = 0
    with _written_whole(Path(path)) as file:
        for text in texts:
            file.write(text)
            n_texts += 1
    return n_texts


def write_smiles(mols: Iterable[Chem.Mol], path: str | Path) -> int:
    """Write a line of isomeric SMILES (implicit hydrogens), tab and name each; return how many.

    Names and ends as for `write_sdf`.
    """
    n_mols = 0
    with _written_whole(Path(path)) as file:
        for mol in mols:
            with rdBase.BlockLogs():
                smiles = Chem.MolToSmiles(Chem.RemoveHs(mol))
            name = _one_line(mol.GetProp("_Name")) if mol.HasProp("_Name") else ""
            file.write(f"{smiles}\t{name}\n" if name else f"{smiles}\n")
            n_mols += 1
    return n_mols


def sdf_text(mol: Chem.Mol) -> str:
    """Return the SD record of a molecule, ``$$$$`` included; V3000 where V2000 is too small.

    A value that would break the record (a blank line or ``$$$$`` in it) is put on one line.
    """
    mol = Chem.Mol(mol)
    if mol.HasProp("_Name"):
        mol.SetProp("_Name", _one_line(mol.GetProp("_Name")))
    for key, value in mol.GetPropsAsDict(includePrivate=False, includeComputed=False).items():
        safe_key = re.sub(r"[<>\r\n]", "_", key)
        text = str(value) if not isinstance(value, str) else value
        is_safe = all(line.strip() and line[0] not in "$>" for line in text.splitlines())
        if safe_key != key:
            mol.ClearProp(key)
        if safe_key != key or (isinstance(value, str) and text and not is_safe):
            mol.SetProp(safe_key, _one_line(text))
    is_large = max(mol.GetNumAtoms(), mol.GetNumBonds()) > _V2000_MOST
    try:
        return str(Chem.SDWriter.GetText(mol, kekulize=True, force_v3000=is_large))
    except Chem.KekulizeException:
        return str(Chem.SDWriter.GetText(mol, kekulize=False, force_v3000=is_large))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("$$$$", "$$ $$")


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[str]]:
    """Give a file to write; it gets its name when all went well, and is gone otherwise."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with _opened(temporary, path) as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space or choose "
            "another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _opened(temporary: Path, path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(temporary, "wt", encoding="utf-8", newline="\n", compresslevel=6)
    return temporary.open("w", encoding="utf-8", newline="\n")
