"""A billion molecules on ten thousand workers: real claims, feeds and plans, simulated docking.

The clock is virtual; the files are real (parts are empty), and what real code takes to write parts,
to pack and to merge is measured apart and charged. See `virtual_cluster` for what is drawn.
"""

from __future__ import annotations

import argparse
import functools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from osong_benchmarks.campaign_costs import MergeCost, RowCost, measure_merge, measure_rows
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_benchmarks.virtual_cluster import Cluster
from osong_benchmarks.virtual_folder import VirtualFolder
from osong_benchmarks.virtual_scenario import Scenario, Tally
from osong_workflows.cutting import choose_cut
from osong_workflows.folder import CampaignFolder
from osong_workflows.part_names import finished_shards
from osong_workflows.plan import Plan

__all__ = ["Simulated", "add_arguments", "main", "scenarios", "simulate"]

_DOCUMENT: Final = Path("docs/scaling.md")
_FAULTY: Final[dict[str, Any]] = {
    "limit_s": 4 * 3600.0,
    "node_mtbf_h": 1000.0,
    "pilot_mtbf_h": 200.0,
    "view_s": 30.0,
}
"""Every node fails once in six weeks and every pilot once in eight days: ten times as often as on a
good machine; folders are seen as they were up to 30 s ago, NFS's usual limit."""


@dataclass(frozen=True)
class Simulated:
    """One simulated campaign.

    Attributes
    ----------
    name
        What it is to show.
    scenario
        What was asked for.
    chunk_size, n_shards
        Of the plan.
    tally
        Where the core seconds went.
    counts
        Calls by kind.
    n_files, peak_files
        Files in the folder at the end, and at most.
    n_missing
        Shards without their part at the end.
    real_s, memory_bytes
        What the simulation took: all pilots in one process.
    """

    name: str
    scenario: Scenario
    chunk_size: int
    n_shards: int
    tally: Tally
    counts: dict[str, int]
    n_files: int
    peak_files: int
    n_missing: int
    real_s: float
    memory_bytes: int

    @property
    def scheduling_us(self) -> float:
        """CPU of all pilots, microseconds a molecule."""
        tally = self.tally
        return 1e6 * (tally.feed_s + tally.beat_s + tally.dask_s) / self.scenario.n_molecules

    @property
    def calls_per_s(self) -> float:
        """Listings, claims and signs of life, each second of the campaign."""
        return sum(self.counts.values()) / self.tally.wall_s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--molecules", type=float, default=1e9)
    parser.add_argument("--pilots", type=int, default=100, help="of 100 workers each")
    parser.add_argument("--merge-rows", type=float, default=1e9)
    parser.add_argument("--merge-best", type=float, default=1e6)
    parser.add_argument("--cost-chunks", type=int, default=8, help="chunks to measure parts with")


def main(args: argparse.Namespace) -> None:
    """Measure, simulate, merge; print the tables."""
    results = ResultFile(args.out / "simulate.jsonl", ("what",))
    costs = RowCost(**_once(results, "costs", lambda: measure_rows(args.cost_chunks).model_dump()))
    done = []
    for name, scenario in scenarios(int(args.molecules), args.pilots):
        what = f"{name} {scenario.n_molecules} {scenario.n_pilots}"
        found = _once(results, what, functools.partial(_row, name, scenario, costs))
        done.append(_simulated(found))
    merge = MergeCost(
        **_once(
            results,
            f"merge {args.merge_rows:g} {args.merge_best:g}",
            lambda: measure_merge(int(args.merge_rows), int(args.merge_best)).model_dump(),
        )
    )
    text = report(done, costs, merge)
    print(text)
    if args.write:
        command = ["simulate", f"--molecules={args.molecules:g}", f"--pilots={args.pilots}",
                   f"--merge-rows={args.merge_rows:g}"]  # fmt: skip
        write_table(_DOCUMENT, "simulation", text, provenance(command))


