"""Dask clusters of a campaign: their settings, their scheduler, their nannies, their doors.

Everything talks over the campaign's own certificates (``osong_workflows.tls``). What Dask serves
over HTTP is empty and on the loopback address, but for a dashboard that was asked for: that has
a secret in its address.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import secrets
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dask
import psutil
from distributed import Nanny, Scheduler, SpecCluster
from distributed.comm.addressing import parse_host_port
from distributed.utils import get_ip, get_ip_interface
from tornado.routing import PathMatches, Rule, RuleRouter

from osong.errors import CampaignError, InputError, MissingExtraError
from osong_workflows.folder import write_atomically
from osong_workflows.tls import private_folder, security

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osong_workflows.tls import Certificates

__all__ = [
    "DEATH_TIMEOUT_S",
    "LOOPBACK",
    "PROTOCOL",
    "CampaignNanny",
    "SchedulerFile",
    "address_towards",
    "dask_settings",
    "host_of",
    "listening_address",
    "nobody_listens",
    "quiet_dask",
    "running_scheduler",
    "usual_interface",
]

PROTOCOL: Final = "tls://"
LOOPBACK: Final = "127.0.0.1:0"
"""Any free port, and none that another machine can reach."""
DEATH_TIMEOUT_S: Final = 300
"""A worker that has not come up and found its scheduler by then ends itself; imports from a busy
parallel file system take a while. A worker that had found it ends when the connection does."""
_VISIBLE_S: Final = 60.0
"""How long a parallel file system may take to show a new file to other nodes."""
_PROBE_S: Final = 5.0
_RUN_FOLDER: Final = "run"
_NO_PAGES: Final[tuple[str, ...]] = ()
_DASHBOARD_PAGES: Final = ("distributed.http.scheduler.info", "distributed.http.statics")


def dask_settings(certificates: Certificates, *, dashboard: bool = False) -> dict[str, Any]:
    """Return what all processes of a cluster set in Dask's configuration.

    The certificates are in it as well as in what is passed to schedulers, workers and clients,
    so that whatever Dask opens on its own has them too.
    """
    ours = {"cert": str(certificates.certificate), "key": str(certificates.key)}
    comm = "distributed.comm"
    scheduler = "distributed.scheduler"
    worker = "distributed.worker"
    return {
        f"{comm}.default-scheme": "tls",
        f"{comm}.require-encryption": True,
        f"{comm}.tls.ca-file": str(certificates.authority),
        f"{comm}.tls.min-version": 1.3,
        f"{comm}.tls.scheduler": ours,
        f"{comm}.tls.worker": ours,
        f"{comm}.tls.client": ours,
        f"{comm}.timeouts.connect": "60s",
        f"{comm}.timeouts.tcp": "60s",
        f"{scheduler}.dashboard.tls": {"ca-file": str(certificates.authority)} | ours,
        f"{scheduler}.http.routes": list(_DASHBOARD_PAGES if dashboard else _NO_PAGES),
        f"{worker}.http.routes": list(_NO_PAGES),
        # A task that was twice with a worker that died goes back to the pilot.
        f"{scheduler}.allowed-failures": 1,
        # How long a frozen node keeps its tasks. Workers hold no GIL for long: docking is in
        # processes of its own.
        f"{scheduler}.worker-ttl": "300s",
        # Chunks are of even length and wait at the scheduler for the first thread that is free.
        f"{scheduler}.work-stealing": False,
        f"{scheduler}.worker-saturation": 1.0,
        f"{scheduler}.active-memory-manager.start": False,
        f"{worker}.memory": {
            **dask.config.get(f"{worker}.memory"),
            # Results are small; docking processes have limits of their own.
            **dict.fromkeys(("target", "spill", "pause", "terminate"), False),
        },
        f"{worker}.profile.enabled": False,
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.diagnostics.nvml": False,
    }


@contextlib.contextmanager
def quiet_dask(level: int = logging.CRITICAL) -> Iterator[None]:
    """Keep Dask's messages off the terminal: what went wrong is said in one line of our own."""
    # Dask gives its client's logger a level of its own.
    names = ("distributed", "distributed.client", "tornado", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)


def listening_address(interface: str = "", peer: str = "") -> str:
    """Return this host's address on an interface, or the one that a peer reaches.

    Raises
    ------
    InputError
        There is no such interface.
    """
    if interface:
        try:
            return str(get_ip_interface(interface))
        except ValueError as error:
            raise InputError(f"network interface '{interface}': {error}") from error
    return address_towards(peer) if peer else str(get_ip())


def host_of(address: str) -> str:
    """Return the host of an address such as "tls://10.0.0.1:4711"."""
    return str(parse_host_port(address.removeprefix(PROTOCOL))[0])


