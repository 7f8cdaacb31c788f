"""The doctor: what it says of what is there and of what is not."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from osong import backend, doctor
from osong.backend import Device, Driver, Needs, choose_backend
from osong.rescoring import weights


class Distribution:
    """Osong as pip leaves it."""

    version = "0"

    def __init__(self, url: str | None) -> None:
        self.url = url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.url is None else json.dumps({"url": self.url})


def install_from(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it look as if pip had installed Osong from somewhere."""
    found = metadata.distribution
    osong = Distribution(url)
    monkeypatch.setattr(
        metadata, "distribution", lambda name: osong if name == "osong" else found(name)
    )


@pytest.fixture
def without_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "polars" else found(name))


def polars() -> doctor.Finding:
    return next(finding for finding in doctor.examine() if finding.topic == "polars")


def test_missing_extra_comes_with_the_line_for_this_checkout(
    without_polars: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_from(tmp_path.as_uri(), monkeypatch)
    finding = polars()
    assert finding.state == "optional"
    assert re.fullmatch(rf"\S+ -m pip install '{tmp_path}\[polars\]'", finding.remedy)


@pytest.mark.parametrize("url", [None, "file:///no/such/folder", "https://host/osong.whl"])
def test_missing_extra_of_a_release_is_asked_for_by_name(
    without_polars: None, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    install_from(url, monkeypatch)
    assert polars().remedy.endswith("-m pip install 'osong[polars]'")


def test_every_requirement_is_looked_for(root: Path) -> None:
    asked = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", item)[0] for item in asked}
    assert names == set(doctor._REQUIRED)


@pytest.mark.parametrize(
    ("flags", "width"),
    [("fma avx2 avx512f", "16 lanes in 1 register"), ("fma avx2", "16 lanes in 2 registers")],
)
def test_width_is_told_in_registers(
    monkeypatch: pytest.MonkeyPatch, flags: str, width: str
) -> None:
    monkeypatch.setattr(doctor, "_cpu_info", lambda field: flags)
    assert width in doctor._vector_width()


def test_missing_requirement_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def no_rdkit(name: str) -> str:
        if name == "rdkit":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", no_rdkit)
    finding = next(finding for finding in doctor.examine() if finding.topic == "rdkit")
    assert (finding.state, finding.remedy) == ("missing", "pip install rdkit")


GPU = Device(0, "NVIDIA H100", 80 * 2**30, (9, 0))


def gpu_rows(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> dict[str, doctor.Finding]:
    monkeypatch.setattr(doctor, "find_driver", lambda: driver)
    monkeypatch.setattr(doctor, "needs", lambda: Needs((13, 0), "580", (7, 5)))
    monkeypatch.setattr(backend, "needs", lambda: Needs((13, 0), "580", (7, 5)))
    monkeypatch.setattr(backend, "packages_problem", lambda: "")
    monkeypatch.setattr(doctor, "choose_backend", lambda: choose_backend(find=lambda: driver))
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    return {row.topic: row for row in doctor._gpu()}


def test_a_device_that_works_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = gpu_rows(monkeypatch, Driver((13, 1), (GPU,)))
    assert rows["GPU"].value == "0: NVIDIA H100, 80 GiB, compute capability 9.0"
    assert rows["NVIDIA driver"].state == "ok"
    assert rows["backend"].value.startswith("cuda: 0: NVIDIA H100")


@pytest.mark.parametrize(
    ("on_node", "note"),
    [
        ("", ""),
        ("1", ""),
        ("4", "1 of the 4 that the job has here: others are for its other tasks"),
    ],
)
def test_gpus_that_slurm_shows_to_other_tasks_are_told(
    monkeypatch: pytest.MonkeyPatch, on_node: str, note: str
) -> None:
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", on_node)
    assert gpu_rows(monkeypatch, Driver((13, 1), (GPU,)))["GPU"].remedy == note


def test_a_driver_that_is_too_old_is_one_line_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = gpu_rows(monkeypatch, Driver((12, 2), (GPU,)))
    assert rows["NVIDIA driver"].state == rows["backend"].state == "optional"
    assert rows["NVIDIA driver"].remedy == "update the NVIDIA driver to 580 or newer"
    assert rows["backend"].value.startswith("cpu: the NVIDIA driver speaks CUDA 12.2 and")
    assert all("\n" not in row.value + row.remedy for row in rows.values())


def test_no_device_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = gpu_rows(monkeypatch, Driver(problem="no NVIDIA driver here"))
    assert (rows["GPU"].state, rows["backend"].state) == ("optional", "ok")
    assert rows["backend"].value == "cpu: no NVIDIA driver here"


def weights_row() -> doctor.Finding:
    return next(finding for finding in doctor.examine() if finding.topic == "weights of networks")


def test_weights_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = weights.find_spec
    monkeypatch.setattr(
        weights, "find_spec", lambda name: None if name == "gninatorch" else found(name)
    )
    assert weights_row().state == "optional"
    assert weights_row().remedy.endswith("[ml]'")


def test_weights_are_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dense.pt").write_bytes(b"half a file")
    monkeypatch.setattr(weights, "shipped_folder", lambda: tmp_path)
    assert weights_row().state == "optional"
    assert re.search(r"dense\.pt: SHA-256 is .*put it back: pip install", weights_row().remedy)
