"""Minifloats: a sign, a few bits of exponent and of mantissa (Micikevicius et al., "FP8 Formats", 2022).

A format E<e>M<m> has the magnitudes, in units of its smallest (the scale),

    f                               exponent code 0, f = 0 .. 2**m - 1: zero and the subnormals
    (2**m + f) * 2**(k - 1)         exponent codes k = 1 .. 2**e - 1

so the largest is (2**(m+1) - 1) * 2**(2**e - 2). Every code is a number: there are no infinities and no NaN, so E4M3
reaches 480 * 2**-9 where the FP8 standard stops at 448. The bias is the scale, chosen for each layer or output channel
from the data. Weights round to nearest, half up in magnitude, and saturate.

Activations: fixed point of as many bits as the format spans, m + 2**e - 1 and a sign where they can be negative, and
of these the leading m + 1 bits (operation Align, block 1; see `ir/ops/align.py`): half up, towards +infinity for
negative values too, and what would round to the next power of two stays just below it. The input keeps its quantiser.

Training: always quantised; the gradient passes straight through unless a value is clipped. With `learn` the scales
follow the gradient of LSQ (see `quantizers`); else they stay as calibrated.

What it does not do: infinities, NaN, sums in floating point (they are exact integers), formats without a sign for
weights. As integers, values of very different size are wide (E5M2 spans 34 bits): lowering refuses sums that float64
does not hold.
Exploited by: the float encoding, and dot products by shifts.
"""

import re
from fractions import Fraction
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.ops import Align
from intaglio.twin.calibrate import Calibration, observe
from intaglio.twin.format import Format
from intaglio.twin.grid import Kind
from intaglio.twin.layers import Batches, Inputs, inputs, several
from intaglio.twin.method import Choice, SearchSpace
from intaglio.twin.placement import replace_activations
from intaglio.twin.quantizers import ActivationQuantizer, Grid, WeightGrid
from intaglio.twin.rules import Scope, lower, quantize
from intaglio.twin.stack import odd_parts
from intaglio.twin.uneven import binade, fit, leading_bits_, uneven


class MinifloatGrid(Grid, WeightGrid):
    """A weight as a minifloat of `exponent` and `mantissa_bits` bits, times its scale."""

    def __init__(self, exponent: int, mantissa_bits: int, kind: Kind, log2_scale: Tensor, learn: bool) -> None:
        high = (2 ** (mantissa_bits + 1) - 1) << (2**exponent - 2)
        super().__init__(-high, high, kind, log2_scale, learn)
        self.mantissa_bits = mantissa_bits
        self.limit = float(high + (1 << (2**exponent - 2)) / 2)  # half a step above the largest

    def fit(self, weight: Tensor, how: Calibration) -> None:
        """Calibrate the range on a weight."""
        fit(self, weight.reshape(self.log2_scale.numel(), -1), self.limit, self.whole, how)

    def whole(self, t: Tensor) -> Tensor:
        """The integers for a weight divided by its scale."""
        size = t.abs()
        step = binade(size).mul_(2.0**-self.mantissa_bits).clamp_(min=1)
        return size.div_(step).add_(0.5).floor_().mul_(step).clamp_(max=self.high).copysign_(t)

    def forward(self, x: Tensor) -> Tensor:
        """The weight on its levels."""
        return uneven(self, x, self.whole, (-self.limit, self.limit))


