"""Ternary weights with trained values: {-W_n, 0, +W_p} (survey section 4.2; TTQ, Zhu et al., ICLR 2017).

A weight is zero where |w| <= t max |w| (t = 0.05), else +W_p or -W_n: two parameters per layer. In integers the
values are -n, 0 and +p, of at most `scale_bits` bits, times a power of two; the larger has exactly that many bits
(freezing moves a common divisor into the scale). Gradients (paper, equations 7 and 8), g the gradient of the ternary
weight: dW_p is the sum of g where w is positive, dW_n minus the sum of g where it is negative (the paper leaves the
sign to W_n), dw is W_p g, g or W_n g for positive, zero and negative weights, with W_p and W_n as rounded.

The threshold is found in every forward pass while training; evaluation uses that of the last one. W_p and W_n start
at the mean magnitudes of their weights.

What it does not do: values per channel; the paper's other way to choose the threshold, by a wanted sparsity.
Activations keep their format.
Exploited by: the ternary encoding; two planes of bits with two coefficients in hardware; whatever skips zeros.
"""

from fractions import Fraction
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from intaglio.twin.fitted import FittedGrid, small_integers
from intaglio.twin.format import Format
from intaglio.twin.method import SearchSpace, Span
from intaglio.twin.quantizers import WeightGrid

_SMALLEST = 2.0**-24
"""Values trained below this count as this."""


class _Ternarise(torch.autograd.Function):
    """`positive` where w > threshold, -`negative` where w < -threshold, else 0; gradients of the module's header."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, values: Tensor, threshold: Tensor, positive: float, negative: float
    ) -> Tensor:
        y = weight.clone().gt_(threshold).mul_(positive)
        y.sub_(weight.clone().lt_(-threshold), alpha=negative)
        ctx.save_for_backward(y)
        ctx.values = positive, negative
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        positive, negative = ctx.values
        flat, line = gradients[0].reshape(-1), y.reshape(-1)
        sums = torch.stack(
            [
                torch.dot(flat, line.clamp_min(0)) / positive,
                torch.dot(flat, line.clamp_max(0)) / negative,
            ]
        )
        return gradients[0] * y.abs().masked_fill_(y == 0, 1), sums, None, None, None


class TrainedTernaryWeights(FittedGrid):
    """A weight as 0, +W_p or -W_n; `values` holds W_p and W_n."""

    threshold: Tensor

    def __init__(self, weight: Tensor, share: float, bits: int) -> None:
        super().__init__()
        self.share, self.bits = share, bits
        self.register_buffer("threshold", weight.new_zeros(1))
        self.fit(weight)
        sides = [weight[weight > self.threshold], -weight[weight < -self.threshold]]
        means = [float(side.mean()) for side in sides if side.numel()] or [1.0]
        self.values = nn.Parameter(weight.new_tensor([means[0], means[-1]]))

    def fit(self, weight: Tensor) -> None:
        """The threshold from the largest magnitude."""
        torch.mul(weight.abs().max(), self.share, out=self.threshold[0])

    def rounded(self) -> tuple[int, int, float]:
        """p, n and the scale."""
        reals = [max(value, _SMALLEST) for value in self.values.tolist()]
        (positive, negative), scale = small_integers(reals, self.bits, zero=False)
        return positive, negative, scale

    def scales(self) -> tuple[Fraction, ...]:
        """The scale of the integers, exactly."""
        return (Fraction(self.rounded()[2]),)

    def quantized(self, weight: Tensor) -> Tensor:
        """0, p * scale or -n * scale."""
        positive, negative, scale = self.rounded()
        return _Ternarise.apply(weight, self.values, self.threshold, positive * scale, negative * scale)  # type: ignore[return-value]


class TrainedTernary(Format):
    """Weights 0, +W_p or -W_n with trained W_p and W_n; zero below `threshold` times the largest magnitude.

    scale_bits: bits of the larger of the integers that stand for W_p and W_n.
    """

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.05
    scale_bits: Annotated[int, Field(ge=1, le=8)] = 4

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """Zero, or one of two trained values."""
        del name
        return TrainedTernaryWeights(weight, self.threshold, self.scale_bits)

    def structured(self, whole: np.ndarray) -> bool:
        """One positive value, one negative, and zero."""
        return all(len(np.unique(side)) <= 1 for side in (whole[whole > 0], whole[whole < 0]))

    @classmethod
    def space(cls) -> SearchSpace:
        """The threshold and the precision of the values."""
        return {"threshold": Span(0.02, 0.3), "scale_bits": Span(1, 6, integer=True)}
