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
    new_descent, alpha_start = _update_hessian(
        state, gradient, metric, alpha, iteration, good, scratch
    )
    _accept_trials(state, gradient, accepted)
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
    state: Any, gradient: Any, metric: Any, alpha: Any, iteration: Any, good: Any, scratch: Any
) -> Any:
    """Apply the BFGS update and set the direction of the lanes where ``good`` is 1.0.

    Return the slope along the direction and the first step length. One product with the inverse
    Hessian H serves both: u = H g. Since the last direction is p = -H g_base, H y = u + p, and the
    updated matrix times g follows from u, p and two sums.
    """
    n = len(gradient)
    fresh = iteration < 0.0
    _symmetric_product(state.hessian, gradient, scratch, 0)
    yp, yy, pg = broadcast(0.0), broadcast(0.0), broadcast(0.0)
    for k in range(n):
        g, p = load(gradient, (k,)), load(state.direction, (k,))
        y = g - load(state.base_gradient, (k,))
        yp = yp + y * p
        yy = yy + y * y * metric[k]
        pg = pg + p * g
    curved = (alpha * yp > 1e-7) & (good > 0.0) & (iteration >= 0.0)
    first = curved & (iteration < 0.5)
    # before its first update the matrix is scaled to the curvature just met
    scale = select(first, alpha * yp / maximum(yy, 1e-20), broadcast(1.0))
    yhy, hyg = broadcast(0.0), broadcast(0.0)
    for k in range(n):
        g = load(gradient, (k,))
        hy = (load(scratch, (k,)) + load(state.direction, (k,))) * scale
        store(scratch, (n + k,), hy)
        yhy = yhy + hy * (g - load(state.base_gradient, (k,)))
        hyg = hyg + hy * g
    r = 1.0 / maximum(alpha * yp, 1e-7)
    a = select(curved, alpha * r, broadcast(0.0))
    b = select(curved, alpha * alpha * (r * r * yhy + r), broadcast(0.0))
    row = 0
    for i in range(n):
        pi = load(state.direction, (i,))
        hi = load(scratch, (n + i,)) * a
        bi = pi * b - hi
        ai = pi * a
        for j in range(i):
            pj = load(state.direction, (j,))
            h = load(state.hessian, (row + j,)) * scale
            h = h + (bi * pj - load(scratch, (n + j,)) * ai)
            store(state.hessian, (row + j,), select(fresh, 0.0, h))
        h = load(state.hessian, (row + i,)) * scale + (bi * pi - load(scratch, (n + i,)) * ai)
        store(state.hessian, (row + i,), select(fresh, metric[i], h))
        row += i + 1
    return _set_direction(state, gradient, metric, fresh, good > 0.0, scale, a, b, pg, hyg, scratch)


@inner
def _set_direction(
    state: Any, gradient: Any, metric: Any, fresh: Any, accepted: Any, scale: Any, a: Any, b: Any,
    pg: Any, hyg: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Set the direction -H g of accepted lanes from u and H y in ``scratch``."""
    n = len(gradient)
    descent, largest = broadcast(0.0), broadcast(1e-6)
    along_p = b * pg - a * hyg
    along_hy = a * pg
    for k in range(n):
        g, p = load(gradient, (k,)), load(state.direction, (k,))
        hg = load(scratch, (k,)) * scale + p * along_p - load(scratch, (n + k,)) * along_hy
        new = -select(fresh, g * metric[k], hg)
        store(state.direction, (k,), select(accepted, new, p))
        descent = descent + new * g
        largest = maximum(largest, absolute(new))
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
