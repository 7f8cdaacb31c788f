"""A device that fails, or is not there, is said in one line, whoever found out."""

from __future__ import annotations

import pytest

pytest.importorskip("numba_cuda", reason="needs osong[cuda]")

from cuda.core._utils.cuda_utils import CUDAError
from numba import config, cuda
from numba.cuda.cudadrv.driver import CudaAPIError
from numba.cuda.cudadrv.error import CudaSupportError

from osong.errors import ResourceError
from osong.search.device_session import DeviceSession, _device_errors
from osong_benchmarks.cases import made_target

pytestmark = pytest.mark.skipif(config.ENABLE_CUDASIM, reason="no driver in the simulator")


@pytest.mark.parametrize(
    "error",
    [
        CudaAPIError(2, "Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
        CudaSupportError("Error at driver init"),
        CUDAError("CUDA_ERROR_LAUNCH_FAILED"),  # launches are those of cuda.core
    ],
)
def test_what_the_driver_says_is_an_error_of_resources(error: Exception) -> None:
    with pytest.raises(ResourceError, match=r"device 3: .*--backend cpu"), _device_errors(3):
        raise error


def test_a_session_without_a_device_says_so() -> None:
    if cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(ResourceError, match="device 0: "):
        DeviceSession(made_target(10.0))
