"""The random moves of a chain: starts and mutations, drawn from the counter-based generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from osong_kernels.compile import inner
from osong_kernels.cpu.chains import set_conformer
from osong_kernels.physics.random import philox, uniform
from osong_kernels.physics.rotation import (
    axis_matrix,
    matrix_from_quaternion,
    multiply_quaternions,
    normalise_quaternion,
    quaternion_from_rotation_vector,
)

__all__ = ["ACCEPT", "draw", "mutate", "random_start"]

_START = np.uint64(0)
_MUTATE = np.uint64(1)
ACCEPT = np.uint64(2)
_TWO_PI = 2.0 * math.pi


@inner
def draw(key: Any, chain: Any, step: Any, purpose: Any, block: Any) -> Any:
    """Return four uniform numbers of a chain's step; ``key`` is two uint64 words."""
    words = philox(key[0], key[1], np.uint64(chain), np.uint64(step), purpose, np.uint64(block))
    return uniform(words[0]), uniform(words[1]), uniform(words[2]), uniform(words[3])


@inner
def _in_sphere(u0: Any, u1: Any, u2: Any, radius: Any) -> Any:
    """Return a point uniformly distributed in a sphere."""
    r = radius * u0 ** (1.0 / 3.0)
    cosine = 2.0 * u1 - 1.0
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    return (
        r * sine * math.cos(_TWO_PI * u2),
        r * sine * math.sin(_TWO_PI * u2),
        r * cosine,
    )


@inner
def random_start(state: Any, lane: Any, key: Any, chain: Any, low: Any, high: Any) -> None:
    """Write a random placement inside the box to ``trial`` of one lane."""
    step = state.step[lane]
    u0, u1, u2, _ = draw(key, chain, step, _START, 0)
    trial = state.trial
    trial[0, lane] = low[0] + (high[0] - low[0]) * u0
    trial[1, lane] = low[1] + (high[1] - low[1]) * u1
    trial[2, lane] = low[2] + (high[2] - low[2]) * u2
    v0, v1, v2, _ = draw(key, chain, step, _START, 1)
    # a uniform random rotation: Shoemake 1992, Graphics Gems III
    a, b = math.sqrt(1.0 - v0), math.sqrt(v0)
    trial[3, lane] = b * math.cos(_TWO_PI * v2)
    trial[4, lane] = a * math.sin(_TWO_PI * v1)
    trial[5, lane] = a * math.cos(_TWO_PI * v1)
    trial[6, lane] = b * math.sin(_TWO_PI * v2)
    for k in range(7, trial.shape[0]):
        trial[k, lane] = _TWO_PI * (draw(key, chain, step, _START, k)[0] - 0.5)


@inner
def mutate(state: Any, topology: Any, lane: Any, key: Any, chain: Any, rules: Any) -> None:
    """Write a mutation of ``current`` to ``trial``: move, turn, twist a bond, take another shape.

    Turns are about the pivot of a random segment, and of a twisted bond either side stays where it
    is: whatever part of the ligand lies well, some mutations keep it there.
    """
    trial = state.trial
    for k in range(trial.shape[0]):
        trial[k, lane] = state.current[k, lane]
    n_torsions = trial.shape[0] - 7
    n_conformers = topology.local.shape[0]
    n_choices = 2 + n_torsions + (1 if n_conformers > 1 else 0)
    step = state.step[lane]
    u0, u1, u2, u3 = draw(key, chain, step, _MUTATE, 0)
    choice = min(int(u3 * n_choices), n_choices - 1)
    conformer = state.current_conformer[lane]
    if choice == 0:
        x, y, z = _in_sphere(u0, u1, u2, rules.move)
        trial[0, lane] += x
        trial[1, lane] += y
        trial[2, lane] += z
    elif choice == 1:
        v0, _, _, _ = draw(key, chain, step, _MUTATE, 1)
        segment = min(int(v0 * (n_torsions + 1)), n_torsions)
        vector = _in_sphere(u0, u1, u2, rules.move / rules.gyration)
        _turn_about_pivot(state, topology, lane, segment, vector)
    elif choice < 2 + n_torsions:
        _twist(state, topology, lane, choice - 1, _TWO_PI * (u0 - 0.5), u1 < 0.5)
    else:
        conformer = (
            conformer + 1 + min(int(u0 * (n_conformers - 1)), n_conformers - 2)
        ) % n_conformers
    if conformer != state.conformer[lane]:
        set_conformer(state, topology, lane, conformer)


