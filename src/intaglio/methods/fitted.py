"""Weight grids whose scale is a statistic of the weight: fitted in every training forward pass.

Evaluation uses the last fit, as batch norm uses its running statistics: the fit is in the state_dict, so the same
file gives the same integers everywhere.
"""

from abc import abstractmethod
from fractions import Fraction

import torch
from torch import Tensor

from intaglio.methods.grid import fractions, round_mantissa
from intaglio.methods.quantizers import WeightGrid

MANTISSA = 8
"""Bits of a fitted scale."""

SMALLEST = 2.0**-10
"""Smallest scale of a channel, as a share of the largest: channels of (nearly) zeros stay on a common grid."""


class FittedGrid(WeightGrid):
    """A grid with a `scale` (one, or one per output channel) that `fit` sets from the weight."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    @abstractmethod
    def fit(self, weight: Tensor) -> None:
        """Set the scale, and what else the grid derives from the weight (detached)."""

    @abstractmethod
    def quantized(self, weight: Tensor) -> Tensor:
        """The weight on the grid as it was fitted last, with its gradient."""

    def forward(self, weight: Tensor) -> Tensor:
        """Integers times the scale; fits first while training."""
        if self.training:
            with torch.no_grad():
                self.fit(weight.detach())
        return self.quantized(weight)

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
