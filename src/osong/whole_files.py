"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from osong.errors import ResourceError

__all__ = ["write_whole"]


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file under a temporary name beside it, then give it its name.

    Raises
    ------
    ResourceError
        Where it cannot be written; what was there before stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space or choose "
            "another place"
        ) from error
