"""GNINA's networks, as published: a density grid in, pose probability and affinity out.

Written from the architectures in the papers and GNINA's model files; parameters are named as in
the weights that GNINA and gninatorch ship, so that a state dict loads as it is. This module needs
torch: it is imported when weights are loaded, never by ``import osong``.

References
----------
- M. Ragoza, J. Hochuli, E. Idrobo, J. Sunseri, D. R. Koes, J. Chem. Inf. Model. 2017, 57, 942,
  doi:10.1021/acs.jcim.6b00740 (default2017).
- P. G. Francoeur et al., J. Chem. Inf. Model. 2020, 60, 4200, doi:10.1021/acs.jcim.0c00411
  (default2018, dense).
- A. T. McNutt et al., J. Cheminform. 2021, 13, 43, doi:10.1186/s13321-021-00522-2 (the ensembles).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "N_POINTS",
    "Default2017",
    "Default2018",
    "Dense",
    "Network",
    "build_network",
    "pose_probability",
]

N_POINTS: Final = 48
"""Points of the grid along an edge: 23.5 angstrom at 0.5 angstrom."""

_N_LAST: Final = (N_POINTS // 8) ** 3
_N_LEVELS: Final = 3
_N_LAYERS: Final = 4
_N_NEW: Final = 16
_N_FIRST: Final = 32
_N_SHOWN: Final = 3


class Default2017(nn.Module):
    """The network of GNINA's first paper: maximum pooling, three convolutions.

    It reads 35 channels of an older typing of atoms, unlike the others.
    """

    n_channels: Final = 35

    def __init__(self) -> None:
        super().__init__()
        self.unit1_conv1 = nn.Conv3d(self.n_channels, 32, 3, padding=1)
        self.unit2_conv1 = nn.Conv3d(32, 64, 3, padding=1)
        self.unit3_conv1 = nn.Conv3d(64, 128, 3, padding=1)
        self.output_fc = nn.Linear(128 * _N_LAST, 2)
        self.output_fc_aff = nn.Linear(128 * _N_LAST, 1)

    def forward(self, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose logits (n, 2) and affinities (n,) of grids (n, 35, 48, 48, 48)."""
        hidden = grids
        for convolution in (self.unit1_conv1, self.unit2_conv1, self.unit3_conv1):
            hidden = functional.relu(convolution(functional.max_pool3d(hidden, 2)))
        hidden = hidden.flatten(1)
        return self.output_fc(hidden), self.output_fc_aff(hidden).squeeze(-1)


