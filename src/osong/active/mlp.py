"""The default surrogate: small networks on fingerprints, each trained on its own.

A network reads 4,096 bits through one hidden layer of 32 units. It is trained in the principal
coordinates of the docked molecules' fingerprints, which for a few hundred molecules are a tenth
as many; its weights are then turned back to those of bits. A bit that no docked molecule has gets
the weight 0: it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.active.calibration import Calibration, calibrate, folds
from osong.active.fingerprints import N_BITS, unpack
from osong.active.novelty import novelty, novelty_weights
from osong.active.surrogate import (
    Prediction,
    SurrogateOptions,
    check_shapes,
    read_tensors,
    score_scale,
    spread_out,
    write_tensors,
)
from osong.active.torch_use import map_networks, reproducible, usable_device
from osong.errors import InputError
from osong_kernels.cpu.bit_networks import run_bit_networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from osong.active.store import FeatureBatch

__all__ = ["N_HIDDEN", "MlpEnsemble", "fit_mlp_ensemble"]

N_HIDDEN: Final = 32
"""Hidden units of a network: one block of the kernel."""
_TYPICAL_BITS: Final = 300.0
"""Set bits of a drug-like molecule, about: inputs are divided by its root, to be of length 1."""
_MOST_COORDINATES: Final = 1024
_FEW: Final = 4096
"""Up to so many molecules the matrix of their similarities is the smaller one."""
_STEPS: Final = 150
_EPOCHS: Final = 12
_BATCH: Final = 2048
_LEARNING_RATE: Final = 0.01
_WEIGHT_DECAY: Final = 0.5
_PENALTY: Final = 0.003
"""Of squared weights of both layers, beside the mean squared error of scores of deviation 1."""
_FIRST_WEIGHTS: Final = 0.3
_SHAKE: Final = 0.5
"""Deviation of what is added to each network's scores: about as far as scores are off by nature, so
that networks disagree as the data allow (sample-then-optimise: Osband et al. 2018,
arXiv:1806.03335)."""
_WARM_UP: Final = 0.1
_CALIBRATING_MEMBERS: Final = 5

_Weights = dict[str, "npt.NDArray[np.float32]"]


@dataclass(frozen=True)
class MlpEnsemble:
    """Networks with one hidden layer on packed bits.

    Attributes
    ----------
    w1, b1, w2
        (n_members, N_BITS, N_HIDDEN), (n_members, N_HIDDEN) and (n_members, N_HIDDEN) float32;
        what comes out is in units of the score.
    b2
        (n_members,) float32.
    novelty
        (N_BITS,) float32: weights of bits, see `osong.active.novelty`.
    calibration
        Of the uncertainty.
    """

    w1: npt.NDArray[np.float32]
    b1: npt.NDArray[np.float32]
    w2: npt.NDArray[np.float32]
    b2: npt.NDArray[np.float32]
    novelty: npt.NDArray[np.float32]
    calibration: Calibration
    kind: str = field(default="mlp", init=False)
    needs_smiles: bool = field(default=False, init=False)

    @classmethod
    def from_state(cls, state: _Weights, calibration: Calibration, path: Path) -> MlpEnsemble:
        """Return the ensemble of these numbers.

        Raises
        ------
        InputError
            Where names or shapes are not those of such an ensemble.
        """
        wanted = {"w1": (N_BITS, N_HIDDEN), "b1": (N_HIDDEN,), "w2": (N_HIDDEN,), "b2": ()}
        networks = {name: array for name, array in state.items() if name != "novelty"}
        check_shapes(networks, wanted, path)
        weights = state.get("novelty")
        if weights is None or weights.shape != (N_BITS,):
            raise InputError(f"{path}: holds no novelty of {N_BITS} bits: remove it")
        return cls(**networks, novelty=weights, calibration=calibration)

    def state(self) -> _Weights:
        """Return all numbers by name."""
        networks = {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}
        return {**networks, "novelty": self.novelty}

    def predict(self, batch: FeatureBatch) -> Prediction:
        """Return what the ensemble says about molecules, from their bits."""
        return self.predict_bits(batch.bits)

    def predict_bits(self, bits: npt.NDArray[np.uint8]) -> Prediction:
        """Return what the ensemble says about packed bits (n, n_bytes)."""
        raw, new = self.raw(bits)
        return spread_out(raw, self.calibration, new)

    def raw(
        self, bits: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return what networks say, (n, n_members), and molecules' novelty, (n,); float32 both."""
        n_members = len(self.b2)
        out = np.empty((len(bits), n_members + 1), dtype=np.float32)
        table, bias, weight = self._blocks
        run_bit_networks(bits, table, bias, weight, out)
        return out[:, :n_members] + self.b2, novelty(out[:, n_members], bits)

    @cached_property
    def _blocks(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Table, bias and weight as the kernel takes them: 16 rows for every four bits.

        The last block has one hidden unit: the sum of the weights of novelty, or 0.
        """
        n = len(self.b2) + 1
        bits = np.zeros((n, N_BITS // 4, 4, N_HIDDEN), dtype=np.float32)
        bits[:-1] = self.w1.reshape(n - 1, N_BITS // 4, 4, N_HIDDEN)
        bits[-1, :, :, 0] = self.novelty.reshape(N_BITS // 4, 4)
        only = np.zeros((1, N_HIDDEN), dtype=np.float32)
        bias = np.concatenate([self.b1, only])
        only[0, 0] = 1.0
        weight = np.concatenate([self.w2, only])
        table = np.zeros((n, N_BITS // 4, 16, N_HIDDEN), dtype=np.float32)
        for value in range(1, 16):
            for bit in range(4):
                if value >> bit & 1:
                    table[:, :, value] += bits[:, :, bit]
        shape = (n, N_HIDDEN // 16, 16)
        return table.reshape(n, 4 * N_BITS, *shape[1:]), bias.reshape(shape), weight.reshape(shape)


def fit_mlp_ensemble(
    batch: FeatureBatch,
    scores: npt.NDArray[np.float64],
    options: SurrogateOptions,
    checkpoint: Path | None = None,
) -> MlpEnsemble:
    """Train the ensemble, and others without some of the molecules to see how far those are off.

    See `osong.active.surrogate.fit_surrogate`.
    """
    bits = np.asarray(batch.bits)
    device = usable_device(options.device)
    held_out = folds(len(scores), options.seed)
    everything = np.arange(len(scores))
    parts = [everything, *(np.setdiff1d(everything, fold) for fold in held_out)]
    n_few = min(_CALIBRATING_MEMBERS, options.n_members)

    def train(k: int) -> _Weights:
        n_members = n_few if k else options.n_members
        part = bits[parts[k]]
        weights = _fit(torch, part, scores[parts[k]], n_members, options.seed, device, checkpoint)
        return {**weights, "novelty": novelty_weights(torch, part)}

    with reproducible(device) as torch:
        trained = map_networks(train, range(len(parts)), threads=options.threads, device=device)
    errors, deviations, news, guesses = [], [], [], []
    for weights, fold in zip(trained[1:], held_out, strict=True):
        seen = MlpEnsemble(**weights, calibration=Calibration(1.0, 0.0, 0))
        raw, new = seen.raw(bits[fold])
        guesses.append(raw.mean(axis=1, dtype=np.float64))
        errors.append(scores[fold] - guesses[-1])
        deviations.append(raw.std(axis=1, ddof=1, dtype=np.float64))
        news.append(new.astype(np.float64))
    calibration = calibrate(*(np.concatenate(x) for x in (errors, deviations, news, guesses)))
    return MlpEnsemble(**trained[0], calibration=calibration)


def _fit(
    torch: Any,
    bits: npt.NDArray[np.uint8],
    scores: npt.NDArray[np.float64],
    n_members: int,
    seed: int,
    device: str,
    checkpoint: Path | None,
) -> _Weights:
    """Train some networks on the same molecules, or take those that were trained before."""
    z, mean, deviation = score_scale(scores)
    path = checkpoint and checkpoint / f"{_inputs_digest(bits, scores, n_members, seed)}.pt"
    if path and path.exists():
        return read_tensors(path)
    weights = _fit_networks(torch, *_coordinates(torch, bits, device), z, n_members, seed, device)
    weights["w2"] *= np.float32(deviation)
    weights["b2"] = weights["b2"] * np.float32(deviation) + np.float32(mean)
    if path:
        write_tensors(path, weights)
    return weights


def _inputs_digest(
    bits: npt.NDArray[np.uint8], scores: npt.NDArray[np.float64], n_members: int, seed: int
) -> str:
    settings = (
        N_HIDDEN, _MOST_COORDINATES, _STEPS, _EPOCHS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY,
        _PENALTY, _FIRST_WEIGHTS, _SHAKE, n_members, seed,
    )  # fmt: skip
    digest = blake2b(repr(settings).encode(), digest_size=8)
    digest.update(bits.tobytes())
    digest.update(
        np.ascontiguousarray(scores, np.float64).tobytes()
    )  # what is kept has their scale
    return digest.hexdigest()


def _coordinates(torch: Any, bits: npt.NDArray[np.uint8], device: str) -> tuple[Any, Any]:
    """Return principal coordinates (n, r) of molecules and the axes (N_BITS, r)."""
    if len(bits) <= _FEW:  # the axes follow from the similarities of molecules
        x = torch.from_numpy(unpack(bits)).to(torch.float32)
        values, vectors = torch.linalg.eigh((x @ x.T).to(torch.float64))
        kept = _leading(values)
        axes = (x.T.to(torch.float64) @ vectors[:, kept]) / values[kept].sqrt()
    else:  # or from those of bits
        used = torch.from_numpy(np.flatnonzero(unpack(np.bitwise_or.reduce(bits)[None])[0]))
        gram = torch.zeros((len(used), len(used)), dtype=torch.float64)
        for x in _float_bits(torch, bits):
            gram += (x[:, used].T @ x[:, used]).to(torch.float64)
        values, vectors = torch.linalg.eigh(gram)
        kept = _leading(values)
        axes = torch.zeros((N_BITS, len(kept)), dtype=torch.float64)
        axes[used] = vectors[:, kept]
    axes = axes.to(torch.float32)
    scaled = torch.cat([x @ axes for x in _float_bits(torch, bits)]) / _TYPICAL_BITS**0.5
    return scaled.to(device), axes.to(device)


def _float_bits(torch: Any, bits: npt.NDArray[np.uint8]) -> Iterator[Any]:
    for begin in range(0, len(bits), _FEW):
        yield torch.from_numpy(unpack(bits[begin : begin + _FEW])).to(torch.float32)


def _leading(values: Any) -> Any:
    """Return which eigenvalues, in rising order, are worth keeping: the largest, none that is 0."""
    kept = (values > 1e-9 * values[-1]).nonzero()[:, 0]
    return kept[-_MOST_COORDINATES:]


def _fit_networks(
    torch: Any,
    x: Any,
    axes: Any,
    z: npt.NDArray[np.float32],
    n_members: int,
    seed: int,
    device: str,
) -> _Weights:
    """Train networks side by side on coordinates (n, r); return their weights on bits."""
    generator = torch.Generator().manual_seed(seed)
    n, r = x.shape
    width = n_members * N_HIDDEN
    shaken = _SHAKE * torch.randn((n, n_members), generator=generator)
    y = (torch.from_numpy(z)[:, None] + shaken).to(device)

    def start(*shape: int, scale: float) -> Any:
        values = torch.randn(shape, generator=generator) * scale
        return values.to(device).requires_grad_()

    w1 = start(r, width, scale=_FIRST_WEIGHTS * 2**0.5)
    b1 = start(width, scale=0.1)
    w2 = start(n_members, N_HIDDEN, scale=N_HIDDEN**-0.5)
    b2 = start(n_members, scale=0.0)
    optimiser = torch.optim.AdamW(
        [w1, b1, w2, b2], lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.99)
    )
    n_batches = -(-n // _BATCH)
    n_steps = max(_STEPS, _EPOCHS * n_batches)
    order, rows = torch.arange(n), slice(None)
    for step in range(n_steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * _pace(step / n_steps)
        if n_batches > 1:
            k = step % n_batches
            if k == 0:
                order = torch.randperm(n, generator=generator)
            rows = order[k * _BATCH : (k + 1) * _BATCH].to(device)
        hidden = torch.relu(x[rows] @ w1 + b1).reshape(-1, n_members, N_HIDDEN)
        loss = (((hidden * w2).sum(2) + b2 - y[rows]) ** 2).mean(0).sum()
        loss = loss + _PENALTY * ((w1**2).sum() + (w2**2).sum())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        on_bits = (axes @ w1) / _TYPICAL_BITS**0.5
        weights = {
            "w1": on_bits.reshape(N_BITS, n_members, N_HIDDEN).permute(1, 0, 2),
            "b1": b1.reshape(n_members, N_HIDDEN),
            "w2": w2,
            "b2": b2,
        }
        return {name: np.array(value.cpu().numpy()) for name, value in weights.items()}


def _pace(done: float) -> float:
    """Return the learning rate's share of its largest: a short rise, then half a cosine."""
    if done < _WARM_UP:
        return done / _WARM_UP
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - _WARM_UP) / (1.0 - _WARM_UP))))
