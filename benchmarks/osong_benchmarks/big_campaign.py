"""``python -m benchmarks big_campaign``: many poses scored by disturbed MPI jobs in Slurm.

A library of small molecules, placed by chance in the box of EGFR, is scored as it stands (effort
"score"): once by one process that nobody disturbs, once by two MPI pilots of two nodes each, of
which ranks, workers, pilots and nodes are taken again and again until the campaign is finished.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from osong_benchmarks.big_campaign_faults import Disturber
from osong_benchmarks.big_campaign_library import write_library
from osong_benchmarks.faults_bed import Bed, changed_environment, end_in_order, why_no_bed
from osong_benchmarks.faults_campaign import MARK, TimeOut, marked_processes
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.campaign import Campaign
from osong_workflows.campaign_file import read_campaign_file
from osong_workflows.create import create_campaign
from osong_workflows.file_campaigns import settings_of
from osong_workflows.jobs import job_states, read_jobs

__all__ = ["add_arguments", "main"]

_DOCUMENT: Final = Path("docs/scaling.md")
_IMMUTABLE: Final = ("campaign.toml", "target.osong", "plan.json", "input")
_LIMIT_S: Final = 3600.0
_END_S: Final = 240.0
"""The jobs of a finished campaign end within this."""
_CAMPAIGN: Final = """\
library = "poses.sdf"

[target]
name = "EGFR"

[search]
effort = "score"

[outputs]
hits = 1000
"""
_SITE: Final = """\
launch = "mpi"
nodes_per_pilot = 2
cores_per_node = 3
memory_per_node = "6000"
time_limit = "60"
warning_s = 60
lease_s = 15
finish_time = "20"

[mpi]
ranks_per_node = 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--n", type=int, default=100_000, help="molecules")
    parser.add_argument("--chunk-size", type=int, default=500)
    parser.add_argument("--shard-chunks", type=int, default=4)
    parser.add_argument(
        "--every", type=float, default=15.0, metavar="S", help="between two failures"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--runner",
        choices=("mpi", "local"),
        default="mpi",
        help="local: no Slurm, and nothing is disturbed",
    )
    parser.add_argument(
        "--only-undisturbed", action="store_true", help="make the library and what to compare with"
    )


def main(args: argparse.Namespace) -> None:
    """Do what is not done yet; print the table, and write it where asked to."""
    end_in_order()
    place: Path = (args.out / f"big_campaign_{args.n}").absolute()
    result = place / "result.json"
    if not result.exists():
        place.mkdir(parents=True, exist_ok=True)
        undisturbed = _undisturbed(place, args)
        if args.only_undisturbed:
            return
        found = _disturbed(place, args) | {"undisturbed_s": undisturbed}
        result.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = table(json.loads(result.read_text(encoding="utf-8")))
    print(text)
    if args.write:
        write_table(_DOCUMENT, "big_campaign", text, provenance())


def _osong(*words: str, cwd: Path) -> None:
    """Call the command line as a user would."""
    command = [str(Path(sys.executable).with_name("osong")), *words]
    begin = time.monotonic()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    print(f"osong {' '.join(words)}: {time.monotonic() - begin:.0f} s\n{done.stdout}", flush=True)
    if done.returncode != 0:
        raise TimeOut(f"osong {' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")


def _undisturbed(place: Path, args: argparse.Namespace) -> float:
    """Make library and campaign, and have one process do it; return the seconds of that."""
    file = place / "egfr.toml"
    seconds = place / "undisturbed.json"
    if seconds.exists():
        return float(json.loads(seconds.read_text(encoding="utf-8")))
    if not (place / "egfr" / "plan.json").exists():
        _make(place, file, args)
        _osong("plan", file.name, cwd=place)
    quiet = place / "undisturbed"
    shutil.rmtree(quiet, ignore_errors=True)
    quiet.mkdir()
    for name in _IMMUTABLE:
        found = place / "egfr" / name
        (shutil.copytree if found.is_dir() else shutil.copy)(found, quiet / name)
    begin = time.monotonic()
    _osong("resume", "undisturbed", "--quiet", cwd=place)
    taken = time.monotonic() - begin
    seconds.write_text(json.dumps(taken), encoding="utf-8")
    return taken


def _make(place: Path, file: Path, args: argparse.Namespace) -> None:
    """Write the library and the campaign file, and make the campaign's folder."""
    import osong

    target = osong.Target.named("EGFR")
    write_library(place / "poses.sdf", args.n, target.box, args.seed)
    file.write_text(_CAMPAIGN, encoding="utf-8")
    asked = read_campaign_file(file)
    create_campaign(
        target, asked.library, asked.targets[0].folder, settings_of(asked, target),
        chunk_size=args.chunk_size, shard_chunks=args.shard_chunks,
    )  # fmt: skip


