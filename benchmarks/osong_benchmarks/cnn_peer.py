"""gninatorch's own networks, from its one file ``models.py``: the package would import molgrid."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from osong.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["peer_folder", "peer_network", "peer_scores"]

_HEADS: Final = (
    ("output_fc_aff", "affinity.affinity_output"),
    ("output_fc", "pose.pose_output"),
    ("pose_output", "pose.pose_output"),
    ("affinity_output", "affinity.affinity_output"),
)
"""gninatorch puts heads into modules of their own; its files have them at the top."""


def peer_folder() -> Path | None:
    """Return gninatorch's folder; None where it is not installed."""
    spec = importlib.util.find_spec("gninatorch")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


@cache
def _models() -> Any:
    folder = peer_folder()
    if folder is None:
        raise MissingExtraError("gninatorch", extra="ml", purpose="comparing with gninatorch")
    spec = importlib.util.spec_from_file_location("peer_models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    return models


def peer_network(name: str) -> Any:
    """Return gninatorch's network of a name, with the weights that it ships.

    Raises
    ------
    MissingExtraError
        If gninatorch is not installed.
    """
    import torch

    models, folder = _models(), peer_folder()
    assert folder is not None
    kind, n_channels = models.Default2018Affinity, 28
    if "2017" in name:
        kind, n_channels = models.Default2017Affinity, 35
    elif "dense" in name:
        kind = models.DenseAffinity
    network = kind((n_channels, 48, 48, 48))
    state = torch.load(folder / "weights" / f"{name}.pt", weights_only=True)
    network.load_state_dict({_renamed(key): value for key, value in state.items()})
    return network.eval()


def _renamed(key: str) -> str:
    """Return gninatorch's name of a parameter of its files."""
    for head, prefix in _HEADS:
        if key.startswith(f"{head}."):
            return key.replace(head, prefix, 1)
    if key.startswith("dense_block"):
        block, rest = key.split(".", 1)
        return f"features.{block}.blocks.{rest}"
    return f"features.{key}"


def peer_scores(networks: Sequence[Any], grids: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return mean probability and mean affinity (n,) of networks of gninatorch's or GNINA's."""
    import torch

    values = torch.from_numpy(grids)
    with torch.inference_mode():
        said = [network(values) for network in networks]
        score = torch.stack([log_pose.exp()[:, 1] for log_pose, _ in said]).mean(dim=0)
        return score.numpy(), torch.stack([affinity for _, affinity in said]).mean(dim=0).numpy()
