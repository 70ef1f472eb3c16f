"""The modules that stand for operations between layers in a traced network."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.twin.grid import round_mantissa


class Add(nn.Module):
    """a + b (residual connections)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Concat(nn.Module):
    """Concatenation of several inputs along the channel axis."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


class Affine(nn.Module):
    """x * gain + offset per channel, with a dyadic gain: what batch norm becomes when it cannot be merged."""

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return x * self.gain.reshape(shape) + self.offset.reshape(shape)


class SumPool(nn.Module):
    """The sum over a window times a dyadic approximation (12 bits) of 1/size: an exact average pool.

    `kernel` None takes the whole image (global average pooling). Zero padding counts towards the size.
    """

    MANTISSA = 12

    def __init__(self, kernel: tuple[int, ...] | None, stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def gain(self, size: int) -> float:
        """The dyadic factor for a window of `size` values; exactly 1/size for a power of two."""
        return float(round_mantissa(np.array([1.0 / size]), self.MANTISSA)[0])

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel is None:
            axes = tuple(range(2, x.dim()))
            return x.sum(axes, keepdim=True) * self.gain(math.prod(x.shape[2:]))
        shaped = x if x.dim() == 4 else x.unsqueeze(3)
        pad = 4 - x.dim()
        kernel, stride, padding = (
            (*self.kernel, *(1,) * pad),
            (*self.stride, *(1,) * pad),
            (*self.padding, *(0,) * pad),
        )
        y = F.avg_pool2d(shaped, kernel, stride, padding, divisor_override=1) * self.gain(math.prod(kernel))
        return y if x.dim() == 4 else y.squeeze(3)


class ArgMax(nn.Module):
    """The position of the largest value along axis `dim`, as an integer: the class. Of equal ones the first.

    `dim` None looks at all samples at once; `keepdim` keeps the axis, of size one.
    """

    def __init__(self, dim: int | None = 1, keepdim: bool = False) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(self.dim, self.keepdim)


class Always(nn.Module):
    """F.dropout whose `training` is true whatever the mode: the forward pass is random, also in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x)
