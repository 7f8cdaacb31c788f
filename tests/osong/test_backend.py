"""The choice between CPUs and devices: every way that CUDA can be missing is one clear line."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong import backend, cuda_packages, driver
from osong.backend import Backend, Device, Driver, choose_backend, driver_problem, find_driver
from osong.errors import InputError, MissingExtraError, ResourceError

H100 = Device(0, "NVIDIA H100", 80 * 2**30, (9, 0))
PASCAL = Device(0, "Tesla P100", 16 * 2**30, (6, 0))
GOOD = Driver((13, 0), (H100,))
NO_DRIVER = Driver(problem="no NVIDIA driver here (libcuda.so.1 is not found)")


@pytest.fixture(autouse=True)
def _packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba-cuda for CUDA 13 is installed, whatever is here."""
    install(monkeypatch, "13.0.1")


def install(
    monkeypatch: pytest.MonkeyPatch,
    toolkit: str | None,
    *,
    numba: bool = True,
    missing: str = "none",
) -> None:
    def version(name: str) -> str:
        if toolkit is None or name == missing:
            raise metadata.PackageNotFoundError(name)
        return toolkit

    monkeypatch.setattr(cuda_packages.metadata, "version", version)
    monkeypatch.setattr(cuda_packages, "find_spec", lambda name: object() if numba else None)


def choose(driver: Driver, wanted: str = "auto", **options: object) -> Backend:
    return choose_backend(wanted, find=lambda: driver, environment={}, **options)


def test_a_device_is_taken_with_its_name() -> None:
    chosen = choose(GOOD)
    assert (chosen.name, chosen.devices) == ("cuda", (H100,))
    assert str(chosen) == "backend cuda: 0: NVIDIA H100, 80 GiB, compute capability 9.0"


def test_the_cpu_needs_no_look_at_the_driver() -> None:
    def find() -> Driver:
        raise AssertionError("asked")

    assert choose_backend("cpu", find=find).name == "cpu"


PROBLEMS = {
    "no driver": (NO_DRIVER, "13.0", "no NVIDIA driver here"),
    "hung": (Driver(problem="the NVIDIA driver did not answer within 60 s"), "13.0", "60 s"),
    "driver too old": (
        Driver((12, 4), (H100,)),
        "13.2",
        r"speaks CUDA 12\.4 and the installed packages need 13\.0: update the driver to 580 or "
        r"newer, or pip install 'numba-cuda\[cu12\]'",
    ),
    "driver far too old": (Driver((11, 8), (H100,)), "12.9", r"update the driver to 525 or newer$"),
    "device too old": (
        Driver((13, 0), (PASCAL,)),
        "13.0",
        r"have compute capability 6\.0 and Osong needs 7\.5 or more",
    ),
    "device too old for us": (Driver((12, 4), (PASCAL,)), "12.4", r"Osong needs 7\.0 or more"),
    "nothing visible": (Driver((13, 0)), "13.0", "no NVIDIA device is visible"),
}


@pytest.mark.parametrize(("driver", "toolkit", "line"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, driver: Driver, toolkit: str, line: str
) -> None:
    install(monkeypatch, toolkit)
    chosen = choose(driver)
    assert chosen.name == "cpu"
    assert chosen.reason == driver_problem(driver)
    assert "\n" not in chosen.reason
    assert re.search(line, chosen.reason)
    with pytest.raises(ResourceError, match=line.rstrip("$")):
        choose(driver, "cuda")


def test_driver_of_the_older_toolkit_is_enough_for_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, "12.9.1")
    assert choose(Driver((12, 4), (H100,))).name == "cuda"


def test_packages_of_unknown_origin_are_judged_as_those_of_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, None)
    assert backend.needs().cuda == (13, 0)


def test_missing_package_comes_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "13.0", numba=False)
    assert "pip install 'osong[cuda]'" in choose(GOOD).reason
    with pytest.raises(MissingExtraError, match=r"pip install 'osong\[cuda\]'"):
        choose(GOOD, "cuda")


@pytest.mark.parametrize(
    ("driver", "line"),
    [
        (
            Driver((12, 4), (H100,)),
            r"osong\[cuda\] needs CUDA 13 \(driver 580 or newer\); for this driver: "
            r"pip install 'numba-cuda\[cu12\]'",
        ),
        (Driver((11, 8), (H100,)), r"\(driver 580 or newer\); update the driver"),
        (Driver((13, 0), (PASCAL,)), r"compute capability 6\.0"),
    ],
    ids=["driver of CUDA 12", "driver of CUDA 11", "device too old"],
)
def test_packages_are_asked_for_only_where_they_would_do(
    monkeypatch: pytest.MonkeyPatch, driver: Driver, line: str
) -> None:
    install(monkeypatch, None, numba=False)
    assert re.search(line, choose(driver).reason)
    with pytest.raises(ResourceError, match=line):
        choose(driver, "cuda")


