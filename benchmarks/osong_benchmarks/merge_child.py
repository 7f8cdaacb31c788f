"""``python -m osong_benchmarks.merge_child N_BEST N_FILES PART...``: one merge, timed.

A process of its own, so that what is resident is the merge's.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from pathlib import Path

from osong_workflows.merge import best_molecules

__all__ = ["main"]


def main(argv: list[str]) -> None:
    """Merge parts, again and again as many as asked for, and print seconds and bytes."""
    n_best, n_files = int(argv[0]), int(argv[1])
    parts = itertools.islice(itertools.cycle(map(Path, argv[2:])), n_files)
    start = _peak_bytes()
    begin = time.perf_counter()
    n_kept = len(best_molecules(parts, n_best))
    wall_s = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "n_best": n_kept,
                "wall_s": wall_s,
                "start_bytes": start,
                "peak_bytes": _peak_bytes(),
            }
        )
    )


def _peak_bytes() -> int:
    """Return the most memory that was resident; getrusage would tell of the parent's as well."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main(sys.argv[1:])
