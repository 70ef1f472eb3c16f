"""The quantiser modules: integers on a learned grid, with a backward pass written by hand.

Forward, everywhere and always (training too): q = clip(floor(x * r + 1/2), low, high), y = q * s. The scale
s and its reciprocal r are snapped to numbers that hardware multiplies by exactly. Backward: the
straight-through estimator inside the range, zero outside, and for the scale the gradient of LSQ (Esser et
al., ICLR 2020), taken with respect to log2 s, where steps of an optimiser are relative (TQT, Jain et al.,
MLSys 2020).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from intaglio.twin.grid import Kind, fractions, mantissa_bits, reciprocal, snap

Nearest = Callable[[Tensor], Tensor]
"""Gives for each value the nearest of a format: a new tensor."""


def _stepped(x: Tensor, r: float, stochastic: bool) -> Tensor:
    """x * r and what comes before the floor: one half, or for every value a random number of [0, 1)."""
    return torch.rand_like(x).add_(x, alpha=r) if stochastic else torch.add(x.new_tensor(0.5), x, alpha=r)


class _OneScale(torch.autograd.Function):
    """What `nearest` makes of x, multiples of one scale: one pass and two dot products backward.

    The gradient passes straight through where x lies between `ends`; `gain` is scale times reciprocal, `high` the
    largest integer.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, log2_scale: Tensor, nearest: Nearest, ends: tuple[float, float], gain: float, high: int
    ) -> Tensor:
        y = nearest(x)
        ctx.save_for_backward(x, y if ctx.needs_input_grad[1] else None)
        ctx.constants = (ends, gain, high)
        ctx.shape = log2_scale.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = gradients
        x, y = ctx.saved_tensors
        ends, gain, high = ctx.constants
        dx = torch.ops.aten.hardtanh_backward(gradient, x, *ends)
        ds = None
        if ctx.needs_input_grad[1]:
            flat = gradient.reshape(-1)
            total = torch.dot(flat, y.reshape(-1)) - gain * torch.dot(dx.reshape(-1), x.reshape(-1))
            ds = (total * (math.log(2) / math.sqrt(x.numel() * max(1, high)))).reshape(ctx.shape)
        return dx, ds, None, None, None, None


class _PerChannel(torch.autograd.Function):
    """Fake quantisation of a weight with one scale per output channel (axis 0)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, log2_scale: Tensor, s: Tensor, r: Tensor, low: int, high: int, stochastic: bool
    ) -> Tensor:
        t = x * r
        y = _stepped(t, 1.0, stochastic).floor_().clamp_(low, high).mul_(s)
        ctx.save_for_backward(t, y, s)
        ctx.range = (low, high)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = gradients
        t, y, s = ctx.saved_tensors
        low, high = ctx.range
        dx = torch.ops.aten.hardtanh_backward(gradient, t, low - 0.5, high + 0.5)
        ds = None
        if ctx.needs_input_grad[1]:
            rows = [part.reshape(len(t), -1) for part in (gradient, y, dx, t)]
            total = torch.linalg.vecdot(rows[0], rows[1]) - s.flatten() * torch.linalg.vecdot(rows[2], rows[3])
            ds = total * (math.log(2) / math.sqrt(t[0].numel() * max(1, high)))
        return dx, ds, None, None, None, None, None


class _Clipped(torch.autograd.Function):
    """Fake quantisation of clip(x, 0, alpha): the gradient is x's inside, and alpha's where x >= alpha."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, s: float, r: float, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top, ctx.shape = high * s, alpha.shape
        return torch.add(x.new_tensor(0.5), x, alpha=r).floor_().clamp_(low, high).mul_(s)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = gradients
        (x,) = ctx.saved_tensors
        dx = torch.ops.aten.hardtanh_backward(gradient, x, 0.0, ctx.top)
        da = None
        if ctx.needs_input_grad[1]:
            below = float(torch.nextafter(x.new_tensor(ctx.top), x.new_tensor(-math.inf)))
            da = torch.ops.aten.threshold_backward(gradient, x, below).sum().reshape(ctx.shape)
        return dx, da, None, None, None, None


def _ones(plane: Tensor) -> Tensor:
    """How many ones each row holds, int64: float32 counts exactly up to 2**24."""
    return torch.stack([part.sum(1).long() for part in plane.split(1 << 24, 1)]).sum(0)


