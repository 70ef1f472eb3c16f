"""Ternary weights: s * {-1, 0, +1} (survey section 4.2; TWN, Li, Zhang & Liu 2016).

A weight is zero where |w| <= d with d = 0.7 mean |w|, else s * sign(w), where s is the mean of the magnitudes above
d, rounded to 8 bits of mantissa. Both are found for the layer or for each output channel, in every forward pass
while training; evaluation uses those of the last one. The gradient passes straight through to the latent weight w,
everywhere and without a factor.

What it does not do: solve for the best threshold (0.7 mean |w| is the paper's approximation of it for bell-shaped
weights), or learn the values: see TrainedTernary. Activations keep their format; the first and the last layer are
ternary too unless `select` leaves them out.
Exploited by: the ternary encoding, dot products without multipliers, and whatever skips zeros.
"""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from intaglio.ir.errors import RangeError
from intaglio.twin.fitted import MeanGrid, dyadic
from intaglio.twin.format import Format
from intaglio.twin.method import Choice, SearchSpace, Span
from intaglio.twin.quantizers import WeightGrid


class _Ternarise(torch.autograd.Function):
    """scale * sign(w) where |w| > threshold, else 0; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
        return weight.clone().gt_(threshold).sub_(weight.clone().lt_(-threshold)).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return gradients[0], None, None


class TernaryWeights(MeanGrid):
    """A weight as 0 or +-scale; the integers are -1, 0 and +1."""

    threshold: Tensor

    def __init__(self, weight: Tensor, factor: float, per_channel: bool) -> None:
        super().__init__(weight, per_channel)
        self.factor = factor
        self.register_buffer("threshold", torch.zeros_like(self.scale))
        self.fit(weight)

    def fit(self, weight: Tensor) -> None:
        """Threshold and scale from the magnitudes."""
        size = self.rows(weight).abs()
        torch.mul(size.mean(1), self.factor, out=self.threshold)
        size *= size > self.threshold.reshape(-1, 1)
        self.scale.copy_(dyadic(size.sum(1) / size.count_nonzero(1).clamp_min(1)))

    def quantized(self, weight: Tensor) -> Tensor:
        """0 or +-scale."""
        threshold, scale = self.columns(self.threshold, weight), self.columns(self.scale, weight)
        return _Ternarise.apply(weight, threshold, scale)  # type: ignore[return-value]


class Ternary(Format):
    """Weights 0 or +-scale: zero below `threshold` times the mean magnitude.

    scale: one for each "layer", or for each output "channel"; so is the threshold.
    """

    scale: Literal["layer", "channel"] = "channel"
    threshold: Annotated[float, Field(ge=0)] = 0.7

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """Zero, or plus or minus the mean of the larger magnitudes."""
        grid = TernaryWeights(weight, self.threshold, self.scale == "channel")
        if bool(weight.any()) and not bool(grid.quantized(weight).any()):
            raise RangeError(
                f"{name}: no weight is larger than {self.threshold:g} times the mean magnitude, so the layer would be "
                f"all zeros: use a `threshold` below 1"
            )
        return grid

    def structured(self, whole: np.ndarray) -> bool:
        """One magnitude, and zero."""
        return len(np.unique(abs(whole[whole != 0]))) <= 1

    @classmethod
    def space(cls) -> SearchSpace:
        """The threshold and the kind of scale."""
        return {"threshold": Span(0.4, 0.95), "scale": Choice(("layer", "channel"))}
