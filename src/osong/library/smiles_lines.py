"""Records of SMILES files: one molecule a line, SMILES first, then its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osong.library.columns import is_smiles_header
from osong.library.record import Piece
from osong.library.streams import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["smiles_and_name", "split_smiles"]


def split_smiles(lines: Iterator[bytes]) -> Iterator[Piece]:
    """Yield one piece a line; blank lines, lines that start with ``#`` and a header are none.

    A first line is a header only where its first word is a usual heading (``smiles``, ...): one
    that merely cannot be parsed may be a broken molecule.
    """
    is_first = True
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace() or line.startswith(b"#"):
            continue
        smiles, name = smiles_and_name(decode(line))
        if is_first and is_smiles_header(smiles):
            is_first = False
            continue
        is_first = False
        yield Piece(str(number), name, smiles)


def smiles_and_name(line: str) -> tuple[str, str]:
    """Split a line into SMILES (with a CXSMILES extension) and name.

    After a blank the rest of the line is the name; after a tab only the next column is.
    """
    columns = line.split("\t", 2)
    # A line that starts with a tab has an empty first column: its name is not its SMILES.
    words = columns[0].strip().split(None, 1)
    smiles = words[0] if words else ""
    rest = words[1] if len(words) > 1 else ""
    if rest.startswith("|") and "|" in rest[1:]:
        extension, _, rest = rest[1:].partition("|")
        smiles = f"{smiles} |{extension}|"
        rest = rest.strip()
    if not rest and len(columns) > 1:
        rest = columns[1].strip()
    return smiles, rest
