"""What a campaign would take on devices: measured for the cores beside them, predicted for them.

A device searches; the cores prepare molecules before and finish their poses after. What these take
was measured. What a device takes comes from the model of docs/cuda.md, of machine code and data
sheets, since no device was at hand: whatever rests on it is called a prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from osong_workflows.plan import SECONDS_PER_MOLECULE

if TYPE_CHECKING:
    from osong_workflows.place import RunPlace

__all__ = ["FINISH_S", "PREPARE_S", "SEARCHED_PER_S", "DeviceEstimate", "estimate_devices"]

PREPARE_S: Final = 0.15
"""Of `SECONDS_PER_MOLECULE`: what a prepared library has behind it."""
FINISH_S: Final = 0.006
"""Of one core: exact energies, selection and poses as a part keeps them; docs/cuda.md."""
SEARCHED_PER_S: Final = {
    "A100": (73.0, 290.0),
    "GH200": (349.0, 601.0),  # before H100, whose name is part of neither
    "H100": (349.0, 601.0),
}
"""PREDICTION: molecules a second that a device searches, effort `fast`, drug-like ones: everything
waits, nothing waits. "ligands/s searched" of docs/cuda.md, which a test compares."""
_ANY_GPU: Final = (SEARCHED_PER_S["A100"][0], SEARCHED_PER_S["H100"][1])


class DeviceEstimate(BaseModel):
    """What a campaign would take where devices do the search.

    Attributes
    ----------
    n_devices, cores
        In all, those of the devices' own processes not counted.
    device
        What the prediction is for; "" where nobody said which device it is.
    core_seconds
        Of one core for a molecule, beside the device: measured.
    searched_per_s
        PREDICTION: molecules a second that one device searches, at least and at most.
    needed_per_s
        So many would each device have to search for the cores to be what bounds.
    wall_hours
        PREDICTION: with the most that a device may search, and with the least.
    core_hours
        What the cores do in them.
    device_hours
        PREDICTION: of all devices together, as batch systems count them.
    is_predicted
        Whether nobody has measured a device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_devices: int
    cores: int
    device: str
    core_seconds: float
    searched_per_s: tuple[float, float]
    needed_per_s: float
    wall_hours: tuple[float, float]
    core_hours: float
    device_hours: tuple[float, float]
    is_predicted: bool = True

    @property
    def bound(self) -> str:
        """What decides how long it takes."""
        least, most = self.searched_per_s
        if self.needed_per_s <= least:
            return "cores"
        return "devices" if self.needed_per_s >= most else "cores or devices"


def estimate_devices(
    n_dockings: int,
    effort: str,
    place: RunPlace,
    workers: int,
    *,
    is_prepared: bool,
    slowness: float = 1.0,
    rescoring_s: float = 0.0,
) -> DeviceEstimate | None:
    """Return what a campaign would take with a place's devices; None where there are none.

    Parameters
    ----------
    n_dockings
        Molecules, of all targets.
    effort
        How long to search.
    place
        Where it is to run.
    workers
        Cores with enough memory for a docking process.
    is_prepared
        Whether the library is.
    slowness
        Time of a molecule on a core by what it is where Osong's own tables were measured.
    rescoring_s
        Core seconds that networks take for the poses of a molecule.
    """
    if not place.gpus_per_node or _search_seconds(effort) <= 0.0:
        return None
    n_devices = place.nodes * place.gpus_per_node
    # A device's process keeps a core busy.
    cores = max(place.nodes, min(workers, place.cores - n_devices))
    core_seconds = slowness * (FINISH_S + rescoring_s + (0.0 if is_prepared else PREPARE_S))
    device, fast = _predicted(place.gpu_name)
    more = _search_seconds(effort) / _search_seconds("fast")
    searched = (fast[0] / more, fast[1] / more)
    needed = cores / core_seconds / n_devices
    slow, quick = (n_dockings / (n_devices * min(rate, needed)) / 3600 for rate in searched)
    return DeviceEstimate(
        n_devices=n_devices,
        cores=cores,
        device=device,
        core_seconds=core_seconds,
        searched_per_s=searched,
        needed_per_s=needed,
        wall_hours=(quick, slow),
        core_hours=n_dockings * core_seconds / 3600,
        device_hours=(quick * n_devices, slow * n_devices),
    )


def _predicted(name: str) -> tuple[str, tuple[float, float]]:
    """Return which device a name means, and what is predicted of it."""
    found = next((device for device in SEARCHED_PER_S if device in name.upper()), "")
    return found, SEARCHED_PER_S.get(found, _ANY_GPU)


def _search_seconds(effort: str) -> float:
    """Return what the search of a molecule takes on a core."""
    return SECONDS_PER_MOLECULE[effort] - PREPARE_S - FINISH_S
