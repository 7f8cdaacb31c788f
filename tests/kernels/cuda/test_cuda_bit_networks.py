"""Networks on packed bits on a device: the definition, long fingerprints, several launches."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from kernel_backends import IS_SIMULATED, Backend
from test_bit_networks import arguments, assert_close

from osong_kernels.cuda import bit_networks
from osong_kernels.cuda.bit_networks import DeviceBitNetworks


@pytest.mark.parametrize(
    ("n", "n_bytes", "n_networks"),
    [
        (3, 6, 2),  # no whole number of words
        (2, 8, 5),  # more networks than a warp has, and no whole number of those
        (1, 1, 1),
        (2, 0, 1),
        (0, 4, 2),
        (2, 4, 0),
    ],
)
def test_kernel_agrees_with_the_reference(
    backend: Backend, n: int, n_bytes: int, n_networks: int
) -> None:
    args = arguments(3, n, n_bytes, n_networks)
    backend.run_bit_networks(*args)
    assert_close(args)


def test_more_words_than_a_warp_holds(backend: Backend) -> None:
    n_bytes = 4 * bit_networks._WORDS + 5
    args = arguments(4, 2, n_bytes, 1, density=0.01)
    assert args[0][:, -5:].any()
    backend.run_bit_networks(*args)
    assert_close(args)


def test_launches_of_a_part_are_a_launch_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, table, bias, weight, out = arguments(5, 5, 4, 2)
    networks = DeviceBitNetworks(table, bias, weight)
    networks.run(packed, out)
    assert_close([packed, table, bias, weight, out])
    monkeypatch.setattr(bit_networks, "_MOLECULES", 2)
    parts = np.full_like(out, np.nan)
    networks.run(packed, parts)
    np.testing.assert_array_equal(parts, out)


def test_rows_of_a_larger_array_may_come(backend: Backend) -> None:
    packed, table, bias, weight, out = arguments(6, 4, 8, 1)
    DeviceBitNetworks(table, bias, weight).run(packed[::2], out[:2])
    backend.run_bit_networks(np.ascontiguousarray(packed[::2]), table, bias, weight, out[2:])
    np.testing.assert_array_equal(out[:2], out[2:])


@pytest.mark.skipif(not IS_SIMULATED or bit_networks.LANES > 8, reason="lanes of the simulator")
def test_a_warp_of_several_networks() -> None:
    """The simulator's warp of eight lanes is one network; a device's is four."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "OSONG_SIMULATED_LANES": "32"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout.splitlines()[-1]