class Overflow(nn.Module):
    """Counts the values of a training step that do not fit a grid: dynamic fixed point (Courbariaux et al. 2014).

    After `interval` steps a scale doubles if more than the share `rate` of its values lay outside low .. high, and
    halves if no more than that share would lie outside at half the scale. Channels of zeros keep their scale.
    """

    counts: Tensor
    steps: Tensor

    def __init__(self, channels: int, rate: float, interval: int) -> None:
        super().__init__()
        self.rate, self.interval = rate, interval
        self.register_buffer("counts", torch.zeros(3, channels, dtype=torch.int64))
        self.register_buffer("steps", torch.tensor(0))

    @torch.no_grad()
    def forward(self, x: Tensor, grid: "Grid") -> None:
        """Count the values of `x`, how many lie outside, and how many would at half the scale."""
        rows = x.detach().reshape(self.counts.shape[1], -1)
        scale = torch.from_numpy(grid.snapped()[0]).to(rows).reshape(-1, 1)
        plane = torch.empty_like(rows, dtype=torch.float32)  # of zeros and ones: bool is slow to write and to count
        for count, ends in zip(self.counts[1:], (scale, scale / 2), strict=True):
            count += _ones(torch.ge(rows, (grid.high + 0.5) * ends, out=plane))
            if grid.low:
                count += _ones(torch.lt(rows, (grid.low - 0.5) * ends, out=plane))
        self.counts[0] += rows.shape[1] * ((rows.amax(1) != 0) | (rows.amin(1) != 0))
        self.steps += 1

    def moves(self) -> Tensor | None:
        """What to add to each log2 of a scale (-1, 0 or 1), after `interval` steps; then counting starts again."""
        if int(self.steps) < self.interval:
            return None
        seen, outside, at_half = self.counts.double()
        limit = self.rate * seen
        moves = (outside > limit).double() - ((outside <= limit) & (at_half <= limit) & (seen > 0)).double()
        self.counts.zero_()
        self.steps.zero_()
        return moves


class WeightGrid(nn.Module, ABC):
    """What ends the stack of a weight's parametrisations: it gives integers times `scales()`, exactly.

    Every number format of weights is one, and must be the last parametrisation of the weight. `norm_mantissa` is how
    many bits the scale has for each channel once a batch norm is merged into the layer.
    """

    norm_mantissa: int = 8

    @abstractmethod
    def scales(self) -> tuple[Fraction, ...]:
        """The scale, or one per output channel (axis 0), exactly."""


