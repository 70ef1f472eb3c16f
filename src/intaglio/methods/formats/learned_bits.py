"""Learned bit widths of weights: per layer, channel or weight (survey sections 4.1 and 8; HGQ, Sun et al. 2024).

Every group g of weights (`granularity`) has a number of fractional bits f_g, a continuous parameter, used rounded:

    q = round(w * 2**f_g),     y = q * 2**-f_g

and needs b_g = 1 + bit_length(max |q|) bits, sign included, or none where all its q are zero: then it is pruned.
With N selected weights, n_g of them in group g, and b = (sum of n_g * b_g) / N their average, `loss` adds

    penalty * max(0, b - target_bits)

Gradients go straight through the rounding of w and of f_g, with the error d = w - y of each weight (HGQ, arXiv
2405.00645, section 3; LSQ's gradient for a step 2**-f is the same):

    dy/dw = 1 (0 where |w| >= limit)     dy/df_g = ln 2 * d, summed over the group     db/df_g = n_g / N (0 if b_g = 0)

So the network's loss keeps the bits that matter, the penalty takes the others, and a pruned group may come back. All
integers of a layer lie on the grid 2**-F with F = max f_g; those of a group with fewer fractional bits end in zeros.

Weights are clipped to +-limit, limit = 2**e, two to four times the largest weight at the start, and f_g to -e - 2
(all zero) .. 13 - e: no integer exceeds 2**14. At the end of the training `step` lowers each f_g as far as no weight
changes, so that no width holds idle bits. The optimiser sees f_g / 8, and moves it by bits while weights move by
hundredths. Where groups are many the gradient of one f_g is tiny: use one that scales its steps, such as Adam.

What it does not do: widths of activations, or HGQ's cost (products of both widths); nor gates with probabilities
that decide what is pruned (Bayesian Bits, van Baalen et al. 2020).
Exploited by: sparse encodings where groups are pruned; constants hardened into logic, where every bit counts.
"""

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from intaglio.twin.format import Format
from intaglio.twin.layers import WEIGHTED
from intaglio.twin.method import Choice, SearchSpace, Span
from intaglio.twin.quantizers import WeightGrid
from intaglio.twin.stack import before_grid, grid_of
from intaglio.twin.uneven import power_of_two

Granularity = Literal["layer", "channel", "weight"]
UNIT = 8
"""Fractional bits per unit of the parameter: widths move by bits while weights move by hundredths."""


class _Round(torch.autograd.Function):
    """round(clip(w, -limit, limit) * up) * down with up = 2**f, down = 2**-f, f = UNIT * fraction."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, fraction: Tensor, up: Tensor, down: Tensor, limit: float) -> Tensor:
        y = w.clamp(-limit, limit).mul_(up).add_(0.5).floor_().mul_(down)
        ctx.save_for_backward(w, y)
        ctx.limit, ctx.shape = limit, fraction.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        w, y = ctx.saved_tensors
        dw = torch.ops.aten.hardtanh_backward(gradients[0], w, -ctx.limit, ctx.limit)
        df = None
        if ctx.needs_input_grad[1]:
            df = torch.sub(w, y).mul_(dw).sum_to_size(ctx.shape).mul_(UNIT * math.log(2))
        return dw, df, None, None, None


class _Total(torch.autograd.Function):
    """The sum of the groups' bits; its gradient counts the groups that have any."""

    @staticmethod
    def forward(ctx: Any, fraction: Tensor, bits: Tensor) -> Tensor:
        ctx.save_for_backward(bits)
        return bits.sum().to(fraction)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (bits,) = ctx.saved_tensors
        return (bits > 0) * (UNIT * gradients[0]), None