@inner
def _twist(
    state: Any, topology: Any, lane: Any, segment: Any, angle: Any, is_far_side_held: Any
) -> None:
    """Set a torsion anew; the side beyond the bond turns, or else all the rest, backwards."""
    if is_far_side_held:
        turn = state.trial[6 + segment, lane] - angle
        x, y, z = _axis_in_box(state, topology, lane, segment)
        _turn_about_pivot(state, topology, lane, segment, (turn * x, turn * y, turn * z))
    state.trial[6 + segment, lane] = angle


@inner
def _turn_about_pivot(state: Any, topology: Any, lane: Any, segment: Any, vector: Any) -> None:
    """Turn the whole ``trial`` by a rotation vector about the pivot of a segment."""
    px, py, pz = _pivot_from_root(state, topology, lane, segment)
    w, x, y, z = quaternion_from_rotation_vector(vector[0], vector[1], vector[2])
    turned = _rotate(matrix_from_quaternion(w, x, y, z), px, py, pz)
    trial = state.trial
    trial[0, lane] += px - turned[0]
    trial[1, lane] += py - turned[1]
    trial[2, lane] += pz - turned[2]
    w, x, y, z = multiply_quaternions(
        w, x, y, z, trial[3, lane], trial[4, lane], trial[5, lane], trial[6, lane]
    )
    w, x, y, z = normalise_quaternion(w, x, y, z)
    trial[3, lane] = w
    trial[4, lane] = x
    trial[5, lane] = y
    trial[6, lane] = z


@inner
def _pivot_from_root(state: Any, topology: Any, lane: Any, segment: Any) -> Any:
    """Return a segment's pivot in ``current`` minus that of the root, in the frame of the box."""
    offset = topology.offset[state.current_conformer[lane]]
    x, y, z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    s = segment
    while s > 0:
        x, y, z = x + offset[s, 0], y + offset[s, 1], z + offset[s, 2]
        s = topology.parent[s]
        x, y, z = _turn_with(state, topology, lane, s, x, y, z)
    return x, y, z


@inner
def _axis_in_box(state: Any, topology: Any, lane: Any, segment: Any) -> Any:
    """Return the unit vector of a segment's bond in ``current``, in the frame of the box."""
    axis = topology.axis[state.current_conformer[lane]]
    x, y, z = axis[segment, 0], axis[segment, 1], axis[segment, 2]
    s = segment
    while s > 0:
        s = topology.parent[s]
        x, y, z = _turn_with(state, topology, lane, s, x, y, z)
    return x, y, z


@inner
def _turn_with(state: Any, topology: Any, lane: Any, segment: Any, x: Any, y: Any, z: Any) -> Any:
    """Return a vector after the turn of a segment: its torsion, or the root's orientation."""
    c = state.current
    if segment == 0:
        m = matrix_from_quaternion(c[3, lane], c[4, lane], c[5, lane], c[6, lane])
    else:
        axis = topology.axis[state.current_conformer[lane]]
        angle = c[6 + segment, lane]
        m = axis_matrix(
            axis[segment, 0], axis[segment, 1], axis[segment, 2], math.sin(angle), math.cos(angle)
        )
    return _rotate(m, x, y, z)


@inner
def _rotate(m: Any, x: Any, y: Any, z: Any) -> Any:
    return (
        m[0] * x + m[1] * y + m[2] * z,
        m[3] * x + m[4] * y + m[5] * z,
        m[6] * x + m[7] * y + m[8] * z,
    )
