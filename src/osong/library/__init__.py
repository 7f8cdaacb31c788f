"""Libraries of molecules: records of files, prepared libraries, and files of results."""

from __future__ import annotations

from osong.library.parse import parse_record
from osong.library.reader import count_records, read_records
from osong.library.record import Record

__all__ = ["Record", "count_records", "parse_record", "read_records"]
