"""The part that measures a device, with a device that is made up."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from osong.backend import Backend, Device
from osong.cli.main import app
from osong.errors import LigandError, ResourceError
from osong.search.memory import Misfit
from osong_benchmarks import gpu_measure, registry
from osong_benchmarks.part import Settings
from osong_benchmarks.parts import gpu
from osong_benchmarks.report.schema import PartRecord, to_json

DEVICE = Device(0, "NVIDIA H100 80GB HBM3", 80 * 2**30, (9, 0))
JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="good" time="1.5"/>
<testcase classname="a" name="bad" time="2.5"><failure message="no"/></testcase>
<testcase classname="b" name="broken" time="0.5"><error message="no"/></testcase>
<testcase classname="b" name="left out" time="0"><skipped/></testcase>
</testsuite></testsuites>"""


class FakeSession:
    """Docks like the CPU's session, one molecule after the other."""

    def __init__(self, target: Any, **options: Any) -> None:
        self.session = gpu_measure.DockingSession(target, **options)

    def dock_many(self, molecules: Any) -> list[Any]:
        return [self.session.dock(ligands) for ligands in molecules]

    def ready(self, molecules: Any) -> Any:
        return molecules

    def search(self, ready: Any) -> list[Any]:
        return self.dock_many(ready)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that docks as the CPU does, and tests that have passed."""
    backend = Backend("cuda", "as made up", (DEVICE,))
    tests = gpu_measure.DeviceTests(n_passed=3, n_failed=0, n_skipped=0, seconds=1.0)
    monkeypatch.setattr(gpu_measure, "choose_backend", lambda wanted: backend)
    monkeypatch.setattr(gpu_measure, "device_session", FakeSession)
    monkeypatch.setattr(gpu, "run_tests", lambda root: tests)
    monkeypatch.setattr(gpu, "_EDGE", 12.0)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.30")


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend("cpu", "no NVIDIA driver here (libcuda.so.1 is not found)")
    monkeypatch.setattr(gpu_measure, "choose_backend", lambda wanted: backend)


@pytest.mark.usefixtures("no_device")
def test_without_a_device_there_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "--gpu", "--out", str(tmp_path)])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "not measured on a device: no NVIDIA driver here" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_device")
def test_without_a_device_the_part_is_a_gap(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="not measured on a device"):
        gpu.run(Settings(out=tmp_path), lambda line: None)


def test_the_part_runs_only_when_it_is_named() -> None:
    from osong_benchmarks.suite import _chosen_parts

    assert "gpu" not in _chosen_parts(())
    assert _chosen_parts(("gpu", "hardware")) == ("hardware", "gpu")
    assert "gpu" in registry.known_parts()


@pytest.mark.usefixtures("device")
def test_what_is_measured_is_shown_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    predicted = gpu.Predicted(device="H100 SXM", low=200.0, high=500.0)
    monkeypatch.setattr(gpu, "_predicted", lambda name: predicted)
    lines: list[str] = []
    settings = Settings(size="smallest", data=shared_data, out=tmp_path)
    result = gpu.run(settings, lines.append)
    assert result.gaps == ()
    assert "H100" in result.device
    (row,) = result.complexes
    assert row.cpu_energy == row.device_energy < 0.0
    assert result.rate is not None
    assert (result.rate.n_molecules, result.rate.n_failed) == (4, 0)
    section = gpu.section(result)
    assert "3 passed, 0 failed" in section.summary
    assert "energy is +0.000 kcal/mol from the CPU's" in section.summary
    cells = [str(cell) for table in section.tables for line in table.rows for cell in line]
    assert any("PREDICTION" in cell for cell in cells)
    assert "200 to 500" in cells
    assert gpu.merits(result)["gpu.ligands_per_second"].value == result.rate.per_second
    record = PartRecord(seconds=1.0, cpu_seconds=1.0, result=result, merits=gpu.merits(result))
    assert PartRecord.read("gpu", to_json(record)) == record


@pytest.mark.usefixtures("device")
def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tests(root: Path) -> None:
        raise ResourceError("the tests are not here")

    rate = gpu_measure.DeviceRate(
        effort="fast", n_molecules=2, n_failed=0, ready_s=0.1, first_s=2.0, seconds=1.0
    )
    monkeypatch.setattr(gpu, "run_tests", no_tests)
    monkeypatch.setattr(gpu, "rate_of", lambda *arguments: rate)
    monkeypatch.setattr(gpu, "device_named", lambda name: None)
    result = gpu.run(Settings(size="smallest", out=tmp_path), lambda line: None)
    assert [gap.what for gap in result.gaps] == [
        "tests on the device", "energies and success beside the CPU", "prediction",
    ]  # fmt: skip
    assert gpu.section(result).tables[0].rows[-1] == ("ligands/s, measured", 2.0)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("n_failed", [0, 2])
def test_failed_tests_on_the_device_end_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_failed: int
) -> None:
    tests = gpu_measure.DeviceTests(n_passed=3, n_failed=n_failed, n_skipped=0, seconds=1.0)
    rate = gpu_measure.DeviceRate(
        effort="fast", n_molecules=2, n_failed=0, ready_s=0.1, first_s=2.0, seconds=1.0
    )
    monkeypatch.setattr(gpu, "run_tests", lambda root: tests)
    monkeypatch.setattr(gpu, "rate_of", lambda *arguments: rate)
    monkeypatch.setattr(gpu, "dock_beside", lambda *arguments: ([], []))
    monkeypatch.setattr(gpu, "device_named", lambda name: None)
    words = ["bench", "--parts", "gpu", "--smallest", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == (1 if n_failed else 0), result.output
    assert ("2 tests on the device failed" in result.stderr) == bool(n_failed)
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.usefixtures("device")
def test_a_complex_that_fails_is_a_gap_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = gpu_measure.SideBySide(
        complex="c", n_atoms=1, n_torsions=0, cpu_energy=-1.0, device_energy=-1.0,
        cpu_rmsd=1.0, device_rmsd=1.0,
    )  # fmt: skip

    def dock(complex_: Any, settings: Settings, effort: str) -> gpu_measure.SideBySide:
        if complex_.name == "a":
            raise ResourceError("device 0: out of memory")
        return row

    monkeypatch.setattr(gpu_measure, "_dock_one_beside", dock)
    complexes: Any = [SimpleNamespace(name=name) for name in "ab"]
    found, gaps = gpu_measure.dock_beside(
        complexes, Settings(out=tmp_path), "fast", lambda line: None
    )
    assert found == [row]
    assert [(gap.what, gap.reason) for gap in gaps] == [
        ("a by CPU and device", "device 0: out of memory")
    ]


@pytest.mark.usefixtures("device")
def test_what_the_device_does_not_take_is_not_counted_as_docked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    class Refusing(FakeSession):
        def search(self, ready: Any) -> list[Any]:
            return [Misfit(number, "too large") for number, _ in enumerate(ready)]

        dock_many = search

    monkeypatch.setattr(gpu_measure, "device_session", Refusing)
    settings = Settings(size="smallest", data=shared_data, out=tmp_path)
    rate = gpu_measure.rate_of(gpu.made_target(12.0), settings, "fast", 2, lambda line: None)
    assert (rate.n_misfits, rate.per_second) == (2, 0.0)
    chosen = gpu.choose(gpu.read_complexes(shared_data), 1)
    found, gaps = gpu_measure.dock_beside(chosen, settings, "fast", lambda line: None)
    assert found == []
    assert "does not take it: too large" in gaps[0].reason


def test_failed_tests_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tests" / "kernels").mkdir(parents=True)

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        (report,) = (word for word in command if word.startswith("--junitxml="))
        Path(report.partition("=")[2]).write_text(JUNIT)
        assert options["env"]["NUMBA_ENABLE_CUDASIM"] == "0"
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(gpu_measure.subprocess, "run", run)
    assert gpu_measure.run_tests(tmp_path) == gpu_measure.DeviceTests(
        n_passed=1, n_failed=2, n_skipped=1, seconds=4.5, failed=("a.bad", "b.broken")
    )


def test_outside_a_checkout_there_are_no_tests(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="root of a checkout"):
        gpu_measure.run_tests(tmp_path)


@pytest.mark.usefixtures("device")
def test_a_molecule_that_cannot_be_searched_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FakeSession):
        def search(self, ready: Any) -> list[Any]:
            return [(), *[LigandError("damaged", stage="dock") for _ in ready[1:]]]

    monkeypatch.setattr(gpu_measure, "device_session", Failing)
    target = gpu.made_target(12.0)
    rate = gpu_measure.rate_of(target, Settings(out=tmp_path), "fast", 3, lambda line: None)
    assert (rate.n_molecules, rate.n_failed) == (3, 2)