@pytest.mark.parametrize(
    ("toolkit", "missing", "line"),
    [
        (None, "none", r"without its CUDA toolkit \(cuda-toolkit, nvidia-nvvm, nvidia-nvjitlink\)"),
        ("13.0", "nvidia-nvvm", r"\(nvidia-nvvm\): pip install 'osong\[cuda\]'"),
        ("12.9", "nvidia-nvjitlink-cu12", r"-cu12\): pip install 'numba-cuda\[cu12\]'"),
        ("14.1", "none", r"toolkit 14\.1 is installed .* 12 and 13: pip install 'osong\[cuda\]'"),
    ],
)
def test_a_toolkit_that_is_missing_or_unknown_is_one_line(
    monkeypatch: pytest.MonkeyPatch, toolkit: str | None, missing: str, line: str
) -> None:
    install(monkeypatch, toolkit, missing=missing)
    assert re.search(line, choose(GOOD).reason)
    with pytest.raises(ResourceError, match=line):
        choose(GOOD, "cuda")


@pytest.mark.parametrize(
    ("driver", "remedy"),
    [
        (Driver(problem="none", remedy="install it"), "none; install it, or dock on CPUs"),
        (Driver((13, 0)), "set CUDA_VISIBLE_DEVICES, or dock on CPUs"),
        (Driver((13, 0), (PASCAL,)), "; use a newer device, or dock on CPUs"),
        (Driver((12, 4), (H100,)), r"'numba-cuda\[cu12\]'; or dock on CPUs"),
    ],
)
def test_who_asks_for_cuda_is_told_what_helps(driver: Driver, remedy: str) -> None:
    with pytest.raises(ResourceError, match=remedy):
        choose(driver, "cuda")


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda"):
        choose_backend("gpu")


FOUR = tuple(Device(i, "NVIDIA A100", 2**36, (8, 0)) for i in range(4))


SHARES = {
    "alone": (0, 1, "", [0, 1, 2, 3], 1),
    "alone, by Slurm": (0, 1, "4", [0, 1, 2, 3], 1),
    "two each": (1, 2, "", [1, 3], 1),
    "uneven": (1, 3, "", [1], 1),
    "one each": (3, 4, "4", [3], 1),
    "two on each": (5, 8, "4", [1], 2),
    "two or three on each, of three": (8, 10, "", [0], 3),
    "two or three on each, of two": (7, 10, "", [3], 2),
    "Slurm shows each its own": (2, 4, "16", [0, 1, 2, 3], 1),
    "Slurm shows the same to several": (2, 8, "16", [0, 1, 2, 3], 2),
    "Slurm's shares do not come out even": (2, 6, "16", [0, 1, 2, 3], 2),
}


@pytest.mark.parametrize(
    ("rank", "n_ranks", "on_node", "indices", "n_sharers"), SHARES.values(), ids=SHARES
)
def test_processes_of_a_node_share_devices_out(
    rank: int, n_ranks: int, on_node: str, indices: list[int], n_sharers: int
) -> None:
    chosen = share(FOUR, rank, n_ranks, on_node)
    assert [device.index for device in chosen] == indices
    assert {device.n_sharers for device in chosen} == {n_sharers}


def share(
    devices: tuple[Device, ...], rank: int, n_ranks: int, on_node: str = ""
) -> tuple[Device, ...]:
    return choose_backend(
        rank=rank,
        n_ranks=n_ranks,
        find=lambda: Driver((13, 0), devices),
        environment={"SLURM_GPUS_ON_NODE": on_node} if on_node else {},
    ).devices


@given(n_ranks=st.integers(1, 20), n_devices=st.integers(1, 9))
def test_no_device_is_left_out_or_given_away_twice(n_ranks: int, n_devices: int) -> None:
    devices = tuple(Device(i, "NVIDIA A100", 2**36, (8, 0)) for i in range(n_devices))
    users = Counter[int]()
    told = {}
    for rank in range(n_ranks):
        chosen = share(devices, rank, n_ranks)
        users.update(device.index for device in chosen)
        told |= {device.index: device.n_sharers for device in chosen}
    assert users == told
    assert len(told) == n_devices


def test_shares_fit_beside_each_other_and_a_context_each() -> None:
    (one,) = share((H100,), 0, 3)
    assert one.share_bytes is not None
    assert 3 * (one.share_bytes + 512 * 2**20) <= H100.memory_bytes < 3 * (one.share_bytes + 2**30)
    assert "shared by 3 processes" in str(one)
    assert share((H100,), 0, 1)[0].share_bytes is None, "all that is free"
    (crowded,) = share((replace(H100, memory_bytes=2**30),), 0, 4)
    assert crowded.share_bytes == 0