def _disturbed(place: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Submit the campaign, disturb it until it is finished, and check what came out."""
    folder = place / "egfr"
    why = why_no_bed() if args.runner == "mpi" else ""
    if why:
        raise SystemExit(why)
    counts: Counter[str] = Counter()
    begin = time.monotonic()
    if args.runner == "mpi":
        counts = _in_slurm(place, folder, args)
    else:
        _osong("resume", "egfr", "--quiet", cwd=place)
    seconds = time.monotonic() - begin
    campaign, quiet = Campaign(folder), Campaign(place / "undisturbed")
    rows = _rows(campaign)
    is_same = _part_bytes(campaign) == _part_bytes(quiet) and campaign.top(1000).equals(
        quiet.top(1000)
    )
    events = _events(folder)
    finished = Counter(e["chunk"] for e in events if e["event"] == "ChunkFinished")
    return {
        "n": args.n,
        "wall_s": seconds,
        "failures": dict(counts),
        "n_chunks": campaign.plan.n_chunks,
        "n_twice": sum(finished.values()) - len(finished),
        "n_pilots": len({e["file"] for e in events}),
        "n_taken_over": sum(e["event"] == "ShardClaimed" and e["generation"] > 1 for e in events),
        "n_lost": int(np.count_nonzero(rows == 0)),
        "n_doubled": int(np.maximum(rows - 1, 0).sum()),
        "is_same": is_same,
        "n_parts": len(_part_bytes(campaign)),
        "n_files": sum(path.is_file() for path in folder.rglob("*")),
    }


def _in_slurm(place: Path, folder: Path, args: argparse.Namespace) -> Counter[str]:
    """Submit it, and disturb its jobs until they are over."""
    mark = uuid.uuid4().hex
    bed = Bed(5)
    (place / "bed.toml").write_text(_SITE, encoding="utf-8")
    try:
        bed.up()
        with changed_environment({MARK: mark}):
            _osong("submit", "egfr.toml", "--site", "bed.toml", "--nodes", "4", cwd=place)
        disturber = Disturber(
            bed, mark, lambda: read_jobs(folder).submissions[-1].pilots, args.every, args.seed
        )
        disturber.start()
        deadline = time.monotonic() + _LIMIT_S
        try:
            while not (folder / "hits.sdf").exists() or _active(folder):
                if disturber.is_alive() and Campaign(folder).status().is_finished:
                    disturber.stop()
                    deadline = time.monotonic() + _END_S
                if time.monotonic() > deadline:
                    raise TimeOut(f"not over in time: {bed.slurm('squeue')}")
                time.sleep(2)
        finally:
            disturber.stop()
        return disturber.counts
    finally:
        bed.down()
        for process, _ in marked_processes(mark):
            process.kill()


def _active(folder: Path) -> bool:
    return any(state.is_active for state in job_states(read_jobs(folder).submissions))


def _rows(campaign: Campaign) -> np.ndarray:
    """Return how many rows each molecule has, (n,) int64."""
    rows = np.zeros(campaign.plan.n_records, np.int64)
    for path in (campaign.folder / "parts").glob("**/*.parquet"):
        with pq.ParquetFile(path) as file:
            index = file.read(columns=["index"])["index"].to_numpy()
        np.add.at(rows, index, 1)
    return rows


def _part_bytes(campaign: Campaign) -> dict[str, bytes]:
    parts = (campaign.folder / "parts").rglob("*.parquet")
    return {path.name: path.read_bytes() for path in parts}


def _events(folder: Path) -> list[dict[str, Any]]:
    """Return what all pilots said, each event with its pilot's file."""
    found = []
    for path in (folder / "logs").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append({**json.loads(line), "file": path.name})
            except json.JSONDecodeError:  # the line that a killed pilot was writing
                continue
    return found


def table(found: dict[str, Any]) -> str:
    """Return what came of it."""
    failures = ", ".join(f"{kind} {count}" for kind, count in sorted(found["failures"].items()))
    rows = [
        ["molecules", f"{found['n']:,}"],
        ["failures", f"{sum(found['failures'].values())}: {failures}" if failures else "none"],
        ["wall time, disturbed", f"{found['wall_s']:.0f} s"],
        ["wall time, one undisturbed process of two workers", f"{found['undisturbed_s']:.0f} s"],
        ["pilots that began", str(found["n_pilots"])],
        ["shards taken over", str(found["n_taken_over"])],
        ["chunks; of them finished more than once", f"{found['n_chunks']}; {found['n_twice']}"],
        ["molecules lost, doubled", f"{found['n_lost']}, {found['n_doubled']}"],
        ["parts and ranking", "equal, byte for byte" if found["is_same"] else "differ"],
        ["files of results, of the whole folder", f"{found['n_parts']}, {found['n_files']}"],
    ]
    return markdown_table(["", "100,000 poses" if found["n"] == 100_000 else "poses"], rows)
