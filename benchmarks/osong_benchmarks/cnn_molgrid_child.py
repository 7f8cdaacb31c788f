"""Run by a Python that has molgrid: CPU seconds that its grids of files take, as JSON.

    PYTHON cnn_molgrid_child.py FOLDER REPEATS

FOLDER holds ``examples.types`` and the files that it names, as gninatorch reads them. molgrid needs
NumPy 1, so this is never a process of Osong's environment, and imports nothing of it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the seconds of one pose: of the fastest of several passes."""
    import molgrid
    import numpy as np

    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    n_poses = len((folder / "examples.types").read_text().splitlines())
    provider: Any = molgrid.ExampleProvider(
        data_root=str(folder), default_batch_size=n_poses, cache_structs=True
    )
    provider.populate(str(folder / "examples.types"))
    maker = molgrid.GridMaker()
    grids = np.zeros((n_poses, *maker.grid_dimensions(provider.num_types())), np.float32)
    seconds: dict[str, list[float]] = {"grids": [], "first": []}
    for number in range(repeats + 1):
        provider.reset()
        started = time.process_time()
        batch = provider.next_batch(n_poses)
        maker.forward(batch, grids)
        kind = "grids" if number else "first"
        seconds[kind].append((time.process_time() - started) / n_poses)
    best = {kind: min(values) for kind, values in seconds.items()}
    print(json.dumps({"version": molgrid.__version__, **best}))


if __name__ == "__main__":
    main()