class FractionalGrid(WeightGrid):
    """Weights with a number of fractional bits for each group: one, one per channel, or one per weight.

    The parameter `fraction` holds them divided by 8. `owner` is the method that penalises the bits.
    """

    high = 2**14
    exponent: Tensor
    owner: "LearnedBits | None" = None

    def __init__(self, weight: Tensor, granularity: Granularity, bits: int) -> None:
        super().__init__()
        size = weight.abs().double()
        top = size.max() if bool(weight.any()) else size.new_tensor(1.0)
        self.register_buffer("exponent", torch.ceil(torch.log2(top)).long() + 1)
        axes = tuple(range(1 if granularity == "channel" else 0, weight.dim()))
        largest = size.amax(axes, keepdim=True)
        fraction = (bits - 2 - torch.floor(torch.log2(torch.where(largest > 0, largest, top)))) / UNIT
        shape = weight.shape if granularity == "weight" else fraction.shape
        self.fraction = nn.Parameter(fraction.to(weight.dtype).expand(shape).clone())
        self.project()

    def _ends(self) -> tuple[int, int]:
        """The least f, at which all weights are zero, and the greatest."""
        exponent = int(self.exponent)
        return -exponent - 2, 13 - exponent

    @torch.no_grad()
    def project(self) -> None:
        """Bring `fraction` back within its ends."""
        low, high = self._ends()
        self.fraction.clamp_(low / UNIT, high / UNIT)

    def fractional_bits(self) -> Tensor:
        """f of each group, whole numbers shaped like `fraction`."""
        return self.fraction.detach().mul(UNIT).round_().clamp_(*self._ends())

    def scales(self) -> tuple[Fraction, ...]:
        """The step of the common grid."""
        return (Fraction(2) ** -int(self.fractional_bits().max()),)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with as many fractional bits as its group has."""
        f = self.fractional_bits()
        up, down = power_of_two(f, weight.dtype), power_of_two(-f, weight.dtype)
        return _Round.apply(weight, self.fraction, up, down, 2.0 ** int(self.exponent))  # type: ignore[return-value]

    def _magnitudes(self, weight: Tensor) -> Tensor:
        """|q| of every weight, one row for each group."""
        up = power_of_two(self.fractional_bits(), weight.dtype)
        return self(weight).abs_().mul_(up).reshape(self.fraction.numel(), -1)

    @torch.no_grad()
    def bits(self, weight: Tensor) -> Tensor:
        """Bits of each group's integers, sign included, 0 where all are zero; shaped like `fraction`."""
        largest = self._magnitudes(weight).amax(1)
        return torch.where(largest > 0, torch.frexp(largest).exponent + 1, 0).reshape(self.fraction.shape)

    def total_bits(self, weight: Tensor) -> Tensor:
        """Bits of the whole weight; differentiable with respect to `fraction`."""
        total: Tensor = _Total.apply(self.fraction, self.bits(weight))  # type: ignore[assignment]
        return total * (weight.numel() // self.fraction.numel())

    @torch.no_grad()
    def tighten(self, weight: Tensor) -> None:
        """Lower each f as far as no weight changes."""
        used = np.bitwise_or.reduce(self._magnitudes(weight).long().cpu().numpy(), axis=1)
        idle = np.log2(np.maximum(used & -used, 1))
        lowered = self.fractional_bits() - torch.from_numpy(idle).to(self.fraction).reshape(self.fraction.shape)
        empty = torch.from_numpy(used == 0).to(self.fraction.device).reshape(self.fraction.shape)
        self.fraction.copy_(torch.where(empty, self._ends()[0], lowered) / UNIT)


class LearnedBits(Format):
    """Learns the bits of weights, from `initial_bits` for the largest weight of each layer (or channel) on.

    granularity: one width for each "layer", "channel" or "weight". `penalty` is the loss per bit by which the
    average width exceeds `target_bits`.
    """

    granularity: Granularity = "channel"
    target_bits: Annotated[float, Field(ge=0, le=12)] = 3.0
    penalty: Annotated[float, Field(ge=0)] = 0.1
    initial_bits: Annotated[int, Field(ge=2, le=12)] = 8

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """As many fractional bits as give the largest weight `initial_bits`."""
        del name
        grid = FractionalGrid(weight, self.granularity, self.initial_bits)
        grid.owner = self
        return grid

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | float:
        """The penalty on the average bits above `target_bits`."""
        del x, y
        found = self._grids(model)
        if not self.penalty or not found:
            return 0.0
        weights = [before_grid(layer) for layer, _ in found]
        totals = [grid.total_bits(weight) for (_, grid), weight in zip(found, weights, strict=True)]
        average = torch.stack(totals).sum() / sum(weight.numel() for weight in weights)
        return self.penalty * (average - self.target_bits).clamp_min(0)

    def step(self, model: nn.Module, progress: float) -> None:
        """Keep the fractional bits within their ends; at last, remove idle ones."""
        for layer, grid in self._grids(model):
            grid.project()
            if progress >= 1:
                grid.tighten(before_grid(layer))

    def structured(self, whole: np.ndarray) -> bool:
        """No integer exceeds the largest that a width may reach."""
        return int(abs(whole).max()) <= FractionalGrid.high

    @classmethod
    def space(cls) -> SearchSpace:
        """Whose widths, and how many bits on average."""
        return {"granularity": Choice(("layer", "channel", "weight")), "target_bits": Span(1.0, 8.0)}

    def _grids(self, model: nn.Module) -> list[tuple[nn.Module, FractionalGrid]]:
        """The layers whose bits this method learns."""
        found = [(layer, grid_of(layer)) for layer in model.modules() if isinstance(layer, WEIGHTED)]
        return [(layer, grid) for layer, grid in found if isinstance(grid, FractionalGrid) and grid.owner == self]


def average_bits(model: nn.Module) -> float:
    """Bits per weight, zero for pruned ones, over the layers with learned widths; 0 if there are none."""
    found = [(grid_of(layer), layer) for layer in model.modules() if isinstance(layer, WEIGHTED)]
    pairs = [(grid, before_grid(layer)) for grid, layer in found if isinstance(grid, FractionalGrid)]
    with torch.no_grad():
        total = sum(float(grid.total_bits(weight)) for grid, weight in pairs)
    return total / max(1, sum(weight.numel() for _, weight in pairs))
