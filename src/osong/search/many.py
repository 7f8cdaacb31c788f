"""`dock_many`: molecules one after the other on CPUs, or many at a time on devices."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from osong.backend import Backend, Device
from osong.errors import LigandError
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target
from osong.search.device_pool import DevicePool
from osong.search.memory import Misfit
from osong.search.pose import Pose
from osong.search.session import DockingSession

__all__ = ["BatchSession", "Found", "Molecule", "dock_many"]

_BATCH: Final = 256
_NAMED: Final = 3
"""So many molecules that the CPU docks instead are named; of a large library it may be many."""
_FEWEST: Final = 64
"""Molecules of a batch where several devices share them: enough to keep any device busy."""

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
    is_cpu_next: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Iterator[Found]:
    """Yield what became of each molecule, in their order.

    Parameters
    ----------
    target
        Receptor and box.
    molecules
        Taken one by one on CPUs, and by the hundred on devices, one batch ahead.
    backend
        Where; all of its devices are used.
    threads
        For what is docked on the CPU.
    is_cpu_next
        Whether the CPU docks what is left where the last device fails, as with ``auto``.
    tell
        Takes one line on what the CPU or another device docks instead of a device, and why.
    options
        ``scoring``, ``effort``, ``n_poses`` and ``seed`` of ``DockingSession``.

    Raises
    ------
    MissingExtraError, ResourceError
        The last device cannot be used or fails, and ``is_cpu_next`` is not set.
    """
    on_cpu = DockingSession(target, threads=threads, **options)
    waiting = iter(molecules)
    settle = partial(_settle, on_cpu=on_cpu, named=set(), tell=tell)
    if backend.devices:
        pool: DevicePool[list[Molecule], list[Found | Misfit]] = DevicePool(
            backend.devices, partial(_open, target, options=options), tell
        )
        batches = _batches(waiting, len(backend.devices))
        with contextlib.closing(pool.search(batches)) as searched:
            for batch, answers in searched:
                yield from settle(batch, answers)
        if pool.error is not None:
            if not is_cpu_next:
                raise pool.error
            tell(f"the CPU docks from here on: {' '.join(str(pool.error).split())}")
            for batch, found in pool.left():
                yield from settle(batch, found)
    yield from (_dock(on_cpu, molecule) for molecule in waiting)


def _batches(molecules: Iterator[Molecule], n_devices: int) -> Iterator[list[Molecule]]:
    """Yield molecules by the batch: smaller ones for more devices, so that all have work."""
    size = min(_BATCH, max(_FEWEST, _BATCH // n_devices))
    while batch := list(itertools.islice(molecules, size)):
        yield batch


def _open(
    target: Target, device: Device, options: Mapping[str, Any]
) -> Callable[[Sequence[Molecule]], list[Found | Misfit]]:
    from osong.search.device_session import DeviceSession

    session = DeviceSession(target, device=device.index, share_bytes=device.share_bytes, **options)
    return partial(_search, session)


def _search(session: BatchSession, batch: Sequence[Molecule]) -> list[Found | Misfit]:
    """Return what became of each molecule, also of those that are none."""
    ready = [molecule for molecule in batch if not isinstance(molecule, LigandError)]
    found = iter(session.dock_many(ready))
    return [molecule if isinstance(molecule, LigandError) else next(found) for molecule in batch]


def _settle(
    batch: Sequence[Molecule],
    answers: Sequence[Found | Misfit] | None,
    *,
    on_cpu: DockingSession,
    named: set[str],
    tell: Callable[[str], None],
) -> Iterator[Found]:
    """Yield what became of each molecule of a batch; the CPU docks what no device did."""
    if answers is None:
        yield from (_dock(on_cpu, molecule) for molecule in batch)
        return
    for molecule, answer in zip(batch, answers, strict=True):
        if isinstance(answer, Misfit):
            _tell_misfit(molecule, answer, named, tell)
            yield _dock(on_cpu, molecule)
        else:
            yield answer


def _tell_misfit(
    molecule: Molecule, misfit: Misfit, named: set[str], tell: Callable[[str], None]
) -> None:
    """Say once for each name why the CPU docks a molecule, unless enough were named."""
    name = "" if isinstance(molecule, LigandError) else molecule[0].name
    if name in named or len(named) > _NAMED:
        return
    named.add(name)
    if len(named) <= _NAMED:
        tell(f"{name}: the CPU docks it: {misfit.reason}")
    else:
        tell("the CPU docks more molecules that devices cannot take, unnamed")


def _dock(session: DockingSession, molecule: Molecule) -> Found:
    if isinstance(molecule, LigandError):
        return molecule
    try:
        return session.dock(molecule)
    except LigandError as error:
        return error
