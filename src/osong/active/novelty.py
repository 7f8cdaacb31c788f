"""How little of a molecule is like what is docked: a sum over its bits, as cheap as a network.

A Gaussian process says how uncertain it is of a molecule from all docked molecules, at a cost that
grows with them. One weight a bit, fitted to what the process says of each docked molecule without
itself, says nearly the same: errors of undocked Enamine molecules follow it as well (rank
correlation 0.10, the process 0.10, the networks' disagreement 0.01, rarity of bits alone 0.08).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.active.fingerprints import unpack

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["novelty", "novelty_weights"]

_MOST: Final = 2048
"""Docked molecules that weights are fitted to; of more every so-manieth."""
_NOISE: Final = 0.3
"""Variance of a score's noise beside what the process expects of scores."""
_PENALTY: Final = 1.0
_LENGTH: Final = 17.0
"""Root of the set bits of a drug-like molecule, so that `_PENALTY` is of their order."""


def novelty_weights(torch: Any, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return one weight a bit, (N_BITS,) float32, from docked molecules (n, n_bytes).

    The weights begin with the bits' rarity, one over one more than the molecules that have it,
    which is all that is known of bits without any; ridge regression corrects those of the others.

    Notes
    -----
    A process with the kernel ``a . b / sqrt(|a| |b|)`` and noise ``s`` has for molecule i, were it
    not docked, the variance ``1 / inv(K + s)[i, i] - s``. All on one thread, by PyTorch.
    """
    sample = bits[:: -(-len(bits) // _MOST)]
    x = torch.from_numpy(unpack(sample)).to(torch.float64)
    n_set = x.sum(dim=1).clamp(min=1.0)
    unit = x / n_set.sqrt()[:, None]
    noise = _NOISE * torch.eye(len(x), dtype=torch.float64)
    variance = 1.0 / torch.linalg.inv(unit @ unit.T + noise).diagonal() - _NOISE
    share = x / n_set[:, None]
    rarity = 1.0 / (x.sum(dim=0) + 1.0)
    # a line through (rarity, variance): what rarity alone would say
    told = share @ rarity
    off = told - told.mean()
    slope = ((off * variance).mean() / (off**2).mean().clamp(min=1e-12)).clamp(min=0.0)
    weights = slope * rarity + (variance.mean() - slope * told.mean())
    scaled = _LENGTH * share
    ridge = scaled @ scaled.T + _PENALTY * torch.eye(len(x), dtype=torch.float64)
    weights = weights + _LENGTH * scaled.T @ torch.linalg.solve(ridge, variance - share @ weights)
    return np.asarray(weights.numpy(), dtype=np.float32)


def novelty(sums: npt.NDArray[np.float32], bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the mean weight of molecules' bits, (n,) float32, from sums of them, not below 0."""
    words = np.ascontiguousarray(bits).view(np.uint64)
    n_set = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return np.asarray(np.maximum(sums, 0) / np.maximum(n_set, 1).astype(np.float32))
