"""Pad: a constant border around an image."""

from dataclasses import dataclass

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op
from intaglio.ir.types import Array, Type
from intaglio.ir.window import Pair, pad


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """(C, H, W) -> (C, H + 2 * padding0, W + 2 * padding1); outside the image every value is `value`."""

    padding: Pair
    value: int = 0

    def __post_init__(self) -> None:
        self._pairs("padding", least=0)
        self._set("value", int(self.value))

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        if len(x.shape) != 3:
            raise ShapeError(f"pads images (channels, height, width), got shape {x.shape}: reshape it first")
        rows, columns = self.padding
        low, high = x.range
        if rows or columns:
            low, high = min(low, self.value), max(high, self.value)
        return Type((x.shape[0], x.shape[1] + 2 * rows, x.shape[2] + 2 * columns), (low, high), x.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        return pad(x.transpose(1, 2, 3, 0), self.padding, self.value).transpose(3, 0, 1, 2)

    def magnitude(self, *inputs: Type) -> int:
        return max(inputs[0].largest, abs(self.value))
