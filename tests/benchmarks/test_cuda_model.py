"""How often machine instructions run is told by the source; and what follows for a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from osong_benchmarks.cuda_host import HostCosts, measure_host
from osong_benchmarks.cuda_model import (
    DEVICES,
    EVALUATIONS_A_LIGAND,
    Evaluation,
    device_named,
    host_rates,
    predict,
)
from osong_benchmarks.cuda_sass import Frames
from osong_benchmarks.cuda_tables import model_table, stage_table
from osong_benchmarks.cuda_weights import Place, Rules, Shape, weigh

Lines = Callable[..., Frames]

SOURCE = """\
def kernel(arrays, ligand):
    start(ligand)
    for tick in range(arrays.N_TICKS):
        pairs(arrays, ligand)
        rarely(ligand)


def pairs(arrays, ligand):
    p = lane_index()
    while p < ligand.n_pairs:
        arrays[p] = arrays[p + 1]
        p = np.int32(p + LANES)


def rows(arrays, n_dof):
    for i in range(lane, n_dof, LANES):
        for j in range(i + 1):
            arrays[j] += 1.0
        k = arrays[i]


def rarely(ligand):
    for k in range(arrays.unknown):
        pass
"""
SHAPE = Shape(n_atoms=22, n_segments=6, n_pairs=135)
RULES = Rules(
    unit="N_TICKS", turns=10.0, frequencies={"rarely": 0.1},
    trips={("rarely", "k"): 7.0},
)  # fmt: skip
H100 = DEVICES[1]
COSTS = HostCosts(n_molecules=37, prepare=150.0, feed=1.0, feed_prepared=2.0, finish=5.0)


@pytest.fixture
def source(tmp_path: Path) -> Lines:
    """Returns frames by the text of their lines, in a file with the source above."""
    file = tmp_path / "kernel.py"
    file.write_text(SOURCE, encoding="utf-8")
    lines = SOURCE.splitlines()

    def frames(*texts: str) -> tuple[tuple[str, int], ...]:
        found = [next(k for k, line in enumerate(lines, 1) if text in line) for text in texts]
        return tuple((str(file), line) for line in found)

    return frames


def test_loops_over_lanes_run_once_for_thirty_two(source: Lines) -> None:
    load = Place(source("arrays[p] =", "pairs(arrays"), "lds32", 0, 1)
    store = Place(source("arrays[p] =", "pairs(arrays"), "sts", 0, 1)
    assert weigh([load, store], SHAPE, RULES) == [5.0, 5.0]  # 135 pairs


def test_a_body_that_was_written_four_times_counts_once(source: Lines) -> None:
    place = source("arrays[p] =", "pairs(arrays")
    places = [Place(place, "lds32", 0, 4), Place(place, "sts", 0, 4), Place(place, "fp32", 2, 8)]
    weights = weigh(places, SHAPE, RULES)
    runs = [each.count * weight for each, weight in zip(places, weights, strict=True)]
    assert runs == [5.0, 5.0, 10.0]


def test_the_longest_lane_counts(source: Lines) -> None:
    inner = Place(source("arrays[j] +=", "pairs(arrays"), "lds32", 0, 1)
    outer = Place(source("k = arrays[i]", "pairs(arrays"), "lds32", 0, 1)
    assert weigh([inner, outer], SHAPE, RULES) == [11.0, 1.0]  # 11 degrees of freedom


def test_what_is_outside_of_the_unit_counts_by_its_turns(source: Lines) -> None:
    assert weigh([Place(source("start(ligand)"), "integer", 0, 1)], SHAPE, RULES) == [0.1]


def test_calls_that_are_rare_and_loops_that_are_told(source: Lines) -> None:
    place = Place(source("pass", "rarely(ligand)"), "integer", 0, 1)
    assert weigh([place], SHAPE, RULES) == [pytest.approx(0.7)]
    with pytest.raises(LookupError, match=r"rarely: range\(arrays.unknown\)"):
        weigh([place], SHAPE, replace(RULES, trips={}))


EVALUATION = Evaluation(
    instructions={"fp32": 400.0, "integer": 100.0, "lds32": 100.0},
    stages={"pairs": 600.0}, operations=1e4, field_bytes=1408.0,
)  # fmt: skip


def test_peaks_are_those_of_the_data_sheets() -> None:
    found = {device.name: device.fp32_tflops for device in DEVICES}
    assert found["A100 SXM 80 GB"] == pytest.approx(19.5, rel=0.01)
    assert found["H100 SXM"] == found["GH200 96 GB"] == pytest.approx(67.0, rel=0.01)


def test_the_busiest_unit_is_the_roof() -> None:
    # issue: 600 / 4 clocks; FP32: 400 * 32 / 128; integer: 100 * 32 / 64; loads: 100
    found = predict(H100, EVALUATION, n_warps=64)
    assert found.roof_bound == "issue"
    assert found.roof == pytest.approx(132 * 1.98e9 / 150)
    half = predict(replace(H100, fp32_lanes=64), EVALUATION, n_warps=64)
    assert half.roof_bound == "FP32"
    assert half.roof == pytest.approx(132 * 1.98e9 / 200)


def test_more_chains_hide_more_waiting_up_to_the_roof() -> None:
    few, more, many = (predict(H100, EVALUATION, n_warps=n) for n in (1, 2, 64))
    waiting = 500 * 4.5 + 100 * 29.0
    assert few.cautious == pytest.approx(132 * 1.98e9 / waiting)
    assert more.cautious == pytest.approx(2 * few.cautious)
    assert few.cautious_bound == "latency"
    assert many.cautious == many.roof
    assert few.ligands[0] == few.cautious / EVALUATIONS_A_LIGAND


def test_slow_memory_bounds_what_reads_much() -> None:
    found = predict(H100, replace(EVALUATION, field_bytes=1e6), n_warps=64)
    assert found.roof_bound == found.cautious_bound == "memory"
    assert found.roof == pytest.approx(3350e9 / 1e6)


def test_one_core_of_the_host_is_the_device_s() -> None:
    rates = host_rates(COSTS, 11)
    assert rates.prepared == pytest.approx(1e4 / 155)
    assert rates.finished == pytest.approx(2000.0)
    assert (rates.fed, rates.fed_prepared) == (1000.0, 500.0)


@pytest.mark.parametrize(
    ("costs", "n_cores", "from_smiles", "of_library"),
    [
        (COSTS, 14, "84", "500"),  # preparation, and the device's process
        (replace(COSTS, prepare=1.0, feed=4.0, feed_prepared=4.0), 14, "250", "250"),
        (replace(COSTS, prepare=5.0, finish=20.0), 3, "80", "100"),  # finishing
        (replace(COSTS, prepare=0.1, feed=0.1, feed_prepared=0.1, finish=0.1), 14, "900", "900"),
    ],
)
def test_the_slowest_bounds_what_a_device_does_in_all(
    costs: HostCosts, n_cores: int, from_smiles: str, of_library: str
) -> None:
    found = predict(replace(H100, host_cores=n_cores), EVALUATION, n_warps=64)
    rate = 900.0 * EVALUATIONS_A_LIGAND
    text = model_table([replace(found, roof=rate, cautious=rate)], costs)
    row = next(line for line in text.splitlines() if line.startswith("| H100"))
    assert row.split(" | ")[-2:] == [from_smiles, f"{of_library} |"]


def test_what_the_host_costs_is_measured() -> None:
    costs = measure_host(every=70)
    assert costs.n_molecules in (2, 3)
    assert all(cost > 0.0 for cost in (costs.prepare, costs.feed, costs.finish))


def test_devices_are_known_by_the_driver_s_names() -> None:
    names = {
        "NVIDIA A100-SXM4-80GB": "A100 SXM 80 GB", "NVIDIA H100 80GB HBM3": "H100 SXM",
        "NVIDIA GH200 480GB": "GH200 96 GB",
    }  # fmt: skip
    for name, expected in names.items():
        device = device_named(name)
        assert device is not None
        assert device.name == expected
    assert device_named("NVIDIA GeForce RTX 3060") is None


def test_every_table_says_that_it_is_a_prediction() -> None:
    predictions = [predict(device, EVALUATION, n_warps=16) for device in DEVICES]
    assert "PREDICTION" in model_table(predictions, COSTS)
    assert "PREDICTION" in stage_table([(device, EVALUATION) for device in DEVICES])
