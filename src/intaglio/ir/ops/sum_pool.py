"""SumPool: the sum of every window of every channel."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.op import Op, Work
from intaglio.ir.types import Array, Type
from intaglio.ir.window import Pair, Window, pad, reduce_windows


@dataclass(frozen=True, eq=False)
class SumPool(Op):
    """y[c, v, u] = sum over the window, zeros outside the image; an average is a SumPool and a Requantize."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        self._pairs("kernel", "stride")
        self._pairs("padding", least=0)

    @property
    def window(self) -> Window:
        """Geometry of the window."""
        return Window(self.kernel, self.stride, self.padding)

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        height, width = self.window.output(x)
        rows, columns = self.window.inside(x)
        counts = (rows[0] * columns[0], rows[1] * columns[1])
        low, high = (min(n * x.range[0] for n in counts), max(n * x.range[1] for n in counts))
        return Type((x.shape[0], height, width), (low, high), x.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        image = pad(x.transpose(1, 2, 3, 0), self.padding, 0)
        return reduce_windows(np.add, image, self.window).transpose(3, 0, 1, 2)

    def magnitude(self, *inputs: Type) -> int:
        return inputs[0].largest * self.kernel[0] * self.kernel[1]

    def work(self, *inputs: Type) -> Work:
        return Work(adds=self.type(*inputs).size * (self.kernel[0] * self.kernel[1] - 1))
