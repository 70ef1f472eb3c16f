"""MatMul: a dense layer without bias."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.ops.products import RowSums, channel_parts, product_work, scaled
from intaglio.ir.types import ONE, Array, Type


@dataclass(frozen=True, eq=False)
class MatMul(Op):
    """y[o] = sum_i weight[o, i] * x[i], never rounded; (I,) -> (O,).

    scale: of the weights, one value or one per output. Result scale = x.scale * scale.
    """

    weight: Array
    scale: tuple[Fraction, ...] = ONE

    def __post_init__(self) -> None:
        self._integers("weight", 2)
        self._scale()
        one_of("weight scale", len(self.scale), len(self.weight))

    @cached_property
    def sums(self) -> RowSums:
        """Sums per output, from which every bound follows."""
        return RowSums.of(self.weight)

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        if x.shape != self.weight.shape[1:]:
            raise ShapeError(
                f"weight {self.weight.shape} does not fit input {x.shape}: reshape to one axis first"
            )
        if len(x.scale) != 1:
            raise ShapeError("sums inputs of different scales: requantise them to one scale first")
        scale = scaled(x.scale, self.scale)
        return Type((len(self.weight),), self.sums.range(x.range), scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        return np.matmul(self.constant("weight", x.dtype), x.T).T

    def magnitude(self, *inputs: Type) -> int:
        return self.sums.magnitude(inputs[0].largest)

    def parts(self, *inputs: Type) -> list[tuple[slice, Op]]:
        parts = channel_parts(self.weight, inputs[0].largest)
        return [(part, replace(self, weight=self.weight[:, part])) for part in parts]

    def work(self, *inputs: Type) -> Work:
        return product_work(self.weight, inputs[0].bits, 1) + Work(weight_bits=self.encoded("weight").bits())