def test_a_device_that_is_of_no_use_is_one_of_those_that_slurm_gave() -> None:
    old = replace(PASCAL, index=0)
    new = tuple(replace(device, index=device.index + 1) for device in FOUR[:3])
    # Four were given and four are visible: nothing is bound, and the ranks share three.
    chosen = share((old, *new), 1, 2, "4")
    assert [device.index for device in chosen] == [2]


def test_unusable_devices_are_passed_over() -> None:
    old = Device(0, "Tesla P100", 2**34, (6, 0))
    new = Device(1, "NVIDIA L40", 2**35, (8, 9))
    assert choose(Driver((13, 0), (old, new))).devices == (new,)


def test_the_simulator_only_where_it_is_asked_for() -> None:
    simulated = {"NUMBA_ENABLE_CUDASIM": "1"}
    assert choose_backend("auto", environment=simulated).name == "cpu"
    assert choose_backend("cuda", environment=simulated).devices[0].name == "Numba's simulator"


class FakeProcess:
    """Stands for the process that asks the driver; it may hang, and not even die."""

    def __init__(self, stdout: str, code: int, *, hangs: bool) -> None:
        self.answer, self.returncode, self.hangs = stdout, code, hangs
        self.stdout = io.StringIO()
        self.is_killed = False

    def communicate(self, timeout: float) -> tuple[str, None]:
        self.wait(timeout)
        return self.answer, None

    def wait(self, timeout: float) -> int:
        if self.hangs:
            raise subprocess.TimeoutExpired("probe", timeout)
        return self.returncode

    def kill(self) -> None:
        self.is_killed = True


def answer_with(
    monkeypatch: pytest.MonkeyPatch, stdout: str, code: int = 0, *, hangs: bool = False
) -> FakeProcess:
    process = FakeProcess(stdout, code, hangs=hangs)
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(driver.subprocess, "Popen", lambda *_, **__: process)
    driver._find_driver.cache_clear()
    return process


@pytest.fixture
def _forget() -> object:
    yield
    driver._find_driver.cache_clear()


@pytest.mark.usefixtures("_forget")
def test_the_answer_of_a_driver_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"cuda": 12040, "devices": [["NVIDIA H100", 2**36, 9, 0]], "problem": ""}
    answer_with(monkeypatch, json.dumps(answer))
    assert find_driver() == Driver((12, 4), (Device(0, "NVIDIA H100", 2**36, (9, 0)),))


@pytest.mark.usefixtures("_forget")
def test_a_driver_that_crashes_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, "", code=-11)
    assert find_driver().problem == "the NVIDIA driver ended the process that asked it (code -11)"


@pytest.mark.usefixtures("_forget")
def test_a_driver_that_hangs_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    process = answer_with(monkeypatch, "", hangs=True)
    assert find_driver().problem == "the NVIDIA driver did not answer within 60 s"
    assert process.is_killed
    assert process.stdout.closed
    assert "nvidia-smi" in find_driver().remedy


class FakeCuda:
    """libcuda with one device, or with an error of cuInit."""

    def __init__(self, init: int = 0) -> None:
        self.init = init

    def cuDriverGetVersion(self, version: object) -> int:
        version._obj.value = 13000
        return 0

    def cuInit(self, flags: int) -> int:
        return self.init

    def cuDeviceGetCount(self, count: object) -> int:
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, device: object, index: int) -> int:
        return 0

    def cuDeviceGetName(self, name: object, size: int, device: object) -> int:
        name.value = b"NVIDIA Fake"
        return 0

    def cuDeviceTotalMem_v2(self, n_bytes: object, device: object) -> int:
        n_bytes._obj.value = 2**33
        return 0

    def cuDeviceGetAttribute(self, value: object, attribute: int, device: object) -> int:
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0

    def cuGetErrorString(self, code: int, text: object) -> int:
        text._obj.value = b"system has unsupported display driver"
        return 0


@pytest.mark.parametrize(
    ("init", "devices", "problem"),
    [
        (0, [("NVIDIA Fake", 2**33, 8, 6)], ""),
        (100, [], ""),
        (
            803,
            [],
            "the NVIDIA driver does not work: system has unsupported display driver (error 803)",
        ),
    ],
)
def test_the_driver_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    init: int,
    devices: list[tuple[str, int, int, int]],
    problem: str,
) -> None:
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: FakeCuda(init))
    assert driver._ask() == {"cuda": 13000, "devices": devices, "problem": problem}


def test_asking_imports_nothing_heavy() -> None:
    code = "import osong.backend, sys; print('numba' in sys.modules, 'rdkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
