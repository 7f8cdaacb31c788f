"""What a ligand costs the host of a device: measured here, since a device is not needed for it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from osong.errors import LigandError
from osong.library import parse_record, read_records
from osong.ligands import PreparedLigand, prepare_ligand
from osong.quickstart import DRUGS
from osong.search.chains import find_minima, search_rules
from osong.search.minima import RefinedMinima
from osong.search.refine import refine, refine_rules
from osong.search.session import DockingSession
from osong_benchmarks.cases import made_target
from osong_workflows.plain_poses import docked_molecule

__all__ = ["HostCosts", "measure_host"]

_EVERY: Final = 4
"""Of the drugs in the package: some thirty-six are enough for a mean."""
_EDGE: Final = 22.5
_N_CHAINS: Final = 128
_STORED: Final = 6
"""Geometries of most ligands of a prepared library (docs/adr/0011-several-geometries.md)."""
_REPEATS: Final = 3

T = TypeVar("T")


@dataclass(frozen=True)
class HostCosts:
    """Milliseconds of one core for a molecule, all its variants together.

    Attributes
    ----------
    n_molecules
        Of which this is the mean.
    prepare
        From SMILES to what goes to a device.
    feed, feed_prepared
        In the device's process: arrays of the search, and messages in and out; the second where
        nobody prepares, so that it mixes geometries too.
    finish
        From minima to the plain poses of a part.
    """

    n_molecules: int
    prepare: float
    feed: float
    feed_prepared: float
    finish: float


def measure_host(every: int = _EVERY) -> HostCosts:
    """Return what molecules like drugs cost, effort ``fast``."""
    session = DockingSession(made_target(_EDGE), effort="fast")
    texts = [record for record in read_records(DRUGS) if record.index % every == 0]
    parsed = [parse_record(record) for record in texts]
    prepare_ligand(parsed[0])  # loads what loads once
    seconds, prepared = _timed(lambda: [_prepared(session, mol) for mol in parsed])
    molecules = [variants for variants in prepared if variants]
    stored = [[_as_stored(ligand) for ligand in variants] for variants in molecules]
    found = [[_search(session, ligand) for ligand in variants] for variants in molecules]
    n = len(molecules)
    return HostCosts(
        n_molecules=n,
        prepare=1e3 * seconds / n,
        feed=_mean_ms(lambda: _feed(session, molecules, found), n),
        feed_prepared=_mean_ms(lambda: _feed(session, stored, found), n),
        finish=_mean_ms(lambda: _finish(session, molecules, found), n),
    )


def _mean_ms(action: Callable[[], None], n: int) -> float:
    """Return the milliseconds of a molecule, the least of some runs."""
    return min(1e3 * _timed(action)[0] / n for _ in range(_REPEATS))


def _prepared(session: DockingSession, mol: Any) -> list[PreparedLigand]:
    try:
        ligands = prepare_ligand(mol)
    except LigandError:
        return []
    return list(map(session.with_geometries, ligands))


def _as_stored(ligand: PreparedLigand) -> PreparedLigand:
    """Return a ligand with the few geometries that a prepared library holds."""
    packed = ligand.packed
    return replace(ligand, packed=replace(packed, coords=packed.coords[:_STORED]))


def _search(session: DockingSession, prepared: PreparedLigand) -> RefinedMinima:
    ligand, arrays = session.arrays_of(prepared)
    minima = find_minima(
        arrays, session.maps.field(), session.target.box, session.scoring, session.effort,
        session.key_of(ligand),
    )  # fmt: skip
    return refine(minima, arrays, session.receptor, session.target.box, session.scoring)


def _feed(
    session: DockingSession,
    molecules: Sequence[Sequence[PreparedLigand]],
    found: Sequence[Sequence[RefinedMinima]],
) -> None:
    """Do what a device's process does on the host with a batch."""
    from osong_kernels.cuda.layout import LigandInput, pack_ligands

    batch = pickle.loads(pickle.dumps(molecules, pickle.HIGHEST_PROTOCOL))
    inputs = []
    for ligand in (ligand for variants in batch for ligand in variants):
        _, arrays = session.arrays_of(ligand)
        refine_rules(arrays)
        rules, key = search_rules(arrays), session.key_of(ligand)
        inputs.append(
            LigandInput(arrays.topology, arrays.pairs, rules, key, 100, 0, arrays.atom_type)
        )
    pack_ligands(inputs, _N_CHAINS)
    pickle.dumps(found, pickle.HIGHEST_PROTOCOL)


def _finish(
    session: DockingSession,
    molecules: Sequence[Sequence[PreparedLigand]],
    found: Sequence[Sequence[RefinedMinima]],
) -> None:
    """Do what a preparing process does with what a device has found."""
    for variants, minima in zip(molecules, found, strict=True):
        try:
            docked_molecule(session.finish(variants, minima), variants, backend="cuda")
        except LigandError:
            continue  # no pose in the box: found out at the same cost


def _timed(action: Callable[[], T]) -> tuple[float, T]:
    begin = time.process_time()
    done = action()
    return time.process_time() - begin, done