class MinifloatQuantizer(ActivationQuantizer):
    """An activation in fixed point, of which the leading `mantissa_bits` + 1 bits stay (a sign is extra)."""

    def __init__(self, exponent: int, mantissa_bits: int, signed: bool, learn: bool) -> None:
        super().__init__(mantissa_bits + 2**exponent - 1 + signed, signed, "power_of_two", learn=learn)
        self.leading = mantissa_bits + 1

    def fit(self, values: Tensor, how: Calibration) -> None:
        """Calibrate the scale on values (N,)."""
        values = values if self.signed else values.clamp_min(0)
        fit(self, values.reshape(1, -1), self.high + 0.5, self.whole, how)

    def whole(self, t: Tensor) -> Tensor:
        """The integers for values divided by the scale."""
        return self._leading(t.add(0.5))

    def _leading(self, t: Tensor) -> Tensor:
        """The same for values that one half was added to, in place."""
        return leading_bits_(t.floor_().clamp_(self.low, self.high), self.leading)

    def _quantized(self, x: Tensor) -> Tensor:
        scale, r = self._single()

        def nearest(x: Tensor) -> Tensor:
            return self._leading(torch.add(x.new_tensor(0.5), x, alpha=r)).mul_(scale)

        return self._straight(x, nearest, (self.low - 0.5, self.high + 0.5))

    def levels(self) -> tuple[int, ...]:
        """The integers that occur, ascending."""
        return tuple(sorted({self._aligned(q) for q in range(self.low, self.high + 1)}))

    def edges(self) -> tuple[Fraction, ...]:
        """Where each level after the first begins: half an integer below the first that is aligned to it."""
        every = range(self.low, self.high + 1)
        begins = [q for q in every[1:] if self._aligned(q) != self._aligned(q - 1)]
        return tuple((q - Fraction(1, 2)) / self.reciprocal for q in begins)

    def quantize(self, value: Fraction) -> int:
        """The integer for one exact value."""
        return self._aligned(super().quantize(value))

    def _aligned(self, q: int) -> int:
        shift = max(0, (q if q >= 0 else ~q).bit_length() - self.leading)
        return min((q + ((1 << shift) >> 1)) >> shift, 2**self.leading - 1) << shift


@lower.register
def _lower(module: MinifloatQuantizer, scope: Scope, x: int) -> int:
    q = quantize(scope, x, module.reciprocal, (module.low, module.high), module.scale)
    return scope.add(Align(1, module.leading), q, part="align")


class Minifloat(Format):
    """Weights, and with `activations` the activations behind selected layers, as minifloats such as E4M3 or E2M1.

    weights, activations: "E<e>M<m>", with 1 to 5 bits of exponent (4 for activations) and 0 to 7 of mantissa.
    per_channel: a weight scale per output channel. `samples` of the data calibrate activations.
    """

    weights: Annotated[str, Field(pattern="^E[1-5]M[0-7]$")] = "E4M3"
    activations: Annotated[str, Field(pattern="^E[1-4]M[0-7]$")] | None = None
    per_channel: bool = False
    weight_scale: Kind = "power_of_two"
    calibration: Calibration = "mse"
    learn: bool = True
    samples: Annotated[int, Field(ge=1)] = 1024

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Put weights, then activations, in floating point."""
        gm = super().apply(model, data)
        assert isinstance(gm, GraphModule)
        if self.activations is not None:
            self._place(gm, bits(self.activations), inputs(data, self.samples))
        return gm

    def weight_grid(self, weight: Tensor, name: str) -> MinifloatGrid:
        """The calibrated grid of a layer."""
        del name
        scales = torch.zeros(len(weight) if self.per_channel else 1, dtype=weight.dtype, device=weight.device)
        grid = MinifloatGrid(*bits(self.weights), self.weight_scale, scales, self.learn)
        grid.fit(weight, self.calibration)
        return grid

    def structured(self, whole: np.ndarray) -> bool:
        """Mantissas of as many bits as the format has."""
        return int(odd_parts(whole).max()) < 2 ** (bits(self.weights)[1] + 1)

    @classmethod
    def space(cls) -> SearchSpace:
        """Formats of 4 to 8 bits."""
        return {
            "weights": Choice(("E2M1", "E3M1", "E3M2", "E4M3", "E5M2")),
            "per_channel": Choice((False, True)),
        }

    def _place(self, gm: GraphModule, wanted: tuple[int, int], batches: list[Inputs]) -> None:
        """Minifloat quantisers in place of those behind selected layers, calibrated."""

        def make(old: ActivationQuantizer, unsigned: bool) -> MinifloatQuantizer:
            del old
            return MinifloatQuantizer(*wanted, not unsigned, self.learn).to(several(batches[0])[0].device)

        placed = [module for _, module in replace_activations(gm, self.select, make)]
        for quantizer, observer in zip(placed, observe(gm, placed, batches), strict=True):
            assert isinstance(quantizer, MinifloatQuantizer)
            quantizer.fit(torch.from_numpy(observer.values()), self.calibration)


def bits(name: str) -> tuple[int, int]:
    """Bits of exponent and mantissa: E4M3 is (4, 3)."""
    exponent, mantissa = re.findall(r"\d", name)
    return int(exponent), int(mantissa)