def _once(results: ResultFile, what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured, now or by a run that was cut off."""
    if not results.has(what=what):
        results.add({"what": what, "result": measure()})
        print(f"measured: {what}", flush=True)
    rows = {row["what"]: row["result"] for row in results.rows()}
    found: dict[str, Any] = rows[what]
    return found


def _row(name: str, scenario: Scenario, costs: RowCost) -> dict[str, Any]:
    return asdict(simulate(name, scenario, costs))


def _simulated(row: dict[str, Any]) -> Simulated:
    parts = {"scenario": Scenario(**row["scenario"]), "tally": Tally(**row["tally"])}
    return Simulated(**(row | parts))


def scenarios(n_molecules: int, n_pilots: int) -> Iterator[tuple[str, Scenario]]:
    """Yield what is simulated: weak scaling, strong scaling, and trouble at full size.

    >>> [(s.n_molecules, s.n_pilots) for _, s in scenarios(1_000_000_000, 100)][:3]
    [(10000000, 1), (100000000, 10), (1000000000, 100)]
    """
    sizes = sorted({max(1, n_pilots // 100), max(1, n_pilots // 10), n_pilots})
    calm = Scenario(n_molecules, n_pilots)
    for pilots in sizes:
        weak = replace(calm, n_molecules=n_molecules * pilots // n_pilots, n_pilots=pilots)
        yield "weak", weak
    for pilots in sizes:
        yield "strong", replace(calm, n_molecules=n_molecules // 10, n_pilots=pilots)
    yield "faults", replace(calm, **_FAULTY)


def simulate(name: str, scenario: Scenario, costs: RowCost) -> Simulated:
    """Simulate one campaign in a folder that is gone afterwards."""
    plan = make_plan(scenario)
    cluster = Cluster(scenario, costs)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="osong-simulation-", dir=_memory_disk()) as place:
        folder = VirtualFolder(CampaignFolder.at(place), plan, cluster.clock, scenario.view_s)
        tally = cluster.run(folder)
        n_files = sum(path.is_file() for path in Path(place).rglob("*"))
        n_parts = len(finished_shards(folder.folder, plan))
    return Simulated(
        name=name,
        scenario=scenario,
        chunk_size=plan.chunk_size,
        n_shards=plan.n_shards,
        tally=tally,
        counts=dict(folder.counts),
        n_files=n_files,
        peak_files=folder.peak_files,
        n_missing=plan.n_shards - n_parts,
        real_s=time.perf_counter() - begin,
        memory_bytes=psutil.Process().memory_info().rss,
    )


def make_plan(scenario: Scenario) -> Plan:
    """Return the plan that a campaign of this size has."""
    cut = choose_cut(scenario.n_molecules, scenario.molecule_s, scenario.n_threads)
    return Plan(
        **asdict(cut),
        settings_digest="simulated", library_digest="simulated", input_bytes=0, parts_bytes=0,
        memory_bytes_per_worker=0, n_files=0, input_files=(),
    )  # fmt: skip


def _memory_disk() -> str | None:
    """Return a file system in memory where there is one: a billion molecules make 2e6 files."""
    place = Path("/dev/shm")
    return str(place) if place.is_dir() else None


def report(done: Sequence[Simulated], costs: RowCost, merge: MergeCost) -> str:
    """Return all tables and what goes with them, as Markdown."""
    blocks = [_table(done), *_shares(done), _costs_text(costs), _merge_text(merge)]
    return "\n\n".join(blocks)


def _table(done: Sequence[Simulated]) -> str:
    header = [
        "", "molecules", "workers", "pilots", "hours", "efficiency", "overhead",
        "scheduling, us a molecule", "files at most", "files at the end", "molecules a file",
        "calls a second", "claims", "races lost", "memory, GiB",
    ]  # fmt: skip
    rows = [
        [
            one.name,
            f"{one.scenario.n_molecules:.0e}".replace("e+0", "e"),
            f"{one.scenario.n_threads:,}",
            one.scenario.n_pilots,
            f"{one.tally.wall_s / 3600:.2f}",
            f"{100 * one.tally.efficiency:.1f} %",
            f"{100 * one.tally.overhead:.2f} %",
            f"{one.scheduling_us:.2f}",
            f"{one.peak_files:,}",
            f"{one.n_files:,}",
            f"{one.scenario.n_molecules // one.n_files:,}",
            f"{one.calls_per_s:.1f}",
            f"{one.counts.get('claim', 0):,}",
            one.counts.get("claim, another was faster", 0),
            f"{one.memory_bytes / 2**30:.2f}",
        ]
        for one in done
    ]
    return markdown_table(header, rows)


def _shares(done: Sequence[Simulated]) -> list[str]:
    """Return where the core time of the largest and of the troubled campaign went."""
    chosen = [one for one in done if one.name != "strong"][-2:]
    columns = [_spent(one) for one in chosen]
    header = ["share of the core time", *(_title(one) for one in chosen)]
    rows = [[kind, *(f"{100 * column[kind]:.3f} %" for column in columns)] for kind in columns[0]]
    lines = [_events(one) for one in chosen if one.name == "faults"]
    return [markdown_table(header, rows), *lines]


def _title(one: Simulated) -> str:
    return f"{one.scenario.n_threads:,} workers, {'trouble' if one.name == 'faults' else 'calm'}"


def _spent(one: Simulated) -> dict[str, float]:
    """Return the shares of the allocated core time."""
    tally = one.tally
    spent = {
        "docking": tally.docking_s,
        "records, pipes, parts": tally.files_s,
        "packing": tally.pack_s,
        "start of jobs and workers": tally.starting_s,
        "lost with nodes, pilots and time limits": tally.lost_s,
        "done twice": tally.double_s,
    }
    spent["waiting: last chunks before the end and before time limits"] = tally.allocated_s - sum(
        spent.values()
    )
    return {kind: seconds / tally.allocated_s for kind, seconds in spent.items()}


def _events(one: Simulated) -> str:
    tally, scenario = one.tally, one.scenario
    limit = f"{scenario.limit_s / 3600:g} h" if math.isfinite(scenario.limit_s) else "none"
    return (
        f"Trouble: time limit {limit}, a node lives {scenario.node_mtbf_h:g} h and a pilot "
        f"{scenario.pilot_mtbf_h:g} h on average, folders are seen up to {scenario.view_s:g} s "
        f"late. Lost: {tally.n_nodes_lost} nodes, {tally.n_pilots_lost} pilots, "
        f"{tally.n_chunks_lost:,} chunks under way of {tally.n_tasks:,}; {tally.n_requeued} jobs "
        f"started again, {one.counts.get('claim, taken over', 0)} shards taken over, "
        f"{tally.n_chunks_twice} chunks done twice, {one.n_missing} shards missing at the end."
    )


def _costs_text(costs: RowCost) -> str:
    return (
        f"Charged for each molecule, measured with the real code on {costs.n:,} rows of three "
        f"poses and a docker that answers at once: {1e6 * costs.chunk_s:.0f} us of CPU for its "
        f"record, the way to the docking process and back, and its row in the chunk's part; "
        f"{1e6 * costs.pack_s:.0f} us for packing; {costs.row_bytes:.0f} bytes on the disk."
    )


def _merge_text(merge: MergeCost) -> str:
    rate = merge.n_rows / merge.wall_s
    return (
        f"Merge: the best {merge.n_best:,} of {merge.n_rows:,} rows in {merge.n_files:,} files in "
        f"{merge.wall_s:.0f} s with one core ({rate / 1e6:.1f} million rows a second), "
        f"{merge.peak_bytes / 2**20:.0f} MiB resident at most, {merge.start_bytes / 2**20:.0f} "
        f"before it began. The proof that every molecule has one row takes {merge.check_s:.0f} s."
    )
