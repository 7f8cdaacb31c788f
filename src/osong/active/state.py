"""The folder of an active-learning run: its files are its state, each written whole.

active.json                    what was asked, of which library
round-000/request.parquet      which molecules are to be docked
round-000/answers.parquet      their scores; none where docking failed
round-001/surrogate.pt, .json  what chose this round's molecules; only of the last round
round-001/networks/            networks trained so far, while the ensemble is not complete
round-001/round.json           what the surrogate expected when it chose
finished.json                  why it ended
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError, ResourceError
from osong.whole_files import write_whole

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ActiveFolder", "Round"]

_VERSION: Final = 1
_EXPECTED: Final = ("mean", "deviation")


@dataclass(frozen=True)
class Round:
    """One round of a run.

    Attributes
    ----------
    number
        From 0; the first is chosen without a surrogate.
    index
        (n,) int64: positions in the library of what is to be docked, most promising first.
    scores
        (n,) float64, NaN where docking failed; None while there are no answers.
    mean, deviation
        (n,) float64: what the surrogate expected of each, noise included; None where there was
        none.
    notes
        What the surrogate expected when it chose.
    """

    number: int
    index: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None
    notes: dict[str, Any]
    mean: npt.NDArray[np.float64] | None = None
    deviation: npt.NDArray[np.float64] | None = None


class ActiveFolder:
    """Files of one run.

    Parameters
    ----------
    folder
        New, or that of a run to go on with.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def begin(self, asked: dict[str, Any]) -> None:
        """Write what is asked, or compare it with what was asked before.

        Raises
        ------
        CampaignError
            Where the folder belongs to another run; the message names what differs.
        """
        path = self.folder / "active.json"
        asked = json.loads(json.dumps({"version": _VERSION, **asked}))
        if not path.exists():
            if (self.round_folder(0) / "request.parquet").exists():
                raise CampaignError(
                    f"{path}: is missing and rounds are there: restore it, or begin anew elsewhere"
                )
            self._make(self.folder)
            write_whole(path, json.dumps(asked, indent=1) + "\n")
            return
        before = _read_json(path)
        if before.get("library") != asked.get("library"):
            raise CampaignError(
                f"{self.folder}: the library has changed since this run began: restore it, or "
                "begin anew in another folder"
            )
        old, new = _leaves(before), _leaves(asked)
        different = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        if different:
            raise CampaignError(
                f"{self.folder}: was begun with other settings ({', '.join(different)}): give the "
                "same, or another folder"
            )

    def begun(self) -> dict[str, Any] | None:
        """Return the settings with which the run began, or None where it has not."""
        path = self.folder / "active.json"
        return _read_json(path).get("settings") if path.exists() else None

    def library(self) -> str | None:
        """Return the digest of the library that the run began with, or None where it has not."""
        path = self.folder / "active.json"
        return _read_json(path).get("library") if path.exists() else None

    def rounds(self) -> list[Round]:
        """Return the rounds so far, in order."""
        found: list[Round] = []
        for number in range(self.n_rounds):
            path = self.round_folder(number) / "request.parquet"
            request = self._table(path)
            index = request["index"].to_numpy()
            answers = path.with_name("answers.parquet")
            scores = None
            if answers.exists():
                table = self._table(answers)
                if not np.array_equal(table["index"].to_numpy(), index):
                    raise CampaignError(f"{answers}: answers another request: remove it")
                scores = table["score"].to_numpy(zero_copy_only=False).astype(np.float64)
            found.append(Round(number, index, scores, self.notes(number), *_expected(request)))
        return found

    @property
    def n_rounds(self) -> int:
        """How many rounds were asked for, by name only.

        Raises
        ------
        CampaignError
            One before others is missing.
        """
        found = {path.parent.name for path in self.folder.glob("round-*/request.parquet")}
        missing = [k for k in range(len(found)) if self.round_folder(k).name not in found]
        if missing:
            path = self.round_folder(missing[0]) / "request.parquet"
            raise CampaignError(
                f"{path}: is missing and later rounds are there: restore it, or remove those after "
                "it, and they are chosen anew"
            )
        return len(found)

    def notes(self, number: int) -> dict[str, Any]:
        """Return what the surrogate expected when it chose a round."""
        path = self.round_folder(number) / "round.json"
        return _read_json(path) if path.exists() else {}

    def write_request(
        self,
        number: int,
        index: npt.NDArray[np.int64],
        notes: dict[str, Any],
        expected: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
    ) -> None:
        """Write which molecules a round docks, and what is expected of them; older surrogates go.

        Parameters
        ----------
        expected
            Mean and deviation, (n,) each.
        """
        folder = self.round_folder(number)
        self._make(folder)
        write_whole(folder / "round.json", json.dumps(notes, indent=1) + "\n")
        columns = {"index": pa.array(index, pa.int64())}
        if expected is not None:
            for name, values in zip(_EXPECTED, expected, strict=True):
                columns[name] = pa.array(values, pa.float64())
        self._write(folder / "request.parquet", pa.table(columns))
        shutil.rmtree(folder / "networks", ignore_errors=True)
        for older in range(number):
            for name in ("surrogate.pt", "surrogate.json"):
                (self.round_folder(older) / name).unlink(missing_ok=True)

    def write_answers(
        self, number: int, index: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]
    ) -> None:
        """Write the scores of a round; what is no number is written as none."""
        scores = np.asarray(scores, dtype=np.float64)
        column = pa.array(scores, pa.float64(), mask=~np.isfinite(scores))
        table = pa.table({"index": pa.array(index, pa.int64()), "score": column})
        self._write(self.round_folder(number) / "answers.parquet", table)

    def write_finished(self, content: dict[str, Any]) -> None:
        """Write why the run ended."""
        content = {**content, "n_rounds": self.n_rounds}
        write_whole(self.folder / "finished.json", json.dumps(content, indent=1) + "\n")

    def finished(self) -> dict[str, Any] | None:
        """Return why the run ended, or None."""
        path = self.folder / "finished.json"
        content = _read_json(path) if path.exists() else None
        # A round that is gone since then was not all.
        is_so = content is not None and content.get("n_rounds") == self.n_rounds
        return content if is_so else None

    def round_folder(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.folder / f"round-{number:03d}"

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{folder}: cannot be made ({error.strerror or error}): choose another place"
            ) from error

    def _write(self, path: Path, table: pa.Table) -> None:
        """Write a table with its checksum, whole or not at all."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        table = table.replace_schema_metadata({"osong.checksum": _checksum(table)})
        try:
            try:
                pq.write_table(table, temporary, compression="zstd")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error.strerror or error}): free some space"
            ) from error

    def _table(self, path: Path) -> pa.Table:
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise CampaignError(
                f"{path}: is damaged: remove it, and what was asked is asked again"
            ) from error
        if (table.schema.metadata or {}).get(b"osong.checksum") != _checksum(table).encode():
            raise CampaignError(
                f"{path}: does not match its checksum: remove it, and what was asked is asked again"
            )
        return table


def _expected(request: pa.Table) -> tuple[npt.NDArray[np.float64], ...]:
    """Return what was expected of a round's molecules; nothing of the first round's."""
    return tuple(request[name].to_numpy() for name in _EXPECTED if name in request.column_names)


def _checksum(table: pa.Table) -> str:
    digest = blake2b(digest_size=16)
    for name in table.column_names:
        values = table[name].to_numpy(zero_copy_only=False)
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CampaignError(f"{path}: is damaged: restore it, or begin anew elsewhere") from error
    return content


def _leaves(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested settings by their whole names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{above}{key}"
        found |= _leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found
