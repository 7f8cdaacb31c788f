"""`rescored.parquet`: what GNINA's networks say of a campaign's best molecules, beside the parts.

One row a molecule, in the library's order. The file is written whole under a temporary name and
renamed; whoever rescores again with the same networks keeps its rows. Those of other networks are
put aside, into a file named by their key, and are there again when these networks are.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong_workflows.cnn_columns import CNN_FIELDS
from osong_workflows.folder import full_disk, sync_folder
from osong_workflows.merge import RANKED_COLUMNS
from osong_workflows.parts import PART_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osong.rescoring.rescorer import Rescorer
    from osong.rescoring.stream import PoseRescorer
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.merge import RankBy

__all__ = [
    "RescoredFile",
    "RescoredMolecules",
    "best_rescored",
    "count_ranked",
    "sweep",
]

_FILE: Final = "rescored.parquet"
_KEY: Final = b"osong.key"
_SAYS: Final = b"osong.rescoring"
_OF_PARTS: Final = (1, "float32")
"""Rotations and number format of a campaign that rescores where it docks."""
_VERSION: Final = 2
"""Of what decides scores, beside networks and options."""

_SCHEMA: Final = pa.schema([*(PART_SCHEMA.field(name) for name in RANKED_COLUMNS), *CNN_FIELDS])


@dataclass(frozen=True)
class RescoredMolecules:
    """What a call of `rescore_molecules` did.

    Attributes
    ----------
    path
        The file.
    n_in, n_ok, n_failed
        Molecules that were asked for, and how they ended.
    n_kept
        Those that were rescored before.
    n_aside
        Rows of other networks or options that were in the file before, and are in ``aside`` now.
    aside
        Where those are; None where there were none.
    failures
        Name and reason of the first that failed.
    notes
        What was decided for odd elements.
    """

    path: Path
    n_in: int
    n_ok: int
    n_failed: int
    n_kept: int
    n_aside: int
    aside: Path | None
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def count_ranked(folder: CampaignFolder, networks: Mapping[str, str]) -> int | None:
    """Return how many molecules the file ranks; None where the parts rank all instead.

    Parts have the scores of all molecules, where the campaign rescores. They rank unless other
    networks, or the same with other options, were asked later.

    Parameters
    ----------
    networks
        Name and SHA-256 of the networks that scored the parts; empty where none did.
    """
    with _reading(folder.path / _FILE) as file:
        if file is None:
            return None if networks else 0
        says = _says(file.schema_arrow)
        hashes = sorted(network["sha256"] for network in says.get("networks", ()))
        options = (says.get("rotations"), says.get("dtype"))
        if networks and hashes == sorted(networks.values()) and options == _OF_PARTS:
            return None
        scores = file.read(["cnn_score"])["cnn_score"]
        return len(scores) - scores.null_count


def sweep(folder: CampaignFolder) -> None:
    """Remove what a killed process left; nobody else may be writing."""
    for leftover in folder.path.glob(f".{_FILE}.*.tmp"):
        leftover.unlink(missing_ok=True)


def best_rescored(
    folder: CampaignFolder, campaign_key: str, n: int | None, rank_by: RankBy
) -> pa.Table:
    """Return the ``n`` rescored molecules that networks rank first; None: all with scores.

    Ties go by energy, then by name, then by the library's order.

    Raises
    ------
    CampaignError
        Nothing is rescored, or the file is damaged or another campaign's.
    """
    path = folder.path / _FILE
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            is_ours = _says(file.schema_arrow).get("campaign") == campaign_key
            table = file.read() if is_ours else None
    except FileNotFoundError as error:
        raise CampaignError(
            f"{folder.path}: nothing is rescored yet; run: osong rescore {folder.path}"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise CampaignError(_damage(path, str(error))) from error
    if table is None:
        raise CampaignError(
            f"{path}: belongs to another campaign; remove it, then run: osong rescore {folder.path}"
        )
    scored = table.filter(pc.is_valid(table["cnn_score"]))
    order = [(rank_by, "descending"), *((by, "ascending") for by in ("energy", "name", "index"))]
    return scored.sort_by(order).slice(0, n)


class RescoredFile:
    """The rows so far: those of the file that are still good, and those that came since.

    Parameters
    ----------
    folder
        The campaign's.
    campaign_key
        Of the campaign's plan: rows of another campaign are not taken over.
    scorer
        The networks: rows of others are not taken over either.
    """

    def __init__(self, folder: CampaignFolder, campaign_key: str, scorer: PoseRescorer) -> None:
        self._path = folder.path / _FILE
        self._campaign = campaign_key
        self._scorer = scorer
        self._key = _rescoring_key(campaign_key, scorer.rescorer)
        self._aside, self._n_aside = _others(self._path, self._key)
        # Where others have the file, or it is gone, mine may have been put aside earlier.
        is_mine = self._aside is None and self._path.exists()
        mine = self._path if is_mine else _aside(self._path, self._key)
        self._tables, self._before = _read_kept(mine)
        # They come back, with or without new rows.
        self._is_changed = not is_mine and len(self._tables[0]) > 0

    def missing(self, best: pa.Table) -> pa.Table:
        """Return the molecules that have no row, and let go of rows with another energy."""
        kept = self._tables[0]
        energies = dict(zip(kept["index"].to_pylist(), kept["energy"].to_pylist(), strict=True))
        pairs = zip(best["index"].to_pylist(), best["energy"].to_pylist(), strict=True)
        is_missing = pa.array([energies.get(i) != energy for i, energy in pairs], pa.bool_())
        missing = best.filter(is_missing)
        is_stale = pc.is_in(kept["index"], value_set=missing["index"].combine_chunks())
        self._tables = [kept.filter(pc.invert(is_stale))]
        return missing

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take rows."""
        self._tables.append(pa.Table.from_pylist(rows, _SCHEMA))
        self._is_changed = True

    def take_over(self) -> None:
        """Make the file that of these networks, where it is others', though no row may come."""
        self._is_changed = self._is_changed or self._aside is not None

    def write(self) -> None:
        """Write the file anew, whole, where there is something new."""
        if not self._is_changed:
            return
        says = json.dumps(self._describe(), sort_keys=True)
        metadata = {_KEY: self._key.encode(), _SAYS: says.encode()}
        table = self._joined().sort_by("index").replace_schema_metadata(metadata)
        temporary = self._path.with_name(f".{_FILE}.{uuid.uuid4().hex[:8]}.tmp")
        with full_disk(self._path.parent):
            try:
                with temporary.open("wb") as file:
                    pq.write_table(table, file, compression="zstd", write_page_checksum=True)
                    file.flush()
                    os.fsync(file.fileno())
                if self._aside is not None and self._path.exists():
                    self._path.replace(self._aside)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(self._path.parent)
        self._is_changed = False
        _aside(self._path, self._key).unlink(missing_ok=True)

    def summary(self, best: pa.Table, n_kept: int) -> RescoredMolecules:
        """Count how the molecules that were asked for ended."""
        table = self._joined()
        asked = table.filter(pc.is_in(table["index"], value_set=best["index"].combine_chunks()))
        failed = asked.filter(pc.is_valid(asked["cnn_reason"])).sort_by("index")
        shown = failed.slice(0, 10).to_pylist()
        return RescoredMolecules(
            path=self._path,
            n_in=len(best),
            n_ok=len(asked) - len(failed),
            n_failed=len(failed),
            n_kept=n_kept,
            n_aside=self._n_aside,
            aside=self._aside,
            failures=tuple((row["name"], row["cnn_reason"]) for row in shown),
            notes=tuple(self._describe()["notes"]),
        )

    def _joined(self) -> pa.Table:
        self._tables = [pa.concat_tables(self._tables).combine_chunks()]
        return self._tables[0]

    def _describe(self) -> dict[str, Any]:
        """Return what the scores depend on; devices and versions may be several."""
        says = self._scorer.rescorer.describe()
        for name in ("device", "torch", "gninatorch"):
            says[name] = sorted({*self._before.get(name, ()), says[name]})
        fuser = self._scorer.fuser
        fusion = self._before.get("fusion", {}) | fuser.describe()["fusion"]
        not_fused = (f"no fused score: {reason}" for reason in fuser.without)
        notes = sorted({*self._before.get("notes", ()), *self._scorer.notes, *not_fused})
        return says | {"campaign": self._campaign, "fusion": fusion, "notes": notes}


