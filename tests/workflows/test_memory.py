"""A campaign over 20,000 molecules: memory flat, files a handful."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
import psutil
from campaign_helpers import fake_screen
from osong_workflows.events import ChunkFinished

resident = []

def watch(event):
    if isinstance(event, ChunkFinished):
        processes = [psutil.Process(), *psutil.Process().children()]
        resident.append(sum(process.memory_info().rss for process in processes) / 2**20)

names = ((f"C{i}", f"m{i}") for i in range(20_000))
campaign = fake_screen(names, Path(sys.argv[1]), runner="local", workers=2, subscribers=[watch])
assert campaign.status().n_ok == 20_000
best = campaign.top(10)
assert len(best) == 10
files = sum(path.is_file() for path in campaign.folder.rglob("*"))
plan = campaign.plan
told = {"resident": resident, "files": files, "planned": plan.n_files, "chunks": plan.n_chunks}
print(json.dumps(told))
"""


@pytest.mark.slow
def test_memory_is_flat_and_files_are_few(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run")],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    resident = told["resident"]
    assert len(resident) == told["chunks"] > 20, "one for each chunk"
    # After a quarter everything is imported and warm; then 15,000 molecules add next to nothing.
    growth = max(resident[-5:]) - max(resident[5:10])
    assert growth < 40, f"grew by {growth:.0f} MiB: {resident}"
    assert told["files"] + 2 == told["planned"] < 50, "two outputs may follow"
