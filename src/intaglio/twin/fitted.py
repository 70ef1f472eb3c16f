"""Weight grids that follow statistics of the weight: fitted in every training forward pass.

Evaluation uses the last fit, as batch norm uses its running statistics: the fit is in the state_dict, so the same
file gives the same integers everywhere.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from intaglio.twin.calibrate import OCTAVES_APART
from intaglio.twin.grid import fractions, round_mantissa
from intaglio.twin.quantizers import WeightGrid

MANTISSA = 8
"""Bits of a mean as a scale."""

SMALLEST = 2.0**-OCTAVES_APART
"""Smallest scale of a channel, as a share of the largest: channels of (nearly) zeros stay on a common grid."""


class FittedGrid(WeightGrid):
    """A grid with state that `fit` derives from the weight."""

    @abstractmethod
    def fit(self, weight: Tensor) -> None:
        """Set the state from the weight (detached)."""

    @abstractmethod
    def quantized(self, weight: Tensor) -> Tensor:
        """The weight on the grid as it was fitted last, with its gradient."""

    def forward(self, weight: Tensor) -> Tensor:
        """Integers times the scale; fits first while training."""
        if self.training:
            with torch.no_grad():
                self.fit(weight.detach())
        return self.quantized(weight)


class MeanGrid(FittedGrid):
    """A fitted grid whose scale is a mean magnitude: one, or one per output channel."""

    scale: Tensor

    def __init__(self, weight: Tensor, per_channel: bool) -> None:
        super().__init__()
        self.register_buffer("scale", weight.new_ones(len(weight) if per_channel else 1))

    def scales(self) -> tuple[Fraction, ...]:
        """The scale or scales, exactly."""
        return fractions(self.scale.double().tolist())

    def rows(self, weight: Tensor) -> Tensor:
        """The weight with one row for each scale."""
        return weight.reshape(len(self.scale), -1)

    def columns(self, values: Tensor, weight: Tensor) -> Tensor:
        """One value per scale, shaped to multiply the weight."""
        return values.reshape(-1, *[1] * (weight.dim() - 1))


def dyadic(values: Tensor) -> Tensor:
    """Scales of 8-bit mantissas nearest to `values`, none below 2**-10 of the largest; ones if all are zero."""
    whole = values.double().cpu()
    top = float(whole.max())
    whole = whole.clamp_min(top * SMALLEST) if top > 0 else torch.ones_like(whole)
    return torch.from_numpy(round_mantissa(whole.numpy(), MANTISSA)).to(values)


def small_integers(values: Sequence[float], bits: int, zero: bool = True) -> tuple[list[int], float]:
    """Integers and a scale, a power of two, that come nearest to `values`: the largest integer has `bits` bits.

    Without `zero` the least integer is 1. If all values are zero, the scale is one.
    """
    top = max(abs(value) for value in values)
    mantissa, exponent = math.frexp(top)
    rounds_up = mantissa * 2**bits + 0.5 >= 2**bits
    scale = math.ldexp(1.0, exponent + rounds_up - bits) if top else 1.0
    whole = [math.floor(value / scale + 0.5) for value in values]
    return whole if zero else [max(value, 1) for value in whole], scale