class Default2018(nn.Module):
    """The network ``default2018``: mean pooling, convolutions of 3 and of 1 point in turn."""

    n_channels: Final = 28

    def __init__(self) -> None:
        super().__init__()
        self.unit1_conv = nn.Conv3d(self.n_channels, 32, 3, padding=1)
        self.unit2_conv = nn.Conv3d(32, 32, 1)
        self.unit3_conv = nn.Conv3d(32, 64, 3, padding=1)
        self.unit4_conv = nn.Conv3d(64, 64, 1)
        self.unit5_conv = nn.Conv3d(64, 128, 3, padding=1)
        self.pose_output = nn.Linear(128 * _N_LAST, 2)
        self.affinity_output = nn.Linear(128 * _N_LAST, 1)

    def forward(self, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose logits (n, 2) and affinities (n,) of grids (n, 28, 48, 48, 48)."""
        hidden = functional.relu(self.unit1_conv(functional.avg_pool3d(grids, 2)))
        hidden = functional.relu(self.unit2_conv(hidden))
        hidden = functional.relu(self.unit3_conv(functional.avg_pool3d(hidden, 2)))
        hidden = functional.relu(self.unit4_conv(hidden))
        hidden = functional.relu(self.unit5_conv(functional.avg_pool3d(hidden, 2)))
        hidden = hidden.flatten(1)
        return self.pose_output(hidden), self.affinity_output(hidden).squeeze(-1)


class _DenseBlock(nn.Module):
    """Four layers, each of which reads the block's input and what all layers before it made."""

    def __init__(self, level: int, n_inputs: int) -> None:
        super().__init__()
        self.level = level
        for layer in range(_N_LAYERS):
            n_read = n_inputs + layer * _N_NEW
            self.add_module(self._name(f"batchnorm_conv{layer}"), nn.BatchNorm3d(n_read))
            self.add_module(self._name(f"conv{layer}"), nn.Conv3d(n_read, _N_NEW, 3, padding=1))

    def _name(self, part: str) -> str:
        return f"data_enc_level{self.level}_{part}"

    def layers(self) -> list[tuple[nn.BatchNorm3d, nn.Conv3d]]:
        """Return normalisation and convolution of each layer, in order."""
        found = []
        for layer in range(_N_LAYERS):
            norm = self.get_submodule(self._name(f"batchnorm_conv{layer}"))
            convolution = self.get_submodule(self._name(f"conv{layer}"))
            assert isinstance(norm, nn.BatchNorm3d)
            assert isinstance(convolution, nn.Conv3d)
            found.append((norm, convolution))
        return found

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the block's input with 16 channels more for each layer."""
        for norm, convolution in self.layers():
            new = functional.relu(convolution(norm(hidden)))
            hidden = torch.cat((hidden, new), dim=1)
        return hidden


class Dense(nn.Module):
    """The network ``dense``: three densely connected blocks, the maximum over space at the end."""

    n_channels: Final = 28

    def __init__(self) -> None:
        super().__init__()
        n_grown = _N_LAYERS * _N_NEW
        self.data_enc_init_conv = nn.Conv3d(self.n_channels, _N_FIRST, 3, padding=1)
        self.dense_block_0 = _DenseBlock(0, _N_FIRST)
        self.data_enc_level0_bottleneck = nn.Conv3d(_N_FIRST + n_grown, _N_FIRST + n_grown, 1)
        self.dense_block_1 = _DenseBlock(1, _N_FIRST + n_grown)
        n_second = _N_FIRST + 2 * n_grown
        self.data_enc_level1_bottleneck = nn.Conv3d(n_second, n_second, 1)
        self.dense_block_2 = _DenseBlock(2, n_second)
        n_last = _N_FIRST + _N_LEVELS * n_grown
        self.pose_output = nn.Linear(n_last, 2)
        self.affinity_output = nn.Linear(n_last, 1)

    def forward(self, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose logits (n, 2) and affinities (n,) of grids (n, 28, 48, 48, 48)."""
        hidden = functional.relu(self.data_enc_init_conv(functional.max_pool3d(grids, 2)))
        hidden = functional.relu(self.data_enc_level0_bottleneck(self.dense_block_0(hidden)))
        hidden = self.dense_block_1(functional.max_pool3d(hidden, 2))
        hidden = functional.relu(self.data_enc_level1_bottleneck(hidden))
        hidden = self.dense_block_2(functional.max_pool3d(hidden, 2))
        hidden = hidden.amax((2, 3, 4))
        return self.pose_output(hidden), self.affinity_output(hidden).squeeze(-1)


Network: TypeAlias = Default2017 | Default2018 | Dense

_MARKS: Final[tuple[tuple[str, type[Network]], ...]] = (
    ("unit1_conv1.weight", Default2017),
    ("unit1_conv.weight", Default2018),
    ("data_enc_init_conv.weight", Dense),
)
"""The name of the first convolution tells the architectures apart."""


def build_network(state: Mapping[str, Tensor], source: str) -> Network:
    """Return the network that a state dict belongs to, in evaluation mode.

    Parameters
    ----------
    state
        Parameters by name, float32.
    source
        What messages call the weights.

    Raises
    ------
    InputError
        If names or shapes are those of no architecture, or numbers are not finite.
    """
    kind = next((kind for mark, kind in _MARKS if mark in state), None)
    if kind is None:
        names = ", ".join(list(state)[:_N_SHOWN]) or "nothing"
        raise InputError(
            f"{source}: not the weights of a GNINA network: it holds {names}; known are "
            "default2017, default2018 and dense"
        )
    network = kind()
    _check(state, network, source)
    network.load_state_dict(dict(state), strict=True)
    return network.eval().requires_grad_(False)


def _check(state: Mapping[str, Tensor], network: Network, source: str) -> None:
    wanted = network.state_dict()
    kind = type(network).__name__.lower()
    differing = [name for name in wanted if name not in state]
    if differing:
        raise InputError(f"{source}: weights of {kind} that lack {_few(differing)}")
    differing = [name for name in state if name not in wanted]
    if differing:
        raise InputError(f"{source}: weights of {kind} with names unknown there: {_few(differing)}")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, "
                f"{kind} has {tuple(tensor.shape)}"
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"{source}: {name} holds numbers that are not finite")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return ", ".join(names[:_N_SHOWN]) + more


def pose_probability(logits: Tensor) -> Tensor:
    """Return CNNscore (n,) of pose logits (n, 2): the softmax's share of the class "good pose".

    Logits whose softmax was taken already (GNINA 1.3's TorchScript gives its logarithm) give the
    same, since a softmax does not change a logarithm of probabilities.
    """
    return functional.softmax(logits.float(), dim=1)[:, 1]
