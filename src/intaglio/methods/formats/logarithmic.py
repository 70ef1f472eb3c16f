"""Logarithmic numbers: 0 or +-2**e for weights and activations (survey section 4.3; Miyashita et al. 2016).

    LogQuant(x) = sign(x) * 2**clip(round(log2 |x|), FSR - n + 1, FSR)    0 where round(log2 |x|) <= FSR - n

with n magnitudes below and at the full-scale range FSR. Weights of b bits have a sign and a code of b - 1 bits;
one code is zero, so n = 2**(b-1) - 1 (with `zero` false there is none: n = 2**(b-1), and 0 becomes the smallest
magnitude). FSR is calibrated per layer or output channel; a `dyadic` scale moves all levels of it together.

Rounding in the logarithm: the edge between two levels is their geometric mean, rounded to 24 bits (relative error
below 2**-24) so that float32 and float64 compare with the same number. An edge rounds up in magnitude.

base "sqrt2": levels at half octaves where integers allow it: 2**e and 3 * 2**(e-1), with 3/2 for the square root of
two (6.1 % larger; the steps are 0.585 and 0.415 octaves instead of 0.5). Products stay two shifts and an addition.

Activations of b bits: 0, 1, 2, 4, ... times a scale, unsigned with n = 2**b - 1 after a rectifier; else with a sign
bit and n = 2**(b-1) - 1 on each side. Negative edges round up (towards zero), like all quantisers of activations.

Training: the forward pass is always quantised; the gradient passes straight through up to the edge above the
largest level, zero beyond. Magnitudes that round to zero keep their gradient, so they can return. With `learn` the
ranges follow the gradient of LSQ (see `quantizers`); else they stay as calibrated.

What it does not do: base sqrt2 or dyadic scales for activations, accumulation in the logarithm.
Exploited by: the power-of-two and float encodings, and dot products by shifts.
"""

import math
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import RangeError
from intaglio.twin.calibrate import Calibration, observe
from intaglio.twin.format import Format
from intaglio.twin.grid import Kind
from intaglio.twin.layers import Batches, Inputs, inputs, several
from intaglio.twin.method import Choice, SearchSpace, Span
from intaglio.twin.placement import replace_activations
from intaglio.twin.quantizers import ActivationQuantizer, Grid, LevelQuantizer, WeightGrid
from intaglio.twin.stack import odd_parts
from intaglio.twin.uneven import fit, nearest_power, uneven

Base = Literal[2, "sqrt2"]


def _dyadic_root(square: float) -> float:
    """A square root between 1 and 2 as a float of 24 bits."""
    return math.floor(math.sqrt(square) * 2**23 + 0.5) / 2**23


EDGE = _dyadic_root(2)  # between 1 and 2
HALF_EDGES = _dyadic_root(1.5), _dyadic_root(3)  # between 1, 3/2 and 2


