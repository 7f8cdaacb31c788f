"""Files of weights become networks: state dicts, and TorchScript as GNINA 1.3 ships it.

A state dict is read with ``weights_only=True``: nothing in it can run. TorchScript is a program;
where its parameters are those of a network known here and both give the same, ours takes its place,
otherwise the program itself runs.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from osong.errors import InputError
from osong.rescoring.networks import N_POINTS, Network, build_network, pose_probability

if TYPE_CHECKING:
    from osong.rescoring.weights import WeightsFile

__all__ = ["ScriptedNetwork", "load_network"]

_UNREADABLE: Final = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
    OSError,
    zipfile.BadZipFile,
)
"""What torch raises for files that are none, or damaged ones."""

_DIMENSION, _RESOLUTION = 23.5, 0.5
_N_CHANNELS: Final = 28
_AGREE: Final = 1e-4
"""Largest difference of probability and pK between TorchScript and our network of its weights."""


class ScriptedNetwork(nn.Module):
    """A TorchScript network that is none of those known here, run as it is."""

    n_channels: Final = _N_CHANNELS

    def __init__(self, script: torch.jit.ScriptModule, source: str) -> None:
        super().__init__()
        self.script = script
        self.source = source

    def forward(self, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose logits (n, 2) and affinities (n,) of grids (n, 28, 48, 48, 48)."""
        try:
            output = self.script(grids)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"{self.source}: this TorchScript does not take grids "
                f"{tuple(grids.shape)}: {reason}"
            ) from error
        return self._checked(output, len(grids))

    def _checked(self, output: Any, n_poses: int) -> tuple[Tensor, Tensor]:
        is_pair = isinstance(output, tuple) and len(output) == 2
        if is_pair and all(isinstance(part, Tensor) for part in output):
            logits, affinity = output
            if logits.shape == (n_poses, 2) and affinity.numel() == n_poses:
                return logits, affinity.reshape(n_poses)
        raise InputError(
            f"{self.source}: this TorchScript does not return pose logits (n, 2) and "
            "affinities (n,)"
        )


def load_network(file: WeightsFile) -> Network | ScriptedNetwork:
    """Return the network of a file of weights, in evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        If the file holds no weights, or none that fit a network or a grid known here.
    """
    if _is_torchscript(file):
        return _from_script(file)
    try:
        with warnings.catch_warnings():
            # Of pickles that torch did not write: what is wrong with them is said below.
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(file.path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _no_weights(file) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{file.path}: holds no state dict (a dictionary of tensors by name)")
    return build_network(state, str(file.path))


def _is_torchscript(file: WeightsFile) -> bool:
    try:
        with zipfile.ZipFile(file.path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
    except OSError as error:
        raise InputError(f"{file.path}: cannot be read: {error.strerror}") from error


def _no_weights(file: WeightsFile) -> InputError:
    return InputError(
        f"{file.path}: no weights that torch can read (a state dict saved by torch.save, or "
        "TorchScript); the file may be damaged: fetch it again"
    )


def _from_script(file: WeightsFile) -> Network | ScriptedNetwork:
    extra = {"metadata": ""}
    try:
        with warnings.catch_warnings():
            # torch 2.13 deprecates TorchScript; GNINA 1.3's weights are nothing else.
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(str(file.path), map_location="cpu", _extra_files=extra)
    except _UNREADABLE as error:
        raise _no_weights(file) from error
    _check_grid(extra["metadata"], file)
    scripted = ScriptedNetwork(script.eval().float(), str(file.path)).eval()
    try:
        network = build_network(script.state_dict(), str(file.path))
    except InputError:
        return scripted
    return network if _agree(network, scripted) else scripted


def _check_grid(metadata: str | bytes, file: WeightsFile) -> None:
    """Refuse a network that was trained on another grid, where the file says so."""
    try:
        facts = json.loads(metadata or "{}")
    except ValueError:
        return
    if not isinstance(facts, dict):
        return
    found = (facts.get("dimension", _DIMENSION), facts.get("resolution", _RESOLUTION))
    if found != (_DIMENSION, _RESOLUTION):
        raise InputError(
            f"{file.path}: made for a grid of {found[0]} angstrom at {found[1]}, "
            f"not {_DIMENSION} at {_RESOLUTION}"
        )


def _agree(network: Network, scripted: ScriptedNetwork) -> bool:
    """Return whether both give the same for two grids of blobs made from a fixed seed."""
    if network.n_channels != _N_CHANNELS:
        return False
    generator = torch.Generator().manual_seed(6)
    grids = torch.zeros(2, _N_CHANNELS, N_POINTS, N_POINTS, N_POINTS)
    corners = torch.randint(8, N_POINTS - 12, (2, _N_CHANNELS, 4, 3), generator=generator).tolist()
    for pose, channels in enumerate(corners):
        for channel, places in enumerate(channels):
            for x, y, z in places:
                grids[pose, channel, x : x + 5, y : y + 5, z : z + 5] += 0.5
    with torch.inference_mode():
        ours, theirs = network(grids), scripted(grids)
    differences = (
        (pose_probability(ours[0]) - pose_probability(theirs[0])).abs().max(),
        (ours[1] - theirs[1]).abs().max(),
    )
    return bool(max(differences) <= _AGREE)
