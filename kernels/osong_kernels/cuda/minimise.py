"""BFGS with a backtracking line search, one optimisation a warp; see ``cpu.minimise``.

All lanes hold the same scalars, so all take the same way; vectors and the matrix are in shared
memory, an element a lane.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import is_number, maximum, minimum
from osong_kernels.cuda.layout import (
    HEAD,
    MAX_ITERATIONS,
    N_RULES,
    PRUNE_GAP,
    PRUNE_ITERATION,
    TOLERANCE,
)
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.place import ligand_of, place_of
from osong_kernels.cuda.warp import LANES, alike, lane_index, warp_max, warp_sum, warp_sync
from osong_kernels.physics import rotation

__all__ = [
    "BASE_ENERGY",
    "CURRENT_ENERGY",
    "ITERATION",
    "NOTHING_YET",
    "Progress",
    "begin",
    "take_energy",
    "write_progress",
]

NOTHING_YET: Final = np.float32(1e30)
"""Energy, kcal/mol, where there is none: of a chain at its start, and of a point whose energy is
no number. Nothing of it comes into a pool, and any energy is better."""

_ARMIJO: Final = np.float32(1e-4)
_MAX_TRIALS: Final = np.float32(10.0)
_LARGEST_STEP: Final = np.float32(1.0)
_FLAT: Final = np.float32(-1e-8)
_CURVED: Final = np.float32(1e-7)
_SMALL: Final = np.float32(1e-20)
_LEAST: Final = np.float32(1e-6)
_ZERO: Final = np.float32(0.0)
_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)

_multiply = device_formula(rotation.multiply_quaternions)
_normalise = device_formula(rotation.normalise_quaternion)
_from_rotation_vector = device_formula(rotation.quaternion_from_rotation_vector)


class Progress(NamedTuple):
    """How far a local optimisation is; the rows of ``ChainState.scalars``, in their order."""

    base_energy: Any
    current_energy: Any
    alpha: Any
    descent: Any
    iteration: Any
    trials: Any
    done: Any


BASE_ENERGY: Final = 0
CURRENT_ENERGY: Final = 1
ITERATION: Final = 4


@device
def _read_progress(shared: Any, scalars: Any) -> Any:
    """Return how far an optimisation is."""
    return Progress(
        peek(shared, scalars, 0), peek(shared, scalars, 1), peek(shared, scalars, 2),
        peek(shared, scalars, 3), peek(shared, scalars, 4), peek(shared, scalars, 5),
        peek(shared, scalars, 6),
    )  # fmt: skip


@device
def write_progress(shared: Any, scalars: Any, state: Any) -> None:
    """Note how far an optimisation is; called by one lane."""
    poke(shared, scalars, 0, state.base_energy)
    poke(shared, scalars, 1, state.current_energy)
    poke(shared, scalars, 2, state.alpha)
    poke(shared, scalars, 3, state.descent)
    poke(shared, scalars, 4, state.iteration)
    poke(shared, scalars, 5, state.trials)
    poke(shared, scalars, 6, state.done)


@device
def begin(current_energy: Any) -> Any:
    """Return the state of an optimisation whose first trial is accepted as it is."""
    return Progress(_ZERO, current_energy, _ZERO, _ZERO, -_ONE, _ZERO, _ZERO)


@device
def take_energy(arrays: Any, rules: Any, energy: Any, shared: Any, bits: Any, first: Any) -> Any:
    """Take the energy of the trial point, and write the next one; return whether it is over.

    ``first`` is where the warp's shared memory begins, ``rules`` are those of all ligands.
    """
    ligand = ligand_of(arrays, alike(peek(bits, first + HEAD, 0)))
    place = place_of(first, ligand.n_atoms, ligand.n_segments)
    n_dof = np.int32(ligand.n_segments + 5)
    state = _read_progress(shared, place.scalars)
    warp_sync()  # one lane writes them soon
    if not is_number(energy):
        energy = NOTHING_YET
    state = _advance(
        arrays.metric, ligand.dof, n_dof, rules, N_RULES * ligand.number, energy, state, shared,
        place,
    )  # fmt: skip
    is_done = state.done > _ZERO
    if lane_index() == 0:
        write_progress(shared, place.scalars, state)
    if not is_done:
        _fill_trial(n_dof, state.alpha, shared, place)
    warp_sync()
    return is_done


@device
def _advance(
    metric: Any, first_dof: Any, n_dof: Any, rules: Any, row: Any, energy: Any, state: Any,
    shared: Any, place: Any,
) -> Any:  # fmt: skip
    """Take the energy at the trial point, whose gradient stands there; return the new state.

    ``rules`` are those of all ligands, as in ``layout``; those of this one begin at ``row``. A
    gradient that is no number ends it: from there on so would be directions and places.
    """
    fresh = state.iteration < _ZERO
    gain = state.base_energy - energy
    if not fresh and not gain > -(state.alpha * state.descent) * _ARMIJO:
        trials = state.trials + _ONE
        done = _is_over(rules, row, state.base_energy, state.current_energy, state.iteration)
        return Progress(
            state.base_energy, state.current_energy, state.alpha * _HALF, state.descent,
            state.iteration, trials, _ONE if trials >= _MAX_TRIALS or done else _ZERO,
        )  # fmt: skip
    if fresh:
        descent, largest = _begin_matrix(metric, first_dof, n_dof, shared, place)
    else:
        descent, largest = _update(metric, first_dof, n_dof, state, shared, place)
    _accept(n_dof, shared, place)
    iteration = state.iteration + _ONE
    done = _is_over(rules, row, energy, state.current_energy, iteration)
    done = done or (not fresh and gain < peek(rules, row + TOLERANCE, 0)) or descent > _FLAT
    done = done or not is_number(descent)
    return Progress(
        energy, state.current_energy, minimum(_LARGEST_STEP / largest, _ONE), descent, iteration,
        _ZERO, _ONE if done else _ZERO,
    )  # fmt: skip


@device
def _is_over(rules: Any, row: Any, energy: Any, current_energy: Any, iteration: Any) -> Any:
    """Return whether an optimisation has had its steps, or is hopeless."""
    hopeless = iteration >= peek(
        rules, row + PRUNE_ITERATION, 0
    ) and energy - current_energy > peek(rules, row + PRUNE_GAP, 0)
    return hopeless or iteration >= peek(rules, row + MAX_ITERATIONS, 0)


@device
def _accept(n_dof: Any, shared: Any, place: Any) -> None:
    """Let the trial point be the base."""
    k = np.int32(lane_index())
    while k < n_dof + 1:
        poke(shared, place.base + k, 0, peek(shared, place.trial + k, 0))
        if k < n_dof:
            poke(shared, place.base_gradient + k, 0, peek(shared, place.gradient + k, 0))
        k = np.int32(k + LANES)
    warp_sync()


@device
def _begin_matrix(metric: Any, first_dof: Any, n_dof: Any, shared: Any, place: Any) -> Any:
    """Set the inverse Hessian to the metric and the direction downhill; return slope and size."""
    descent, largest = _ZERO, _LEAST
    i = np.int32(lane_index())
    while i < n_dof:
        row = place.hessian + (i * (i + 1) >> 1)
        for j in range(i):
            poke(shared, row + j, 0, _ZERO)
        poke(shared, row + i, 0, peek(metric, first_dof + i, 0))
        g = peek(shared, place.gradient + i, 0)
        new = -(g * peek(metric, first_dof + i, 0))
        poke(shared, place.direction + i, 0, new)
        descent += new * g
        largest = maximum(largest, abs(new))
        i = np.int32(i + LANES)
    return warp_sum(descent, shared), warp_max(largest, shared)


@device
def _times_hessian(n_dof: Any, shared: Any, place: Any) -> None:
    """Write the product of the inverse Hessian and the gradient; a row a lane."""
    i = np.int32(lane_index())
    while i < n_dof:
        row = place.hessian + (i * (i + 1) >> 1)
        total = _ZERO
        for j in range(i + 1):
            total += peek(shared, row + j, 0) * peek(shared, place.gradient + j, 0)
        for j in range(i + 1, n_dof):
            entry = place.hessian + (j * (j + 1) >> 1) + i
            total += peek(shared, entry, 0) * peek(shared, place.gradient + j, 0)
        poke(shared, place.product + i, 0, total)
        i = np.int32(i + LANES)


@device
def _update(metric: Any, first_dof: Any, n_dof: Any, state: Any, shared: Any, place: Any) -> Any:
    """Apply the BFGS update and set the new direction; return slope and size.

    With u = H g and the last direction p = -H g_base, H y = u + p; see ``cpu.minimise``.
    """
    lane, alpha = lane_index(), state.alpha
    _times_hessian(n_dof, shared, place)
    yp, yy, pg = _ZERO, _ZERO, _ZERO
    k = np.int32(lane)
    while k < n_dof:
        g, p = peek(shared, place.gradient + k, 0), peek(shared, place.direction + k, 0)
        y = g - peek(shared, place.base_gradient + k, 0)
        yp += y * p
        yy += y * y * peek(metric, first_dof + k, 0)
        pg += p * g
        k = np.int32(k + LANES)
    yp, yy, pg = warp_sum(yp, shared), warp_sum(yy, shared), warp_sum(pg, shared)
    curved = alpha * yp > _CURVED
    scale = _ONE
    if curved and state.iteration < _HALF:
        # Before its first update the matrix is scaled to the curvature just met.
        scale = alpha * yp / maximum(yy, _SMALL)
    yhy, hyg = _ZERO, _ZERO
    k = np.int32(lane)
    while k < n_dof:
        g = peek(shared, place.gradient + k, 0)
        hy = (peek(shared, place.product + k, 0) + peek(shared, place.direction + k, 0)) * scale
        poke(shared, place.change + k, 0, hy)
        yhy += hy * (g - peek(shared, place.base_gradient + k, 0))
        hyg += hy * g
        k = np.int32(k + LANES)
    yhy, hyg = warp_sum(yhy, shared), warp_sum(hyg, shared)
    a, b = _ZERO, _ZERO
    if curved:
        r = _ONE / maximum(alpha * yp, _CURVED)
        a, b = alpha * r, alpha * alpha * (r * r * yhy + r)
    warp_sync()
    _add_update(n_dof, scale, a, b, shared, place)
    warp_sync()
    return _new_direction(n_dof, scale, b * pg - a * hyg, a * pg, shared, place)


@device
def _add_update(n_dof: Any, scale: Any, a: Any, b: Any, shared: Any, place: Any) -> None:
    """Add the two changes of rank one to the inverse Hessian; a row a lane."""
    i = np.int32(lane_index())
    while i < n_dof:
        pi = peek(shared, place.direction + i, 0)
        bi = pi * b - peek(shared, place.change + i, 0) * a
        ai = pi * a
        row = place.hessian + (i * (i + 1) >> 1)
        for j in range(i + 1):
            change = (
                bi * peek(shared, place.direction + j, 0) - peek(shared, place.change + j, 0) * ai
            )
            poke(shared, row + j, 0, peek(shared, row + j, 0) * scale + change)
        i = np.int32(i + LANES)


@device
def _new_direction(
    n_dof: Any, scale: Any, along_p: Any, along_hy: Any, shared: Any, place: Any
) -> Any:
    """Set the direction -H g from u and H y; return the slope along it and its largest part."""
    descent, largest = _ZERO, _LEAST
    k = np.int32(lane_index())
    while k < n_dof:
        p = peek(shared, place.direction + k, 0)
        hg = peek(shared, place.product + k, 0) * scale + p * along_p
        new = peek(shared, place.change + k, 0) * along_hy - hg
        poke(shared, place.direction + k, 0, new)
        descent += new * peek(shared, place.gradient + k, 0)
        largest = maximum(largest, abs(new))
        k = np.int32(k + LANES)
    return warp_sum(descent, shared), warp_max(largest, shared)


@device
def _fill_trial(n_dof: Any, alpha: Any, shared: Any, place: Any) -> None:
    """Set the trial point to the base moved along the direction."""
    base, trial, d = place.base, place.trial, place.direction
    lane = lane_index()
    k = np.int32(lane)
    while k < n_dof:
        if k < 3:
            poke(shared, trial + k, 0, peek(shared, base + k, 0) + alpha * peek(shared, d + k, 0))
        elif k > 5:
            poke(shared, trial + k, 1, peek(shared, base + k, 1) + alpha * peek(shared, d + k, 0))
        k = np.int32(k + LANES)
    if lane == 0:
        turn = _from_rotation_vector(
            alpha * peek(shared, d, 3), alpha * peek(shared, d, 4), alpha * peek(shared, d, 5)
        )
        w, x, y, z = _multiply(
            turn[0], turn[1], turn[2], turn[3], peek(shared, base, 3), peek(shared, base, 4),
            peek(shared, base, 5), peek(shared, base, 6),
        )  # fmt: skip
        w, x, y, z = _normalise(w, x, y, z)
        poke(shared, trial, 3, w)
        poke(shared, trial, 4, x)
        poke(shared, trial, 5, y)
        poke(shared, trial, 6, z)
    warp_sync()
