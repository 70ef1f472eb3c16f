"""What a tensor of a file is while it is read: a constant, integers seen through float32 steps, or a real input."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, Self

import numpy as np

from intaglio.exchange.steps import NOTHING, Floats, FloatStep, StepChain, column, run
from intaglio.ir.affine import shared
from intaglio.ir.errors import ShapeError
from intaglio.ir.types import Array, Type

EXACT = 1 << 24
"""float32 holds every integer up to this magnitude."""

FINEST, COARSEST = 1 << 149, 1 << 103
"""float32 holds the multiples up to `EXACT` of 2**e from e = -149 to 103."""

FLOAT, INDEX = np.dtype(np.float32), np.dtype(np.int64)


@dataclass(frozen=True)
class Constant:
    """A value known when the file is read. What a quantiser made knows its integers: value = integers * scale.

    integers, scale: float32, in the shape of the value.
    """

    value: Array
    integers: Array | None = None
    scale: Array | None = None

    def map(self, move: Callable[[Array], Array]) -> "Constant":
        """The same elements in another place."""
        if self.integers is None or self.scale is None:
            return Constant(np.asarray(move(self.value)))
        return Constant(*(np.asarray(move(array)) for array in (self.value, self.integers, self.scale)))


@dataclass(frozen=True)
class ReadBorder:
    """What a Pad adds: (top, left, bottom, right) and the value there."""

    sides: tuple[int, int, int, int]
    value: float


@dataclass(frozen=True)
class Tensor:
    """A tensor that depends on an input, without its batch axis: float32 `steps` on what lies below.

    shape: the file's.  dtype: of the file's tensor.  border: around the rest, which the Graph does not have yet.
    order: of all axes, the batch axis among them, in which the file sees it; () as it is.
    """

    shape: tuple[int, ...]
    steps: StepChain = NOTHING
    dtype: "np.dtype[Any]" = FLOAT
    border: ReadBorder | None = None
    order: tuple[int, ...] = ()

    def then(self, *steps: FloatStep) -> Self:
        """The tensor after more steps; they change what borders it, too, and are then the same for all channels."""
        border = self.border
        if border is not None:
            border = replace(border, value=run(steps, np.full((1, 1), border.value, FLOAT)).item())
        return replace(self, steps=self.steps.then(*steps), border=border)

    def full(self, batch: int) -> tuple[int, ...]:
        """The shape that the file sees, with the batch axis."""
        shape = (batch, *self.shape)
        return tuple(shape[axis] for axis in self.order) if self.order else shape

    def typed(self, dtype: "np.dtype[Any]") -> Self:
        """The same values in another dtype of the file."""
        return replace(self, dtype=dtype)


@dataclass(frozen=True)
class ReadWire(Tensor):
    """Integers n of a Graph node, seen as steps(float32(n * scale)); the node's Type holds shape and scale."""

    node: int = -1


@dataclass(frozen=True)
class Real(Tensor):
    """A real input whose quantiser has not come yet."""

    name: str = ""
    file_shape: tuple[int, ...] = ()


Live = ReadWire | Real
Value = Constant | Live


def canonical(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The Graph's shape of a file's shape: (N,) or (C, H, W); a signal (C, L) travels as (C, L, 1)."""
    if len(shape) > 3:
        raise ShapeError(f"shape {shape} has more than three axes: reshape to (channels, height, width)")
    return {0: (1,), 1: shape, 2: (*shape, 1), 3: shape}[len(shape)]


def decode(of: Type, integers: Array, axes: int = 2) -> Floats:
    """The float32 nearest to integer * scale; `axes` as in `Step`.

    float64 holds the products below, and rounds a quotient so finely that a second rounding changes nothing.
    """
    numerator = column(np.array([float(s.numerator) for s in of.scale]), axes)
    denominator = column(np.array([float(s.denominator) for s in of.scale]), axes)
    return (np.asarray(integers, np.float64) * numerator / denominator).astype(np.float32)


def evaluate(of: Type, steps: Iterable[FloatStep], integers: Array, axes: int = 2) -> Floats:
    """What the file's tensor holds where the Graph's wire of that Type holds the integers."""
    return run(steps, decode(of, integers, axes), axes)


def rows(of: Type, steps: StepChain) -> int:
    """1 when all channels are alike, else their number."""
    return max(len(of.scale), steps.rows)


def odd(scale: Fraction) -> int:
    """The odd part m of a scale m * 2**e; 0 when it is none, or float32 has no such e for every multiple up to `EXACT`.

    Beyond these e a value becomes 0 or infinite, and what a later factor makes of that is not what the scales say.
    """
    denominator, power = scale.denominator, scale.numerator & -scale.numerator
    if denominator & (denominator - 1) or denominator > FINEST or power > COARSEST:
        return 0
    return scale.numerator // power


def is_exact(of: Type) -> bool:
    """Whether float32 holds every integer * scale of the Type without rounding."""
    return all(odd(scale) > 0 and odd(scale) * of.largest <= EXACT for scale in of.scale)


def grid(values: Floats) -> Fraction | None:
    """The largest power of two of which all values are multiples below 2**24; None when there is none."""
    finite = np.abs(values[values != 0].astype(np.float64))
    if not np.isfinite(finite).all():
        return None
    if not finite.size:
        return Fraction(1)
    mantissas, exponents = np.frexp(finite)
    whole = (mantissas * 2.0**24).astype(np.int64)
    lowest = int((exponents - 24 + np.log2(whole & -whole).astype(np.int64)).min())
    step = Fraction(2) ** lowest
    return step if Fraction(float(finite.max())) / step < EXACT else None


def channel_constant(value: Array, shape: tuple[int, ...]) -> Floats:
    """A constant that ONNX broadcasts to (batch, *shape) as one value or one per channel.

    Raises ShapeError when it enlarges the tensor, or differs within a channel or along the batch.
    """
    full = (1, *shape)
    if value.ndim > len(full):
        raise ShapeError(f"a constant of shape {value.shape} beside a tensor of shape {full}: too many axes")
    wide = value.reshape((1,) * (len(full) - value.ndim) + value.shape)
    if any(size not in (1, axis) for size, axis in zip(wide.shape, full, strict=True)):
        raise ShapeError(f"a constant of shape {value.shape} does not fit a tensor of shape {full}")
    if len(full) == 1:
        return wide.reshape(1).astype(np.float32)
    flat = wide.reshape(wide.shape[1], prod(wide.shape[2:]))
    if (flat != flat[:, :1]).any():
        raise ShapeError(f"a constant of shape {value.shape} differs within a channel: only one per channel is read")
    each = flat[:, 0].astype(np.float32)
    return shared(each)
