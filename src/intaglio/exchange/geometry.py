"""Windows of convolutions and pools as ONNX writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from intaglio.exchange.file import FileNode
from intaglio.exchange.scope import ReadScope
from intaglio.ir.errors import ShapeError
from intaglio.ir.window import extent, steps

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class FileWindow:
    """(height, width) pairs; pads: top, left, bottom, right."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    pads: Sides

    def padded(self, pads: Sequence[int]) -> "FileWindow":
        """The window with other pads."""
        return replace(self, pads=tuple(pads))

    def extent(self, axis: int) -> int:
        """From the first tap of an axis to the last, both included."""
        return extent(self.kernel[axis], self.dilation[axis])

    def remainder(self, shape: tuple[int, ...]) -> Pair:
        """Rows and columns of an image that no window reaches at the end."""
        found = [
            steps(size + self.pads[axis] + self.pads[axis + 2], self.extent(axis), self.stride[axis])[1]
            for axis, size in enumerate(shape)
        ]
        return found[0], found[1]


def window_of(scope: ReadScope, node: FileNode, shape: tuple[int, ...], kernel: Pair | None = None) -> FileWindow:
    """The window of a node on (C, H, W) or (C, L); a signal has width 1."""
    axes = len(shape) - 1
    if axes not in (1, 2):
        raise ShapeError(f"a window on shape {shape}: give (channels, length) or (channels, height, width)")
    declared = _pair(node.get("kernel_shape"), axes, kernel)
    if declared is None or (kernel is not None and declared != kernel):
        raise ShapeError(f"kernel_shape {declared} beside weights of {kernel}")
    stride, dilation = (_pair(node.get(name), axes, (1, 1)) or (1, 1) for name in ("strides", "dilations"))
    window = FileWindow(declared, stride, dilation, _pads(scope, node, axes))
    return _automatic(node.text("auto_pad", "NOTSET"), window, (*shape[1:], 1)[:2], scope)


def _pair(value: object, axes: int, default: Pair | None) -> Pair | None:
    if value is None:
        return default
    values = [int(item) for item in cast("Sequence[int]", value)]
    if len(values) != axes or min(values) < 1:
        raise ShapeError(f"{values} is not one positive number for each of {axes} axes")
    return values[0], values[1] if axes == 2 else 1


def _pads(scope: ReadScope, node: FileNode, axes: int) -> Sides:
    pads = [int(item) for item in node.get("pads", [0] * 2 * axes)]
    if len(pads) != 2 * axes or min(pads) < 0:
        raise scope.fail(f"pads {pads}: give {2 * axes} numbers that are not negative")
    return (pads[0], pads[1], pads[2], pads[3]) if axes == 2 else (pads[0], 0, pads[1], 0)


def _automatic(rule: str, window: FileWindow, sizes: Sequence[int], scope: ReadScope) -> FileWindow:
    """Pads of auto_pad: SAME makes ceil(size / stride) outputs, with the odd one at the end (UPPER) or start."""
    if rule == "NOTSET":
        return window
    if rule == "VALID":
        return window.padded((0, 0, 0, 0))
    if rule not in ("SAME_UPPER", "SAME_LOWER"):
        raise scope.fail(f"auto_pad {rule} is unknown")
    pads = [0, 0, 0, 0]
    for axis, size in enumerate(sizes):
        stride, reach = window.stride[axis], window.extent(axis)
        total = max(((size + stride - 1) // stride - 1) * stride + reach - size, 0)
        small, large = total // 2, total - total // 2
        pads[axis], pads[axis + 2] = (small, large) if rule == "SAME_UPPER" else (large, small)
    return window.padded(pads)
