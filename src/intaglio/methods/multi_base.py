"""Weights as sums of a few binary bases (survey section 4.2; ABC-Net, Lin, Zhao & Pan, NeurIPS 2017).

w ~ sum of a_i B_i over M bases B_i = sign(w - mean(w) + u_i std(w)), u_i = -1 + 2 (i - 1) / (M - 1), or 0 for a
single base; sign(0) = +1. The coefficients a_i minimise the squared error over the layer; then they become integers
of at most `scale_bits` bits times a power of two, the largest having exactly that many bits before a common divisor
goes into the scale. Bases and coefficients are found in every forward pass while training; evaluation uses those of
the last one. The gradient passes straight through to w, without ABC-Net's factor (the sum of the a_i), as elsewhere
here.

All bases are comparisons of the same weight, so M bases make M + 1 values, found by counting the weights between the
comparisons: the least squares costs little more than sorting them there. There is no zero among the values unless
the coefficients happen to cancel, so pruned weights do not survive.

What it does not do: coefficients per channel, since hardware shares them; shifts u_i that are trained.
Exploited by: the encoding of bases; a binary dot product for each base.
"""

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


class _Levels(torch.autograd.Function):
    """levels[number of edges that w reaches]; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, edges: Tensor, levels: Tensor) -> Tensor:
        return levels[torch.bucketize(weight, edges, out_int32=True, right=True)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return gradients[0], None, None


def signs(bases: int) -> np.ndarray:
    """(bases + 1, bases): the signs of all bases for a weight that reaches 0, 1, .. of the ascending edges."""
    return np.where(np.arange(bases + 1)[:, None] > np.arange(bases), 1, -1)


def least_squares(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The coefficients of the bases with the least squared error, and the least norm among these.

    `counts` and `sums` are of the weights that reach 0, 1, .. edges.
    """
    root = np.sqrt(counts)
    means = np.divide(sums, root, out=np.zeros_like(sums), where=counts > 0)
    return np.linalg.lstsq(signs(len(counts) - 1) * root[:, None], means)[0]


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
        bases = len(self.edges)
        shifts = torch.linspace(-1, 1, bases).to(weight) if bases > 1 else weight.new_zeros(1)
        deviation, mean = torch.std_mean(weight, correction=0)
        self.edges.copy_(mean + shifts * deviation)
        flat = weight.reshape(-1)
        reached = torch.bucketize(flat, self.edges, out_int32=True, right=True)
        counts = torch.bincount(reached, minlength=bases + 1).double().cpu().numpy()
        sums = torch.bincount(reached, flat.double(), minlength=bases + 1).cpu().numpy()
        whole, scale = small_integers(least_squares(counts, sums).tolist(), self.bits)
        self.coefficients.copy_(torch.tensor(whole))
        self.scale.fill_(scale)

    def scales(self) -> tuple[Fraction, ...]:
        """The scale, exactly."""
        return fractions(self.scale.double().tolist())

    def quantized(self, weight: Tensor) -> Tensor:
        """The sum of the bases."""
        levels = torch.from_numpy(signs(len(self.edges))).to(weight) @ self.coefficients * self.scale
        return _Levels.apply(weight, self.edges, levels)  # type: ignore[return-value]


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
