from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # for the helpers of these tests

from kernel_backends import IS_SIMULATED, Backend, has_device  # noqa: E402 (lies here)

# In Numba's simulator (NUMBA_ENABLE_CUDASIM=1) CUDA kernels take the place of the CPU's: what is
# small enough for it runs there too, one test at a time. On a device all of them run.
BACKENDS = ["cuda"] if IS_SIMULATED else ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """The kernels of one backend; each call is checked against the contract first."""
    if request.param == "cuda" and not (IS_SIMULATED or has_device()):
        pytest.skip("no NVIDIA GPU here")
    return Backend(request.param)
