"""Sliding windows over images: sizes, padding and slices, shared by convolution and pooling.

Arrays here are (C, H, W, N), batch last, so that every copy and every element-wise loop runs along the batch.
"""

from dataclasses import dataclass
from math import gcd

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.types import MAX_SIZE, Array, Type

Pair = tuple[int, int]

_FEW = 4096
"""Windows that are counted one by one; of more only bounds are taken, which differ by one."""


def extent(kernel: int, dilation: int) -> int:
    """From the first tap of a window to the last, both included."""
    return (kernel - 1) * dilation + 1


def steps(size: int, reach: int, stride: int) -> Pair:
    """How many windows of extent `reach` lie in a padded axis (below 1: none), and how much of its end none reaches."""
    count, left = divmod(size - reach, stride)
    return count + 1, left


@dataclass(frozen=True)
class Window:
    """Geometry of a window: (height, width) pairs."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)

    def output(self, of: Type) -> Pair:
        """(size + 2*padding - (kernel-1)*dilation - 1) // stride + 1 per axis; ShapeError when < 1."""
        if len(of.shape) != 3:
            raise ShapeError(f"needs an image (channels, height, width), got shape {of.shape}: reshape it first")
        padded = [size + 2 * padding for size, padding in zip(of.shape[1:], self.padding, strict=True)]
        if of.shape[0] * padded[0] * padded[1] > MAX_SIZE:
            raise ShapeError(f"{of.shape} with padding {self.padding} has more than {MAX_SIZE} elements: pad less")
        result = [self._size(axis, of.shape[axis + 1]) for axis in (0, 1)]
        if min(result) < 1:
            raise ShapeError(f"window {self.extent} does not fit into {of.shape} with padding {self.padding}")
        return result[0], result[1]

    @property
    def extent(self) -> Pair:
        """Rows and columns between the first and the last tap, both included."""
        spans = [extent(k, d) for k, d in zip(self.kernel, self.dilation, strict=True)]
        return spans[0], spans[1]

    def _size(self, axis: int, size: int) -> int:
        return steps(size + 2 * self.padding[axis], self.extent[axis], self.stride[axis])[0]

    def inside(self, of: Type) -> tuple[Pair, Pair]:
        """((fewest, most) taps inside the image per row window, the same per column window)."""
        counts = [self._inside(axis, of.shape[axis + 1], outputs) for axis, outputs in enumerate(self.output(of))]
        return counts[0], counts[1]

    def _inside(self, axis: int, size: int, outputs: int) -> Pair:
        """(fewest, most) taps inside an axis of that size, looking only at windows where the count can turn.

        From left to right it rises while the first tap lies before the image, stays, and falls once the last tap lies
        behind it; where both do, it repeats with the dilation.
        """
        kernel, dilation = self.kernel[axis], self.dilation[axis]
        stride, before = self.stride[axis], self.padding[axis]

        def count(window: int) -> int:
            start = window * stride - before
            return max(0, min(kernel - 1, (size - 1 - start) // dilation) - max(0, -(start // dilation)) + 1)

        behind = (size - 1 - (kernel - 1) * dilation + before) // stride  # the last window that ends inside
        inside = -(-before // stride)  # the first one that begins inside
        period = dilation // gcd(dilation, stride)
        over = range(max(behind + 1, 0), min(inside, outputs))  # these reach over both sides
        turns = {0, outputs - 1, behind, behind + 1, inside - 1, inside, *over[: min(period, _FEW)]}
        counts = [count(window) for window in turns if 0 <= window < outputs]
        if len(over) > _FEW < period:
            counts += [size // dilation, -(-size // dilation)]
        return min(counts), max(counts)

    def outputs(self, image: Array) -> Pair:
        """Rows and columns of the result on a padded (C, H, W, N) image."""
        sizes = [steps(image.shape[a + 1], self.extent[a], self.stride[a])[0] for a in (0, 1)]
        return sizes[0], sizes[1]

    def slices(self, outputs: Pair, axis: int) -> list[slice]:
        """For every tap of an axis, the padded positions it visits."""
        step, spread = self.stride[axis], self.dilation[axis]
        span = (outputs[axis] - 1) * step + 1
        return [slice(tap * spread, tap * spread + span, step) for tap in range(self.kernel[axis])]


def pad(image: Array, padding: Pair, value: float) -> Array:
    """(C, H, W, N) surrounded by rows and columns of one value; the array itself without padding."""
    rows, columns = padding
    if not rows and not columns:
        return image
    channels, height, width, batch = image.shape
    shape = (channels, height + 2 * rows, width + 2 * columns, batch)
    padded = np.full(shape, value, dtype=image.dtype)
    padded[:, rows : rows + height, columns : columns + width] = image
    return padded


def reduce_windows(ufunc: np.ufunc, image: Array, window: Window) -> Array:
    """Reduce every window of a padded (C, H, W, N) image by an associative ufunc, rows first."""
    outputs = window.outputs(image)
    rows = _reduce(ufunc, [image[:, taps] for taps in window.slices(outputs, 0)])
    return _reduce(ufunc, [rows[:, :, taps] for taps in window.slices(outputs, 1)])


def _reduce(ufunc: np.ufunc, parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    total = ufunc(parts[0], parts[1])
    for part in parts[2:]:
        ufunc(total, part, out=total)
    return total