def address_towards(peer: str) -> str:
    """Return the address that this host uses to talk to another; nothing is sent."""
    try:
        family, _, _, _, address = socket.getaddrinfo(peer, 1, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return str(get_ip())


def usual_interface() -> str:
    """Return the name of the network interface that others reach; "" if it has none."""
    address = str(get_ip())
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            return name
    return ""


def nobody_listens(address: str) -> bool:
    """Return whether the host of an address is there and refuses: who listened there has ended."""
    host, port = parse_host_port(address.removeprefix(PROTOCOL))
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class SchedulerFile:
    """Where a pilot's scheduler listens, for workers that are started without being told.

    Attributes
    ----------
    path
        ``<campaign>/run/scheduler-<pilot>.json``. The folder is for the user alone.
    """

    path: Path

    @classmethod
    def of_pilot(cls, folder: Path, pilot: str) -> SchedulerFile:
        """Return the file of a pilot; its folder is there then.

        Raises
        ------
        CampaignError
            Others may look into the folder, or it cannot be made.
        """
        run = private_folder(folder / _RUN_FOLDER)
        return cls(run / f"scheduler-{pilot}.json")

    @property
    def campaign(self) -> Path:
        """The campaign folder that it lies in."""
        return self.path.absolute().parent.parent

    @contextlib.contextmanager
    def telling(self, address: str) -> Iterator[None]:
        """Have the file there, with this address, for a while."""
        write_atomically(self.path, json.dumps({"address": address}).encode())
        try:
            yield
        finally:
            self.path.unlink(missing_ok=True)

    def read(self, wait_s: float = _VISIBLE_S) -> str:
        """Return the scheduler's address; wait for a file that is not there yet.

        Raises
        ------
        CampaignError
            It does not come, or is none.
        """
        deadline = time.monotonic() + wait_s
        while True:
            try:
                address = json.loads(self.path.read_bytes())["address"]
            except FileNotFoundError as error:
                # A parallel file system may show it to other nodes some seconds later.
                if time.monotonic() > deadline:
                    raise CampaignError(
                        f"{self.path}: no scheduler is there; its pilot has ended, or never began"
                    ) from error
                time.sleep(0.5)
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CampaignError(f"{self.path}: is no scheduler file") from error
            if not isinstance(address, str) or not address.startswith(PROTOCOL):
                raise CampaignError(f"{self.path}: is no scheduler file")
            return address


class CampaignNanny(Nanny):
    """A nanny that remembers why it ended."""

    ended_because: str = ""
    """Of the one nanny of this process: Dask's own words, "" while it works."""

    def close_gracefully(self, reason: str = "nanny-close-gracefully") -> None:
        """Hear from the worker that it ends, and why."""
        CampaignNanny.ended_because = reason
        super().close_gracefully(reason)

    async def close(self, timeout: float = 5, reason: str = "nanny-close") -> Any:
        """End worker and nanny."""
        CampaignNanny.ended_because = CampaignNanny.ended_because or reason
        return await super().close(timeout=timeout, reason=reason)


class _CampaignScheduler(Scheduler):
    """A scheduler whose pages answer only those who know the prefix of their addresses.

    Other users of the machine can reach the loopback address too, and Dask redirects from "/" and
    lists all pages in "/sitemap.json".
    """

    def __init__(self, *, http_prefix: str, **options: Any) -> None:
        self._only_under = http_prefix
        super().__init__(http_prefix=http_prefix, **options)

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Start the server with a gate before it."""
        super().start_http_server(*arguments, **options)
        gate = Rule(PathMatches(f"{self._only_under}/.*"), self.http_application)
        self.http_server.request_callback = RuleRouter([gate])


@dataclass(frozen=True)
class RunningScheduler:
    """A scheduler inside this process.

    Attributes
    ----------
    address
        Where workers and clients reach it.
    dashboard
        What to tell who wants to see the dashboard; "" without one.
    """

    address: str
    dashboard: str


@contextlib.contextmanager
def running_scheduler(
    certificates: Certificates, host: str, *, dashboard: bool = False
) -> Iterator[RunningScheduler]:
    """Run a scheduler in a thread of this process, and end it with its workers.

    Raises
    ------
    CampaignError
        It cannot listen there.
    MissingExtraError
        A dashboard was asked for and its package is not installed.
    """
    if dashboard:
        _check_bokeh()
    _allow_many_files()
    prefix = f"/{secrets.token_urlsafe(24)}"
    settings = dask_settings(certificates, dashboard=dashboard)
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        options = {
            "host": host,
            "protocol": PROTOCOL,
            "security": security(certificates),
            "dashboard": dashboard,
            "dashboard_address": LOOPBACK,
            "http_prefix": prefix,
        }
        try:
            cluster = stack.enter_context(
                SpecCluster(
                    scheduler={"cls": _CampaignScheduler, "options": options},
                    workers={},
                    security=security(certificates),
                    silence_logs=False,
                )
            )
        except (OSError, RuntimeError) as error:
            raise CampaignError(f"no scheduler can listen on {host}: {error}") from error
        scheduler = cluster.scheduler
        page = f"https://localhost:{scheduler.http_server.port}{prefix}/status"
        yield RunningScheduler(cluster.scheduler_address, _how_to_see(page) if dashboard else "")


def _how_to_see(page: str) -> str:
    """Return the commands that open a page of this host elsewhere."""
    port = page.split(":")[2].partition("/")[0]
    host = socket.gethostname()
    return f"dashboard: ssh -N -L {port}:localhost:{port} {host}, then open {page}"


def _check_bokeh() -> None:
    try:
        import bokeh  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise MissingExtraError("bokeh", extra="dashboard", purpose="a dashboard") from error


def _allow_many_files() -> None:
    """Raise the limit of open files as far as one may: each worker takes some sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
