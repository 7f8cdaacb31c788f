"""Where a campaign is to run: cores, memory and time limit of this machine or of a site."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from osong.errors import InputError
from osong.machine import usable_cores, usable_memory

if TYPE_CHECKING:
    from osong_workflows.sites import Site

__all__ = ["RunPlace", "place_of_site", "this_machine"]

_SBATCH_MEMORY: Final = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE)
_EXPONENTS: Final = {"K": 1, "M": 2, "": 2, "G": 3, "T": 4}
"""Of 1024; Slurm takes a number without a unit for megabytes."""


@dataclass(frozen=True)
class RunPlace:
    """What a campaign may use.

    Attributes
    ----------
    name
        For people.
    nodes, cores_per_node
        A worker is one core.
    memory_per_node
        Bytes; None where it is not known.
    seconds
        What a job has before it is told to end; None without a limit.
    is_site
        Whether a batch system gives the cores, each with its share of the memory.
    has_devices
        Whether there may be GPUs.
    gpus_per_node, gpu_name
        Those that docking would use, and what they are called, as far as anybody said.
    notes
        What was assumed.
    """

    name: str
    nodes: int
    cores_per_node: int
    memory_per_node: int | None
    seconds: float | None = None
    is_site: bool = False
    has_devices: bool = True
    gpus_per_node: int = 0
    gpu_name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def cores(self) -> int:
        """All of them."""
        return self.nodes * self.cores_per_node


def this_machine(nodes: int | None) -> RunPlace:
    """Return what this job may use, or so many nodes like it.

    Raises
    ------
    InputError
        There are no nodes.
    """
    _check(nodes)
    name = "this machine" if nodes is None else f"{nodes:,} nodes like this machine"
    return RunPlace(name, nodes or 1, usable_cores(), usable_memory())


def place_of_site(site: Site, nodes: int | None) -> RunPlace:
    """Return what a site's profile gives to a campaign on some of its nodes.

    Parameters
    ----------
    site
        The profile.
    nodes
        How many; None: those of one pilot.

    Raises
    ------
    InputError
        There are no nodes.
    """
    from osong_workflows.sites import slurm_seconds

    _check(nodes)
    cores, notes = site.cores_per_node, []
    if cores is None:
        cores = usable_cores()
        notes.append(
            f"the profile of site {site.name} does not say how many cores a node has "
            f"(cores_per_node); taken as {cores}, as here"
        )
    n_nodes = nodes or site.nodes_per_pilot
    n_gpus = site.n_gpus
    if n_gpus is None:
        n_gpus = 1
        notes.append(
            f"the profile of site {site.name} does not say how many GPUs a node has "
            "(gpus_per_node); taken as 1"
        )
    return RunPlace(
        name=f"site {site.name}, {n_nodes:,} node{'' if n_nodes == 1 else 's'}",
        nodes=n_nodes,
        cores_per_node=cores,
        memory_per_node=_memory(site.memory_per_node),
        seconds=slurm_seconds(site.time_limit) - site.warning,
        is_site=True,
        has_devices=site.asks_for_devices,
        gpus_per_node=n_gpus,
        gpu_name=" ".join((site.constraint, *site.extra, site.partition, site.description)),
        notes=tuple(notes),
    )


def _memory(text: str) -> int | None:
    """Return the bytes that ``sbatch --mem`` asks for; None for all that there are.

    Examples
    --------
    >>> _memory("200G"), _memory("500"), _memory("0"), _memory("")
    (214748364800, 524288000, None, None)
    """
    found = _SBATCH_MEMORY.fullmatch(text)
    if found is None or int(found[1]) == 0:
        return None
    return int(found[1]) * 1024 ** _EXPONENTS[found[2].upper()]


def _check(nodes: int | None) -> None:
    if nodes is not None and nodes < 1:
        raise InputError(f"nodes must be at least 1, got {nodes}")
