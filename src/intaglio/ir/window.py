"""Sliding windows over images: sizes, padding and slices, shared by convolution and pooling.

Arrays here are (C, H, W, N), batch last, so that every copy and every element-wise loop runs along the batch.
"""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.types import Array, Type

Pair = tuple[int, int]


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
            raise ShapeError(
                f"needs an image (channels, height, width), got shape {of.shape}: reshape it first"
            )
        result = [self._size(axis, of.shape[axis + 1]) for axis in (0, 1)]
        if min(result) < 1:
            raise ShapeError(f"window {self.extent} does not fit into {of.shape} with padding {self.padding}")
        return result[0], result[1]

    @property
    def extent(self) -> Pair:
        """Rows and columns between the first and the last tap, both included."""
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return spans[0], spans[1]

    def _size(self, axis: int, size: int) -> int:
        return (size + 2 * self.padding[axis] - self.extent[axis]) // self.stride[axis] + 1

    def inside(self, of: Type) -> tuple[Pair, Pair]:
        """((fewest, most) taps inside the image per row window, the same per column window)."""
        counts: list[Pair] = []
        for axis, outputs in enumerate(self.output(of)):
            starts = np.arange(outputs) * self.stride[axis] - self.padding[axis]
            taps = starts[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
            hits = ((taps >= 0) & (taps < of.shape[axis + 1])).sum(axis=1)
            counts.append((int(hits.min()), int(hits.max())))
        return counts[0], counts[1]

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
    outputs = _outputs(image, window)
    rows = _reduce(ufunc, [image[:, taps] for taps in window.slices(outputs, 0)])
    return _reduce(ufunc, [rows[:, :, taps] for taps in window.slices(outputs, 1)])


def _outputs(image: Array, window: Window) -> Pair:
    sizes = [(image.shape[axis + 1] - window.extent[axis]) // window.stride[axis] + 1 for axis in (0, 1)]
    return sizes[0], sizes[1]


def _reduce(ufunc: np.ufunc, parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    total = ufunc(parts[0], parts[1])
    for part in parts[2:]:
        ufunc(total, part, out=total)
    return total
