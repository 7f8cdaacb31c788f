"""The random moves of a chain: starts and mutations; see ``cpu.moves``.

Random numbers are those of the CPU. All lanes compute them alike, and one writes.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import sine_cosine
from osong_kernels.cuda.kinematics import frame_vector, place_frames
from osong_kernels.cuda.layout import GYRATION, MOVE, N_RULES
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.warp import at, lane_index, warp_sync
from osong_kernels.physics import random, rotation

__all__ = ["ACCEPT", "draw", "mutate", "random_gene", "random_place"]

_START: Final = np.uint64(0)
_MUTATE: Final = np.uint64(1)
ACCEPT: Final = np.uint64(2)
_TWO_PI: Final = np.float32(2.0 * math.pi)
_THIRD: Final = np.float32(1.0 / 3.0)
_ZERO: Final = np.float32(0.0)
_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)
_TWO: Final = np.float32(2.0)

_philox = device_formula(random.philox)
_uniform = device_formula(random.uniform)
_matrix_from_quaternion = device_formula(rotation.matrix_from_quaternion)
_multiply = device_formula(rotation.multiply_quaternions)
_normalise = device_formula(rotation.normalise_quaternion)
_from_rotation_vector = device_formula(rotation.quaternion_from_rotation_vector)


@device
def draw(key: Any, row: Any, chain: Any, step: Any, purpose: Any, block: Any) -> Any:
    """Return four uniform numbers of a chain's step; ``key`` has two uint64 words a row."""
    words = _philox(
        key[at(2 * row)],
        key[at(2 * row + 1)],
        np.uint64(chain),
        np.uint64(step),
        purpose,
        np.uint64(block),
    )
    return _uniform(words[0]), _uniform(words[1]), _uniform(words[2]), _uniform(words[3])


@device
def random_place(key: Any, row: Any, chain: Any, low: Any, high: Any) -> Any:
    """Return a random position in the box and a random rotation, seven numbers."""
    u0, u1, u2, _ = draw(key, row, chain, 0, _START, 0)
    v0, v1, v2, _ = draw(key, row, chain, 0, _START, 1)
    # A uniform random rotation: Shoemake 1992, Graphics Gems III.
    a, b = math.sqrt(_ONE - v0), math.sqrt(v0)
    sine1, cosine1 = sine_cosine(_TWO_PI * v1)
    sine2, cosine2 = sine_cosine(_TWO_PI * v2)
    return (
        low[0] + (high[0] - low[0]) * u0,
        low[1] + (high[1] - low[1]) * u1,
        low[2] + (high[2] - low[2]) * u2,
        b * cosine2, a * sine1, a * cosine1, b * sine2,
    )  # fmt: skip


@device
def random_gene(key: Any, row: Any, chain: Any, gene: Any) -> Any:
    """Return a random torsion angle."""
    return _TWO_PI * (draw(key, row, chain, 0, _START, gene)[0] - _HALF)


@device
def _in_sphere(u0: Any, u1: Any, u2: Any, radius: Any) -> Any:
    """Return a point uniformly distributed in a sphere."""
    r = radius * u0**_THIRD
    cosine = _TWO * u1 - _ONE
    across = math.sqrt(max(_ZERO, _ONE - cosine * cosine))
    sine2, cosine2 = sine_cosine(_TWO_PI * u2)
    return r * across * cosine2, r * across * sine2, r * cosine


@device
def _chosen(u: Any, n: Any) -> Any:
    """Return one of n integers by a uniform number."""
    return min(np.int32(u * np.float32(n)), np.int32(n - 1))


