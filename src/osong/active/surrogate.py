"""Surrogates: networks that guess a molecule's docking score and say how sure they are.

Two kinds, one interface: ``mlp``, an ensemble of small networks on fingerprints, and ``graph``, an
ensemble of message-passing networks on the molecules' graphs.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np

from osong.active.calibration import Calibration
from osong.active.torch_use import Device, import_torch
from osong.errors import InputError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from osong.active.store import FeatureBatch

__all__ = [
    "Prediction",
    "Surrogate",
    "SurrogateKind",
    "SurrogateOptions",
    "fit_surrogate",
    "load_surrogate",
    "save_surrogate",
    "score_scale",
    "spread_out",
]

SurrogateKind = Literal["mlp", "graph"]
_KINDS: Final = ("mlp", "graph")
_VERSION: Final = 2
_FEWEST: Final = 8
_UNREADABLE: Final = (
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError,
    zipfile.BadZipFile, OSError,
)  # fmt: skip


@dataclass(frozen=True)
class SurrogateOptions:
    """How surrogates are made.

    Attributes
    ----------
    kind
        "mlp" on fingerprints, or "graph".
    n_members
        Networks of the ensemble.
    seed
        Decides everything that is random.
    device
        Where to train: "auto" takes CUDA where it is.
    threads
        Networks trained at a time on the CPU; as many as there are cores if not given. The result
        does not depend on it.
    """

    kind: SurrogateKind = "mlp"
    n_members: int = 8
    seed: int = 0
    device: Device = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"surrogate is '{self.kind}': choose {' or '.join(_KINDS)}")
        if not 2 <= self.n_members <= 64:
            raise InputError(f"n_members is {self.n_members}: give 2 to 64")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give 0 or more")


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says about molecules, in units of the score.

    Attributes
    ----------
    members
        (n, n_members) float32: each network's guess, drawn out from their mean by the calibrated
        spread.
    noise
        Deviation of a score around what a perfect ensemble would say.
    bias, bias_error
        Of the best guesses, see `osong.active.Calibration`; `members` are as the networks say.
    """

    members: npt.NDArray[np.float32]
    noise: float
    bias: float = 0.0
    bias_error: float = 0.0

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """(n,) float32: the guess."""
        return np.asarray(self.members.mean(axis=1))

    @property
    def deviation(self) -> npt.NDArray[np.float32]:
        """(n,) float32: how uncertain the guess is, without the noise."""
        return np.asarray(self.members.std(axis=1, ddof=1))

    def rows(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Prediction:
        """Return what is said about some of the molecules."""
        return replace(self, members=self.members[which])


def spread_out(
    raw: npt.NDArray[np.float32],
    calibration: Calibration,
    novelty: npt.NDArray[np.float32] | None = None,
) -> Prediction:
    """Return networks' guesses (n, n_members), drawn apart until they are as uncertain as known.

    With `novelty`, (n,), a molecule's guesses are drawn apart further the less it is like what is
    docked.
    """
    centre = raw.mean(axis=1, keepdims=True)
    off = raw - centre
    factor: Any = np.float32(calibration.spread)
    if novelty is not None and calibration.reach > 0.0:
        variance = np.maximum(raw.var(axis=1, ddof=1, keepdims=True), np.float32(1e-12))
        added = (np.float32(calibration.reach) * novelty[:, None]) ** 2 / variance
        factor = np.sqrt(factor**2 + added)
    return Prediction(
        centre + factor * off, calibration.noise, calibration.bias, calibration.bias_error
    )


class Surrogate(Protocol):
    """An ensemble that was trained."""

    @property
    def kind(self) -> str:
        """See `SurrogateOptions`."""
        ...

    @property
    def needs_smiles(self) -> bool:
        """Whether it reads `FeatureBatch.smiles` rather than the bits."""
        ...

    @property
    def calibration(self) -> Calibration:
        """Of its uncertainty."""
        ...

    def predict(self, batch: FeatureBatch) -> Prediction:
        """Return what the ensemble says about molecules."""
        ...

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return all numbers of the ensemble by name."""
        ...


def fit_surrogate(
    batch: FeatureBatch,
    scores: npt.NDArray[np.float64],
    options: SurrogateOptions = SurrogateOptions(),
    *,
    checkpoint: Path | None = None,
) -> Surrogate:
    """Train an ensemble on docked molecules.

    Parameters
    ----------
    batch
        The molecules.
    scores
        (n,) finite; lower is better.
    checkpoint
        Folder that keeps each network as soon as it is trained, and gives back those that are
        there from the same molecules, scores and options.

    Raises
    ------
    InputError
        Where there are fewer than 8 molecules, or a score is no number.
    MissingExtraError
        Where PyTorch is not installed.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(batch.index) != len(scores):
        raise InputError(f"{len(batch.index)} molecules and {len(scores)} scores: give one each")
    if not np.isfinite(scores).all():
        raise InputError(
            f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are no numbers: leave "
            "out the molecules that failed"
        )
    if len(scores) < _FEWEST:
        raise InputError(
            f"{len(scores)} docked molecules are too few to train on: dock at least {_FEWEST}"
        )
    if options.kind == "graph":
        from osong.active.graph import fit_graph_ensemble

        return fit_graph_ensemble(batch, scores, options, checkpoint)
    from osong.active.mlp import fit_mlp_ensemble

    return fit_mlp_ensemble(batch, scores, options, checkpoint)


def score_scale(scores: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float32], float, float]:
    """Return scores of mean 0 and deviation 1, and what they were; the hopeless are cut off.

    A molecule that fits nowhere can score anything above zero: beyond three deviations on the bad
    side scores teach nothing about the good ones.
    """
    middle = float(np.median(scores))
    width = 1.4826 * float(np.median(np.abs(scores - middle))) or float(scores.std()) or 1.0
    kept = np.minimum(scores, middle + 3.0 * width)
    mean, deviation = float(kept.mean()), float(kept.std()) or 1.0
    return ((kept - mean) / deviation).astype(np.float32), mean, deviation


