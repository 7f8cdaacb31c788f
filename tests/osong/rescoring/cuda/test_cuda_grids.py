"""Grids that a device makes in memory of torch, or of what stands for it in the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_backends import IS_SIMULATED
from rdkit import Chem
from test_grids import CASES, embedded, receptor_of

from osong.errors import InputError
from osong.rescoring import grids as grids_module
from osong.rescoring.grids import N_CHANNELS, GridMaker, PoseAtoms

N_POINTS = 4
TOLERANCE = 4e-6
"""Of densities of an atom or two: exponentials and roots are the device's own."""


class LentMemory:
    """Memory of the host with the words of a tensor on a device: what the simulator can fill."""

    def __init__(self, values: npt.NDArray[Any], strides: tuple[int, ...] | None = None) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.__cuda_array_interface__ = {
            **values.__array_interface__, "strides": strides, "version": 2
        }  # fmt: skip

    def get_device(self) -> int:
        return 0

    def __array__(self, *arguments: Any, **options: Any) -> npt.NDArray[Any]:
        raise AssertionError("what lies on a device is not to be brought to the host")


def memory(n_poses: int) -> Any:
    """Return NaNs on the device: a tensor of torch where there is a device."""
    values = np.full((n_poses, N_CHANNELS, *(N_POINTS,) * 3), np.nan, np.float32)
    if IS_SIMULATED:
        return LentMemory(values)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch knows no CUDA")
    return torch.from_numpy(values).to("cuda")


def on_host(filled: Any) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = filled.values if IS_SIMULATED else filled.cpu().numpy()
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few points: the simulator has a thread of Python for each."""
    monkeypatch.setattr(grids_module, "SHAPE", (N_CHANNELS, *(N_POINTS,) * 3))


@pytest.fixture
def maker() -> GridMaker:
    return GridMaker(receptor_of(CASES[1]["receptor"]))


def two_poses() -> list[PoseAtoms]:
    mol = embedded("CCO")
    places = mol.GetConformer().GetPositions()
    return PoseAtoms.several(mol, [places, places + np.array([0.3, -0.4, 0.2])])


@pytest.mark.parametrize("rotations", [None, [[0.6, 0.8, 0, 0], [0.5, 0.5, 0.5, -0.5]]])
def test_a_device_fills_memory_of_torch(maker: GridMaker, rotations: Any) -> None:
    poses, out = two_poses(), memory(2)
    assert maker.grids(poses, rotations, out=out) is out
    expected = maker.grids(poses, rotations)  # by the CPU
    assert expected.max() > 0.3
    np.testing.assert_allclose(on_host(out), expected, rtol=4e-6, atol=TOLERANCE)


def test_no_poses_fill_nothing(maker: GridMaker) -> None:
    out = memory(0)
    assert maker.grids([], out=out) is out


@pytest.mark.skipif(not IS_SIMULATED, reason="arrays that no tensor is")
def test_memory_that_does_not_fit_is_told(maker: GridMaker) -> None:
    shape = (1, N_CHANNELS, *(N_POINTS,) * 3)
    bad = [
        LentMemory(np.zeros((2, *shape[1:]), np.float32)),
        LentMemory(np.zeros(shape)),
        LentMemory(np.zeros(shape, np.float32), strides=(8,) * 5),
    ]
    one = [PoseAtoms.of(Chem.MolFromSmiles("CCO"), np.zeros((3, 3)))]
    for out in bad:
        with pytest.raises(InputError, match="wanted C-contiguous float32"):
            maker.grids(one, out=out)
