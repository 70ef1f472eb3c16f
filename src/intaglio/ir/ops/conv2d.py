"""Conv2d: a two-dimensional convolution without bias."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.ops.products import RowSums, product_work, scaled
from intaglio.ir.types import ONE, Array, Type
from intaglio.ir.window import Pair, Window, pad


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
        columns, (height, width) = self._columns(image)
        weight = self.constant("weight", x.dtype).reshape(self.groups, len(self.weight) // self.groups, -1)
        columns = columns.reshape(self.groups, weight.shape[2], -1)
        result = np.matmul(weight[0], columns[0]) if self.groups == 1 else np.matmul(weight, columns)
        return result.reshape(len(self.weight), height, width, len(x)).transpose(3, 0, 1, 2)

    def _columns(self, image: Array) -> tuple[Array, Pair]:
        """Every tap of every window, (C, kh, kw, OH, OW, N), of a padded (C, H, W, N) image."""
        window = self.window
        sizes = [(image.shape[a + 1] - window.extent[a]) // self.stride[a] + 1 for a in (0, 1)]
        outputs = (sizes[0], sizes[1])
        rows, columns = window.slices(outputs, 0), window.slices(outputs, 1)
        taps = np.empty((image.shape[0], *window.kernel, *outputs, image.shape[3]), dtype=image.dtype)
        for j, row in enumerate(rows):
            for i, column in enumerate(columns):
                taps[:, j, i] = image[:, row, column]
        return taps, outputs

    def magnitude(self, *inputs: Type) -> int:
        low, high = self._interval(inputs[0])
        return self.sums.magnitude(max(abs(low), abs(high)))

    def work(self, *inputs: Type) -> Work:
        positions = prod(self.window.output(inputs[0]))
        return product_work(self.weight, inputs[0].bits, positions) + Work(weight_bits=self.encoded("weight").bits())

    def scratch(self, *inputs: Type) -> int:
        return inputs[0].shape[0] * prod(self.window.kernel) * prod(self.window.output(inputs[0]))
