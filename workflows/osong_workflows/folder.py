"""The campaign folder: where things are, whole-or-nothing writes, and the lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from osong.errors import CampaignError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq
    from typing_extensions import Buffer

__all__ = [
    "CampaignFolder",
    "DiscardableFile",
    "full_disk",
    "locked_by",
    "locked_in_turn",
    "names_in",
    "sync_folder",
    "who_holds",
    "write_atomically",
]

_LOCK_POLL_S: Final = 0.5
_NO_LOCKS: Final = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})
"""What ``flock`` answers on file systems without locks."""


@dataclass(frozen=True)
class CampaignFolder:
    """Names of the files of a campaign.

    Attributes
    ----------
    path
        The folder, absolute.
    """

    path: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> CampaignFolder:
        """Return the folder with an absolute path."""
        return cls(Path(path).expanduser().absolute())

    @property
    def settings(self) -> Path:
        """What was asked for."""
        return self.path / "campaign.toml"

    @property
    def target(self) -> Path:
        """The target, as ``Target.save`` writes it."""
        return self.path / "target.osong"

    @property
    def plan(self) -> Path:
        """The chunks; written last, so a folder that has it is complete."""
        return self.path / "plan.json"

    @property
    def input(self) -> Path:
        """The library's records."""
        return self.path / "input"

    @property
    def parts(self) -> Path:
        """The results."""
        return self.path / "parts"

    def shard_parts(self, index: int) -> Path:
        """Parts of the chunks of a shard that is under way."""
        return self.parts / f"{index:06d}"

    @property
    def claims(self) -> Path:
        """Who works at which shard."""
        return self.path / "claims"

    @property
    def pilots(self) -> Path:
        """Who works or worked at the campaign: one small file each."""
        return self.path / "pilots"

    @property
    def run(self) -> Path:
        """What matters only while pilots run, and to nobody else."""
        return self.path / "run"

    @property
    def damaged(self) -> Path:
        """Parts that were set aside."""
        return self.path / "damaged"

    @property
    def logs(self) -> Path:
        """Events, a file for each pilot: the times and hosts that must not be in the parts."""
        return self.path / "logs"

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Begin a campaign alone; yields False where the file system has no locks.

        Waits for another process that is beginning it. The kernel frees the lock when its holder
        dies, however that happens, so there is no stale lock to clean up. Without locks the last
        plan that is written counts.
        """
        with locked_in_turn(self.path / "lock", "campaign folder", "until it has begun it") as own:
            yield own


@contextlib.contextmanager
def locked_in_turn(path: Path, kind: str, until: str) -> Iterator[bool]:
    """Hold the folder of a lock file, after whoever has it now; False where there are no locks.

    Parameters
    ----------
    path
        The lock file.
    kind
        What the folder is, for the message.
    until
        What is waited for, in words.
    """
    with contextlib.ExitStack() as stack:
        is_told = False
        while True:
            try:
                is_locked = stack.enter_context(locked_by(path, kind))
                break
            except CampaignError as error:
                if not is_told:
                    is_told = True
                    holder = str(error).partition(";")[0]
                    sys.stderr.write(f"osong: {holder}: waiting {until}\n")
                time.sleep(_LOCK_POLL_S)
        yield is_locked


@contextlib.contextmanager
def locked_by(path: Path, kind: str) -> Iterator[bool]:
    """Hold the folder of a lock file for writing; yields False where there are no locks.

    Parameters
    ----------
    path
        The lock file.
    kind
        What the folder is, for the message.

    Raises
    ------
    CampaignError
        Another process holds the folder; the message names it.
    """
    with full_disk(path.parent):
        file = path.open("a+", encoding="utf-8")
    with file:
        has_lock = _take(file, kind)
        if has_lock:
            with full_disk(path.parent):
                file.truncate(0)
                json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
                file.flush()
        yield has_lock


def who_holds(path: Path) -> str:
    """Return who holds the folder of a lock file now, in words; "" if nobody. Writes nothing."""
    try:
        with path.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    except OSError:
        return ""
    return ""


def _take(file: TextIO, kind: str) -> bool:
    """Take the lock; False where the file system has none."""
    path = Path(file.name)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CampaignError(
            f"{path.parent}: {_holder(path)} is working in this {kind}; wait for it or stop it"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _holder(path: Path) -> str:
    """Return who holds a lock, in words."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


class DiscardableFile(io.BufferedWriter):
    """A file that can be given up: a Parquet writer insists on writing its end, wherever it is.

    Parameters
    ----------
    path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._is_discarded = False

    def write(self, data: Buffer) -> int:
        """Write, or pretend to."""
        return memoryview(data).nbytes if self._is_discarded else super().write(data)

    def finish(self) -> None:
        """Make the content durable and close."""
        self.flush()
        os.fsync(self.fileno())
        self.close()

    def discard(self, writer: pq.ParquetWriter) -> None:
        """Close the file and its writer without caring about the content."""
        self._is_discarded = True
        with contextlib.suppress(OSError):
            writer.close()
        with contextlib.suppress(OSError):
            self.close()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a power cut.

    Several processes may do so at once: the last one's file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with full_disk(path.parent):
        # Exclusively: a link that somebody planted under this name is not followed.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none where it is not there."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)
    return []


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing into one line that says what to do.

    Raises
    ------
    ResourceError
        With the folder, the system's reason and the remedy.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResourceError(
            f"{folder}: cannot write ({reason}); free space or permissions there, then run the "
            "same command again: finished parts are kept"
        ) from error
