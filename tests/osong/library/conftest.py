from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osong.errors import LigandError
from osong.library import Record, parse_record


@pytest.fixture(scope="session")
def molecule_or_error() -> Callable[[Record], Any]:
    """What becomes of a record: its molecule, or the error that says why there is none."""

    def parsed(record: Record) -> Any:
        try:
            return parse_record(record)
        except LigandError as error:
            return error

    return parsed
