"""The way of devices, walked on a CPU: batches of one size, short memory, grids that stay there."""
# ruff: noqa: E402

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids_of_balls import ball_grids
from test_grids import CASES, receptor_of

torch = pytest.importorskip("torch", reason="needs osong[ml]")

from osong.errors import InputError, ResourceError
from osong.rescoring import grids as grids_module
from osong.rescoring import rescorer as rescorer_module
from osong.rescoring.grid_memory import GRID_SHAPE, check_grids, room_for
from osong.rescoring.grids import GridMaker
from osong.rescoring.networks import Default2018
from osong.rescoring.rescorer import Rescorer


@pytest.fixture(scope="module")
def grids() -> Any:
    return ball_grids(5, seed=11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of random weights."""
    made = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    torch.save(Default2018().state_dict(), made / "net1.pt")
    return made


class FakeDevice:
    """Stands for a device whose memory another process took: batches above ``room`` fail."""

    def __init__(self, rescorer: Rescorer, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []
        self.plain = rescorer._run

    def run(self, grids: Any, *, skip_empty: bool) -> Any:
        self.sizes.append(len(grids))
        if len(grids) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.plain(grids, skip_empty=skip_empty)


def as_device(folder: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, FakeDevice]:
    """Return a rescorer that takes the way of devices, on the CPU."""
    rescorer = Rescorer("net1", device="cpu", weights=folder)
    rescorer.batch_poses = 4
    device = FakeDevice(rescorer, room)
    monkeypatch.setattr(rescorer, "_run", device.run)
    monkeypatch.setattr(rescorer, "_on_cpu", rescorer._on_device)
    return rescorer, device


def test_half_the_batch_where_memory_was_taken(
    folder: Path, grids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescorer, device = as_device(folder, 2, monkeypatch)
    found = rescorer.scores(grids)
    assert device.sizes == [4, 2, 2, 2]
    expected = Rescorer("net1", device="cpu", weights=folder).scores(grids)
    np.testing.assert_allclose(found.affinity, expected.affinity, atol=1e-5)


def test_no_room_on_the_device(folder: Path, grids: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rescorer, device = as_device(folder, 0, monkeypatch)
    with pytest.raises(ResourceError, match="no room for a single pose"):
        rescorer.scores(grids)
    assert device.sizes == [4, 2, 1]


class DeviceShelf:
    """A source of grids whose poses are indices, and which fills tensors only."""

    can_fill_devices = True

    def __init__(self, grids: Any) -> None:
        self.made = grids
        self.places: list[int] = []

    def grids(self, poses: Sequence[int], *, out: Any) -> Any:
        self.places.append(out.data_ptr())  # an array has none
        out.copy_(torch.from_numpy(self.made[list(poses)]))
        return out


def room_of_torch(source: object, n_poses: int, device: object) -> Any:
    """Stands for memory of a device: a tensor."""
    return torch.full((n_poses, *GRID_SHAPE), float("nan"))


@pytest.mark.parametrize("room", [4, 2])
def test_grids_that_a_device_made_stay_there(
    folder: Path, grids: Any, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Whole batches are not copied; the last one and smaller ones are filled up."""
    rescorer, device = as_device(folder, room, monkeypatch)
    monkeypatch.setattr(rescorer_module, "room_for", room_of_torch)
    seen: list[int] = []
    plain = device.run

    def run(values: Any, *, skip_empty: bool) -> Any:
        assert torch.isfinite(values).all()
        seen.append(values.data_ptr())
        return plain(values, skip_empty=skip_empty)

    monkeypatch.setattr(rescorer, "_run", run)
    shelf = DeviceShelf(grids)
    parts = list(rescorer.iter_scores(shelf, [4, 3, 2, 1, 0]))
    assert [len(part) for part in parts] == [4, 1]
    assert seen[0] == shelf.places[0] == shelf.places[1] != seen[-1]
    assert device.sizes == {4: [4, 4], 2: [4, 2, 2, 2]}[room]
    expected = Rescorer("net1", device="cpu", weights=folder).scores(grids)
    found = np.concatenate([part.affinity for part in parts])[::-1]
    np.testing.assert_allclose(found, expected.affinity, atol=1e-5)


class FakeEmpty:
    """Stands for ``torch.empty`` on a device: gives memory of the host, or has no room."""

    def __init__(self, *, has_room: bool) -> None:
        self.has_room = has_room
        self.asked: list[Any] = []

    def __call__(self, shape: Any, *, dtype: Any, device: Any) -> Any:
        self.asked.append((tuple(shape), dtype, device))
        if not self.has_room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(shape, dtype=dtype)


def test_where_grids_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device where networks run there and the source can; else, or without room, here."""
    empty = FakeEmpty(has_room=True)
    monkeypatch.setattr(torch, "empty", empty)
    cuda, shelf = torch.device("cuda", 1), DeviceShelf(None)
    shape = (2, *GRID_SHAPE)
    assert isinstance(room_for(shelf, 2, torch.device("cpu")), np.ndarray)
    assert isinstance(room_for(object(), 2, cuda), np.ndarray)
    assert empty.asked == []
    assert isinstance(room_for(shelf, 2, cuda), torch.Tensor)
    assert empty.asked == [(shape, torch.float32, cuda)]
    empty.has_room = False
    room = room_for(shelf, 2, cuda)
    assert isinstance(room, np.ndarray)
    assert (room.shape, room.dtype) == (shape, np.float32)


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_maker_fills_devices_where_docking_would_use_them(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    backend = type("Backend", (), {"name": name})
    monkeypatch.setattr(grids_module, "choose_backend", lambda wanted: backend)
    maker = GridMaker(receptor_of(CASES[0]["receptor"]))
    grids_module._has_device.cache_clear()
    try:
        assert maker.can_fill_devices is (name == "cuda")
    finally:
        grids_module._has_device.cache_clear()


def test_tensors_are_checked_like_arrays() -> None:
    check_grids(torch.zeros((1, *GRID_SHAPE)))
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        check_grids(torch.zeros((1, 2)))
    with pytest.raises(InputError, match="float64; wanted float32"):
        check_grids(torch.zeros((1, *GRID_SHAPE), dtype=torch.float64))
