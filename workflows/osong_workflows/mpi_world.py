"""MPI for those who need it only to find each other at the start and to part at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from osong.errors import CampaignError, InputError, MissingExtraError, OsongError
from osong_workflows.file_campaigns import campaign_folders
from osong_workflows.folder import CampaignFolder
from osong_workflows.mpi_start import guarded_start, prefer_ofi
from osong_workflows.settings import read_settings
from osong_workflows.shared_memory import sweep_shared_memory
from osong_workflows.tls import TLS_FOLDER, check_certificates, ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osong_workflows.tls import Certificates

__all__ = [
    "PILOT",
    "SCHEDULER",
    "START_LIMIT_S",
    "agreed_certificates",
    "fault_of_launch",
    "finalize",
    "folder_of_ranks",
    "one_rank_speaks",
    "time_limit",
    "world",
]

SCHEDULER: Final = 0
"""The rank that is Dask's scheduler."""
PILOT: Final = 1
"""The rank that is the pilot, and speaks for all."""
_LAUNCHED: Final = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Where launchers say how many ranks they started, the innermost first."""
_RANK: Final = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_FEWEST: Final = 3
START_LIMIT_S: Final = 300.0
"""A rank that does not come up within this leaves the others waiting, without a word from MPI."""
_FINALIZE_S: Final = 30.0
_SILENCE_S: Final = 3.0
"""So long silent ranks outlive the one that speaks: launchers end all when one ends."""
_VISIBLE_S: Final = 30.0
"""How long a parallel file system may take to show new certificates to other nodes."""


def world() -> Any:
    """Return MPI's communicator of all ranks after checking that it is what was asked for.

    Raises
    ------
    CampaignError
        MPI cannot be loaded, or does not go with its launcher, or has too few ranks.
    MissingExtraError
        A package is not installed.
    """
    for package in ("mpi4py", "dask_mpi"):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            _one_says(MissingExtraError(name, extra="mpi", purpose="the runner mpi"))
    import mpi4py

    sweep_shared_memory()
    # At the end of Python, MPI_Finalize would wait for lost ranks, for ever.
    mpi4py.rc.finalize = False
    # MPI_Init waits for lost ranks too, busily and with Python's lock in its hand: only the kernel
    # can end it. Slurm 22.05's pmi2 on a busy node has been seen to garble what a rank says; that
    # rank aborts, and its guard ends the others. The alarm is for what nobody has thought of.
    prefer_ofi(os.environ)
    signal.alarm(int(START_LIMIT_S))
    try:
        with guarded_start():
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise CampaignError(
            f"MPI cannot be loaded ({error}): load your site's MPI, or pip install mpich"
        ) from error
    finally:
        signal.alarm(0)
    fault = fault_of_launch(MPI.COMM_WORLD.Get_size(), os.environ)
    if fault:
        finalize(1)
        _one_says(CampaignError(fault))
    return MPI.COMM_WORLD


def folder_of_ranks(path: Path) -> Path:
    """Return the one campaign folder that all ranks are to work at; none of them makes it.

    Raises
    ------
    InputError
        There are several, or it is not there yet.
    CampaignError
        There is no campaign, or its folder cannot be used.
    """
    path = path.expanduser()
    try:
        folders = campaign_folders(path)
    except CampaignError as error:
        if not path.exists():
            raise
        raise InputError(
            f"{error}; the ranks of MPI begin no campaign: osong submit FILE does, and so does "
            "osong resume FILE on one node (Ctrl-C once it docks)"
        ) from error
    if len(folders) > 1:
        raise InputError(
            f"{path}: is {len(folders)} campaigns, and the ranks of MPI work at one: give its "
            f"folder, such as {folders[0]}"
        )
    read_settings(CampaignFolder.at(folders[0]).settings)
    return folders[0]


@contextlib.contextmanager
def one_rank_speaks() -> Iterator[None]:
    """Have what is wrong with a command said once, though each rank finds it on its own."""
    try:
        yield
    except OsongError as error:
        _one_says(error)


def _one_says(error: OsongError) -> NoReturn:
    """Raise an error in one of the processes that were started; the others end in silence.

    With a launcher that does not fit, each is rank 0 of its own world.
    """
    for name in _RANK:
        if os.environ.get(name, "0") != "0":
            time.sleep(_SILENCE_S)
            sys.exit(1)
    raise error


def fault_of_launch(n_ranks: int, environment: Mapping[str, str]) -> str:
    """Return what is wrong with how the ranks were started; "" if nothing."""
    found = [environment.get(name, "") for name in _LAUNCHED]
    n_started = next((int(value) for value in found if value.isdigit()), n_ranks)
    if n_ranks < n_started:
        return (
            f"{n_started} processes were started, but MPI sees {n_ranks}: the launcher does not "
            "go with this MPI library; take the mpiexec that belongs to it, or another "
            "srun --mpi=... (pmi2 for MPICH, pmix for Open MPI)"
        )
    if n_ranks < _FEWEST:
        return (
            f"the runner mpi needs at least {_FEWEST} ranks (scheduler, pilot, "
            f"workers) and has {n_ranks}: start it with, for example, mpiexec -n 4 osong resume "
            "FOLDER --runner mpi"
        )
    return ""


def agreed_certificates(comm: Any, folder: Path) -> Certificates:
    """Return the certificates: one rank makes them, and all find them in order.

    Raises
    ------
    CampaignError
        Some rank cannot use them; raised in one rank, the others end in silence.
    """
    rank = comm.Get_rank()
    certificates = None
    error = ""
    if rank == SCHEDULER:
        certificates, error = _tried(_make_certificates, folder)
    error = comm.bcast(error, root=SCHEDULER)
    if certificates is None and not error:
        certificates, error = _tried(_see_certificates, folder)
    errors = [each for each in comm.allgather(error) if each]
    if errors or certificates is None:
        finalize(1)
        if rank == PILOT:
            raise CampaignError(errors[0])
        sys.exit(1)
    return certificates


def _tried(get: Callable[[Path], Certificates], folder: Path) -> tuple[Certificates | None, str]:
    """Return certificates or what is wrong with them: all ranks must hear of it."""
    try:
        return get(folder), ""
    except OsongError as error:
        return None, str(error)


def _make_certificates(folder: Path) -> Certificates:
    if not (folder / "campaign.toml").exists():
        raise CampaignError(f"{folder}: is no campaign folder; osong screen makes one")
    return ensure_certificates(folder)


def _see_certificates(folder: Path) -> Certificates:
    """Wait until a parallel file system shows what another node has made."""
    deadline = time.monotonic() + _VISIBLE_S
    while not os.path.lexists(folder / TLS_FOLDER) and time.monotonic() < deadline:
        time.sleep(0.2)
    return check_certificates(folder)


@contextlib.contextmanager
def time_limit(what: str) -> Iterator[threading.Event]:
    """End the process when an event is not set in time: MPI would wait for ever."""
    event = threading.Event()

    def watch() -> None:
        if not event.wait(START_LIMIT_S):
            sys.stderr.write(f"osong: {what} within {START_LIMIT_S:g} s; start again\n")
            sys.stderr.flush()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield event
    finally:
        event.set()


def finalize(code: int) -> None:
    """End MPI, which all ranks must do; launchers take a rank that does not for a failure.

    A rank that is lost would make the others wait for ever: after a while they end with `code`.
    """
    from mpi4py import MPI

    timer = threading.Timer(_FINALIZE_S, os._exit, [code])
    timer.daemon = True
    timer.start()
    MPI.Finalize()
    timer.cancel()
