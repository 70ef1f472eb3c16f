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

from intaglio.methods.grid import Kind, fractions, mantissa_bits, reciprocal, snap


class _Uniform(torch.autograd.Function):
    """Fake quantisation with one scale: four passes over x forward, one pass and two dot products
    backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log2_scale: Tensor, s: float, r: float, low: int, high: int) -> Tensor:
        y = torch.add(x.new_tensor(0.5), x, alpha=r).floor_().clamp_(low, high).mul_(s)
        ctx.save_for_backward(x, y)
        ctx.constants = (s, r, low, high)
        ctx.shape = log2_scale.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = gradients
        x, y = ctx.saved_tensors
        s, r, low, high = ctx.constants
        dx = torch.ops.aten.hardtanh_backward(gradient, x, (low - 0.5) * s, (high + 0.5) * s)
        ds = None
        if ctx.needs_input_grad[1]:
            flat = gradient.reshape(-1)
            total = torch.dot(flat, y.reshape(-1)) - s * r * torch.dot(dx.reshape(-1), x.reshape(-1))
            ds = (total * (math.log(2) / math.sqrt(x.numel() * max(1, high)))).reshape(ctx.shape)
        return dx, ds, None, None, None, None


class _PerChannel(torch.autograd.Function):
    """Fake quantisation of a weight with one scale per output channel (axis 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log2_scale: Tensor, s: Tensor, r: Tensor, low: int, high: int) -> Tensor:
        t = x * r
        y = t.add(0.5).floor_().clamp_(low, high).mul_(s)
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
        return dx, ds, None, None, None, None


class WeightGrid(nn.Module, ABC):
    """What ends the stack of a weight's parametrisations: it gives integers times `scales()`, exactly.

    Every number format of weights is one, and must be the last parametrisation of the weight.
    """

    @abstractmethod
    def scales(self) -> tuple[Fraction, ...]:
        """The scale, or one per output channel (axis 0), exactly."""


class Grid(nn.Module):
    """Integers in [low, high] times a snapped scale: what weight and activation quantisers share.

    `log2_scale` has one entry, or one per output channel. It is a parameter if it is learned, else a buffer.
    """

    log2_scale: Tensor

    def __init__(self, low: int, high: int, kind: Kind, log2_scale: Tensor, learn: bool) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.kind: Kind = kind
        self._kept: tuple[float, float, float] | None = None
        self.mantissa = mantissa_bits(kind, max(abs(low), high).bit_length())
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
        if self.log2_scale.numel() == 1:
            scale, r = self._single()
            return _Uniform.apply(x, self.log2_scale, scale, r, self.low, self.high)  # type: ignore[return-value]
        shape = (2, -1) + (1,) * (x.dim() - 1)
        columns = torch.from_numpy(np.stack(self.snapped())).to(x).reshape(shape).unbind()
        return _PerChannel.apply(x, self.log2_scale, *columns, self.low, self.high)  # type: ignore[return-value]

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
