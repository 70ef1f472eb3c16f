"""What the hardware computes, as modules over a network's present parameters.

A layer sums integers; its scale, a batch norm behind it and its bias act on the sums as dyadic numbers. Every such
number is rounded here, in the forward pass, and `frozen` gives the same module with the rounded numbers as constants.
Where gradients are wanted, the rounding passes them straight through.

A batch norm behind a layer changes the layer's scale to one mantissa per channel (max(8, weight bits) bits; fewer
where float64 could not hold the sums) and its sign; before a quantiser of few levels it is that quantiser's
thresholds, exactly (see `staircase`); anywhere else it is a factor of 12 bits and an offset.
"""

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.grid import fractions, round_mantissa
from intaglio.twin.modules import Affine
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import declared_scales, grid_of, integers, plain, set_weight, stacked
from intaglio.twin.staircase import Staircase, staircase
from intaglio.twin.wires import TwinWire, inside_grid, on_grid, output_grid, wire

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LEAST_MANTISSA = 8
AFFINE_MANTISSA = 12
NEGLIGIBLE = 2.0**-24  # of the largest gain: below it, a channel is its offset
FLOAT32_BITS = 23
FLOAT64_BITS = 52


class _Through(torch.autograd.Function):
    """`exact`, with the gradient of `smooth`."""

    @staticmethod
    def forward(ctx: Any, smooth: Tensor, exact: Tensor) -> Tensor:
        ctx.dtype = smooth.dtype
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradients[0].to(ctx.dtype), None


def through(smooth: Tensor, exact: Tensor) -> Tensor:
    """`exact`, with the gradient of `smooth` where one is wanted."""
    if torch.is_grad_enabled() and smooth.requires_grad:
        return _Through.apply(smooth, exact)  # type: ignore[return-value]
    return exact


def has_statistics(module: nn.Module | None) -> bool:
    """False for a batch norm that uses the statistics of the batch at hand: it is not a fixed function."""
    return not isinstance(module, NORMS) or (module.running_mean is not None and module.running_var is not None)


def require_statistics(name: str, norm: nn.Module) -> None:
    """Raise UnsupportedLayer for a batch norm that uses the statistics of the batch at hand."""
    if not has_statistics(norm):
        raise UnsupportedLayer(
            f"{name}: batch norm without running statistics is not a fixed function: set track_running_stats=True"
        )


