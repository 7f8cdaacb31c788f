"""BFGS with a backtracking line search, one optimisation a lane, all lanes in lockstep.

Every call of ``advance_lanes`` takes the energy and gradient at the trial points and moves each
lane on by itself: a lane whose trial was good enough updates its inverse Hessian and direction,
another halves its step. No lane waits for another. Nocedal and Wright, Numerical Optimization,
2nd ed., algorithm 6.1 and equation 6.20.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import inner
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import broadcast
from osong_kernels.physics.ops import absolute, maximum, minimum, select
from osong_kernels.physics.rotation import (
    multiply_quaternions,
    normalise_quaternion,
    quaternion_from_rotation_vector,
)

__all__ = [
    "ALPHA",
    "BASE_ENERGY",
    "CURRENT_ENERGY",
    "DESCENT",
    "DONE",
    "ITERATION",
    "N_SCALARS",
    "TRIALS",
    "advance_lanes",
    "fill_trials",
]

# Rows of ChainState.scalars.
BASE_ENERGY = 0  # kcal/mol at ``base``
CURRENT_ENERGY = 1  # kcal/mol at ``current``
ALPHA = 2  # step length of the line search
DESCENT = 3  # gradient along the direction
ITERATION = 4  # accepted steps; -1: the trial is a fresh start, accepted as it is
TRIALS = 5  # rejected trials of this line search
DONE = 6  # 1.0 when the optimisation has ended
N_SCALARS = 7

_ARMIJO = 1e-4
_MAX_TRIALS = 10.0
_LARGEST_STEP = 1.0  # angstrom or radian, of any component in the first trial of a line search


@inner
def advance_lanes(
    state: Any, energy: Any, gradient: Any, metric: Any, rules: Any, scratch: Any
) -> None:
    """Take the trial points' energy (lanes) and ``gradient`` (n, L); set DONE and new directions.

    ``scratch`` is (2 n, L) float32.
    """
    scalars = state.scalars
    base_energy = load(scalars, (BASE_ENERGY,))
    alpha = load(scalars, (ALPHA,))
    descent = load(scalars, (DESCENT,))
    iteration = load(scalars, (ITERATION,))
    trials = load(scalars, (TRIALS,))
    gain = base_energy - energy
    fresh = iteration < 0.0
    good = select(
        fresh,
        broadcast(1.0),
        select(gain > -(alpha * descent) * _ARMIJO, broadcast(1.0), broadcast(0.0)),
    )
    accepted = good > 0.0
    updated = select(fresh, broadcast(0.0), good)
    _update_hessian(state, gradient, metric, alpha, iteration, updated, scratch)
    _accept_trials(state, gradient, accepted)
    new_descent, alpha_start = _new_direction(state, accepted)
    iteration = iteration + good
    stuck = (updated > 0.0) & (gain < rules.tolerance)
    current_gap = select(accepted, energy, base_energy) - load(scalars, (CURRENT_ENERGY,))
    hopeless = (iteration >= np.float32(rules.prune_iteration)) & (current_gap > rules.prune_gap)
    trials = select(accepted, broadcast(0.0), trials + 1.0)
    done = select(stuck, broadcast(1.0), broadcast(0.0))
    done = select(hopeless, broadcast(1.0), done)
    done = select(iteration >= np.float32(rules.max_iterations), broadcast(1.0), done)
    done = select(trials >= _MAX_TRIALS, broadcast(1.0), done)
    done = select(accepted & (new_descent > -1e-8), broadcast(1.0), done)
    store(scalars, (BASE_ENERGY,), select(accepted, energy, base_energy))
    store(scalars, (ALPHA,), select(accepted, alpha_start, alpha * 0.5))
    store(scalars, (DESCENT,), select(accepted, new_descent, descent))
    store(scalars, (ITERATION,), iteration)
    store(scalars, (TRIALS,), trials)
    store(scalars, (DONE,), done)


@inner
def _accept_trials(state: Any, gradient: Any, accepted: Any) -> None:
    for k in range(len(state.base)):
        store(state.base, (k,), select(accepted, load(state.trial, (k,)), load(state.base, (k,))))
    for k in range(len(gradient)):
        old = load(state.base_gradient, (k,))
        store(state.base_gradient, (k,), select(accepted, load(gradient, (k,)), old))


@inner
def _symmetric_product(hessian: Any, vector: Any, out: Any, first_out: Any) -> None:
    """Write the product of the packed symmetric matrix and ``vector`` to rows of ``out``."""
    n = len(vector)
    for i in range(n):
        store(out, (first_out + i,), np.float32(0.0))
    row = 0
    for i in range(n):
        vi = load(vector, (i,))
        total = load(hessian, (row + i,)) * vi
        for j in range(i):
            h = load(hessian, (row + j,))
            total = total + h * load(vector, (j,))
            store(out, (first_out + j,), load(out, (first_out + j,)) + h * vi)
        store(out, (first_out + i,), load(out, (first_out + i,)) + total)
        row += i + 1


@inner
def _update_hessian(
    state: Any, gradient: Any, metric: Any, alpha: Any, iteration: Any, updated: Any, scratch: Any
) -> None:
    """Apply the BFGS update in the lanes where ``updated`` is 1.0."""
    n = len(gradient)
    yp = broadcast(0.0)
    yy = broadcast(0.0)
    for k in range(n):
        y = load(gradient, (k,)) - load(state.base_gradient, (k,))
        store(scratch, (k,), y)
        yp = yp + y * load(state.direction, (k,))
        yy = yy + y * y * metric[k]
    curved = (alpha * yp > 1e-7) & (updated > 0.0)
    first = curved & (iteration < 0.5)
    scale = alpha * yp / maximum(yy, 1e-20)
    row = 0
    for i in range(n):
        h = load(state.hessian, (row + i,))
        store(state.hessian, (row + i,), select(first, scale * metric[i], h))
        row += i + 1
    _symmetric_product(state.hessian, scratch[:n], scratch, n)
    yhy = broadcast(0.0)
    for k in range(n):
        yhy = yhy + load(scratch, (k,)) * load(scratch, (n + k,))
    r = 1.0 / maximum(alpha * yp, 1e-7)
    a = select(curved, alpha * r, broadcast(0.0))
    b = select(curved, alpha * alpha * (r * r * yhy + r), broadcast(0.0))
    row = 0
    for i in range(n):
        pi = load(state.direction, (i,))
        hi = load(scratch, (n + i,)) * a
        bi = pi * b - hi
        for j in range(i + 1):
            pj = load(state.direction, (j,))
            change = bi * pj - (load(scratch, (n + j,)) * a) * pi
            store(state.hessian, (row + j,), load(state.hessian, (row + j,)) + change)
        row += i + 1


@inner
def _new_direction(state: Any, accepted: Any) -> Any:
    """Set the direction of lanes that accepted; return its descent and the first step length."""
    n = len(state.direction)
    fresh_direction = np.empty_like(state.direction)
    _symmetric_product(state.hessian, state.base_gradient, fresh_direction, 0)
    descent = broadcast(0.0)
    largest = broadcast(1e-6)
    for k in range(n):
        p = -load(fresh_direction, (k,))
        store(state.direction, (k,), select(accepted, p, load(state.direction, (k,))))
        descent = descent + p * load(state.base_gradient, (k,))
        largest = maximum(largest, absolute(p))
    return descent, minimum(_LARGEST_STEP / largest, 1.0)


@inner
def fill_trials(state: Any) -> None:
    """Set ``trial`` to ``base`` moved along ``direction``, but where a fresh start stands."""
    alpha = load(state.scalars, (ALPHA,))
    fresh = load(state.scalars, (ITERATION,)) < 0.0
    d = state.direction
    for k in range(3):
        moved = load(state.base, (k,)) + alpha * load(d, (k,))
        store(state.trial, (k,), select(fresh, load(state.trial, (k,)), moved))
    turn = quaternion_from_rotation_vector(
        alpha * load(d, (3,)), alpha * load(d, (4,)), alpha * load(d, (5,))
    )
    b = state.base
    w, x, y, z = multiply_quaternions(
        turn[0], turn[1], turn[2], turn[3],
        load(b, (3,)), load(b, (4,)), load(b, (5,)), load(b, (6,)),
    )  # fmt: skip
    w, x, y, z = normalise_quaternion(w, x, y, z)
    store(state.trial, (3,), select(fresh, load(state.trial, (3,)), w))
    store(state.trial, (4,), select(fresh, load(state.trial, (4,)), x))
    store(state.trial, (5,), select(fresh, load(state.trial, (5,)), y))
    store(state.trial, (6,), select(fresh, load(state.trial, (6,)), z))
    for k in range(6, len(d)):
        moved = load(b, (k + 1,)) + alpha * load(d, (k,))
        store(state.trial, (k + 1,), select(fresh, load(state.trial, (k + 1,)), moved))
