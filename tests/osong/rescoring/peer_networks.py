"""gninatorch's own networks, from its one file ``models.py``: the package would import molgrid.

Run as a program it writes what they say of the grids of ``ball_grids`` into ``peer_scores.json``:

    python tests/osong/rescoring/peer_networks.py [FOLDER OF TORCHSCRIPT]

The folder holds weights as GNINA 1.3 ships them (``gninasrc/lib/models``); PyTorch runs them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

N_POSES = 2
RECORDED = Path(__file__).with_name("peer_scores.json")


def peer_folder() -> Path | None:
    """Return gninatorch's folder; None where it is not installed."""
    spec = importlib.util.find_spec("gninatorch")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def peer_network(folder: Path, name: str) -> Any:
    """Return gninatorch's network of a name, with the weights that it ships."""
    spec = importlib.util.spec_from_file_location("peer_models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
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
    """Return gninatorch's name of a parameter: heads are in modules of their own."""
    for head, prefix in (
        ("output_fc_aff", "affinity.affinity_output"),
        ("output_fc", "pose.pose_output"),
        ("pose_output", "pose.pose_output"),
        ("affinity_output", "affinity.affinity_output"),
    ):
        if key.startswith(f"{head}."):
            return key.replace(head, prefix, 1)
    if key.startswith("dense_block"):
        block, rest = key.split(".", 1)
        return f"features.{block}.blocks.{rest}"
    return f"features.{key}"


def torchscript(path: Path) -> Any:
    """Return a TorchScript network as PyTorch runs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location="cpu").eval()


def said(network: Any, grids: Any) -> dict[str, list[Any]]:
    """Return probability and affinity that a network of gninatorch's or GNINA's gives."""
    with torch.inference_mode():
        log_pose, affinity = network(torch.from_numpy(grids))
    return {"score": log_pose.exp()[:, 1].tolist(), "affinity": affinity.tolist()}


def main() -> None:
    """Write the recorded reference."""
    from grids_of_balls import ball_grids

    folder = peer_folder()
    assert folder is not None, "pip install gninatorch"
    rows = {}
    for path in sorted((folder / "weights").glob("*.pt")):
        grids = ball_grids(N_POSES, 35 if "2017" in path.stem else 28)
        rows[path.stem] = said(peer_network(folder, path.stem), grids)
    for path in sorted(Path(sys.argv[1]).glob("*.pt")) if len(sys.argv) > 1 else ():
        rows[path.stem] = said(torchscript(path), ball_grids(N_POSES))
    versions = {name: metadata.version(name) for name in ("gninatorch", "torch")}
    RECORDED.write_text(json.dumps({"versions": versions, "networks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
