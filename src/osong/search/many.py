"""`dock_many`: molecules one after the other on CPUs, or many at a time on a device."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias

from osong.backend import Backend
from osong.errors import LigandError
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target
from osong.search.memory import Misfit
from osong.search.pose import Pose
from osong.search.session import DockingSession

__all__ = ["BatchSession", "Found", "Molecule", "dock_many"]

_BATCH: Final = 256

Molecule: TypeAlias = Sequence[PreparedLigand] | LigandError
"""The variants of a molecule, or why there are none."""
Found: TypeAlias = list[Pose] | LigandError
"""The poses of a molecule, best first, or why there are none."""


class BatchSession(Protocol):
    """What docks many molecules at a time: ``osong.search.device_session.DeviceSession``."""

    def dock_many(self, molecules: Sequence[Sequence[PreparedLigand]]) -> Sequence[Found | Misfit]:
        """Return what became of each molecule, given its variants."""


def dock_many(
    target: Target,
    molecules: Iterable[Molecule],
    backend: Backend,
    *,
    threads: int = 1,
    **options: Any,
) -> Iterator[Found]:
    """Yield what became of each molecule, in their order.

    Parameters
    ----------
    target
        Receptor and box.
    molecules
        Taken one by one on CPUs, and by the hundred on a device, of which the first is used.
    backend
        Where.
    threads
        For what is docked on the CPU.
    options
        ``scoring``, ``effort``, ``n_poses`` and ``seed`` of ``DockingSession``.
    """
    on_cpu = DockingSession(target, threads=threads, **options)
    if not backend.devices:
        yield from (_dock(on_cpu, molecule) for molecule in molecules)
        return
    from osong.search.device_session import DeviceSession

    session: BatchSession = DeviceSession(target, device=backend.devices[0].index, **options)
    waiting = iter(molecules)
    while batch := list(itertools.islice(waiting, _BATCH)):
        ready = [molecule for molecule in batch if not isinstance(molecule, LigandError)]
        found = iter(session.dock_many(ready))
        for molecule in batch:
            if isinstance(molecule, LigandError):
                yield molecule
                continue
            answer = next(found)
            # What is too large for the device is for the CPU.
            yield _dock(on_cpu, molecule) if isinstance(answer, Misfit) else answer


def _dock(session: DockingSession, molecule: Molecule) -> Found:
    if isinstance(molecule, LigandError):
        return molecule
    try:
        return session.dock(molecule)
    except LigandError as error:
        return error
