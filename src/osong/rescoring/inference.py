"""The networks arranged for speed: the same sums in an order that a CPU or GPU likes.

What is done, and what it brings on one core (``python -m benchmarks cnn``, ADR 17):

- pooling by halves: pairs of planes, of rows, of points;
- normalisation folded into the convolution behind it. Its scale goes into the weights; its shift
  meets zeros beyond the edge, so that it becomes a constant field instead of a bias;
- channels last in memory;
- oneDNN's convolution called by name: torch takes a loop that is seven times slower for one grid;
- channels that are empty (no atom of their types nearby) are left out of the first convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from osong.errors import InputError
from osong.rescoring.loading import ScriptedNetwork
from osong.rescoring.networks import N_POINTS, Default2017, Default2018, Dense, Network

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FastNetwork", "Pooling", "arrange", "occupied", "pool"]

Pooling: TypeAlias = Literal["sum", "maximum", "none"]

_MEAN_OF_EIGHT: Final = 0.125
"""Pooling sums; the weights behind it carry this factor, a power of two that rounds nothing."""


class FastNetwork(Protocol):
    """A network that reads grids already pooled once.

    ``pooling`` says how. ``channels`` are the rows of ``pooled``'s second axis in the grid.
    ``dtype`` is that of its convolutions.
    """

    pooling: Pooling
    dtype: torch.dtype

    def __call__(self, pooled: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return pose logits (n, 2) and affinities (n,), float32."""
        ...


def pool(grids: Tensor, pooling: Pooling) -> Tensor:
    """Return grids (n, c, 2k, 2k, 2k) pooled to (n, c, k, k, k): sum or maximum of eight points."""
    if pooling == "none":
        return grids
    join = torch.add if pooling == "sum" else torch.maximum
    return _halve(grids, join, 2)


