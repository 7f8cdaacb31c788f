"""What `osong plan` says of GPUs: how many, what is measured, what is predicted, who decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from osong.backend import Backend, Device
from osong_workflows import planning
from osong_workflows.device_estimate import SEARCHED_PER_S, DeviceEstimate, estimate_devices
from osong_workflows.place import RunPlace, place_of_site
from osong_workflows.plan_view import plan_view
from osong_workflows.planning import plan_campaign
from osong_workflows.sites import Site

TARGET = 'receptor = "glycine.pdb"\ncenter = [0, 0, 0]\nsize = [20, 20, 20]\n'
STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
END
"""
N_MOLECULES = 90_000
NODE = RunPlace("a node", 1, 64, None, is_site=True, gpus_per_node=4)
SITE = {"name": "s", "cores_per_node": 64, "memory_per_node": "256G"}


def on(
    place: RunPlace, effort: str = "fast", *, is_prepared: bool = False, slowness: float = 1.0
) -> DeviceEstimate:
    found = estimate_devices(
        N_MOLECULES, effort, place, place.cores, is_prepared=is_prepared, slowness=slowness
    )
    assert found is not None
    return found


def named(name: str) -> RunPlace:
    return RunPlace("a node", 1, 64, None, gpus_per_node=1, gpu_name=name)


def test_the_cores_beside_bound_what_fast_devices_do() -> None:
    found = on(NODE)
    assert (found.n_devices, found.cores) == (4, 60), "a core for the process of each device"
    assert found.core_seconds == pytest.approx(0.156)
    assert found.needed_per_s == pytest.approx(60 / 0.156 / 4)
    quick, slow = found.wall_hours
    assert quick == pytest.approx(N_MOLECULES * 0.156 / 60 / 3600), "they keep all cores busy"
    assert slow == pytest.approx(N_MOLECULES / (4 * SEARCHED_PER_S["A100"][0]) / 3600)
    assert found.bound == "cores or devices"
    assert found.device_hours == (4 * quick, 4 * slow)
    assert found.core_hours == pytest.approx(N_MOLECULES * 0.156 / 3600)
    assert found.is_predicted


def test_what_is_there_decides_what_bounds() -> None:
    assert on(RunPlace("", 1, 16, None, gpus_per_node=4)).bound == "cores"
    assert on(NODE, is_prepared=True).bound == "devices"
    assert on(NODE, is_prepared=True).core_seconds < 0.1 * on(NODE).core_seconds
    assert on(NODE, "thorough").bound == "devices", "more search for the same preparation"
    two = on(RunPlace("", 2, 64, None, gpus_per_node=4))
    assert two.wall_hours == tuple(hours / 2 for hours in on(NODE).wall_hours)
    # A sample took twice as long: so do the cores. What a device takes is another matter.
    slow = on(NODE, slowness=2.0)
    assert slow.core_hours == pytest.approx(2 * on(NODE).core_hours)
    assert slow.searched_per_s == on(NODE).searched_per_s


def test_more_gpus_than_cores_leave_a_core_a_node() -> None:
    assert on(RunPlace("", 2, 4, None, gpus_per_node=8)).cores == 2


def test_the_device_is_known_by_its_name() -> None:
    assert on(named("amd_a100nv_8")).device == "A100"
    assert on(named("NVIDIA GH200 480GB")).device == "GH200"
    assert on(named("--gres=gpu:h100:4")).searched_per_s == SEARCHED_PER_S["H100"]
    unknown = on(named("NVIDIA L40S"))
    assert unknown.device == ""
    assert unknown.searched_per_s == (SEARCHED_PER_S["A100"][0], SEARCHED_PER_S["H100"][1])


def test_what_is_predicted_of_devices_is_what_the_docs_say() -> None:
    docs = Path(__file__).parents[2] / "docs" / "cuda.md"
    table = docs.read_text().partition("<!-- table: cuda-model -->")[2].partition("<!-- end")[0]
    heads, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|") and not line.startswith("| :")
    ]
    column = heads.index("ligands/s searched")
    for device, predicted in SEARCHED_PER_S.items():
        (row,) = (row for row in rows if row[0].startswith(device))
        told = [float(number) for number in re.findall(r"[\d.]+", row[column].replace(",", ""))]
        assert told == pytest.approx(predicted, rel=0.02), (
            f"docs/cuda.md predicts {told} of {device}: change SEARCHED_PER_S of device_estimate.py"
        )


