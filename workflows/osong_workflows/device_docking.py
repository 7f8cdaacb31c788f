"""What the processes of a campaign on devices do: some prepare molecules, some search batches.

A device process takes a `Batch` over its pipe and answers with one `Searched` for each molecule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from osong.errors import LigandError, ResourceError
from osong.ligands import LigandOptions
from osong.search.memory import Misfit
from osong_workflows.docking import DEFAULT_DOCKER, load_target
from osong_workflows.outcome import DockedMolecule, FailedMolecule, Outcome, checked
from osong_workflows.plain_poses import docked_molecule
from osong_workflows.preparing import prepare_record, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong.search.many import BatchSession, Found
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "DEVICE_DOCKERS",
    "Batch",
    "DeviceDockers",
    "DeviceSettings",
    "ForCpu",
    "Searched",
    "Searcher",
    "build_campaign_preparer",
    "build_searcher",
    "search_batch",
]


@dataclass(frozen=True)
class DeviceDockers:
    """What a docker is made of where a device does its search, each as "module:function".

    Attributes
    ----------
    preparer
        Builds what prepares one record; given target and campaign settings.
    searcher
        Builds what searches a `Batch`; given target and `DeviceSettings`.
    """

    preparer: str
    searcher: str


DEVICE_DOCKERS: Final = {
    DEFAULT_DOCKER: DeviceDockers(
        preparer="osong_workflows.device_docking:build_campaign_preparer",
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
        Number of its device among the visible ones.
    docker
        Builds what searches a batch.
    molecule_timeout_s
        Seconds after which a batch is given up.
    """

    campaign: CampaignSettings
    device: int
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


Searched: TypeAlias = Outcome | ForCpu
Searcher: TypeAlias = "Callable[[Batch], tuple[Searched, ...]]"


def build_campaign_preparer(
    target_path: str, settings: CampaignSettings
) -> Callable[[Record], tuple[PreparedLigand, ...]]:
    """Return what prepares one record of a campaign; there is no target to look at."""
    options = LigandOptions(**settings.ligands)
    warm_up(options)
    return lambda record: prepare_record(record, options)


def build_searcher(target_path: str, settings: DeviceSettings) -> Searcher:
    """Open a session on the device and search a small molecule, so that all is compiled.

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
        device=settings.device,
    )
    # Now: once the molecule was searched, the target is in the device's memory.
    free_bytes = session.free_bytes()
    (found,) = session.dock_many([warm_up(LigandOptions(**campaign.ligands))])
    if isinstance(found, Misfit):
        # No molecule is smaller: the device is given up, instead of one molecule after the other.
        raise ResourceError(
            f"device {settings.device}: the target needs {_mib(session.target_bytes())} of its "
            f"memory and {_mib(free_bytes)} are free, so that no molecule fits ({found.reason})"
        )
    return lambda batch: search_batch(session, batch)


def search_batch(session: BatchSession, batch: Batch) -> tuple[Searched, ...]:
    """Return what became of each molecule of a batch."""
    found = session.dock_many(batch.molecules)
    return tuple(
        _searched(poses, variants) for poses, variants in zip(found, batch.molecules, strict=True)
    )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"


def _searched(poses: Found | Misfit, variants: tuple[PreparedLigand, ...]) -> Searched:
    if isinstance(poses, Misfit):
        return ForCpu(poses.reason)
    if isinstance(poses, LigandError):
        return FailedMolecule(poses.stage, str(poses))
    docked: DockedMolecule = docked_molecule(poses, variants, backend="cuda")
    return checked(docked)
