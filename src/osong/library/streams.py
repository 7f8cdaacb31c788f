"""Lines of text from plain and compressed files, whatever their encoding and line ends."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COMPRESSIONS", "decode", "open_binary", "peek", "read_lines", "strip_compression"]

COMPRESSIONS: Final = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_MAGIC: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
_BUFFER_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 1 << 24
"""No molecule has a line of 16 MB: a longer one means that the file is not text."""


def strip_compression(path: Path) -> Path:
    """Return `path` without the suffix of a compression: ``a.smi.gz`` becomes ``a.smi``."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed; its first bytes tell how, not its name."""
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            magic = file.read(4)
        compression = next((name for start, name in _MAGIC if magic.startswith(start)), None)
        raw = pa.input_stream(str(path), compression=compression)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {_reason(error)}") from error
    stream = io.BufferedReader(raw, _BUFFER_BYTES)
    try:
        yield stream
    finally:
        stream.close()


def peek(path: Path, n_bytes: int = 1 << 16) -> bytes:
    """Return the first bytes of a file, decompressed; nothing of a file whose start is damaged."""
    with open_binary(path) as stream:
        try:
            return stream.read(n_bytes)
        except OSError:
            return b""


def read_lines(path: Path) -> Iterator[bytes]:
    r"""Yield the lines of a file without their ends.

    ``\n``, ``\r\n`` and (in files that have no other) ``\r`` end a line. A byte order mark is
    dropped, UTF-16 becomes UTF-8.

    Raises
    ------
    InputError
        Where the data ends early or are damaged, after all whole lines before that were given; a
        line that was cut is never given, since half a SMILES is another molecule.
    """
    start = peek(path)
    with open_binary(path) as stream:
        lines = _decoded_lines(stream, start)
        n = 0
        try:
            for n, line in enumerate(lines, start=1):
                if len(line) > _LINE_BYTES:
                    raise InputError(
                        f"{path}: line {n} has more than {_LINE_BYTES >> 20} MB: this is not a "
                        "text file of molecules"
                    )
                yield line.rstrip(b"\r\n")
        except (OSError, UnicodeError) as error:
            raise InputError(
                f"{path}: the file ends early or is damaged after line {n} ({_reason(error)}): "
                "copy or download it again"
            ) from error


def _decoded_lines(stream: IO[bytes], start: bytes) -> Iterator[bytes]:
    """Yield lines with their ends, as UTF-8 or as whatever 8-bit encoding the file has."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = io.TextIOWrapper(stream, encoding="utf-16", errors="replace", newline=None)
        yield from (line.encode() for line in text)
        return
    if start.startswith(b"\xef\xbb\xbf"):
        stream.read(3)
    if b"\r" in start and b"\n" not in start:
        yield from _old_mac_lines(stream)
        return
    yield from iter(lambda: stream.readline(_LINE_BYTES + 1), b"")


def _old_mac_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines that end in a carriage return alone."""
    rest = b""
    while block := stream.read(_BUFFER_BYTES):
        *lines, rest = (rest + block).replace(b"\n", b"\r").split(b"\r")
        yield from lines
    if rest:
        yield rest


def decode(text: bytes) -> str:
    """Decode one record: UTF-8, or Latin-1 where it is not (old SD files hold Western names)."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _reason(error: Exception) -> str:
    """Return the system's own words, without the path that the message has already."""
    return getattr(error, "strerror", None) or str(error)
