"""Libraries of molecules: records of files, prepared libraries, and files of results."""

from __future__ import annotations

from osong.library.parse import parse_record
from osong.library.prepared import (
    LOCK_FILE,
    PreparedLibrary,
    is_prepared,
    open_prepared,
    read_prepared,
    resume_index,
)
from osong.library.prepared_table import PreparedMolecule
from osong.library.prepared_write import check_prepared_folder, write_prepared
from osong.library.reader import count_records, read_records
from osong.library.record import Record
from osong.library.writers import sdf_text, write_sdf, write_sdf_records, write_smiles

__all__ = [
    "LOCK_FILE",
    "PreparedLibrary",
    "PreparedMolecule",
    "Record",
    "check_prepared_folder",
    "count_records",
    "is_prepared",
    "open_prepared",
    "parse_record",
    "read_prepared",
    "read_records",
    "resume_index",
    "sdf_text",
    "write_prepared",
    "write_sdf",
    "write_sdf_records",
    "write_smiles",
]
