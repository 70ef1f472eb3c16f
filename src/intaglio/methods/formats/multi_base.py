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

Activations, with `activation_bases` N: y = sum of b_n H_n(x), H_n(x) = +1 where x >= e_n, else -1. The edges e_n and
the coefficients b_n > 0 are parameters; the b_n become integers as the a_i do. They begin where a weight of the values
before the rectifier would have them, and the rectifier goes. The gradient is that of ramps of slope one in place of the
steps: dx = g * (number of n with |x - e_n| < b_n), de_n = -g where |x - e_n| < b_n, db_n = g H_n(x), the last two
summed over the activations and divided by the root of their number. ABC-Net's window has a fixed width of one and its
height is b_n; with one base of 1 both are BNN's hard tanh. N bases make N + 1 levels: in hardware N thresholds and a
table, not N products, because a few bits are cheaper than N times one.

What it does not do: coefficients of weights per channel, since hardware shares them; shifts u_i that are trained.
Exploited by: the encoding of bases; a binary dot product for each base of the weights.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.fx import GraphModule

from intaglio.ir.errors import RecipeError
from intaglio.twin.calibrate import Observer, observe_nodes
from intaglio.twin.fitted import FittedGrid, small_integers
from intaglio.twin.format import Format
from intaglio.twin.grid import fractions
from intaglio.twin.layers import Batches, Inputs, inputs, several
from intaglio.twin.method import SearchSpace, Span
from intaglio.twin.quantizers import LevelQuantizer, WeightGrid
from intaglio.twin.rectifiers import replace_rectifiers, require_in_place, unclipped, unrectified_chains

SAMPLES = 1024
"""Inputs on which activations are observed."""

_SMALLEST = 2.0**-24
"""Coefficients of activations that are trained below this count as this."""


