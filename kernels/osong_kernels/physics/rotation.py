"""Rotations: quaternions (w, x, y, z), matrices (nine row-major numbers), axis and angle."""

from __future__ import annotations

from typing import Any

from osong_kernels.compile import formula
from osong_kernels.physics.ops import maximum, select, sine_cosine, square_root

__all__ = [
    "axis_matrix",
    "matrix_from_quaternion",
    "multiply_quaternions",
    "normalise_quaternion",
    "quaternion_from_rotation_vector",
]


@formula
def matrix_from_quaternion(w: Any, x: Any, y: Any, z: Any) -> Any:
    """Return the rotation matrix of a unit quaternion."""
    return (
        1.0 - (y * y + z * z) * 2.0,
        (x * y - w * z) * 2.0,
        (x * z + w * y) * 2.0,
        (x * y + w * z) * 2.0,
        1.0 - (x * x + z * z) * 2.0,
        (y * z - w * x) * 2.0,
        (x * z - w * y) * 2.0,
        (y * z + w * x) * 2.0,
        1.0 - (x * x + y * y) * 2.0,
    )


@formula
def axis_matrix(x: Any, y: Any, z: Any, sine: Any, cosine: Any) -> Any:
    """Return the rotation matrix about a unit axis (Rodrigues' formula)."""
    c1 = 1.0 - cosine
    return (
        cosine + x * x * c1,
        x * y * c1 - z * sine,
        x * z * c1 + y * sine,
        x * y * c1 + z * sine,
        cosine + y * y * c1,
        y * z * c1 - x * sine,
        x * z * c1 - y * sine,
        y * z * c1 + x * sine,
        cosine + z * z * c1,
    )


@formula
def multiply_quaternions(
    aw: Any, ax: Any, ay: Any, az: Any, bw: Any, bx: Any, by: Any, bz: Any
) -> Any:
    """Return the quaternion of rotation b followed by rotation a."""
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


@formula
def normalise_quaternion(w: Any, x: Any, y: Any, z: Any) -> Any:
    """Return the quaternion scaled to unit length."""
    scale = 1.0 / square_root(w * w + x * x + y * y + z * z)
    return w * scale, x * scale, y * scale, z * scale


@formula
def quaternion_from_rotation_vector(x: Any, y: Any, z: Any) -> Any:
    """Return the quaternion of a rotation vector (axis times angle in radian)."""
    angle = square_root(maximum(x * x + y * y + z * z, 1e-30))
    sine, cosine = sine_cosine(angle * 0.5)
    # below 1e-4 rad sin(a/2)/a is 1/2 to float32's last bit, and the quotient would lose digits
    scale = select(angle > 1e-4, sine / angle, angle * 0.0 + 0.5)
    return cosine, x * scale, y * scale, z * scale