class Grid(nn.Module):
    """Integers in [low, high] times a snapped scale: what weight and activation quantisers share.

    `log2_scale` has one entry, or one per output channel. It is a parameter if it is learned, else a buffer.
    `stochastic` rounds at random while training: floor(x * r + u), u uniform in [0, 1). `overflow` counts
    overflows while training.
    """

    log2_scale: Tensor
    stochastic = False
    overflow: Overflow | None

    def __init__(self, low: int, high: int, kind: Kind, log2_scale: Tensor, learn: bool) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.overflow = None
        self.set_range(low, high)
        self._keep(log2_scale, learn)

    def set_range(self, low: int, high: int) -> None:
        """Let the integers lie in [low, high]; wide ones shorten the mantissa of the scale."""
        self.low, self.high = low, high
        self._kept: tuple[float, float, float] | None = None
        self.mantissa = mantissa_bits(self.kind, max(abs(low), high).bit_length())

    def _keep(self, log2_scale: Tensor, learn: bool) -> None:
        """Register what holds the scale."""
        if learn:
            self.log2_scale = nn.Parameter(log2_scale)
        else:
            self.register_buffer("log2_scale", log2_scale)

    def snapped(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and reciprocal, float64 and exact, one per entry of `log2_scale`."""
        scale = snap(self.log2_scale.detach().double().cpu().numpy(), self.mantissa)
        return scale, reciprocal(scale, self.mantissa)

    def scales(self) -> tuple[Fraction, ...]:
        """The scale or scales, exactly."""
        return fractions(self.snapped()[0])

    def reciprocals(self) -> tuple[Fraction, ...]:
        """The reciprocals that the quantiser multiplies by, exactly."""
        return fractions(self.snapped()[1])

    def forward(self, x: Tensor) -> Tensor:
        """q * s with q = clip(floor(x * r + 1/2), low, high)."""
        stochastic = self.stochastic and self.training
        if self.overflow is not None and self.training:
            self.overflow(x, self)
        if self.log2_scale.numel() == 1:
            scale, r = self._single()

            def nearest(x: Tensor) -> Tensor:
                return _stepped(x, r, stochastic).floor_().clamp_(self.low, self.high).mul_(scale)

            return self._straight(x, nearest, (self.low - 0.5, self.high + 0.5))
        shape = (2, -1) + (1,) * (x.dim() - 1)
        columns = torch.from_numpy(np.stack(self.snapped())).to(x).reshape(shape).unbind()
        return _PerChannel.apply(x, self.log2_scale, *columns, self.low, self.high, stochastic)  # type: ignore[return-value]

    def _straight(self, x: Tensor, nearest: Nearest, ends: tuple[float, float]) -> Tensor:
        """`nearest(x)` of a grid with one scale; the gradient passes where x lies between `ends` scales."""
        scale, r = self._single()
        ends = ends[0] * scale, ends[1] * scale
        return _OneScale.apply(x, self.log2_scale, nearest, ends, scale * r, self.high)  # type: ignore[return-value]

    @torch.no_grad()
    def follow_overflow(self) -> None:
        """Double or halve the scales as the overflows counted say, within 2**-24 and 2**24."""
        moves = None if self.overflow is None else self.overflow.moves()
        if moves is not None:
            self.log2_scale.add_(moves.to(self.log2_scale)).clamp_(-24, 24)

    def _single(self) -> tuple[float, float]:
        """Scale and reciprocal of a grid with one scale, kept while it does not change."""
        value = self.log2_scale.detach().item()
        if self._kept is None or self._kept[0] != value:
            if self.mantissa == 1:
                exponent = math.floor(value + 0.5)
                self._kept = value, math.ldexp(1.0, exponent), math.ldexp(1.0, -exponent)
            else:
                scale, r = self.snapped()
                self._kept = value, float(scale[0]), float(r[0])
        return self._kept[1:]

    def extra_repr(self) -> str:
        """Range and kind, for printing a model."""
        return f"[{self.low}, {self.high}], {self.kind}, {self.log2_scale.numel()} scale(s)"


class WeightQuantizer(Grid, WeightGrid):
    """A parametrisation that puts a weight on a symmetric signed grid of `bits` bits, zero included.

    Integers lie in -(2**(bits-1) - 1) .. 2**(bits-1) - 1.
    """

    def __init__(self, bits: int, kind: Kind, log2_scale: Tensor, learn: bool) -> None:
        top = 2 ** (bits - 1) - 1
        super().__init__(-top, top, kind, log2_scale, learn)
        self.bits = bits
        self.norm_mantissa = max(8, bits)


class ActivationQuantizer(Grid):
    """Quantises an activation with one scale: unsigned 0 .. 2**bits - 1, or signed two's complement.

    While `observer` is set, values pass unchanged and are shown to it (calibration). See `LevelQuantizer` for levels
    at other distances.
    """

    def __init__(self, bits: int, signed: bool, kind: Kind, log2_scale: float = 0.0, learn: bool = False) -> None:
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(low, high, kind, torch.tensor([log2_scale], dtype=torch.float32), learn)
        self.bits, self.signed = bits, signed
        self.observer: Callable[[Tensor], None] | None = None

    @property
    def scale(self) -> Fraction:
        """The scale, exactly."""
        return self.scales()[0]

    @property
    def reciprocal(self) -> Fraction:
        """The factor that the input is multiplied by, exactly; 1/scale for a power of two."""
        return self.reciprocals()[0]

    def forward(self, x: Tensor) -> Tensor:
        """Quantise, or only observe during calibration."""
        if self.observer is not None:
            self.observer(x)
            return x
        return self._quantized(x)

    def _quantized(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def levels(self) -> tuple[int, ...]:
        """The integers that occur, ascending, within low .. high."""
        return tuple(range(self.low, self.high + 1))

    def edges(self) -> tuple[Fraction, ...]:
        """Where each level after the first begins, exactly: x >= edges()[k] gives at least levels()[k + 1]."""
        return tuple((level - Fraction(1, 2)) / self.reciprocal for level in self.levels()[1:])

    def quantize(self, value: Fraction) -> int:
        """The integer for one exact value."""
        q = math.floor(value * self.reciprocal + Fraction(1, 2))
        return min(max(q, self.low), self.high)


class ClippedQuantizer(ActivationQuantizer):
    """clip(x, 0, alpha) on 2**bits even levels, with the gradient of PACT (Choi et al. 2018, section 3).

    The scale is alpha / (2**bits - 1), snapped, so the last level lies within 2**-8 of alpha (dyadic), or within
    a factor of sqrt 2 (power of two). alpha is a parameter if it is learned, else a buffer, and is at least 2**-20.
    """

    alpha: Tensor

    def __init__(self, bits: int, kind: Kind, alpha: float, learn: bool) -> None:
        super().__init__(bits, False, kind, learn=learn)
        self.alpha.data.fill_(alpha)

    def _keep(self, log2_scale: Tensor, learn: bool) -> None:
        if learn:
            self.alpha = nn.Parameter(torch.ones_like(log2_scale))
        else:
            self.register_buffer("alpha", torch.ones_like(log2_scale))

    @property
    def log2_scale(self) -> Tensor:  # type: ignore[override]
        """log2 of alpha / (2**bits - 1), in float64, so that it does not depend on the precision of the network."""
        return torch.log2(self.alpha.detach().double().clamp_min(2.0**-20) / (2**self.bits - 1))

    def _quantized(self, x: Tensor) -> Tensor:
        return _Clipped.apply(x, self.alpha, *self._single(), self.low, self.high)  # type: ignore[return-value]


class LevelQuantizer(ActivationQuantizer):
    """A quantiser of few levels at any distances: a subclass gives `_quantized`, `levels` and `edges`.

    It has no uniform step: the step of the integers is the scale, and `low` .. `high` bounds the levels.
    """

    @abstractmethod
    def _quantized(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def levels(self) -> tuple[int, ...]: ...

    @abstractmethod
    def edges(self) -> tuple[Fraction, ...]: ...

    def quantize(self, value: Fraction) -> int:
        """The level for one exact value."""
        return self.levels()[sum(value >= edge for edge in self.edges())]