@pytest.mark.parametrize(
    ("more", "n_gpus"),
    [
        ({}, 0),
        ({"gpus_per_node": 4}, 4),
        ({"extra": ("--gres=gpu:2",)}, 2),
        ({"extra": ("--gres=gpu:a100:3",)}, 3),
        ({"extra": ("--gpus-per-node=h100:8",)}, 8),
        ({"extra": ("--tres-per-node=gres/gpu:4", "--comment=etc")}, 4),
        ({"extra": ("--partition=gpu",)}, 1),
    ],
)
def test_gpus_of_a_site(more: dict[str, object], n_gpus: int) -> None:
    site = Site(**SITE, **more)
    place = place_of_site(site, 2)
    assert place.gpus_per_node == n_gpus
    assert any("how many GPUs" in note for note in place.notes) == (site.n_gpus is None)


# The plan of a file.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.smi").write_text("".join(f"{'C' * (1 + i)}N m{i}\n" for i in range(20)))
    (tmp_path / "glycine.pdb").write_text(STRUCTURE)
    return tmp_path / "gly.toml"


def write(file: Path, backend: str, more: str = "") -> Path:
    text = f'library = "a.smi"\n[target]\n{TARGET}[run]\nbackend = "{backend}"\n{more}'
    file.write_text(text)
    return file


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, Backend("cpu", "no NVIDIA driver here"))


def here(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    monkeypatch.setattr(planning, "choose_backend", lambda wanted: backend)


WITH_GPUS = Site(**SITE, gpus_per_node=4)


@pytest.mark.parametrize("backend", ["auto", "cuda"])
def test_a_site_with_gpus_is_planned_with_them(file: Path, backend: str) -> None:
    planned = plan_campaign(write(file, backend), site=WITH_GPUS, nodes=2)
    assert planned.problems == ()
    assert planned.devices is not None
    assert (planned.devices.n_devices, planned.devices.cores) == (8, 120)
    assert type(planned).model_validate_json(planned.model_dump_json()) == planned
    (decide,) = (note for note in planned.notes if "each job looks on its node" in note)
    assert ("ends with an error" in decide) == (backend == "cuda")
    console = Console(width=200, record=True)
    for part in plan_view(planned):
        console.print(part)
    text = console.export_text()
    assert "128 workers without GPUs: about" in text
    assert "with 8 GPUs and 120 cores beside: about" in text
    assert text.count("PREDICTION") == 2


def test_without_gpus_nothing_is_said_of_them(file: Path) -> None:
    planned = plan_campaign(write(file, "auto"), site=Site(**SITE))
    assert planned.devices is None
    assert planned.notes == ()
    console = Console(width=200, record=True)
    for part in plan_view(planned):
        console.print(part)
    assert "GPU" not in console.export_text()


@pytest.mark.parametrize(
    ("backend", "more", "reason"),
    [
        ("cpu", "", "backend cpu is asked for"),
        ("auto", '[search]\neffort = "score"\n', "poses are scored as they stand"),
    ],
)
def test_gpus_that_would_be_idle_are_told(file: Path, backend: str, more: str, reason: str) -> None:
    planned = plan_campaign(write(file, backend, more), site=WITH_GPUS)
    assert planned.devices is None
    (note,) = planned.notes
    assert note.startswith(f"jobs ask for GPUs and leave them idle: {reason}")


def test_on_a_login_node_without_a_driver_cuda_is_a_note(file: Path) -> None:
    planned = plan_campaign(write(file, "cuda"))
    assert planned.problems == ()
    (note,) = planned.notes
    assert "cannot work on this machine: no NVIDIA driver here; jobs of a --site may" in note
    assert plan_campaign(write(file, "auto")).notes == ()


def test_devices_of_this_machine_are_counted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h100 = Device(0, "NVIDIA H100 80GB HBM3", 80 * 2**30, (9, 0))
    here(monkeypatch, Backend("cuda", "made up", (h100, h100)))
    planned = plan_campaign(write(file, "auto"), nodes=3)
    assert planned.devices is not None
    assert (planned.devices.n_devices, planned.devices.device) == (6, "H100")
    assert plan_campaign(write(file, "cpu")).devices is None


def test_core_hours_of_a_campaign_for_devices_are_those_beside_them(file: Path) -> None:
    budget = "[budget]\ncore_hours = 0.001\n"  # 3.6 s; 20 molecules: 6.4 s on CPUs alone, else 3.3
    assert plan_campaign(write(file, "cuda", budget), site=WITH_GPUS).problems == ()
    (problem,) = plan_campaign(write(file, "auto", budget), site=WITH_GPUS).problems
    assert "budget.core_hours: about 0.0018" in problem, "the CPU may have to do it all"