class LogGrid(Grid, WeightGrid):
    """A weight as 0 or +-2**e (base 2), or as 0, +-2**e or +-3 * 2**(e-1) (base sqrt2), times its scale.

    `magnitudes` levels besides zero; without `zero` the smallest takes its place, with the sign of the weight.
    """

    def __init__(self, magnitudes: int, base: Base, zero: bool, kind: Kind, log2_scale: Tensor, learn: bool) -> None:
        self.magnitudes = tuple(2**k if base == 2 else (2 + k % 2) << (k // 2) for k in range(magnitudes))
        super().__init__(-self.magnitudes[-1], self.magnitudes[-1], kind, log2_scale, learn)
        self.zero = zero
        self.ratios = (EDGE,) if base == 2 else HALF_EDGES

    @property
    def limit(self) -> float:
        """The edge above the largest level, in scales."""
        power = 1 << (self.high.bit_length() - 1)
        return self.ratios[0 if power == self.high else 1] * power

    def fit(self, weight: Tensor, how: Calibration) -> None:
        """Calibrate the range on a weight."""
        fit(self, weight.reshape(self.log2_scale.numel(), -1), self.limit, self.whole, how)

    def whole(self, t: Tensor) -> Tensor:
        """The integers for a weight divided by its scale."""
        y = nearest_power(t, self.ratios[0])
        if len(self.ratios) == 2:
            y = y.add_(nearest_power(t, self.ratios[1])).mul_(0.5)
        if self.zero:
            return nn.functional.hardshrink(y, 0.75 * self.magnitudes[0]).clamp_(self.low, self.high)
        return y.abs_().clamp_(self.magnitudes[0], self.high).copysign_(t)

    def forward(self, x: Tensor) -> Tensor:
        """The weight on its levels."""
        return uneven(self, x, self.whole, (-self.limit, self.limit))


class LogQuantizer(LevelQuantizer):
    """An activation as 0, 1, 2, 4, ... times a power-of-two scale; signed: and their negatives."""

    def __init__(self, bits: int, signed: bool, log2_scale: float = 0.0, learn: bool = False) -> None:
        super().__init__(bits, signed, "power_of_two", log2_scale, learn)
        self.high = 1 << (2 ** (bits - signed) - 2)
        self.low = -self.high if signed else 0

    def fit(self, values: Tensor, how: Calibration) -> None:
        """Calibrate the scale on values (N,)."""
        values = values if self.signed else values.clamp_min(0)
        fit(self, values.reshape(1, -1), EDGE * self.high, self.whole, how)

    def whole(self, t: Tensor) -> Tensor:
        """The level for each value divided by the scale."""
        return self._nearest(t, 1.0)

    def _nearest(self, x: Tensor, scale: float) -> Tensor:
        """The nearest level times the scale, which is a power of two, as the levels are."""
        levels = self.levels()
        powers = nn.functional.hardshrink(nearest_power(x, EDGE, self.low < 0), 0.75 * scale)
        return powers.clamp_(levels[0] * scale, levels[-1] * scale)

    def _quantized(self, x: Tensor) -> Tensor:
        end, scale = EDGE * self.high, self._single()[0]
        return self._straight(x, lambda x: self._nearest(x, scale), (-end if self.low < 0 else -0.5 * EDGE, end))

    def levels(self) -> tuple[int, ...]:
        """Zero, powers of two and their negatives, ascending, within low .. high."""
        powers = [1 << k for k in range(max(-self.low, self.high).bit_length())]
        every = [*(-power for power in reversed(powers)), 0, *powers]
        return tuple(level for level in every if self.low <= level <= self.high)

    def edges(self) -> tuple[Fraction, ...]:
        """Where each level after the first begins: the geometric mean with the one before, as 24 bits of mantissa."""
        edge = Fraction(EDGE) * self.scale
        return tuple(
            edge * level / 2 if level > 0 else -edge * max(-level, Fraction(1, 2)) for level in self.levels()[1:]
        )


class Logarithmic(Format):
    """Weights of `bits` bits at powers of two; with `activation_bits`, activations behind selected layers as well.

    base: 2, or "sqrt2" with levels between. zero: whether a code stands for zero; without it pruned weights do not
    stay zero. per_channel: a range per output channel. full_scale: log2 of the largest power of two of every
    selected layer, fixed instead of calibrated and learned. `samples` of the data calibrate activations.

    The widest integer is 2**(2**(bits-1) - 2) for base 2, about its square root for "sqrt2"; activations of 5 unsigned
    bits reach 2**30.
    """

    bits: Annotated[int, Field(ge=2, le=6)] = 4
    base: Base = 2
    zero: bool = True
    per_channel: bool = False
    weight_scale: Kind = "power_of_two"
    full_scale: Annotated[int, Field(ge=-64, le=64)] | None = None
    calibration: Calibration = "mse"
    learn: bool = True
    activation_bits: Annotated[int, Field(ge=2, le=5)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1024

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Put weights, then activations, on powers of two.

        Raises:
            RangeError: every weight of a layer would become zero.
        """
        gm = super().apply(model, data)
        assert isinstance(gm, GraphModule)
        if self.activation_bits is not None:
            self._place(gm, self.activation_bits, inputs(data, self.samples))
        return gm

    def weight_grid(self, weight: Tensor, name: str) -> LogGrid:
        """The calibrated grid of a layer."""
        magnitudes = 2 ** (self.bits - 1) - self.zero
        learn = self.learn and self.full_scale is None
        scales = torch.zeros(len(weight) if self.per_channel else 1, dtype=weight.dtype, device=weight.device)
        grid = LogGrid(magnitudes, self.base, self.zero, self.weight_scale, scales, learn)
        if self.full_scale is None:
            grid.fit(weight, self.calibration)
        else:
            grid.log2_scale.fill_(self.full_scale - grid.high.bit_length() + 1)
        if bool(weight.any()) and not bool(grid(weight.double()).any()):
            least = float(max(grid.scales())) * grid.magnitudes[0]
            remedy = "take the layer out with `select`" if self.full_scale is None else "raise bits or lower full_scale"
            raise RangeError(
                f"{name}: every weight would become zero: the largest is {float(weight.abs().max()):g}, the smallest "
                f"level {least:g}; {remedy}"
            )
        return grid

    def structured(self, whole: np.ndarray) -> bool:
        """Zero and powers of two; or three halves of them."""
        odd = odd_parts(whole)
        return bool(np.isin(odd, (0, 1) if self.base == 2 else (0, 1, 3)).all())

    @classmethod
    def space(cls) -> SearchSpace:
        """Word lengths, and the base."""
        return {
            "bits": Span(2, 5, integer=True),
            "base": Choice((2, "sqrt2")),
            "per_channel": Choice((False, True)),
            "weight_scale": Choice(("power_of_two", "dyadic")),
        }

    def _place(self, gm: GraphModule, bits: int, batches: list[Inputs]) -> None:
        """Logarithmic quantisers in place of those behind selected layers, calibrated."""

        def make(old: ActivationQuantizer, unsigned: bool) -> LogQuantizer:
            del old
            return LogQuantizer(bits, not unsigned, learn=self.learn).to(several(batches[0])[0].device)

        placed = [module for _, module in replace_activations(gm, self.select, make)]
        for quantizer, observer in zip(placed, observe(gm, placed, batches), strict=True):
            assert isinstance(quantizer, LogQuantizer)
            quantizer.fit(torch.from_numpy(observer.values()), self.calibration)
