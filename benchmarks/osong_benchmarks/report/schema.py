"""The file of results: one JSON object a run, checked on reading, with a numbered schema."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SerializeAsAny, ValidationError, create_model, field_validator

from osong.errors import InputError
from osong.whole_files import write_whole
from osong_benchmarks import registry
from osong_benchmarks.part import Gap, Merit, PartModel, PartResult, Size

__all__ = ["SCHEMA_VERSION", "PartRecord", "Run", "json_schema", "read_run", "to_json", "write_run"]

SCHEMA_VERSION: Final = 1
"""Raised with every change to the fields of a file; `docs/benchmarks.md` says what is promised."""


class PartRecord(PartModel):
    """One part of a run: its result, or why there is none.

    Attributes
    ----------
    seconds
        By the clock, compilation included.
    cpu_seconds
        Processor time of this process and of those that it started and that have ended.
    result
        What the part measured; None where it could not run at all.
    gap
        Why there is no result.
    merits
        The numbers that tell two machines or versions apart.
    """

    seconds: float
    cpu_seconds: float
    result: SerializeAsAny[PartResult] | None = None
    gap: Gap | None = None
    merits: dict[str, Merit] = Field(default_factory=dict)

    @classmethod
    def read(cls, name: str, text: str) -> PartRecord:
        """Return the record of the part ``name`` from JSON; raises pydantic's ValidationError."""
        return cls.model_validate(_typed(name, json.loads(text)))


class Run(PartModel):
    """One run of the suite.

    Attributes
    ----------
    schema_version
        Of this layout.
    started
        When, with the time zone.
    osong_version
        What was measured.
    machine
        The processor's model.
    command
        What makes such a run again.
    size, cores, seed, peers
        As the parts were asked to run.
    gaps
        What was asked for and not measured in any part.
    parts
        By name, in the order in which they ran.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    started: datetime
    osong_version: str
    machine: str
    command: str
    size: Size
    cores: int
    seed: int
    peers: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    parts: dict[str, PartRecord]

    @field_validator("parts", mode="before")
    @classmethod
    def _read_results(cls, parts: Any) -> Any:
        """Read each part's result as that part's own kind."""
        if not isinstance(parts, dict):
            return parts
        return {name: _typed(name, record) for name, record in parts.items()}

    @property
    def seconds(self) -> float:
        """How long all parts took."""
        return sum(record.seconds for record in self.parts.values())

    @property
    def merits(self) -> dict[str, Merit]:
        """The merits of all parts."""
        return {name: m for record in self.parts.values() for name, m in record.merits.items()}


def _typed(name: str, record: Any) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get("result"), dict):
        return record
    kind = registry.result_class(name)
    return record | {"result": kind.model_validate(record["result"])}


def write_run(path: Path, run: Run) -> None:
    """Write a run; there is a whole file or none."""
    write_whole(path, to_json(run))


def to_json(model: PartModel) -> str:
    """Return a model as JSON; a number that is not finite becomes a string that reads as one."""
    return json.dumps(_finite(model.model_dump(mode="json")), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def read_run(path: str | Path) -> Run:
    """Read a file of results.

    Raises
    ------
    InputError
        If it is no such file, damaged, or of a schema version that this Osong does not know.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: is no JSON file ({error}); give what `osong bench` wrote"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise InputError(f"{path}: has no schema_version, so `osong bench` did not write it")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, and this Osong reads version {SCHEMA_VERSION}: use "
            "the Osong that wrote it, or measure again"
        )
    try:
        return Run.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise InputError(
            f"{path}: {where}: {first['msg']} ({error.error_count()} such in all); the file is "
            "damaged or of an unreleased Osong: measure again"
        ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file, each part's result included."""
    records: dict[str, Any] = {}
    for name in registry.known_parts():
        result: Any = registry.result_class(name) | None
        record: Any = create_model(
            f"{name.capitalize()}Record", __base__=PartRecord, result=(result, None)
        )
        records[name] = (record | None, None)
    parts: Any = create_model("Parts", __base__=PartModel, **records)
    run = create_model("Run", __base__=Run, __doc__=Run.__doc__, parts=(parts, ...))
    return run.model_json_schema()
