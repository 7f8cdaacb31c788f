"""Lines of text from plain and compressed files, whatever their encoding and line ends."""

from __future__ import annotations

import bz2
import io
import os
import zlib
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import zstandard

from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

__all__ = [
    "COMPRESSIONS",
    "decode",
    "open_binary",
    "peek",
    "read_lines",
    "strip_compression",
    "text_bytes",
]

COMPRESSIONS: Final = (".gz", ".zst", ".bz2")
_DECOMPRESSORS: Final[dict[bytes, Callable[[], Any]]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"\x28\xb5\x2f\xfd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    b"BZh": bz2.BZ2Decompressor,
}
"""By the first bytes of a file."""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BLOCK_BYTES: Final = 1 << 15
_BUFFER_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 1 << 24
"""No molecule has a line of 16 MB: a longer one means that the file is not text."""


def strip_compression(path: Path) -> Path:
    """Return `path` without the suffix of a compression: ``a.smi.gz`` becomes ``a.smi``."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path


@contextmanager
def open_binary(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading, decompressed; its first bytes tell how, not its name."""
    try:
        file = path.open("rb")
        magic = file.peek(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {_reason(error)}") from error
    with file:
        for start, decompressor in _DECOMPRESSORS.items():
            if magic.startswith(start):
                yield io.BufferedReader(_Decompressed(file, decompressor), _BUFFER_BYTES)
                return
        yield file


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of a file, handed out up to the very place where it is damaged.

    Arrow's streams drop what they had unpacked of the last block when they find an error, which of
    a small file is everything; zstandard's reader takes a file that is cut short for a whole one.
    """

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._file = file
        self._new = decompressor
        self._member = decompressor()
        self._ready = b""

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    @property
    def has_ready(self) -> bool:
        """Whether there are bytes that were unpacked and not handed out."""
        return bool(self._ready)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the bytes at hand go; 0 at the end.

        Raises
        ------
        OSError
            Where the file ends within compressed data, or these are damaged.
        """
        while not self._ready:
            block = self._member.unused_data if self._member.eof else b""
            block = block or self._file.read(_BLOCK_BYTES)
            if not block:
                if self._member.eof:
                    return 0
                raise OSError("the compressed data are cut short")
            if self._member.eof:
                block = block.lstrip(b"\0")  # tapes and some programs pad with zeros
                self._member = self._new() if block else self._member
            if block:
                self._ready = self._decompress(block)
        n_bytes = min(len(buffer), len(self._ready))
        buffer[:n_bytes] = self._ready[:n_bytes]
        self._ready = self._ready[n_bytes:]
        return n_bytes

    def _decompress(self, block: bytes) -> bytes:
        try:
            return bytes(self._member.decompress(block))
        except (zlib.error, zstandard.ZstdError, ValueError) as error:
            raise OSError(f"the compressed data are damaged: {error}") from error


def peek(path: Path, n_bytes: int = 1 << 16) -> bytes:
    """Return the first bytes of a file, decompressed; as far as they are whole."""
    with open_binary(path) as stream:
        start = b""
        try:
            while len(start) < n_bytes and (block := stream.read1(n_bytes - len(start))):
                start += block
        except OSError:
            pass  # whoever reads on will see
        return start


def text_bytes(path: Path, n_bytes: int = 1 << 23) -> int:
    """Return the bytes of a file's text as UTF-8: of a compressed one about, from its beginning.

    Parameters
    ----------
    path
        The file.
    n_bytes
        Text to unpack; a file with no more is measured, a longer one estimated.
    """
    # Nearly all of a library is ASCII, which UTF-16 writes in two bytes each.
    width = 2 if peek(path, 2).startswith(_UTF_16) else 1
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.peek(4)
        for start, decompressor in _DECOMPRESSORS.items():
            if magic.startswith(start):
                text = _Decompressed(file, decompressor)
                n_read, is_whole = _read_up_to(text, n_bytes)
                whole = n_read if is_whole else n_read * size / max(file.tell(), 1)
                return round(whole / width)
    return size // width


def _read_up_to(text: _Decompressed, n_bytes: int) -> tuple[int, bool]:
    """Return how many bytes could be read, and whether these were all."""
    buffer = bytearray(_BLOCK_BYTES)
    n_read = 0
    try:
        # Nothing must stay unpacked and uncounted: the place in the packed file is beyond it.
        while n_read < n_bytes or text.has_ready:
            n_more = text.readinto(buffer)
            n_read += n_more
            if not n_more:
                return n_read, True
    except OSError:
        pass  # whoever reads on will see
    return n_read, False


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
    # Who stops early leaves the lines before the file: they let go of it while it is open.
    with open_binary(path) as stream, closing(_decoded_lines(stream, start)) as lines:
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


def _decoded_lines(stream: IO[bytes], start: bytes) -> Generator[bytes, None, None]:
    """Yield lines with their ends, as UTF-8 or as whatever 8-bit encoding the file has."""
    if start.startswith(_UTF_16):
        text = io.TextIOWrapper(stream, encoding="utf-16", errors="replace", newline=None)
        try:
            yield from (line.encode() for line in text)
        finally:
            text.detach()  # the file is closed by who opened it
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
