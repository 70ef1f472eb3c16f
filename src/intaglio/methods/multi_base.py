"""Weights as sums of a few binary bases (survey section 4.2; ABC-Net, Lin, Zhao & Pan, NeurIPS 2017).

w ~ sum of a_i B_i over M bases B_i = sign(w - mean(w) + u_i std(w)), u_i = -1 + 2 (i - 1) / (M - 1), or 0 for a
single base; sign(0) = +1. The coefficients a_i minimise the squared error over the layer; then they become integers
of at most `scale_bits` bits times a power of two, the largest having exactly that many bits (freezing moves a common
divisor of the sums into the scale). Bases and coefficients are found in every forward pass while training; evaluation
uses those of the last one. The gradient passes straight through to w, without ABC-Net's factor (the sum of the a_i),
as elsewhere here.

All bases are comparisons of the same weight, so M bases make M + 1 values, and the least squares needs only number
and sum of the weights between two comparisons. There is no zero among the values unless the coefficients happen to
cancel, so pruned weights do not survive.

What it does not do: coefficients per channel, since hardware shares them; shifts u_i that are trained.
Exploited by: the encoding of bases; a binary dot product for each base.
"""

import math
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from intaglio.methods.fitted import FittedGrid, small_integers
from intaglio.methods.format import Format
from intaglio.methods.grid import fractions
from intaglio.methods.method import SearchSpace, Span
from intaglio.methods.quantizers import WeightGrid


class _Bases(torch.autograd.Function):
    """The sum of +-coefficient, + where w reaches the edge; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, edges: list[float], coefficients: list[float]) -> Tensor:
        y = torch.full_like(weight, -sum(coefficients))
        for edge, coefficient in zip(edges, coefficients, strict=True):
            y.add_(weight.clone().ge_(edge), alpha=2 * coefficient)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return gradients[0], None, None


def least_squares(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The coefficients of the bases with the least squared error, and the least norm among these.

    `counts` and `sums` are of the weights between two edges, from those below the first to those above the last.
    """
    bases = len(counts) - 1
    signs = np.where(np.arange(bases + 1)[:, None] > np.arange(bases), 1, -1)
    root = np.sqrt(counts)
    means = np.divide(sums, root, out=np.zeros_like(sums), where=counts > 0)
    return np.linalg.lstsq(signs * root[:, None], means)[0]


class MultiBaseWeights(FittedGrid):
    """A weight as a sum of +-coefficients times a scale; `edges` ascend, one for each base."""

    edges: Tensor
    coefficients: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bases: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("edges", weight.new_zeros(bases))
        self.register_buffer("coefficients", weight.new_zeros(bases))
        self.register_buffer("scale", weight.new_ones(1))
        self.fit(weight)

    def fit(self, weight: Tensor) -> None:
        """Edges from mean and deviation; coefficients by least squares."""
        flat, bases = weight.double().reshape(-1), len(self.edges)
        mean = flat.mean()
        deviation = torch.linalg.vector_norm(flat - mean) / math.sqrt(flat.numel())
        shifts = torch.linspace(-1, 1, bases).to(flat) if bases > 1 else flat.new_zeros(1)
        self.edges.copy_(mean + shifts * deviation)
        above = [flat.clone().ge_(edge) for edge in self.edges.tolist()]
        counts = [float(flat.numel()), *(float(plane.sum()) for plane in above), 0.0]
        sums = [float(flat.sum()), *(float(torch.dot(plane, flat)) for plane in above), 0.0]
        whole, scale = small_integers(least_squares(-np.diff(counts), -np.diff(sums)).tolist(), self.bits)
        self.coefficients.copy_(torch.tensor(whole))
        self.scale.fill_(scale)

    def scales(self) -> tuple[Fraction, ...]:
        """The scale, exactly."""
        return fractions(self.scale.double().tolist())

    def quantized(self, weight: Tensor) -> Tensor:
        """The sum of the bases."""
        coefficients = (self.coefficients * self.scale).tolist()
        return _Bases.apply(weight, self.edges.tolist(), coefficients)  # type: ignore[return-value]


class MultiBase(Format):
    """Weights as sums of `bases` binary matrices with one coefficient each.

    scale_bits: bits of the largest of the integers that stand for the coefficients.
    """

    bases: Annotated[int, Field(ge=1, le=5)] = 3
    scale_bits: Annotated[int, Field(ge=1, le=8)] = 4

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """Sums of binary bases."""
        del name
        return MultiBaseWeights(weight, self.bases, self.scale_bits)

    @classmethod
    def space(cls) -> SearchSpace:
        """How many bases, and the precision of their coefficients."""
        return {"bases": Span(1, 5, integer=True), "scale_bits": Span(1, 6, integer=True)}