def _rescoring_key(campaign_key: str, rescorer: Rescorer) -> str:
    """Return a hash of what decides scores: not where they are computed."""
    says = rescorer.describe()
    networks = [network["sha256"] for network in says["networks"]]
    decides = [_VERSION, campaign_key, networks, says["rotations"], says["dtype"]]
    return blake2b(json.dumps(decides).encode(), digest_size=16).hexdigest()


def _aside(path: Path, key: str) -> Path:
    """Return where the rows of some networks are while others have the file."""
    return path.with_name(f"{path.stem}.{key[:12]}{path.suffix}")


def _others(path: Path, key: str) -> tuple[Path | None, int]:
    """Return where the rows of other networks go, and how many there are; None for none."""
    with _reading(path) as file:
        if file is None:
            return None, 0
        found = ((file.schema_arrow.metadata or {}).get(_KEY) or b"none").decode()
        return (None, 0) if found == key else (_aside(path, found), file.metadata.num_rows)


def _read_kept(path: Path) -> tuple[list[pa.Table], dict[str, Any]]:
    """Return the rows of a file and what it says of them; none where there is none."""
    with _reading(path) as file:
        if file is None:
            return [_SCHEMA.empty_table()], {}
        return [file.read().cast(_SCHEMA)], _says(file.schema_arrow)


@contextmanager
def _reading(path: Path) -> Iterator[pq.ParquetFile | None]:
    """Open a file; None where there is none."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        yield None
    except (OSError, pa.ArrowException) as error:
        raise CampaignError(_damage(path, str(error))) from error


def _says(schema: pa.Schema) -> dict[str, Any]:
    return dict(json.loads((schema.metadata or {}).get(_SAYS, b"{}")))


def _damage(path: Path, reason: str) -> str:
    return f"{path}: is damaged ({reason}); remove it, then run: osong rescore {path.parent}"