def gain_and_offset(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and offset per channel of a batch norm in evaluation, float64."""
    assert isinstance(norm, NORMS) and norm.running_mean is not None and norm.running_var is not None
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)
    gain = gain if norm.weight is None else gain * norm.weight.double()
    beta = torch.zeros_like(gain) if norm.bias is None else norm.bias.double()
    return gain, beta - norm.running_mean.double() * gain


class Exact(nn.Module, ABC):
    """A module of the hardware's form: `forward` on values and what is known of them, `frozen` as constants."""

    @abstractmethod
    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """The result for an input of which `given` is known, and what is known of the result."""

    @abstractmethod
    def wire(self, given: TwinWire) -> TwinWire:
        """What is known of the result."""

    @abstractmethod
    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """The same function of constants."""


@dataclass(frozen=True)
class _Sums:
    """result = (sums of inputs times `whole`) * scale + bias, per output channel."""

    whole: Tensor
    scale: Tensor
    bias: Tensor | None
    bound: float
    largest: float  # magnitude that a sum of inputs times `whole` can have


class ExactLayer(Exact):
    """A layer with weights; `norm` is merged into it. `signs` None, or the batch norm whose signs its rows take.

    `leaves`: the result leaves the network without meeting another computation.
    """

    def __init__(self, layer: nn.Module, norm: nn.Module | None, leaves: bool, signs: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.norm, self.leaves, self.signs = layer, norm, leaves, signs

    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """Sums of integers on float32 where that is exact, else on float64; then scale and bias in float64."""
        sums = self._sums(given)
        dtype = torch.float32 if x.dtype == torch.float32 and self._narrow(sums, given) else torch.float64
        y = self._product(x.to(dtype), sums.whole.to(dtype)).double()
        shape = (-1, *[1] * (y.dim() - 2))
        y = y * sums.scale.reshape(shape)
        return y if sums.bias is None else y + sums.bias.reshape(shape), TwinWire(sums.bound)

    @torch.no_grad()
    def wire(self, given: TwinWire) -> TwinWire:
        """The largest magnitude."""
        return TwinWire(self._sums(given).bound)

    @torch.no_grad()
    def constants(self, given: TwinWire) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as `forward` applies them, float64."""
        sums = self._sums(given)
        return sums.whole * sums.scale.reshape(-1, *[1] * (sums.whole.dim() - 1)), sums.bias

    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """A plain layer with weights that are integers times `integer_scale`, and a bias on its grid."""
        with torch.no_grad():
            sums = self._sums(given)
        whole, _ = integers(self.layer, name, settled=False)
        made = plain(self.layer)
        set_weight(made, whole * self._signs(whole.ndim), fractions(sums.scale.tolist()))
        bias = None if sums.bias is None else nn.Parameter(sums.bias.clone(), requires_grad=False)
        made.bias = bias  # type: ignore[assignment]
        return made

    def _signs(self, axes: int) -> np.ndarray:
        """-1, 0 or 1 for every row; 0 only where a merged gain is zero or negligible."""
        shape = (-1, *[1] * (axes - 1))
        if self.signs is not None:
            return np.where(gain_and_offset(self.signs)[0].detach().numpy() < 0, -1, 1).reshape(shape)
        if self.norm is None:
            return np.ones(1, np.int64).reshape(shape)
        wanted, gain = self._wanted()
        return np.where(wanted == 0, 0, np.sign(gain)).astype(np.int64).reshape(shape)

    def _declared(self) -> np.ndarray:
        return np.array([float(scale) for scale in declared_scales(self.layer)])

    def _wanted(self) -> tuple[np.ndarray, np.ndarray]:
        """The scale of every channel times the size of its gain, 0 where negligible; and the gain."""
        assert self.norm is not None
        gain = gain_and_offset(self.norm)[0].detach().numpy()
        wanted = self._declared() * np.abs(gain)
        return np.where(wanted < wanted.max() * NEGLIGIBLE, 0.0, wanted), gain

    def _sums(self, given: TwinWire) -> _Sums:
        weight, declared = stacked(self.layer), torch.from_numpy(self._declared())
        shape = (-1, *[1] * (weight.dim() - 1))
        whole = weight / declared.reshape(shape)
        bias: Tensor | None = self.layer.bias  # type: ignore[assignment]
        if self.signs is not None:
            whole, scale, bias = whole * torch.from_numpy(self._signs(weight.dim())), declared, None
        elif self.norm is None:
            scale = declared
            bias = None if bias is None else bias.double()
        else:
            whole = whole * torch.from_numpy(self._signs(weight.dim()))
            scale, bias = self._merged(whole, declared, bias, given)
        largest, bound = self._reach(whole, scale, bias, given)
        if bias is not None:
            grid = output_grid(bound, given, fractions(scale.tolist())) if self.leaves else inside_grid(bound)
            bias = through(bias, torch.from_numpy(on_grid(bias.detach().numpy(), grid)))
        return _Sums(whole, scale, bias, bound, largest)

    def _merged(
        self, whole: Tensor, declared: Tensor, bias: Tensor | None, given: TwinWire
    ) -> tuple[Tensor, Tensor]:
        """Scale and bias of layer and norm as one: the size of the gain in the scale, snapped to a mantissa."""
        assert self.norm is not None
        gain, offset = gain_and_offset(self.norm)
        wanted = torch.from_numpy(self._wanted()[0])
        used = wanted > 0
        snapped = torch.from_numpy(round_mantissa(wanted.numpy(), self._mantissa(whole, given)))
        scale = through(declared * gain.abs(), torch.where(used, snapped, 1.0))
        old = torch.zeros_like(gain) if bias is None else bias.double()
        real = snapped / declared * gain.sign()
        moved = torch.where(used, real * (old + offset / torch.where(used, gain, 1.0)), offset)
        return scale, through(gain * old + offset, moved.detach())

    def _mantissa(self, whole: Tensor, given: TwinWire) -> int:
        """Bits of a merged scale: the grid's, as far as float64 holds the sums times it, at least 8."""
        grid = grid_of(self.layer)
        assert grid is not None
        if given.unit is None:
            return grid.norm_mantissa
        size = float(self._rows(whole).max()) * given.bound / float(given.unit)
        room = FLOAT64_BITS - math.ceil(math.log2(size + 1))
        return min(grid.norm_mantissa, max(LEAST_MANTISSA, room))

    def _reach(self, whole: Tensor, scale: Tensor, bias: Tensor | None, given: TwinWire) -> tuple[float, float]:
        """The largest magnitudes of a sum and of a result."""
        rows = self._rows(whole)
        ends = rows * scale.detach() * given.bound
        ends = ends if bias is None else ends + bias.detach().abs()
        return float(rows.max()) * given.bound, float(ends.max())

    @staticmethod
    def _rows(whole: Tensor) -> Tensor:
        return whole.detach().abs().reshape(len(whole), -1).sum(1)

    @staticmethod
    def _narrow(sums: _Sums, given: TwinWire) -> bool:
        """Whether float32 holds every partial sum: multiples of a power of two, below 2**23 of it."""
        if given.unit is None or not math.isfinite(sums.largest):
            return False
        numerator = given.unit.numerator
        power = Fraction(numerator & -numerator, given.unit.denominator)
        return sums.largest / float(power) < 2.0**FLOAT32_BITS

    def _product(self, x: Tensor, whole: Tensor) -> Tensor:
        layer = self.layer
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            return layer._conv_forward(x, whole, None)
        return F.linear(x, whole)


class Norm(Exact):
    """A batch norm that no layer takes: a factor of 12 bits and an offset for every channel."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def _affine(self, given: TwinWire) -> tuple[Tensor, Tensor]:
        gain, offset = gain_and_offset(self.norm)
        size = gain.detach().abs()
        used = torch.where(size < size.max() * NEGLIGIBLE, 0.0, gain.detach())
        factor = torch.from_numpy(round_mantissa(used.numpy(), AFFINE_MANTISSA))
        grid = inside_grid(float((factor.abs() * given.bound + offset.detach().abs()).max()))
        return through(gain, factor), through(offset, torch.from_numpy(on_grid(offset.detach().numpy(), grid)))

    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """Multiply and add."""
        affine = Affine(*self._affine(given))
        return affine(x.double()), wire(affine, given)

    @torch.no_grad()
    def wire(self, given: TwinWire) -> TwinWire:
        """The largest magnitude."""
        return wire(Affine(*self._affine(given)), given)

    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """An Affine."""
        del name
        with torch.no_grad():
            return Affine(*(part.clone() for part in self._affine(given)))


class ExactBorder(Exact):
    """A border of a constant: the multiple nearest to it of the step of what it is put around."""

    def __init__(self, pad: nn.Module) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """Pad."""
        return self.frozen("", given)(x), self.wire(given)

    def wire(self, given: TwinWire) -> TwinWire:
        """The largest magnitude; the step stays. Minus infinity is for max pools, which drop it."""
        value = self._value(given)
        return TwinWire(max(given.bound, abs(value)) if math.isfinite(value) else given.bound, given.unit)

    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """A pad of that constant."""
        del name
        made: Any = copy.copy(self.pad)
        made.value = self._value(given)
        return made

    def _value(self, given: TwinWire) -> float:
        value = float(self.pad.value)  # type: ignore[arg-type]
        known = given.unit is not None and math.isfinite(value)
        return float(on_grid(np.array(value), given.unit)) if known else value  # type: ignore[arg-type]


class Clip(Exact):
    """A clip whose result no quantiser reads: its ends lie on a grid as fine as that of biases."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """Clip."""
        return self.frozen("", given)(x.double()), self.wire(given)

    def wire(self, given: TwinWire) -> TwinWire:
        """The largest magnitude."""
        return TwinWire(min(given.bound, max(map(abs, self._ends()))))

    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """A Hardtanh of these ends."""
        del name, given
        return nn.Hardtanh(*self._ends())

    def _ends(self) -> tuple[float, float]:
        ends = np.array([float(self.clip.min_val), float(self.clip.max_val)])  # type: ignore[arg-type]
        low, high = on_grid(ends, inside_grid(float(np.abs(ends).max()))).tolist()
        return low, high


class Steps(Exact):
    """A quantiser of few levels behind a batch norm: comparisons with the sums of `layer`, whose rows have its signs.

    `clip` None, or what stands between batch norm and quantiser: the quantiser's range becomes narrower.
    """

    def __init__(
        self, quantizer: ActivationQuantizer, norm: nn.Module, layer: nn.Module, clip: nn.Module | None
    ) -> None:
        super().__init__()
        self.quantizer, self.norm, self.layer, self.clip = quantizer, norm, layer, clip
        self._kept: tuple[object, Staircase] | None = None

    def forward(self, x: Tensor, given: TwinWire) -> tuple[Tensor, TwinWire]:
        """Count the thresholds that are reached; the gradient is that of clip and quantiser."""
        exact: Tensor = self._staircase()(x.double())
        known = self.wire(given)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return exact, known
        shape = (-1, *[1] * (x.dim() - 2))
        gain, offset, bias, sign = (part.reshape(shape) for part in self._parts())
        y = (x * sign + bias) * gain + offset
        return through(self.quantizer(y if self.clip is None else self.clip(y)), exact), known

    def wire(self, given: TwinWire) -> TwinWire:
        """What is known of the quantiser's values."""
        return wire(self.quantizer, given)

    def frozen(self, name: str, given: TwinWire) -> nn.Module:
        """A Staircase."""
        del name, given
        return self._staircase()

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gain, offset = gain_and_offset(self.norm)
        bias: Tensor | None = self.layer.bias  # type: ignore[assignment]
        bias = torch.zeros_like(gain) if bias is None else bias.double()
        return gain, offset, bias, torch.where(gain.detach() < 0, -1.0, 1.0).double()

    def _staircase(self) -> Staircase:
        """The comparisons, kept while nothing that they depend on changes."""
        gain, offset, bias, sign = (part.detach() for part in self._parts())
        quantizer = self.quantizer if self.clip is None else clipped(self.quantizer, self.clip)
        rows = ((gain * sign).tolist(), offset.tolist(), (bias * sign).tolist())
        key = (rows, quantizer.edges(), quantizer.levels(), quantizer.scale)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, staircase(quantizer, *rows))
        return self._kept[1]


def clipped(quantizer: ActivationQuantizer, clip: nn.Module) -> ActivationQuantizer:
    """A copy of a quantiser that clips as well: Q(clip(x, a, b)) = clip(Q(x), Q(a), Q(b)).

    Exact for every monotone quantiser, whether or not a and b lie on its grid. The copy shares the parameters.
    """
    made = copy.copy(quantizer)
    low = 0.0 if isinstance(clip, nn.ReLU) else float(clip.min_val)  # type: ignore[arg-type]
    made.low = quantizer.quantize(Fraction(low))
    if isinstance(clip, nn.Hardtanh):
        made.high = quantizer.quantize(Fraction(float(clip.max_val)))
    return made
