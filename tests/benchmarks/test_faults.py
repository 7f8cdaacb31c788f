"""Faults, costs of runners and the large campaign, each at a size of seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from osong_benchmarks import faults, runner_costs
from osong_benchmarks.__main__ import main
from osong_benchmarks.faults_campaign import Trial, molecules
from osong_benchmarks.faults_cases import LOCAL_CASES, Scene
from osong_benchmarks.results import ResultFile


def case(name: str) -> faults.Case:
    (found,) = [each for each in LOCAL_CASES if each.name == name]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "kill--9-of-the-pilot/serial",
        "part-of-a-shard-with-a-bit-flipped/local",
        "molecule-that-crashes/local",
    ],
)
def test_fault_is_done_and_undone(tmp_path, name):
    scene = Scene(tmp_path)
    scene.times, scene.rng = 1, random.Random(3)
    try:
        done = case(name).run(scene)
        outcome = done.trial.outcome(done.undisturbed)
    finally:
        scene.close()
    assert (done.n, done.note) == (1, "")
    assert (outcome.n_lost, outcome.n_doubled, outcome.n_beyond) == (0, 0, 0)
    assert outcome.is_same
    assert outcome.n_redone >= 1


def test_names_tell_cases_apart():
    names = [each.name for each in faults.CASES]
    assert len(set(names)) == len(names)
    assert len({(each.fault, each.runner) for each in faults.CASES}) == len(names)


def test_outcome_sees_what_is_wrong(tmp_path):
    """The judge itself: molecules lost and doubled, bytes that differ, chunks done in vain."""
    good, bad = (Trial(tmp_path / name, molecules(60)) for name in ("good", "bad"))
    good.resume("serial")
    bad.resume("serial")
    outcome = bad.outcome(good)
    assert (outcome.n_lost, outcome.n_doubled, outcome.n_redone) == (0, 0, 0)
    assert outcome.is_same
    parts = sorted((bad.folder / "parts").glob("*.parquet"))
    twin = parts[0].with_name(parts[0].name[:-9] + "0.parquet")
    twin.write_bytes(parts[0].read_bytes())
    with bad.calls.open("a", encoding="ascii") as calls:
        calls.write("3 1 0.0\n25 1 0.0\n")
    bad.note_under_way([2])
    outcome = bad.outcome(good)
    assert (outcome.n_doubled, outcome.n_redone, outcome.n_beyond) == (30, 2, 1)
    assert not outcome.is_same
    twin.unlink()
    parts[1].unlink()
    outcome = bad.outcome(good)
    assert (outcome.n_lost, outcome.n_doubled) == (30, 0)
    assert not outcome.is_same


def test_trial_that_is_killed_leaves_no_process(tmp_path):
    trial = Trial(tmp_path, molecules(60), pace_s=5.0)
    process = trial.start("serial")
    try:
        trial.wait_for_calls(1, process)
        assert len(list(trial.processes())) == 2
    finally:
        trial.end()
    process.wait(10)
    assert list(trial.processes()) == []


def test_what_cannot_be_done_here_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(faults, "why_no_bed", lambda: "no Slurm (sbatch missing)")
    results = ResultFile(tmp_path / "faults.jsonl", ("fault", "runner", "trial"))
    slurm = next(each for each in faults.CASES if each.needs == "slurm")
    faults.measure([slurm], results, 1)
    assert "not here: no Slurm (sbatch missing)" in capsys.readouterr().out
    assert "no Slurm (sbatch missing)" in faults.fault_table(results.rows())


def test_table_adds_up_the_trials():
    row = {
        "fault": LOCAL_CASES[0].fault,
        "runner": LOCAL_CASES[0].runner,
        "n": 2,
        "n_lost": 0,
        "n_doubled": 0,
        "n_redone": 3,
        "n_beyond": 0,
        "is_same": True,
    }
    text = faults.fault_table([row | {"trial": 1}, row | {"trial": 2}])
    assert text.splitlines()[-1].endswith("| 4 | 0 | 0 | 6 | 0 | equal |")
    text = faults.fault_table([row | {"trial": 1}, row | {"trial": 2, "is_same": False}])
    assert text.splitlines()[-1].endswith("| differs |")


@pytest.mark.slow
def test_costs_of_a_runner():
    flight = runner_costs.fly("local", 12, 2, 1)
    assert flight.first_s > 0
    assert flight.tasks_s > 0
    assert flight.cpu_s > 0
    few = {"first_s": 1.0, "tasks_s": 1.0, "cpu_s": 2.0, "wire_bytes": 1000}
    many = {"first_s": 1.0, "tasks_s": 2.0, "cpu_s": 3.0, "wire_bytes": 3000}
    row = {"kind": "costs", "runner": "local", "few": few, "many": many, "chunks": [10, 20]}
    assert "| local | 1.0 | 10 | 100.0 | 0.2 | 1 |" in runner_costs.cost_table([row])
    scaling = {"kind": "scaling", "runner": "mpi", "flown": [8, 5, 4], "bare": [8, 4, 4]}
    assert "| mpi | 0.80 | 1.00 | 0.80 | 1.00 | 1 |" in runner_costs.scaling_table([scaling])


@pytest.mark.slow
def test_big_campaign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dockstring")
    main(
        [
            *[
                "big_campaign",
                "--n",
                "60",
                "--chunk-size",
                "10",
                "--shard-chunks",
                "2",
                "--runner",
                "local",
                "--out",
            ],
            str(tmp_path),
        ]
    )
    found = json.loads((tmp_path / "big_campaign_60" / "result.json").read_text())
    assert (found["n_lost"], found["n_doubled"], found["n_twice"]) == (0, 0, 0)
    assert found["is_same"]
    assert (found["n_chunks"], found["n_parts"]) == (6, 3)
    assert "equal, byte for byte" in capsys.readouterr().out
