"""``rescore = "gnina"``: networks score a campaign's poses in the process that docked them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from osong.errors import CampaignError, InputError
from osong.pose_molecules import pose_molecule
from osong_workflows.outcome import DockedMolecule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osong.receptor import Target
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "BYTES_PER_RESCORER",
    "check_rescoring",
    "network_hashes",
    "pose_rescorer",
    "rescoring_seconds",
]

BYTES_PER_RESCORER: Final = 320 * 2**20
"""Of torch, networks and a few grids in a docking process. Measured: 225 MiB for one network,
260 MiB for five."""
_MEMORY_BYTES: Final = 704 * 2**20
"""What the rescorer may plan with: five poses at a time, however many are kept."""
_GRID_S: Final = 0.0015
_DEFAULT2018_S: Final = 0.0115
_DENSE_S: Final = 0.050
"""Core seconds of a pose, the machine of docs/rescoring.md."""


def network_hashes(models: str) -> dict[str, str]:
    """Return the networks that a name means, with the SHA-256 of their weights; reads nothing.

    Raises
    ------
    InputError
        gninatorch does not ship them.
    """
    from osong.rescoring.weights import ENSEMBLES, SHIPPED

    members = ENSEMBLES.get(models, (models,))
    unknown = [name for name in members if name not in SHIPPED]
    if unknown:
        known = [name for name, of in ENSEMBLES.items() if all(one in SHIPPED for one in of)]
        raise InputError(
            f"rescore_models is {models!r}; a campaign takes networks that osong[ml] brings: "
            f"{', '.join((*known, *SHIPPED))}; for others run, when it has docked: osong rescore"
        )
    return {name: SHIPPED[name] for name in members}


def rescoring_seconds(networks: Mapping[str, str], n_poses: int) -> float:
    """Return the core seconds that the poses of a molecule take; 0 without networks."""
    if not networks:
        return 0.0
    each = (_DENSE_S if name.startswith("dense") else _DEFAULT2018_S for name in networks)
    return n_poses * (_GRID_S + sum(each))


def check_rescoring(settings: CampaignSettings) -> None:
    """Check that this machine can rescore, before there is a folder.

    Raises
    ------
    MissingExtraError
        torch or gninatorch is not installed.
    InputError
        A file of weights is damaged.
    """
    if settings.networks:
        _load(settings)


def pose_rescorer(
    target: Target, settings: CampaignSettings
) -> Callable[[DockedMolecule], DockedMolecule]:
    """Return what adds scores to a docked molecule; nothing where none are wanted.

    Networks are loaded and have run once when it returns. They run on the CPU, on one thread.
    """
    if not settings.networks:
        return lambda molecule: molecule
    from osong.rescoring.fused import DockedEnergy
    from osong.rescoring.stream import PoseRescorer

    scorer = PoseRescorer(target.receptor, _load(settings))
    scorer.score([pose_molecule("[H]C([H])([H])[H]", _at(target), "methane", {})])

    def add(molecule: DockedMolecule) -> DockedMolecule:
        mols = [pose_molecule(pose.smiles, pose.coords, "", {}) for pose in molecule.poses]
        energies = [DockedEnergy(pose.energy, settings.scoring) for pose in molecule.poses]
        return replace(molecule, cnn=tuple(scorer.score(mols, energies)))

    return add


def _load(settings: CampaignSettings) -> Any:
    from osong.rescoring.rescorer import Rescorer

    rescorer = Rescorer(tuple(settings.networks), device="cpu", memory_bytes=_MEMORY_BYTES)
    found = {file.name: file.sha256 for file in rescorer.files}
    if found != settings.networks:
        raise CampaignError(
            "the weights of gninatorch are not those that the campaign began with: install the "
            "version that it began with (campaign.toml has their SHA-256)"
        )
    return rescorer


def _at(target: Target) -> Any:
    """Return coordinates (5, 3) beside the receptor's first atom, for a molecule to warm up on."""
    place = target.receptor.coords[target.receptor.is_scored][0]
    return [place + shift for shift in (0.0, 1.0, 1.5, 2.0, 2.5)]