def occupied(pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the channels of pooled grids (n, c, k, k, k) that are not empty, and which these are.

    An empty channel adds nothing to a convolution: half of them are empty for most ligands.
    """
    channels = pooled.flatten(2).any(dim=2).any(dim=0).nonzero().flatten()
    if not len(channels):
        channels = torch.zeros(1, dtype=torch.long, device=pooled.device)
    return pooled[:, channels], channels


def _halve(values: Tensor, join: Callable[[Tensor, Tensor], Tensor], axis: int) -> Tensor:
    """Join neighbours along ``axis`` and the two axes behind it."""
    before = (slice(None),) * axis
    joined = join(values[(*before, slice(0, None, 2))], values[(*before, slice(1, None, 2))])
    return _halve(joined, join, axis + 1) if axis < 4 else joined


def _last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last_3d)


def _halve_last(values: Tensor, pooling: Pooling) -> Tensor:
    """Pool what lies channels last; the innermost axis stays the channels."""
    join = torch.add if pooling == "sum" else torch.maximum
    inside = values.permute(0, 2, 3, 4, 1)
    for axis in (1, 2, 3):
        before = (slice(None),) * axis
        inside = join(inside[(*before, slice(0, None, 2))], inside[(*before, slice(1, None, 2))])
    return inside.permute(0, 4, 1, 2, 3)


def _convolve(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with as many points around as the kernel reaches, zeros beyond the edge."""
    reach = weight.shape[-1] // 2
    if values.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # conv3d leaves oneDNN for one thread and fewer than 20,480 rows: 44 ms instead of 6.
        ones = [1, 1, 1]
        return torch.mkldnn_convolution(values, weight, bias, [reach] * 3, ones, ones, 1)
    return functional.conv3d(values, weight, bias, padding=reach)


class _First:
    """The first convolution, of the channels that are there."""

    def __init__(self, convolution: nn.Conv3d, scale: float, dtype: torch.dtype) -> None:
        self.weight = _last((convolution.weight * scale).to(dtype))
        self.bias = _bias(convolution).to(dtype)
        self.dtype = dtype

    def __call__(self, pooled: Tensor, channels: Tensor | None) -> Tensor:
        weight = self.weight if channels is None else _last(self.weight[:, channels])
        return _convolve(_last(pooled.to(self.dtype)), weight, self.bias).relu_()


def _bias(layer: nn.Conv3d | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias


class _Heads:
    """Pose logits and affinity by one product, always float32."""

    def __init__(self, pose: nn.Linear, affinity: nn.Linear) -> None:
        self.weight = torch.cat((pose.weight, affinity.weight))
        self.bias = torch.cat((_bias(pose), _bias(affinity)))

    def __call__(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional.linear(hidden.float(), self.weight, self.bias)
        return outputs[:, :2], outputs[:, 2]


class _FastDefault2018:
    pooling: Pooling = "sum"

    def __init__(self, network: Default2018, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.first = _First(network.unit1_conv, _MEAN_OF_EIGHT, dtype)
        self.steps: list[tuple[Tensor, Tensor]] = []
        for convolution in (
            network.unit2_conv,
            network.unit3_conv,
            network.unit4_conv,
            network.unit5_conv,
        ):
            scale = 1.0 if convolution.kernel_size[0] == 1 else _MEAN_OF_EIGHT
            weight = _last((convolution.weight * scale).to(dtype))
            self.steps.append((weight, _bias(convolution).to(dtype)))
        self.heads = _Heads(network.pose_output, network.affinity_output)

    def __call__(self, pooled: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
        hidden = self.first(pooled, channels)
        for weight, bias in self.steps:
            if weight.shape[-1] > 1:
                hidden = _halve_last(hidden, "sum")
            hidden = _convolve(hidden, weight, bias).relu_()
        return self.heads(hidden.flatten(1))


class _FastDense:
    pooling: Pooling = "maximum"

    def __init__(self, network: Dense, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.first = _First(network.data_enc_init_conv, 1.0, dtype)
        blocks = (network.dense_block_0, network.dense_block_1, network.dense_block_2)
        self.blocks = [
            [_folded(norm, convolution, N_POINTS >> (level + 1), dtype)
             for norm, convolution in block.layers()]
            for level, block in enumerate(blocks)
        ]  # fmt: skip
        self.between = [
            (_last(bottleneck.weight.to(dtype)), _bias(bottleneck).to(dtype))
            for bottleneck in (
                network.data_enc_level0_bottleneck,
                network.data_enc_level1_bottleneck,
            )
        ]
        self.heads = _Heads(network.pose_output, network.affinity_output)

    def __call__(self, pooled: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
        hidden = self.first(pooled, channels)
        for level, block in enumerate(self.blocks):
            for weight, field in block:
                new = _convolve(hidden, weight, None).add_(field).relu_()
                hidden = torch.cat((hidden, new), dim=1)
            if level < len(self.between):
                weight, bias = self.between[level]
                hidden = _halve_last(_convolve(hidden, weight, bias).relu_(), "maximum")
        return self.heads(hidden.amax((2, 3, 4)))


def _folded(
    norm: nn.BatchNorm3d, convolution: nn.Conv3d, n_points: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return weights and constant field of a convolution with its normalisation in front.

    With ``a * x + b`` for the normalisation, the convolution of ``a * x`` is one with weights times
    ``a``; that of ``b``, with zeros beyond the edge, is the field.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.double() - norm.running_mean.double() * scale
    # Beyond the first and last point all see the same: three points an axis say it all.
    small = functional.conv3d(
        shift.view(1, -1, 1, 1, 1).expand(1, -1, 3, 3, 3),
        convolution.weight.double(),
        _bias(convolution).double(),
        padding=1,
    )
    places = torch.tensor([0, *[1] * (n_points - 2), 2], device=small.device)
    field = small[:, :, places][:, :, :, places][..., places]
    scaled = convolution.weight.double() * scale.view(1, -1, 1, 1, 1)
    return _last(scaled.to(dtype)), _last(field.to(dtype))


class _AsItIs:
    """A network that is no other's twin: TorchScript."""

    pooling: Pooling = "none"
    dtype: torch.dtype = torch.float32

    def __init__(self, network: ScriptedNetwork) -> None:
        self.network = network

    def __call__(self, pooled: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
        assert channels is None
        logits, affinity = self.network(pooled)
        return logits.float(), affinity.float()


def arrange(
    network: Network | ScriptedNetwork,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> FastNetwork:
    """Return the fast form of a network on a device; TorchScript stays float32 and as it is.

    Raises
    ------
    InputError
        If the network reads other channels than the 28 that grids have here.
    """
    if isinstance(network, Default2017):
        raise InputError(
            f"default2017 reads {Default2017.n_channels} channels of an older typing, which are "
            "not made here: take default2018 or dense networks"
        )
    with torch.inference_mode():
        placed = network.to(device if device is not None else torch.device("cpu"))
        if isinstance(placed, Dense):
            return _FastDense(placed, dtype)
        if isinstance(placed, Default2018):
            return _FastDefault2018(placed, dtype)
        return _AsItIs(placed)
