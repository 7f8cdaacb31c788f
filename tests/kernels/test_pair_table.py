"""The table of pair energies beside its formula, and the same bytes from every instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import VINA, VINARDO
from numba.core.registry import cpu_target

from osong_kernels.arguments import PairTable
from osong_kernels.physics.pair_table import N_SEGMENTS, table_energy, tabulate_pairs
from osong_kernels.physics.pair_terms import PairWeights, cap, pair_energy

# Roles of a pair, and how far the table may be from the formula, kcal/mol, in Vina and Vinardo:
# the kinks of the hydrophobic ramp and of the cap (where a bond turns repulsive) are rounded, the
# rest is the own error of the cubics.
KINDS = [(0, 0, 1e-4), (1, 0, 1.5e-3), (0, 1, 5e-4)]


def as_float64(table: PairTable) -> PairTable:
    return PairTable(table.coefficients.astype(np.float64), *(np.float64(x) for x in table[1:]))


@pytest.mark.parametrize("weights", [VINA, VINARDO], ids=["vina", "vinardo"])
@pytest.mark.parametrize("limit", [10.0, 1000.0])
@pytest.mark.parametrize("kind", KINDS, ids=["plain", "hydrophobic", "hydrogen bond"])
def test_table_is_near_the_formula(
    weights: PairWeights, limit: float, kind: tuple[int, int, float]
) -> None:
    is_hydrophobic, is_hydrogen_bond, bound = kind
    table = as_float64(tabulate_pairs(weights, limit))
    worst = 0.0
    for r0 in (3.0, 3.4, 4.0):
        for r in np.arange(r0 + float(table.first) + float(table.step), 8.5, 0.0037):
            roles = (float(is_hydrophobic), float(is_hydrogen_bond))
            exact = cap(pair_energy(float(r * r), r0, *roles, weights)[0], limit)[0]
            worst = max(worst, abs(table_energy(float(r * r), r0, *roles, table)[0] - exact))
    assert worst < bound


@pytest.mark.parametrize("hydrophobic", [0.0, 1.0])
@pytest.mark.parametrize("bonded", [0.0, 1.0])
@pytest.mark.parametrize("weights", [VINA, VINARDO], ids=["vina", "vinardo"])
def test_contacts_below_the_table_rise_on(
    weights: PairWeights, hydrophobic: float, bonded: float
) -> None:
    """From the first knot down to contact: monotone, within 4 % of the cap, its slope its own."""
    table = as_float64(tabulate_pairs(weights, 10.0))
    r = np.arange(0.02, 4.0 + float(table.first), 0.02)
    found = [table_energy(float(x * x), 4.0, hydrophobic, bonded, table) for x in r]
    energy = np.array([e for e, _ in found])
    exact = [
        cap(pair_energy(float(x * x), 4.0, hydrophobic, bonded, weights)[0], 10.0)[0] for x in r
    ]
    assert (np.diff(energy) < 0.0).all()
    assert np.abs(energy - exact).max() < 0.4
    slope = np.array([s * x for (_, s), x in zip(found, r, strict=True)])
    np.testing.assert_allclose(np.gradient(energy, r)[1:-1], slope[1:-1], atol=1e-6)


@pytest.mark.parametrize("kind", range(4))
def test_energy_and_slope_are_continuous_but_at_the_kink(kind: int) -> None:
    table = as_float64(tabulate_pairs(VINA, 10.0))
    first, step = float(table.first), float(table.step)
    roles = (float(kind & 1), float(kind >> 1))
    for k in range(1, N_SEGMENTS):
        d = first + k * step
        (e0, s0), (e1, s1) = (
            table_energy((20.0 + d + h) ** 2, 20.0, *roles, table._replace(cutoff=99.0))
            for h in (-1e-9, 1e-9)
        )
        assert e0 == pytest.approx(e1, abs=2e-6)
        is_kink = kind >= 2 and min(abs(d - kink) for kink in (-0.7, 0.0)) < 1e-3
        if not is_kink:
            assert s0 * 20.0 == pytest.approx(s1 * 20.0, abs=2e-5)


def test_beyond_the_cutoff_there_is_nothing() -> None:
    table = tabulate_pairs(VINA, 10.0)
    assert table_energy(64.01, 3.0, 1.0, 1.0, as_float64(table)) == (0.0, 0.0)


DIGEST = """
import hashlib, sys
import numpy as np
sys.path.append(sys.argv[1])
from kernel_cases import make_case
from osong_kernels.cpu.pose_energy import pose_energy
digest = hashlib.blake2b()
for is_tabulated in (False, True):
    case = make_case(5, [-1, 0, 1, 1, 3], [6, 5, 4, 3, 2], n_poses=200, is_tabulated=is_tabulated)
    arguments = case.arguments(np.float32)
    pose_energy(*arguments)
    for array in arguments[-3:]:
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif(
    "+avx512f" not in cpu_target.target_context.codegen().magic_tuple()[2].split(","),
    reason="this machine has no AVX-512 to compare with",
)
def test_narrower_registers_give_the_same_bytes(tmp_path: Path) -> None:
    """AVX-512 and AVX2 with fused multiply-adds look the table up in different ways."""
    digests = set()
    for cpu in ("", "haswell"):
        settings = {"NUMBA_CACHE_DIR": str(tmp_path / f"cache{cpu}")}
        if cpu:
            settings |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2"}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, str(Path(__file__).parent)],
            env=os.environ | settings, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(done.stdout)
    assert len(digests) == 1