def save_surrogate(surrogate: Surrogate, path: str | Path, *, inputs: str = "") -> None:
    """Write an ensemble, whole or not at all; `inputs` says what it was trained on.

    The numbers are a state dict beside a JSON file with their checksum.

    Raises
    ------
    ResourceError
        Where it cannot be written.
    """
    path = Path(path)
    checksum = write_tensors(path, surrogate.state())
    note = {
        "version": _VERSION,
        "kind": surrogate.kind,
        "inputs": inputs,
        "calibration": asdict(surrogate.calibration),
        "checksum": checksum,
    }
    _write(path.with_suffix(".json"), (json.dumps(note, indent=1) + "\n").encode())


def load_surrogate(path: str | Path, *, inputs: str | None = None) -> Surrogate:
    """Return an ensemble from its file.

    Raises
    ------
    InputError
        Where there is none, it is damaged, or (with `inputs`) was trained on something else.
    """
    path = Path(path)
    try:
        note: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        calibration = Calibration(**note["calibration"])
        kind, trained_on, checksum = note["kind"], note["inputs"], note["checksum"]
        if note["version"] != _VERSION:
            raise InputError(f"{path}: is of another version of Osong: train it anew")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no surrogate here: train one") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.with_suffix('.json')}: is damaged: remove it") from error
    if inputs is not None and trained_on != inputs:
        raise InputError(f"{path}: was trained on other molecules or scores: remove it")
    state = read_tensors(path, checksum)
    if kind == "graph":
        from osong.active.graph import GraphEnsemble

        return GraphEnsemble.from_state(state, calibration, path)
    from osong.active.mlp import MlpEnsemble

    return MlpEnsemble.from_state(state, calibration, path)


def write_tensors(path: Path, state: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """Write arrays as a state dict of PyTorch; return its checksum."""
    torch = import_torch()
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in state.items()}, buffer)
    _write(path, buffer.getvalue())
    return blake2b(buffer.getvalue(), digest_size=16).hexdigest()


def check_shapes(
    state: Mapping[str, npt.NDArray[np.float32]], wanted: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Check the arrays of an ensemble, one row a network.

    Raises
    ------
    InputError
        Where names or shapes are not those wanted, or the networks are not as many in all.
    """
    shapes = {name: array.shape[1:] for name, array in state.items()}
    if shapes != wanted or len({len(array) for array in state.values()}) != 1:
        raise InputError(
            f"{path}: holds arrays {shapes}, wanted {wanted} for each network: remove it"
        )


def read_tensors(path: Path, checksum: str | None = None) -> dict[str, npt.NDArray[np.float32]]:
    """Return the arrays of a state dict; nothing in the file can run.

    Raises
    ------
    InputError
        Where it is missing, damaged or not the one with this checksum.
    """
    torch = import_torch()
    try:
        content = path.read_bytes()
        if checksum is not None and blake2b(content, digest_size=16).hexdigest() != checksum:
            raise InputError(f"{path}: does not match its checksum: remove it and train anew")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return {str(name): tensor.numpy() for name, tensor in state.items()}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: is no state dict or damaged: remove it and train anew"
        ) from error


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space"
        ) from error
