"""Pools, and the class at the end: MaxPool, AveragePool, global pools, ArgMax, TopK."""

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np

from intaglio.exchange.elementwise import Handler, Inputs
from intaglio.exchange.file import FileNode
from intaglio.exchange.geometry import FileWindow, Pair, window_of
from intaglio.exchange.scope import HUGE, Levels, ReadScope
from intaglio.exchange.stairs import BUDGET
from intaglio.exchange.steps import BinaryStep, Round
from intaglio.exchange.values import EXACT, INDEX, ReadBorder, ReadWire, Value, evaluate, odd, rows
from intaglio.ir.errors import ShapeError
from intaglio.ir.ops import ArgMax, MaxPool, SumPool
from intaglio.ir.types import MAX_BITS
from intaglio.ir.window import Window


def _own_window(scope: ReadScope, node: FileNode, x: ReadWire) -> FileWindow:
    """The window of a pool with the pads that it says itself."""
    window = window_of(scope, node, x.shape)
    if node.get("ceil_mode", 0) and any(window.remainder((*x.shape[1:], 1)[:2])):
        raise scope.fail("ceil_mode adds a partial window here: pad the input instead")
    return window


def _even(scope: ReadScope, window: FileWindow) -> Pair:
    """The padding of a window, the same on both sides."""
    if window.pads[:2] != window.pads[2:]:
        raise scope.fail(f"pads {list(window.pads)} differ on both sides: pad the input before it")
    return window.pads[0], window.pads[1]


def _pooled(scope: ReadScope, x: ReadWire, op: MaxPool | SumPool) -> ReadWire:
    scope.state.spend(prod(op.kernel))
    node = scope.add(op, x.node)
    return replace(x, shape=scope.state.builder.type(node).shape[: len(x.shape)], node=node)