class _Bases(torch.autograd.Function):
    """The sum of +-coefficient, + where w reaches the edge; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, edges: list[float], coefficients: list[float]) -> Tensor:
        y, plane = torch.full_like(weight, -sum(coefficients)), torch.empty_like(weight)
        for edge, coefficient in zip(edges, coefficients, strict=True):
            y.add_(torch.ge(weight, edge, out=plane), alpha=2 * coefficient)
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


class _Steps(torch.autograd.Function):
    """The sum of +-coefficient, + where x reaches the edge; gradients of the module's header."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, thresholds: Tensor, coefficients: Tensor, edges: list[float], values: list[float]
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.steps = list(zip(edges, values, strict=True))
        return _Bases.forward(ctx, x, edges, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        (gradient,) = gradients
        flat, total = gradient.reshape(-1), gradient.sum()
        dx, part = torch.zeros_like(x), torch.empty_like(x)
        moved, grown = [], []
        for edge, value in ctx.steps:
            near = torch.ops.aten.hardtanh_backward(gradient, x, edge - value, edge + value, grad_input=part)
            dx += near
            moved.append(-near.sum())
            grown.append(2 * torch.dot(flat, torch.ge(x, edge, out=part).reshape(-1)) - total)
        damping = 1 / math.sqrt(x.numel())
        return dx, torch.stack(moved) * damping, torch.stack(grown) * damping, None, None


class ActivationBases(LevelQuantizer):
    """Sums of +-coefficient, a sign for each trained threshold."""

    def __init__(self, thresholds: Sequence[float], coefficients: Sequence[float], bits: int) -> None:
        super().__init__(bits, True, "power_of_two")
        self.thresholds = nn.Parameter(torch.tensor(thresholds, dtype=torch.float32))
        self.coefficients = nn.Parameter(torch.tensor(coefficients, dtype=torch.float32))
        self.high = len(thresholds) * (2**bits - 1)
        self.low = -self.high

    def rounded(self) -> tuple[list[int], float]:
        """The coefficients as integers, and their scale."""
        return small_integers([max(value, _SMALLEST) for value in self.coefficients.tolist()], self.bits, zero=False)

    def scales(self) -> tuple[Fraction, ...]:
        """The scale, exactly."""
        return (Fraction(self.rounded()[1]),)

    def reciprocals(self) -> tuple[Fraction, ...]:
        """One over the scale."""
        return (1 / self.scale,)

    def _quantized(self, x: Tensor) -> Tensor:
        whole, scale = self.rounded()
        values = [value * scale for value in whole]
        y: Tensor = _Steps.apply(x, self.thresholds, self.coefficients, self.thresholds.tolist(), values)  # type: ignore[assignment]
        levels = self.levels()
        return y if len(levels) > len(whole) else y.clamp(levels[0] * scale, levels[-1] * scale)

    def levels(self) -> tuple[int, ...]:
        """Their sums as the thresholds are reached one after the other."""
        return tuple(level for level, _ in self._steps())

    def edges(self) -> tuple[Fraction, ...]:
        """The thresholds, ascending."""
        return tuple(edge for _, edge in self._steps()[1:])

    def _steps(self) -> list[tuple[int, Fraction]]:
        """The levels within low .. high, ascending, and where each begins."""
        whole, _ = self.rounded()
        level, found = -sum(whole), [(-sum(whole), Fraction(0))]
        for edge, value in sorted(zip(self.thresholds.tolist(), whole, strict=True)):
            level += 2 * value
            found.append((level, Fraction(edge)))
        return [step for step in found if self.low <= step[0] <= self.high]


class MultiBase(Format):
    """Weights as sums of `bases` binary matrices with one coefficient each.

    scale_bits: bits of the largest of the integers that stand for the coefficients. activation_bases: binarisations of
    the activations behind selected layers, in place of their rectifiers; 0 leaves them alone.
    """

    bases: Annotated[int, Field(ge=1, le=5)] = 3
    scale_bits: Annotated[int, Field(ge=1, le=8)] = 4
    activation_bases: Annotated[int, Field(ge=0, le=5)] = 0

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Quantise weights, then activations.

        Raises:
            RecipeError: `activation_bases`, and no activation behind a selected layer.
        """
        gm = super().apply(model, data)
        assert isinstance(gm, GraphModule)
        if self.activation_bases:
            self._place(gm, inputs(data, SAMPLES))
        return gm

    def verify(self, model: nn.Module) -> None:
        """Every selected weight is on a grid, and every activation in its place."""
        super().verify(model)
        if self.activation_bases:
            assert isinstance(model, GraphModule)
            require_in_place(model, self.select, ActivationBases, "MultiBase")

    def _place(self, gm: GraphModule, batches: list[Inputs]) -> None:
        """Bases for the activations of selected chains."""
        found = unrectified_chains(gm, self.select)
        if not found:
            raise RecipeError(
                "multi_base: activation_bases is set, but no selected layer has an activation behind it: select others"
            )
        watched = observe_nodes(gm, [unclipped(gm, chain) for chain in found], batches)
        made = [self._activation(observer).to(several(batches[0])[0]) for observer in watched]
        replace_rectifiers(gm, found, made)

    def _activation(self, observer: Observer) -> ActivationBases:
        """Bases as a weight of the observed values would have them."""
        grid = MultiBaseWeights(torch.from_numpy(observer.values()), self.activation_bases, self.scale_bits)
        coefficients = (grid.coefficients * grid.scale).tolist()
        return ActivationBases(grid.edges.tolist(), coefficients, self.scale_bits)

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """Sums of binary bases."""
        del name
        return MultiBaseWeights(weight, self.bases, self.scale_bits)

    def structured(self, whole: np.ndarray) -> bool:
        """As many values as comparisons leave."""
        return len(np.unique(whole)) <= self.bases + 1

    @classmethod
    def space(cls) -> SearchSpace:
        """How many bases, and the precision of their coefficients."""
        return {"bases": Span(1, 5, integer=True), "scale_bits": Span(1, 6, integer=True)}
