"""Trilinear interpolation on a lattice, with the gradient of the interpolant."""

from __future__ import annotations

from typing import Any

from osong_kernels.compile import formula

__all__ = ["trilinear"]


@formula
def trilinear(
    v000: Any, v001: Any, v010: Any, v011: Any, v100: Any, v101: Any, v110: Any, v111: Any,
    fx: Any, fy: Any, fz: Any,
) -> Any:  # fmt: skip
    """Return value and gradient (per lattice step) inside a cell from its corners v_xyz."""
    v00 = v000 + (v001 - v000) * fz
    v01 = v010 + (v011 - v010) * fz
    v10 = v100 + (v101 - v100) * fz
    v11 = v110 + (v111 - v110) * fz
    v0 = v00 + (v01 - v00) * fy
    v1 = v10 + (v11 - v10) * fy
    dz0 = (v001 - v000) + ((v011 - v010) - (v001 - v000)) * fy
    dz1 = (v101 - v100) + ((v111 - v110) - (v101 - v100)) * fy
    dy = (v01 - v00) + ((v11 - v10) - (v01 - v00)) * fx
    return v0 + (v1 - v0) * fx, v1 - v0, dy, dz0 + (dz1 - dz0) * fx
