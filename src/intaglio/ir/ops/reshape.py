"""Reshape: the same values under another shape."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op
from intaglio.ir.types import MAX_SCALES, Array, Type


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same values in row-major order under another shape."""

    keeps_order = True

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self._set("shape", tuple(int(size) for size in self.shape))

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        if prod(self.shape) != x.size or not self.shape:
            raise ShapeError(f"cannot reshape {x.shape} to {self.shape}: the sizes differ")
        return Type(self.shape, x.range, self._scale_of(x))

    def _scale_of(self, x: Type) -> tuple[Fraction, ...]:
        if len(x.scale) == 1:
            return x.scale
        if self.shape[0] > MAX_SCALES:
            raise ShapeError(f"gives {self.shape[0]} channels a scale each: requantise to one scale first")
        each, block = x.size // len(x.scale), x.size // self.shape[0]
        channels = [
            x.scale[start // each : (start + block - 1) // each + 1] for start in range(0, x.size, block)
        ]
        if any(len(set(channel)) > 1 for channel in channels):
            raise ShapeError(
                f"reshaping {x.shape} to {self.shape} mixes scales in a channel: requantise first"
            )
        return tuple(channel[0] for channel in channels)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), *self.shape)

    def magnitude(self, *inputs: Type) -> int:
        return inputs[0].largest
