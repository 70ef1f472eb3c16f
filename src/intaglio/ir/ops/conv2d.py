"""Conv2d: a two-dimensional convolution without bias."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from intaglio.ir import correlate
from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.ops.products import RowSums, channel_parts, product_work, scaled
from intaglio.ir.types import ONE, Array, Type
from intaglio.ir.window import Pair, Window, pad

_DENSE_STRIDE = 2
"""Up to this stride, computing every output of a depthwise convolution and picking some is faster than copying taps."""


@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """y[o, v, u] = sum_{c, j, i} weight[o, c, j, i] * x[g*C/G + c, v*s0 + j*d0 - p0, u*s1 + i*d1 - p1].

    (C, H, W) -> (O, OH, OW), weight (O, C/G, kh, kw), g the group of o; outside the image x is `pad_value`.
    scale: of the weights, one value or one per output channel. Result scale = x.scale * scale.
    """

    weight: Array
    scale: tuple[Fraction, ...] = ONE
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pad_value: int = 0

    def __post_init__(self) -> None:
        self._integers("weight", 4)
        self._scale()
        self._pairs("stride", "dilation")
        self._pairs("padding", least=0)
        for name in ("groups", "pad_value"):
            self._set(name, int(getattr(self, name)))
        one_of("weight scale", len(self.scale), len(self.weight))
        if self.groups < 1 or len(self.weight) % self.groups:
            raise ShapeError(f"{self.groups} groups do not divide {len(self.weight)} output channels")

    @cached_property
    def sums(self) -> RowSums:
        """Sums per output, from which every bound follows."""
        return RowSums.of(self.weight)

    @property
    def window(self) -> Window:
        """Geometry of the kernel."""
        return Window((self.weight.shape[2], self.weight.shape[3]), self.stride, self.padding, self.dilation)

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        height, width = self.window.output(x)
        if x.shape[0] != self.weight.shape[1] * self.groups:
            raise ShapeError(
                f"weight {self.weight.shape} in {self.groups} groups does not fit {x.shape[0]} input channels"
            )
        scale = scaled(self._input_scale(x), self.scale)
        return Type((len(self.weight), height, width), self.sums.range(self._interval(x)), scale)

    def _interval(self, x: Type) -> Pair:
        """Range of a tap: that of the input, and the pad value where there is padding."""
        low, high = x.range
        return (min(low, self.pad_value), max(high, self.pad_value)) if any(self.padding) else (low, high)

    def _input_scale(self, x: Type) -> tuple[Fraction, ...]:
        """Scale of the input of every output channel; the channels of one group must share one."""
        if len(x.scale) == 1:
            return x.scale
        members, outputs = self.weight.shape[1], len(self.weight) // self.groups
        groups = [x.scale[start : start + members] for start in range(0, len(x.scale), members)]
        if any(len(set(group)) > 1 for group in groups):
            raise ShapeError("sums channels of different scales: requantise them to one scale first")
        return tuple(group[0] for group in groups for _ in range(outputs))

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        image = pad(x.transpose(1, 2, 3, 0), self.padding, self.pad_value)
        return self._correlate(image, self._kernel(x.dtype), self.window).transpose(3, 0, 1, 2)

    @property
    def _correlate(self) -> Callable[[Array, Array, Window], Array]:
        """The form of the sums that fits."""
        if self.groups == 1:
            return correlate.dense
        flat = self.weight.shape[1] == 1 and max(self.stride) <= _DENSE_STRIDE
        return correlate.depthwise if flat else correlate.grouped

    def _kernel(self, dtype: "np.dtype[Any]") -> Array:
        """The weight as that form takes it, kept."""
        key = ("kernel", dtype)
        if key not in self._cache:
            weight, form = self.weight.astype(dtype), self._correlate
            if form is correlate.dense:
                weight = correlate.dense_weight(weight)
            else:
                each = [-1] if form is correlate.grouped else weight.shape[2:]
                weight = weight.reshape(self.groups, len(weight) // self.groups, *each)
            self._cache[key] = weight
        return self._cache[key]

    def magnitude(self, *inputs: Type) -> int:
        return self.sums.magnitude(self._largest(inputs[0]))

    def _largest(self, x: Type) -> int:
        return max(abs(bound) for bound in self._interval(x))

    def parts(self, *inputs: Type) -> list[tuple[slice, Op]]:
        if self.groups > 1:
            return []
        channels = channel_parts(self.weight, self._largest(inputs[0]))
        return [(part, replace(self, weight=self.weight[:, part])) for part in channels]

    def work(self, *inputs: Type) -> Work:
        positions = prod(self.window.output(inputs[0]))
        return product_work(self.weight, inputs[0].bits, positions) + Work(weight_bits=self.encoded("weight").bits())

    def scratch(self, *inputs: Type) -> int:
        channels, height, width = inputs[0].shape
        rows, columns = self.window.output(inputs[0])
        padded = channels * (height + 2 * self.padding[0]) * (width + 2 * self.padding[1])
        taps = channels * prod(self.window.kernel) * rows * columns
        if self._correlate is correlate.depthwise:
            return padded
        by_rows = self.groups == 1 and correlate.by_rows(self.weight)
        return padded + (taps // self.window.kernel[0] if by_rows else taps)
