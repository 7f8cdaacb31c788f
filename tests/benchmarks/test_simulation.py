"""The simulation of large campaigns, small: what it counts must add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from osong_benchmarks.__main__ import main
from osong_benchmarks.campaign_costs import RowCost
from osong_benchmarks.campaign_simulation import make_plan, scenarios, simulate
from osong_benchmarks.virtual_scenario import Scenario

COSTS = RowCost(n=1, chunk_s=5e-4, pack_s=1e-4, row_bytes=2000.0)
SMALL = Scenario(n_molecules=600_000, n_pilots=4, nodes_per_pilot=2, threads_per_node=5)


def test_calm_campaign() -> None:
    plan = make_plan(SMALL)
    assert plan.shard_chunks > 1
    done = simulate("weak", SMALL, COSTS)
    tally = done.tally
    assert tally.n_tasks == plan.n_chunks + plan.n_shards
    assert done.n_files == plan.n_shards + 2 * SMALL.n_pilots  # parts, and two of each pilot
    assert done.counts["claim"] == done.counts["release"] == plan.n_shards
    assert (tally.lost_s, tally.double_s, tally.n_requeued) == (0, 0, 0)
    spent = tally.docking_s + tally.files_s + tally.pack_s + tally.starting_s
    assert spent < tally.allocated_s <= SMALL.n_threads * tally.wall_s
    assert tally.files_s + tally.pack_s == pytest.approx(6e-4 * SMALL.n_molecules)
    assert 0.9 < tally.efficiency < 1


def test_trouble_loses_time_and_no_chunk() -> None:
    from dataclasses import replace

    troubled = replace(
        SMALL, limit_s=3600.0, node_mtbf_h=2.0, pilot_mtbf_h=3.0, view_s=30.0, requeue_s=60.0
    )
    done = simulate("faults", troubled, COSTS)
    tally = done.tally
    assert min(tally.n_nodes_lost, tally.n_pilots_lost, tally.n_requeued) > 0
    assert tally.n_chunks_lost > 0
    assert done.n_missing == 0
    assert done.counts["claim, taken over"] > 0
    # Every chunk has its part: docked once, or noticed when it was docked again.
    plan = make_plan(troubled)
    n_docked = tally.n_tasks - tally.n_chunks_twice
    assert n_docked >= plan.n_chunks + plan.n_shards
    assert tally.files_s >= 0.999 * 5e-4 * troubled.n_molecules
    assert simulate("faults", troubled, COSTS).tally.n_chunks_lost == tally.n_chunks_lost


def test_scenarios_of_a_small_cluster() -> None:
    asked = [(name, s.n_molecules, s.n_pilots) for name, s in scenarios(1000, 2)]
    assert asked == [
        ("weak", 500, 1),
        ("weak", 1000, 2),
        ("strong", 100, 1),
        ("strong", 100, 2),
        ("faults", 1000, 2),
    ]


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "simulate", "--out", str(tmp_path), "--molecules", "2e5", "--pilots", "2",
        "--merge-rows", "2e4", "--merge-best", "100", "--cost-chunks", "2",
    ]  # fmt: skip
    main(arguments)
    shown = capsys.readouterr().out
    assert "| weak | 2e5 | 200 | 2 |" in shown
    assert "Merge: the best 100 of 20,000 rows" in shown
    lines = (tmp_path / "simulate.jsonl").read_text().splitlines()
    results = {row["what"]: row["result"] for row in map(json.loads, lines)}
    assert len(results) == len(lines) == 7
    assert results["costs"]["chunk_s"] > 0
    assert results["weak 200000 2"]["tally"]["docking_s"] > 0
    main(arguments)
    again = capsys.readouterr().out
    assert "measured:" not in again
    assert again.strip() in shown
