"""What is no number is told by its bits: fast comparisons need not notice it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kernel_backends import HAS_NUMBA_CUDA, IS_SIMULATED


@pytest.mark.skipif(not HAS_NUMBA_CUDA or IS_SIMULATED, reason="needs osong[cuda] and its compiler")
def test_the_compiler_keeps_the_test_though_it_may_compare_fast() -> None:
    from numba import cuda, types

    from osong_kernels.cuda.elementary import is_number

    def tell(numbers: Any, found: Any) -> None:
        found[0] = 1 if is_number(numbers[0] - numbers[1]) else 2

    signature = (types.float32[::1], types.int32[::1])
    device = SimpleNamespace(compute_capability=(9, 0))
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        ptx, _ = cuda.compile_ptx(tell, signature, cc=(9, 0), fastmath=True)
    exponent = 0x7F800000
    assert re.search(rf"setp\.\w+\.[su]32\s.*, {exponent};", ptx), ptx