@device
def mutate(
    arrays: Any, ligand: Any, chain: Any, step: Any, conformer: Any, shared: Any, place: Any
) -> Any:
    """Mutate the trial point, which is that of the chain; return the conformer to try it in.

    Frames of the trial point as it was stand in ``place.frames`` afterwards.
    """
    place_frames(arrays, ligand, conformer, shared, place.trial, place.frames)
    row, trial = ligand.number, place.trial
    move = peek(arrays.rules, N_RULES * row + MOVE, 0)
    n_torsions = np.int32(ligand.n_segments - 1)
    n_choices = 2 + n_torsions + (1 if ligand.n_conformers > 1 else 0)
    u0, u1, u2, u3 = draw(arrays.key, row, chain, step, _MUTATE, 0)
    choice = _chosen(u3, n_choices)
    if choice == 0:
        x, y, z = _in_sphere(u0, u1, u2, move)
        if lane_index() == 0:
            poke(shared, trial, 0, peek(shared, trial, 0) + x)
            poke(shared, trial, 1, peek(shared, trial, 1) + y)
            poke(shared, trial, 2, peek(shared, trial, 2) + z)
    elif choice == 1:
        v0 = draw(arrays.key, row, chain, step, _MUTATE, 1)[0]
        segment = _chosen(v0, n_torsions + 1)
        x, y, z = _in_sphere(u0, u1, u2, move / peek(arrays.rules, N_RULES * row + GYRATION, 0))
        _turn_about_pivot(shared, place, segment, x, y, z)
    elif choice < 2 + n_torsions:
        _twist(arrays, ligand, conformer, shared, place, choice - 1, _TWO_PI * (u0 - _HALF), u1)
    else:
        conformer = np.int32(conformer + 1 + _chosen(u0, ligand.n_conformers - 1))
        if conformer >= ligand.n_conformers:
            conformer = np.int32(conformer - ligand.n_conformers)
    warp_sync()
    return conformer


@device
def _twist(
    arrays: Any, ligand: Any, conformer: Any, shared: Any, place: Any, segment: Any, angle: Any,
    u1: Any,
) -> None:  # fmt: skip
    """Set a torsion anew; the side beyond the bond turns, or else all the rest, backwards."""
    gene = place.trial + 6 + segment
    if u1 < _HALF:
        turn = peek(shared, gene, 0) - angle
        a = ligand.axis + 3 * (conformer * ligand.n_segments + segment)
        x, y, z = frame_vector(
            shared, place.frames + 12 * segment, peek(arrays.axis, a, 0), peek(arrays.axis, a, 1),
            peek(arrays.axis, a, 2),
        )  # fmt: skip
        _turn_about_pivot(shared, place, segment, turn * x, turn * y, turn * z)
    warp_sync()
    if lane_index() == 0:
        poke(shared, gene, 0, angle)


@device
def _turn_about_pivot(shared: Any, place: Any, segment: Any, vx: Any, vy: Any, vz: Any) -> None:
    """Turn the whole trial point by a rotation vector about the pivot of a segment."""
    frame, root, trial = place.frames + 12 * segment, place.frames, place.trial
    px = peek(shared, frame, 3) - peek(shared, root, 3)
    py = peek(shared, frame, 7) - peek(shared, root, 7)
    pz = peek(shared, frame, 11) - peek(shared, root, 11)
    w, x, y, z = _from_rotation_vector(vx, vy, vz)
    m = _matrix_from_quaternion(w, x, y, z)
    if lane_index() == 0:
        poke(shared, trial, 0, peek(shared, trial, 0) + px - (m[0] * px + m[1] * py + m[2] * pz))
        poke(shared, trial, 1, peek(shared, trial, 1) + py - (m[3] * px + m[4] * py + m[5] * pz))
        poke(shared, trial, 2, peek(shared, trial, 2) + pz - (m[6] * px + m[7] * py + m[8] * pz))
        w, x, y, z = _multiply(
            w, x, y, z, peek(shared, trial, 3), peek(shared, trial, 4), peek(shared, trial, 5),
            peek(shared, trial, 6),
        )  # fmt: skip
        w, x, y, z = _normalise(w, x, y, z)
        poke(shared, trial, 3, w)
        poke(shared, trial, 4, x)
        poke(shared, trial, 5, y)
        poke(shared, trial, 6, z)
