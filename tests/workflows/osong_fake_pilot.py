"""A pilot without a campaign: runs a runner on fake tasks; every rank's program in tests of MPI.

    python osong_fake_pilot.py RUNNER FOLDER FUNCTION N

It prints what its source heard as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import osong_fake_tasks

from osong.errors import OsongError
from osong_workflows.tasks import WorkOrder

WORKER = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from osong.cli.main import app; app()",
)


def run(name: str, folder: Path, function: str, n: int) -> None:
    source = osong_fake_tasks.FakeSource(n)
    order = WorkOrder(str(folder), "no:docker", "pilot-1")
    does = getattr(osong_fake_tasks, function)
    try:
        if name == "srun":
            from osong_workflows.runners.srun import SrunRunner

            SrunRunner(order, command=WORKER, function=does).run(source)
        else:
            from osong_workflows.runners import mpi

            # As in earnest, but a test does not wait for half a minute.
            mpi._NO_PILOT_S = 3.0
            mpi._AFTER_PILOT_S = 3.0
            with mpi.take_mpi_role(folder) as role:
                mpi.MpiRunner(order, role, function=does).run(source)
                report(source)
                return
    finally:
        if name == "srun":
            report(source)


def report(source: osong_fake_tasks.FakeSource) -> None:
    heard = {
        "done": sorted(source.results),
        "losses": source.losses,
        "rejections": source.rejections,
        "counts": source.counts,
        "most_under_way": source.most_under_way,
    }
    print(json.dumps(heard), flush=True)


if __name__ == "__main__":
    try:
        run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    except OsongError as error:
        sys.stderr.write(f"osong: {error}\n")
        sys.exit(1)
