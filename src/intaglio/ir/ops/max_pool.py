"""MaxPool: the largest value of every window of every channel."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.types import Array, Type
from intaglio.ir.window import Pair, Window, pad, reduce_windows


@dataclass(frozen=True, eq=False)
class MaxPool(Op):
    """y[c, v, u] = max over the taps of the window that lie inside the image; padding never wins."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        self._pairs("kernel", "stride", "dilation")
        self._pairs("padding", least=0)

    @property
    def window(self) -> Window:
        """Geometry of the window."""
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        height, width = self.window.output(x)
        if min(fewest for fewest, _ in self.window.inside(x)) < 1:
            raise ShapeError(f"a window of {self.kernel} lies in the padding {self.padding} alone: pad less")
        return Type((x.shape[0], height, width), x.range, x.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        image = pad(x.transpose(1, 2, 3, 0), self.padding, lowest)
        return reduce_windows(np.maximum, image, self.window).transpose(3, 0, 1, 2)

    def magnitude(self, *inputs: Type) -> int:
        return inputs[0].largest

    def work(self, *inputs: Type) -> Work:
        return Work(adds=self.type(*inputs).size * (self.kernel[0] * self.kernel[1] - 1))
