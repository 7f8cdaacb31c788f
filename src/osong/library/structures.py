"""Records of structure files: SDF and MOL, MOL2, PDBQT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from osong.errors import InputError
from osong.library.columns import normalise
from osong.library.record import Piece
from osong.library.streams import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["split_mol2", "split_pdbqt", "split_sdf"]

_RECORD_BYTES: Final = 1 << 26
"""No molecule takes 64 MB: a record that grows longer means that the file is something else."""
_COUNTS: Final = re.compile(rb"^\s*\d+.*V[23]000\s*$")
_ID_TAGS: Final = (
    "name", "id", "idnumber", "catalogid", "catalognumber", "compoundid", "compoundname",
    "moleculename", "moleculeid", "zincid", "chemblid", "drugbankid", "title",
)  # fmt: skip


def split_sdf(
    lines: Iterator[bytes], path: Path, name_column: str | None = None
) -> Iterator[Piece]:
    r"""Yield one piece between ``$$$$`` lines (text without them), the last one ended or not.

    Where a record lost its ``$$$$``, the counts line of the next molecule starts a new one, so
    that a broken record does not swallow its neighbour. White space after the last ``$$$$`` is
    no record; other text there is, since it may be what is left of a molecule. Nothing between
    two ``$$$$`` is a record too, one that cannot be parsed.
    """
    n_pieces = 0
    for first, record, is_ended in _sdf_records(lines, path):
        if not is_ended and not any(line and not line.isspace() for line in record):
            continue
        n_pieces += 1
        text = decode(b"\n".join(record))
        yield Piece(f"{first} (record {n_pieces})", _sdf_name(text, name_column), text)


def _sdf_records(lines: Iterator[bytes], path: Path) -> Iterator[tuple[int, Sequence[bytes], bool]]:
    """Yield number of the first line, lines, and whether an end of the record was seen."""
    record: list[bytes] = []
    first, n_bytes, has_counts = 1, 0, False
    number = 0
    for number, line in enumerate(lines, start=1):
        if line.startswith(b"$$$$"):
            yield first, record, True
            record, first, n_bytes, has_counts = [], number + 1, 0, False
            continue
        record.append(line)
        n_bytes += len(line) + 1
        if n_bytes > _RECORD_BYTES:
            raise _too_long(path, first)
        if line.rstrip().endswith((b"V2000", b"V3000")) and _COUNTS.match(line):
            if has_counts and _starts_molecule(record):
                yield first, record[:-4], True
                record, first = record[-4:], number - 3
                n_bytes = sum(map(len, record))
            has_counts = True
    yield first, record, False


def _starts_molecule(record: Sequence[bytes]) -> bool:
    """Tell whether the last line, a second counts line, is the fourth of another molecule.

    It is not where the record is a reaction, or where the molecule is the value of a data item.
    """
    is_reaction = any(line.startswith(b"$RXN") for line in record[:2])
    is_value = len(record) > 4 and record[-5].startswith(b">")
    return len(record) > 7 and not is_reaction and not is_value


def _sdf_name(text: str, name_column: str | None) -> str:
    """Return the title line, or the data item that holds the name."""
    title = text.partition("\n")[0].strip()
    if title and name_column is None:
        return title
    tags = (normalise(name_column),) if name_column is not None else _ID_TAGS
    values: dict[str, str] = {}
    for tag, value in re.findall(r"^>[^\n]*<([^>\n]+)>[^\n]*\n([^\n]*)", text, re.MULTILINE):
        values.setdefault(normalise(tag), value.strip())
    return next((values[tag] for tag in tags if values.get(tag)), title)


def split_mol2(lines: Iterator[bytes], path: Path) -> Iterator[Piece]:
    """Yield one piece from ``@<TRIPOS>MOLECULE`` to the next; comments before go with it.

    Text that is no comment before the first is a record of its own, which cannot be parsed.
    """
    record: list[bytes] = []
    first, n_pieces, n_bytes = 1, 0, 0
    for number, line in enumerate(lines, start=1):
        n_bytes += len(line) + 1
        if n_bytes > _RECORD_BYTES:
            raise _too_long(path, first)
        if line.startswith(b"@<TRIPOS>MOLECULE"):
            if _has_content(record):
                n_pieces += 1
                yield _mol2_piece(record, first, n_pieces)
            record, first, n_bytes = [], number, 0
        record.append(line)
    if _has_content(record):
        yield _mol2_piece(record, first, n_pieces + 1)


def _has_content(record: Sequence[bytes]) -> bool:
    return any(line.strip() and not line.startswith(b"#") for line in record)


def _mol2_piece(record: Sequence[bytes], first: int, number: int) -> Piece:
    has_title = len(record) > 1 and record[0].startswith(b"@<TRIPOS>MOLECULE")
    name = decode(record[1]).strip() if has_title else ""
    text = decode(b"\n".join(record)) + "\n"
    # Programs write asterisks for a molecule without a name.
    return Piece(f"{first} (record {number})", "" if set(name) <= {"*"} else name, text)


def split_pdbqt(lines: Iterator[bytes], path: Path) -> Iterator[Piece]:
    """Yield one piece a MODEL, or a ligand (up to TORSDOF) where there are no models.

    Flexible side chains that follow a ligand, as in Vina's output, belong to the receptor and are
    left out.
    """
    record: list[bytes] = []
    first, n_pieces, n_bytes, is_model, is_over = 1, 0, 0, False, False
    for number, line in _without_side_chains(enumerate(lines, start=1)):
        keyword = _keyword(line)
        is_new_model = keyword == b"MODEL"
        if is_new_model or (is_over and keyword not in (b"", b"ENDMDL", b"END")):
            if _has_content(record):
                n_pieces += 1
                yield _pdbqt_piece(record, first, n_pieces, path, is_model)
            record, first, n_bytes, is_over, is_model = [], number, 0, False, is_new_model
        if keyword in (b"ENDMDL", b"TORSDOF"):
            is_over = True
        if keyword not in (b"MODEL", b"ENDMDL"):
            record.append(line)
            n_bytes += len(line) + 1
        if n_bytes > _RECORD_BYTES:
            raise _too_long(path, first)
    if _has_content(record):
        yield _pdbqt_piece(record, first, n_pieces + 1, path, is_model)


def _keyword(line: bytes) -> bytes:
    return line.split(None, 1)[0] if line.strip() else b""


def _without_side_chains(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Leave out BEGIN_RES to END_RES after a ligand; a file of side chains alone stays as it is."""
    has_ligand, is_residue = False, False
    for number, line in lines:
        if line.startswith(b"BEGIN_RES") and has_ligand:
            is_residue = True
        has_ligand = has_ligand or line.startswith(b"TORSDOF")
        if not is_residue:
            yield number, line
        if line.startswith(b"END_RES"):
            is_residue = False


def _pdbqt_piece(
    record: Sequence[bytes], first: int, number: int, path: Path, is_model: bool
) -> Piece:
    text = decode(b"\n".join(record)) + "\n"
    found = re.search(r"^REMARK\s+Name\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    name = found.group(1) if found else ""
    if not name and number == 1 and not is_model:
        name = path.name.split(".pdbqt")[0]  # a folder of PDBQT files names molecules by file
    return Piece(f"{first} (record {number})", name, text)


def _too_long(path: Path, first: int) -> InputError:
    return InputError(
        f"{path}: the record from line {first} on has more than {_RECORD_BYTES >> 20} MB: "
        "this is not a file of molecules, or its record ends are missing"
    )