def _max_pool(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """The largest integer is the largest value, for the steps rise."""
    x = scope.wire(inputs[0])
    border = x.border
    x = scope.rising(replace(x, border=None))
    window = _own_window(scope, node, x)
    if border is not None:
        x, window = _joined(scope, x, border, window)
    padding = _even(scope, window)
    return _pooled(scope, x, MaxPool(window.kernel, window.stride, padding, window.dilation))


def _joined(scope: ReadScope, x: ReadWire, border: ReadBorder, window: FileWindow) -> tuple[ReadWire, FileWindow]:
    """A border that is never the largest value is padding, where every window reaches beyond it; else it is made."""
    pads = [own + side for own, side in zip(window.pads, border.sides, strict=True)]
    if _never_wins(scope, x, border) and pads[:2] == pads[2:]:
        of = Window(window.kernel, window.stride, (pads[0], pads[1]), window.dilation)
        if border.value < -HUGE or min(fewest for fewest, _ in of.inside(scope.type(x))) > 0:
            return x, window.padded(pads)
    return scope.unbordered(replace(x, border=border)), window


def _never_wins(scope: ReadScope, x: ReadWire, border: ReadBorder) -> bool:
    """Whether no value of a tensor that rises is less than what borders it."""
    of = scope.type(x)
    lowest = evaluate(of, x.steps, np.full((rows(of, x.steps), 1), of.range[0]))
    return border.value <= float(lowest.min())


def _average_pool(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = scope.wire(inputs[0])
    window = _own_window(scope, node, x)
    padding = _even(scope, window)
    if any(padding) and not node.get("count_include_pad", 0):
        raise scope.fail("averages fewer values at the border: set count_include_pad, or pad before it")
    if window.dilation != (1, 1):
        raise scope.fail(f"dilations {window.dilation}: only 1 is supported")
    return _average(scope, x, SumPool(window.kernel, window.stride, padding))


def _average(scope: ReadScope, x: ReadWire, op: SumPool) -> ReadWire:
    """The sum, which float32 finds exactly, divided by the number of taps as onnxruntime does."""
    x = scope.integers(x)
    count = prod(op.kernel)
    of = scope.type(x)
    if any(not odd(scale) or odd(scale) * count * of.largest > EXACT for scale in of.scale):
        scope.may_round("its sums are longer than 24 bits")
    return _pooled(scope, x, op).then(BinaryStep("Div", np.full(1, count, np.float32)))


def _whole_image(scope: ReadScope, x: ReadWire) -> Pair:
    if len(x.shape) not in (2, 3):
        raise ShapeError(f"pools shape {x.shape}: give (channels, length) or (channels, height, width)")
    sizes = (*x.shape[1:], 1)
    return sizes[0], sizes[1]


def _global_average(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = scope.wire(inputs[0])
    kernel = _whole_image(scope, x)
    return _average(scope, x, SumPool(kernel, kernel))


def _global_max(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = scope.wire(inputs[0])
    border = x.border
    x = scope.rising(replace(x, border=None))
    if border is not None and not _never_wins(scope, x, border):
        x = scope.unbordered(replace(x, border=border))
    kernel = scope.type(x).shape[1:]
    _whole_image(scope, x)
    return _pooled(scope, x, MaxPool((kernel[0], kernel[1]), (kernel[0], kernel[1])))


def _reduce_mean(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = scope.wire(inputs[0])
    given = node.get("axes") if len(inputs) < 2 else scope.constant(inputs[1], "axes").value.tolist()
    axes = sorted(axis % (len(x.shape) + 1) for axis in given or range(len(x.shape) + 1))
    if axes != list(range(2, len(x.shape) + 1)) or not axes:
        raise scope.fail(f"averages axes {axes}: only all of an image or signal is supported")
    result = _global_average(scope, node, [x])
    assert isinstance(result, ReadWire)
    return result if node.get("keepdims", 1) else scope.reshaped(result, x.shape[:1])


def _quant_average(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """QuantAvgPool2d: the sum of integers, shifted right to obits bits, in which ibits would not overflow."""
    x = scope.integers(inputs[0])
    kernel, stride = int(node.get("kernel", 1)), int(node.get("stride", 1))
    if node.text("data_layout", "NCHW") != "NCHW" or scope.type(x).scale != (Fraction(1),):
        raise scope.fail("takes channels first and integers of scale 1 only")
    widths = [int(node.get(name, 1)) for name in ("ibits", "obits")]
    if not 1 <= min(widths) <= max(widths) <= MAX_BITS:
        raise scope.fail(f"ibits and obits {widths} are outside 1..{MAX_BITS}")
    bits = ((2 ** widths[0] - 1) * kernel * kernel).bit_length()
    dropped = 2.0 ** max(bits - widths[1], 0)
    total = _pooled(scope, x, SumPool((kernel, kernel), (stride, stride)))
    if scope.type(total).largest > EXACT // 4:
        raise scope.fail("its sums are longer than 22 bits: quantise to fewer bits")
    return scope.quantised(total, Levels((BinaryStep("Div", np.full(1, dropped, np.float32)), Round("FLOOR"))))


def _arg_max(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    if node.get("select_last_index", 0):
        raise scope.fail("select_last_index: of equal values only the first is supported")
    keep = bool(node.get("keepdims", 1))
    return _position(scope, scope.wire(inputs[0]), int(node.get("axis", 0)), keep)


def _top_k(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """The index of the largest value; the value itself is not read."""
    count = node.get("k") if len(inputs) < 2 else scope.constant(inputs[1], "k").value.reshape(-1)[0]
    if count != 1 or not node.get("largest", 1):
        raise scope.fail("only the largest one (k = 1) is supported")
    return _position(scope, scope.wire(inputs[0]), int(node.get("axis", -1)), True)


def _position(scope: ReadScope, x: ReadWire, axis: int, keep: bool) -> ReadWire:
    if axis % (len(x.shape) + 1) != 1 or len(x.shape) < 1 or prod(x.shape[1:]) != 1:
        raise scope.fail(f"takes axis {axis} of shape (batch, {str(x.shape)[1:]}: only the classes of a vector")
    x = _ordered(scope, x)
    node = scope.add(ArgMax(), x.node)
    return ReadWire((1, *x.shape[1:]) if keep else x.shape[1:], dtype=INDEX, node=node)


def _ordered(scope: ReadScope, x: ReadWire) -> ReadWire:
    """Integers in the order of the values, equal ones equal."""
    x = scope.rising(x)
    of = scope.type(x)
    if rows(of, x.steps) == 1 and of.range[1] - of.range[0] < BUDGET and (np.diff(scope.values(x)) > 0).all():
        return x
    return scope.integers(x)


STANDARD: dict[str, Handler] = {
    "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max, "ReduceMean": _reduce_mean, "ArgMax": _arg_max, "TopK": _top_k,
}  # fmt: skip

QUANTISED: dict[str, Handler] = {"QuantAvgPool2d": _quant_average}
