"""The surrogate on graphs: atoms pass messages along bonds, and their sum is the molecule.

Slower than networks on fingerprints by far, and no table of fragments is given to it: it learns its
own. Networks are plain functions of named arrays, trained with PyTorch.

References
----------
J. Gilmer et al., ICML 2017, arXiv:1704.01212 (message passing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rdkit import Chem

from osong.active.calibration import Calibration, calibrate, folds
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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from osong.active.store import FeatureBatch

__all__ = ["GraphEnsemble", "fit_graph_ensemble"]

_ELEMENTS: Final = (6, 7, 8, 9, 15, 16, 17, 35, 53)
_N_ATOM: Final = len(_ELEMENTS) + 1 + 6 + 5 + 3 + 4
_N_BOND: Final = 5
_N_HIDDEN: Final = 64
_N_PASSES: Final = 3
_EPOCHS: Final = 40
_FEWEST_STEPS: Final = 300
_BATCH: Final = 128
_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 1e-2
_MOST_MEMBERS: Final = 4
_CALIBRATING_MEMBERS: Final = 2
_TYPICAL_ATOMS: Final = 25.0
_CHUNK: Final = 512
_KEPT_GRAPHS: Final = 20_000
"""Molecules whose graphs are kept, some 6 KB each: every epoch asks for them again."""

_Arrays = dict[str, "npt.NDArray[np.float32]"]


@dataclass(frozen=True)
class _Graphs:
    """Molecules side by side: atoms, bonds in both directions, and whose the atoms are."""

    atoms: npt.NDArray[np.float32]
    bonds: npt.NDArray[np.float32]
    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    molecule: npt.NDArray[np.int64]
    n: int


@dataclass(frozen=True)
class GraphEnsemble:
    """Message-passing networks.

    Attributes
    ----------
    arrays
        All numbers by name, one row a network; what comes out is in units of the score.
    calibration
        Of the uncertainty.
    """

    arrays: _Arrays
    calibration: Calibration
    kind: str = field(default="graph", init=False)
    needs_smiles: bool = field(default=True, init=False)

    @classmethod
    def from_state(cls, state: _Arrays, calibration: Calibration, path: Path) -> GraphEnsemble:
        """Return the ensemble of these numbers.

        Raises
        ------
        InputError
            Where names or shapes are not those of such an ensemble.
        """
        check_shapes(state, {**_SHAPES, "scale": (2,)}, path)
        return cls(state, calibration)

    def state(self) -> _Arrays:
        """Return all numbers by name."""
        return self.arrays

    def predict(self, batch: FeatureBatch) -> Prediction:
        """Return what the ensemble says about molecules, from their SMILES."""
        n_members = len(self.arrays["scale"])
        raw = np.empty((len(batch.smiles), n_members), dtype=np.float32)
        with reproducible("cpu") as torch, torch.no_grad():
            for begin in range(0, len(raw), _CHUNK):
                graphs = _graphs(batch.smiles[begin : begin + _CHUNK])
                for k in range(n_members):
                    weights = {
                        name: torch.from_numpy(np.asarray(self.arrays[name][k])) for name in _SHAPES
                    }
                    mean, deviation = self.arrays["scale"][k]
                    value = _network(torch, weights, _tensors(torch, graphs, "cpu"), graphs.n)
                    raw[begin : begin + _CHUNK, k] = value.numpy() * deviation + mean
        return spread_out(raw, self.calibration)


_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "atom": (_N_ATOM, _N_HIDDEN),
    "bond": (_N_BOND, _N_HIDDEN),
    "message": (_N_HIDDEN, _N_HIDDEN),
    "message_bias": (_N_HIDDEN,),
    "read": (_N_HIDDEN, _N_HIDDEN),
    "read_bias": (_N_HIDDEN,),
    "last": (2 * _N_HIDDEN, _N_HIDDEN),
    "last_bias": (_N_HIDDEN,),
    "out": (_N_HIDDEN,),
    "out_bias": (),
}


def fit_graph_ensemble(
    batch: FeatureBatch,
    scores: npt.NDArray[np.float64],
    options: SurrogateOptions,
    checkpoint: Path | None = None,
) -> GraphEnsemble:
    """Train the ensemble; see `osong.active.surrogate.fit_surrogate`."""
    if len(batch.smiles) != len(scores):
        raise InputError("the graph surrogate reads SMILES: take them with with_smiles=True")
    device = usable_device(options.device)
    everything = np.arange(len(scores))
    held_out = folds(len(scores), options.seed)
    n_members = min(options.n_members, _MOST_MEMBERS)
    n_few = min(_CALIBRATING_MEMBERS, n_members)
    tasks = [(everything, k) for k in range(n_members)]
    for fold in held_out:
        rest = np.setdiff1d(everything, fold)
        tasks += [(rest, k) for k in range(n_few)]

    with reproducible(device) as torch:

        def train(task: tuple[npt.NDArray[np.int64], int]) -> _Arrays:
            rows, number = task
            smiles = [batch.smiles[row] for row in rows]
            return _fit(torch, smiles, scores[rows], options.seed, number, device, checkpoint)

        trained = map_networks(train, tasks, threads=options.threads, device=device)
    errors, deviations, guesses = [], [], []
    for k, fold in enumerate(held_out):
        few = trained[n_members + n_few * k : n_members + n_few * (k + 1)]
        smiles = tuple(batch.smiles[row] for row in fold)
        seen = GraphEnsemble(_stacked(few), Calibration(1.0, 0.0, 0)).predict(
            _with_smiles(batch, smiles)
        )
        guesses.append(seen.mean.astype(np.float64))
        errors.append(scores[fold] - guesses[-1])
        deviations.append(seen.deviation)
    calibration = calibrate(
        np.concatenate(errors), np.concatenate(deviations), guesses=np.concatenate(guesses)
    )
    return GraphEnsemble(_stacked(trained[:n_members]), calibration)


def _with_smiles(batch: FeatureBatch, smiles: tuple[str, ...]) -> FeatureBatch:
    return type(batch)(batch.index[:0], batch.bits[:0], smiles)


def _stacked(networks: Sequence[_Arrays]) -> _Arrays:
    return {name: np.stack([one[name] for one in networks]) for name in networks[0]}


def _fit(
    torch: Any,
    smiles: Sequence[str],
    scores: npt.NDArray[np.float64],
    seed: int,
    number: int,
    device: str,
    checkpoint: Path | None,
) -> _Arrays:
    """Train one network, or take it if it was trained before."""
    z, mean, deviation = score_scale(scores)
    recipe = (
        _N_HIDDEN, _N_PASSES, _EPOCHS, _FEWEST_STEPS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY,
        list(_SHAPES.items()), _ELEMENTS, seed, number, smiles,
    )  # fmt: skip
    raw = np.ascontiguousarray(scores, np.float64).tobytes()  # what is kept has their scale
    digest = blake2b(repr(recipe).encode() + raw, digest_size=8).hexdigest()
    path = checkpoint and checkpoint / f"{digest}.pt"
    if path and path.exists():
        return read_tensors(path)
    generator = torch.Generator().manual_seed(seed * 1000 + number)
    weights = {name: _start(torch, generator, shape, device) for name, shape in _SHAPES.items()}
    optimiser = torch.optim.AdamW(
        list(weights.values()), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    size = min(_BATCH, len(z))
    n_steps = max(_FEWEST_STEPS, _EPOCHS * -(-len(z) // size))
    y = torch.from_numpy(z).to(device)
    parts: list[Any] = []
    for step in range(n_steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * step / n_steps))
        if not parts:
            parts = list(torch.randperm(len(z), generator=generator).split(size))
        rows = parts.pop()
        graphs = _graphs([smiles[row] for row in rows.tolist()])
        guess = _network(torch, weights, _tensors(torch, graphs, device), graphs.n)
        loss = ((guess - y[rows.to(device)]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    arrays = {name: np.array(value.detach().cpu().numpy()) for name, value in weights.items()}
    arrays["scale"] = np.array([mean, deviation], dtype=np.float32)
    if path:
        write_tensors(path, arrays)
    return arrays


def _start(torch: Any, generator: Any, shape: tuple[int, ...], device: str) -> Any:
    width = (2.0 / shape[0]) ** 0.5 if len(shape) == 2 else 0.1 if shape == (_N_HIDDEN,) else 0.0
    return (torch.randn(shape, generator=generator) * width).to(device).requires_grad_()


def _network(torch: Any, w: dict[str, Any], tensors: tuple[Any, ...], n: int) -> Any:
    """Return one number a molecule, (n,)."""
    atoms, bonds, source, target, molecule = tensors
    start = atoms @ w["atom"]
    along = bonds @ w["bond"]
    state = torch.relu(start)
    for _ in range(_N_PASSES):
        sent = torch.relu(state[source] + along)
        heard = torch.zeros_like(state).index_add(0, target, sent)
        state = torch.relu(start + heard @ w["message"] + w["message_bias"])
    said = torch.relu(state @ w["read"] + w["read_bias"])
    total = torch.zeros((n, _N_HIDDEN), device=said.device).index_add(0, molecule, said)
    counts = torch.bincount(molecule, minlength=n).clamp(min=1)[:, None]
    whole = torch.cat([total / _TYPICAL_ATOMS, total / counts], dim=1)
    hidden = torch.relu(whole @ w["last"] + w["last_bias"])
    return hidden @ w["out"] + w["out_bias"]


def _tensors(torch: Any, graphs: _Graphs, device: str) -> tuple[Any, ...]:
    arrays = (graphs.atoms, graphs.bonds, graphs.source, graphs.target, graphs.molecule)
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def _graphs(smiles: Sequence[str]) -> _Graphs:
    """Return the graphs of molecules side by side."""
    parts = [_graph(text) for text in smiles]
    n_atoms = [len(atoms) for atoms, _, _ in parts]
    first = np.repeat(np.cumsum([0, *n_atoms[:-1]]), [len(ends) for _, _, ends in parts])
    ends = np.concatenate([ends for _, _, ends in parts]) + first[:, None]
    return _Graphs(
        np.concatenate([atoms for atoms, _, _ in parts]),
        np.concatenate([bonds for _, bonds, _ in parts]),
        np.ascontiguousarray(ends[:, 0]),
        np.ascontiguousarray(ends[:, 1]),
        np.repeat(np.arange(len(parts)), n_atoms),
        len(parts),
    )


@lru_cache(maxsize=_KEPT_GRAPHS)
def _graph(
    smiles: str,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return atoms, bonds in both directions and their ends; RDKit wrote the SMILES."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        # Odd valences, as in PDBQT files without bond orders: a graph all the same.
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
    atoms = [_atom(atom) for atom in mol.GetAtoms()]
    bonds: list[list[float]] = []
    ends: list[tuple[int, int]] = []
    for bond in mol.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends += [(a, b), (b, a)]
        bonds += [_bond(bond)] * 2
    return (
        np.array(atoms, dtype=np.float32).reshape(-1, _N_ATOM),
        np.array(bonds, dtype=np.float32).reshape(-1, _N_BOND),
        np.array(ends, dtype=np.int64).reshape(-1, 2),
    )


def _atom(atom: Chem.Atom) -> list[float]:
    number, charge = atom.GetAtomicNum(), atom.GetFormalCharge()
    element = [float(number == known) for known in _ELEMENTS]
    return [
        *element,
        float(number not in _ELEMENTS),
        *(float(min(atom.GetDegree(), 5) == k) for k in range(6)),
        *(float(min(atom.GetTotalNumHs(), 4) == k) for k in range(5)),
        float(charge > 0), float(charge < 0), float(atom.GetIsAromatic()),
        float(atom.IsInRing()),
        *(float(atom.GetHybridization() == kind) for kind in _HYBRIDS),
    ]  # fmt: skip


_HYBRIDS: Final = (
    Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3,
)  # fmt: skip


def _bond(bond: Chem.Bond) -> list[float]:
    kind = bond.GetBondType()
    return [
        *(float(kind == known) for known in _BONDS),
        float(bond.IsInRing()),
    ]


_BONDS: Final = (
    Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC,
)  # fmt: skip
