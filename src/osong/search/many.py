"""`dock_many`: molecules one after the other on CPUs, or many at a time on a device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from osong.backend import Backend
from osong.errors import LigandError, MissingExtraError, ResourceError
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target
from osong.search.memory import Misfit
from osong.search.pose import Pose
from osong.search.session import DockingSession

__all__ = ["BatchSession", "Found", "Molecule", "dock_many"]

_BATCH: Final = 256
_Result = TypeVar("_Result")

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
        Taken one by one on CPUs, and by the hundred on a device, of which the first is used.
    backend
        Where.
    threads
        For what is docked on the CPU.
    is_cpu_next
        Whether the CPU docks what is left where the device fails, as with ``auto``.
    tell
        Takes one line on what the CPU docks instead of the device, and why.
    options
        ``scoring``, ``effort``, ``n_poses`` and ``seed`` of ``DockingSession``.

    Raises
    ------
    MissingExtraError, ResourceError
        The device cannot be used or fails, and ``is_cpu_next`` is not set.
    """
    on_cpu = DockingSession(target, threads=threads, **options)
    waiting = iter(molecules)
    session: BatchSession | None = None
    if backend.devices:
        number = backend.devices[0].index
        session = _attempt(lambda: _open(target, number, options), is_cpu_next, tell)
    named: set[str] = set()
    while session is not None and (batch := list(itertools.islice(waiting, _BATCH))):
        answers = _attempt(partial(_search, session, batch), is_cpu_next, tell)
        if answers is None:
            session, waiting = None, itertools.chain(batch, waiting)
            continue
        for molecule, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Misfit):
                _tell_misfit(molecule, answer, named, tell)
                yield _dock(on_cpu, molecule)
            else:
                yield answer
    yield from (_dock(on_cpu, molecule) for molecule in waiting)


def _open(target: Target, number: int, options: Mapping[str, Any]) -> BatchSession:
    from osong.search.device_session import DeviceSession

    return DeviceSession(target, device=number, **options)


def _search(session: BatchSession, batch: Sequence[Molecule]) -> list[Found | Misfit]:
    """Return what became of each molecule, also of those that are none."""
    ready = [molecule for molecule in batch if not isinstance(molecule, LigandError)]
    found = iter(session.dock_many(ready))
    return [molecule if isinstance(molecule, LigandError) else next(found) for molecule in batch]


def _attempt(
    action: Callable[[], _Result], is_cpu_next: bool, tell: Callable[[str], None]
) -> _Result | None:
    """Return what an action on a device gives; None where it failed and the CPU goes on."""
    try:
        return action()
    except (MissingExtraError, ResourceError) as error:
        if not is_cpu_next:
            raise
        reason = " ".join(str(error).split())
        tell(f"the CPU docks from here on: {reason}")
        return None


def _tell_misfit(
    molecule: Molecule, misfit: Misfit, named: set[str], tell: Callable[[str], None]
) -> None:
    """Say once for each name why the CPU docks a molecule."""
    name = "" if isinstance(molecule, LigandError) else molecule[0].name
    if name not in named:
        named.add(name)
        tell(f"{name}: the CPU docks it: {misfit.reason}")


def _dock(session: DockingSession, molecule: Molecule) -> Found:
    if isinstance(molecule, LigandError):
        return molecule
    try:
        return session.dock(molecule)
    except LigandError as error:
        return error
