"""The records of a library as fingerprints need them: in order, as often as asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

from osong.errors import InputError
from osong.library.reader import Source, read_records
from osong.library.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FeatureSource", "RecordsDigest", "digest_next", "records_of"]

FeatureSource = Source | Callable[[], Iterator[Record]]
"""A library as `osong.library.read_records` takes it, or what gives a fresh stream of records."""


def records_of(source: FeatureSource) -> Iterator[Record]:
    """Yield the records of a library.

    Raises
    ------
    InputError
        Where it cannot be read, has no record, or its records are not numbered from 0 without gaps.
    """
    if not callable(source):
        yield from read_records(source)
        return
    n = 0
    for record in source():
        if record.index != n:
            raise InputError(
                f"{record.source}: record {record.index} stands where {n} was expected: number "
                "the records of a library from 0 on, without gaps"
            )
        yield record
        n += 1
    if n == 0:
        raise InputError("the library: there is no molecule in it")


_AT_A_TIME: Final = 4096


class RecordsDigest:
    """Hash of records as they stand in the library; where they came from does not count."""

    def __init__(self) -> None:
        self.n = 0
        self._hash = blake2b(digest_size=16)

    def update(self, records: Iterable[Record]) -> None:
        """Take more records."""
        for record in records:
            text = f"{record.index}\0{record.format}\0{record.name}\0{record.data}\0"
            self._hash.update(text.encode("utf-8", "surrogateescape"))
            self.n += 1

    def hex(self) -> str:
        """Return the hash of all that were taken."""
        return self._hash.hexdigest()


def digest_next(records: Iterator[Record], n: int, step: Callable[[int], None]) -> RecordsDigest:
    """Read the next `n` records, or as many as there are, and return their digest.

    ``step`` hears, now and then, how many more were read.
    """
    digest = RecordsDigest()
    while part := list(islice(records, min(_AT_A_TIME, n - digest.n))):
        digest.update(part)
        step(len(part))
    return digest
