"""The hardware part at its smallest, and what it reads from the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from osong_benchmarks import peaks
from osong_benchmarks.machine_facts import Cache, caches, gpus, read_gpus
from osong_benchmarks.part import Settings
from osong_benchmarks.parts import hardware


@pytest.fixture(scope="module")
def result() -> hardware.HardwareResult:
    return hardware.run(Settings(size="smallest", cores=2), lambda line: None)


def test_every_peak_is_measured(result: hardware.HardwareResult) -> None:
    found = hardware.merits(result)
    assert {"hardware.fma_peak.one_core", "hardware.triad.all_cores"} <= set(found)
    assert all(merit.value > 0 and merit.is_higher_better for merit in found.values())
    assert [level.name for level in result.levels][-1] == "memory"
    assert result.levels == tuple(sorted(result.levels, key=lambda level: level.n_bytes))
    assert result.vector_bits in (128, 256, 512)
    assert result.packages["numpy"]


def test_page_and_file_hold_the_machine(result: hardware.HardwareResult) -> None:
    again = hardware.HardwareResult.model_validate_json(result.model_dump_json())
    assert again == result
    section = hardware.section(again)
    assert len(section.figures) == 2
    facts = dict(hardware.facts(result))
    assert facts["processor"].startswith(result.cpu)
    assert facts["Python"] == result.python
    assert {gap.what for gap in result.gaps} <= {"GPU", "cache sizes"}
    assert ("GPU" in {gap.what for gap in result.gaps}) == (not result.gpus)


def test_a_busy_machine_is_said_to_be_busy(result: hardware.HardwareResult) -> None:
    busy = result.model_copy(update={"load_before": 99.0})
    idle = result.model_copy(update={"load_before": 0.0})
    assert "busy with other things (load 99.0)" in hardware.section(busy).summary
    assert "busy" not in hardware.section(idle).summary


def test_loops_do_the_work_that_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is loops a second times work a loop: with one loop a second, the work."""
    monkeypatch.setattr(peaks, "best_rate", lambda function, seconds: function(1) or 1.0)
    monkeypatch.setattr(peaks, "_in_threads", lambda tasks: [task() for task in tasks] and 1.0)
    assert peaks.read_bandwidth(16 << 10) == 16 << 10
    assert peaks.triad_bandwidth(3 << 10) == 3 << 10
    assert peaks.gather_rate(16 << 10) == 256 * 16
    assert peaks.fma_peak() == 2 * 12 * 16 * 1000


def test_reading_sums_the_whole_table() -> None:
    import numpy as np

    table = np.arange(32 * 16, dtype=np.float32).reshape(32, 16)
    out = np.zeros((1, 16), np.float32)
    peaks._read(table, 3, out)
    assert out[0] == pytest.approx(3 * table.sum(axis=0))


@pytest.mark.parametrize("n", [8, 24, 1000])
def test_tables_begin_with_a_cache_line(n: int) -> None:
    table = peaks._aligned_table(n)
    assert table.shape == (n, 16)
    assert table.ctypes.data % 64 == 0
    assert (table == 1.0).all()


def test_caches_come_from_the_system(tmp_path: Path) -> None:
    names = ("level", "type", "size", "shared_cpu_list")
    told = [
        ("1", "Data", "48K", "0,64"),
        ("1", "Instruction", "32K", "0,64"),
        ("3", "Unified", "384M", "0-7,64-71"),
    ]
    for index, texts in enumerate(told):
        entry = tmp_path / f"index{index}"
        entry.mkdir()
        for name, text in zip(names, texts, strict=True):
            (entry / name).write_text(f"{text}\n")
    assert caches(tmp_path) == (
        Cache(level=1, kind="data", n_bytes=48 << 10, n_sharing=2),
        Cache(level=1, kind="instruction", n_bytes=32 << 10, n_sharing=2),
        Cache(level=3, kind="unified", n_bytes=384 << 20, n_sharing=16),
    )
    assert caches(tmp_path / "nowhere") == ()


def test_gpus_as_their_driver_tells() -> None:
    lines = "NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0\nNVIDIA-SMI has failed\n"
    (gpu,) = read_gpus(lines)
    assert (gpu.memory_bytes, gpu.compute_capability) == (81559 << 20, "9.0")


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpus() == ()
