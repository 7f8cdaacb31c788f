"""What the processes of a campaign on devices do: CPUs prepare molecules, devices search batches.

A device process takes a `Batch` over its pipe and answers with one `Searched` for each molecule.
Poses are made of what it found by the processes that prepare: their exact energies take
milliseconds of Python, in which a device would search several more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from osong.errors import LigandError, ResourceError
from osong.ligands import LigandOptions
from osong.search import DockingSession
from osong.search.memory import Misfit
from osong_workflows.docking import DEFAULT_DOCKER, load_target
from osong_workflows.outcome import DockedMolecule, FailedMolecule
from osong_workflows.plain_poses import docked_molecule
from osong_workflows.pose_rescoring import pose_rescorer
from osong_workflows.preparing import prepare_record, warm_up
from osong_workflows.read_ahead import TwoSteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from osong.backend import Device
    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong.search.minima import RefinedMinima
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "DEVICE_DOCKERS",
    "Batch",
    "DeviceDockers",
    "DeviceSettings",
    "ForCpu",
    "Found",
    "HostWork",
    "Searched",
    "Unfinished",
    "build_host",
    "build_searcher",
]


@dataclass(frozen=True)
class DeviceDockers:
    """What a docker is made of where a device does its search, each as "module:function".

    Attributes
    ----------
    host
        Builds what prepares one record, and makes poses of an `Unfinished` one; given target and
        campaign settings.
    searcher
        Builds what searches a `Batch`; given target and `DeviceSettings`.
    """

    host: str
    searcher: str


DEVICE_DOCKERS: Final = {
    DEFAULT_DOCKER: DeviceDockers(
        host="osong_workflows.device_docking:build_host",
        searcher="osong_workflows.device_docking:build_searcher",
    )
}
"""By the docker that gives the same on a CPU; others know no device."""


@dataclass(frozen=True)
class DeviceSettings:
    """What a device process is told.

    Attributes
    ----------
    campaign
        The campaign's settings.
    device
        Which one.
    docker
        Builds what searches a batch.
    molecule_timeout_s
        Seconds after which a batch is given up.
    """

    campaign: CampaignSettings
    device: Device
    docker: str
    molecule_timeout_s: float


@dataclass(frozen=True)
class Batch:
    """Molecules that go to a device together.

    Attributes
    ----------
    index, name
        Number of the first one, and what messages call them all.
    molecules
        The variants of each.
    """

    index: int
    name: str
    molecules: tuple[tuple[PreparedLigand, ...], ...]


@dataclass(frozen=True)
class ForCpu:
    """A device's answer to a molecule that it cannot take: the CPU docks it.

    Attributes
    ----------
    reason
        What the molecule needs and what there is.
    """

    reason: str


@dataclass(frozen=True)
class Found:
    """A device's answer to a molecule that it searched.

    Attributes
    ----------
    minima
        Those of each variant.
    """

    minima: tuple[RefinedMinima, ...]


@dataclass(frozen=True)
class Unfinished:
    """A molecule that was searched and has no poses yet.

    Attributes
    ----------
    index, name
        Of its record.
    variants
        That were searched.
    minima
        Those of each variant.
    """

    index: int
    name: str
    variants: tuple[PreparedLigand, ...]
    minima: tuple[RefinedMinima, ...]


Searched: TypeAlias = FailedMolecule | Found | ForCpu
HostWork: TypeAlias = "Callable[[Record | Unfinished], tuple[PreparedLigand, ...] | DockedMolecule]"


def build_host(target_path: str, settings: CampaignSettings) -> HostWork:
    """Return what prepares records of a campaign and finishes molecules; it needs no maps."""
    options = LigandOptions(**settings.ligands)
    warm_up(options)
    target = load_target(target_path, settings)
    add_scores = pose_rescorer(target, settings)
    session = DockingSession(
        target,
        scoring=settings.scoring,
        effort=settings.effort,
        n_poses=settings.n_poses,
        seed=settings.seed,
    )

    def work(item: Record | Unfinished) -> tuple[PreparedLigand, ...] | DockedMolecule:
        if not isinstance(item, Unfinished):
            # Here, and not by the one process of the device.
            return tuple(map(session.with_geometries, prepare_record(item, options)))
        poses = session.finish(item.variants, item.minima)
        return add_scores(docked_molecule(poses, item.variants, backend="cuda"))

    return work


def build_searcher(target_path: str, settings: DeviceSettings) -> TwoSteps:
    """Open a session on the device and search a small molecule, so that all is compiled.

    The arrays of a batch are made while the device searches the one before.

    Raises
    ------
    OsongError
        The device cannot be used, or has no memory for the target.
    """
    from osong.search.device_session import DeviceSession

    campaign = settings.campaign
    session = DeviceSession(
        load_target(target_path, campaign),
        scoring=campaign.scoring,
        effort=campaign.effort,
        n_poses=campaign.n_poses,
        seed=campaign.seed,
        device=settings.device.index,
        share_bytes=settings.device.share_bytes,
    )
    number = settings.device.index
    # Now: once the molecule was searched, the target is in the device's memory.
    free_bytes = session.free_bytes()
    (found,) = session.search(session.ready([warm_up(LigandOptions(**campaign.ligands))]))
    if isinstance(found, Misfit):
        # No molecule is smaller: the device is given up, instead of one molecule after the other.
        raise ResourceError(
            f"device {number}: the target needs {_mib(session.target_bytes())} of its "
            f"memory and {_mib(free_bytes)} are free, so that no molecule fits ({found.reason})"
        )
    return TwoSteps(
        ready=lambda batch: session.ready(batch.molecules),
        finish=lambda ready: tuple(map(_searched, session.search(ready))),
    )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"


def _searched(found: tuple[RefinedMinima, ...] | LigandError | Misfit) -> Searched:
    if isinstance(found, Misfit):
        return ForCpu(found.reason)
    if isinstance(found, LigandError):
        return FailedMolecule(found.stage, str(found))
    return Found(found)
