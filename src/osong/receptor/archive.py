"""A prepared target in one file: an ``.npz`` archive of arrays and one JSON header, no pickle."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.box import Box
from osong.errors import InputError, ReceptorError
from osong.receptor.model import Receptor
from osong.receptor.report import Change, PreparationReport

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_archive", "load_archive", "save_archive"]

_FORMAT: Final = "osong-target"
_VERSION: Final = 1
_NUMBERS: Final = ("coords", "atom_type", "charge")


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive, as saved targets are."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def save_archive(
    path: Path, receptor: Receptor, box: Box, name: str, report: PreparationReport
) -> None:
    """Write a target; the file appears whole or not at all, and equal targets give equal bytes."""
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": name,
        "box": {"center": box.center, "size": box.size},
        "report": {"source": report.source, "changes": report.rows()},
    }
    arrays: dict[str, Any] = {field: getattr(receptor, field) for field in _NUMBERS}
    arrays |= {field: getattr(receptor, field) for field in Receptor.text_fields()}
    text = json.dumps(header, sort_keys=True).encode()
    arrays["header"] = np.frombuffer(text, dtype=np.uint8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); check folder, permissions and space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_archive(path: Path) -> tuple[Receptor, Box, str, PreparationReport]:
    """Read what :func:`save_archive` wrote.

    Raises
    ------
    ReceptorError
        The file is missing, damaged, not a target, or of a newer version.
    """
    if not path.exists():
        raise ReceptorError(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            _check_header(header, path)
            fields = (*_NUMBERS, *Receptor.text_fields())
            receptor = Receptor(**{field: archive[field] for field in fields})
    except ReceptorError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReceptorError(
            f"{path}: not a saved target, or damaged ({error}); save it again with Target.save"
        ) from error
    box = Box(tuple(header["box"]["center"]), tuple(header["box"]["size"]))
    changes = tuple(Change(**row) for row in header["report"]["changes"])
    return receptor, box, header["name"], PreparationReport(header["report"]["source"], changes)


def _check_header(header: Any, path: Path) -> None:
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ReceptorError(f"{path}: not a saved target; give a file written by Target.save")
    if header["version"] > _VERSION:
        raise ReceptorError(
            f"{path}: saved by a newer Osong (format {header['version']}, this one reads "
            f"{_VERSION}); update Osong or save the target again"
        )
