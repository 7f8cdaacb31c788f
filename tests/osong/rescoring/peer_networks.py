"""What gninatorch's networks and GNINA 1.3's say of the grids of ``ball_grids``.

Run as a program it writes ``peer_scores.json``:

    python tests/osong/rescoring/peer_networks.py [FOLDER OF TORCHSCRIPT]

The folder holds weights as GNINA 1.3 ships them (``gninasrc/lib/models``); PyTorch runs them.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from osong_benchmarks.cnn_peer import peer_folder, peer_network, peer_scores

__all__ = ["N_POSES", "RECORDED", "peer_folder", "peer_network", "said", "torchscript"]

N_POSES = 2
RECORDED = Path(__file__).with_name("peer_scores.json")


def torchscript(path: Path) -> Any:
    """Return a TorchScript network as PyTorch runs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location="cpu").eval()


def said(network: Any, grids: Any) -> dict[str, list[Any]]:
    """Return probability and affinity that a network of gninatorch's or GNINA's gives."""
    score, affinity = peer_scores([network], grids)
    return {"score": score.tolist(), "affinity": affinity.tolist()}


def main() -> None:
    """Write the recorded reference."""
    from grids_of_balls import ball_grids

    folder = peer_folder()
    assert folder is not None, "pip install gninatorch"
    rows = {}
    for path in sorted((folder / "weights").glob("*.pt")):
        grids = ball_grids(N_POSES, 35 if "2017" in path.stem else 28)
        rows[path.stem] = said(peer_network(path.stem), grids)
    for path in sorted(Path(sys.argv[1]).glob("*.pt")) if len(sys.argv) > 1 else ():
        rows[path.stem] = said(torchscript(path), ball_grids(N_POSES))
    versions = {name: metadata.version(name) for name in ("gninatorch", "torch")}
    RECORDED.write_text(json.dumps({"versions": versions, "networks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
