"""MatMul, Gemm and Conv: integer products, and the proof that float32 sums them without rounding."""

from fractions import Fraction
from math import prod

import numpy as np

from intaglio.exchange.elementwise import Handler, Inputs
from intaglio.exchange.file import FileNode
from intaglio.exchange.geometry import FileWindow, window_of
from intaglio.exchange.scope import ReadScope
from intaglio.exchange.steps import BinaryStep, Floats
from intaglio.exchange.values import EXACT, Constant, ReadWire, Value, channel_constant, grid, odd
from intaglio.ir.affine import shared
from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.ops import Conv2d, MatMul
from intaglio.ir.types import Array, Type


def _weights(scope: ReadScope, weight: Constant) -> tuple[Array, tuple[Fraction, ...]]:
    """Integers and their scale, one or one per output (axis 0)."""
    if weight.value.dtype != np.float32:
        raise scope.fail(f"weights of {weight.value.dtype}: only float32 is supported")
    if weight.integers is not None and weight.scale is not None:
        scales = weight.scale.reshape(len(weight.scale), -1)
        if (scales == scales[:, :1]).all():
            whole = weight.integers.astype(np.int64)
            return whole, shared(tuple(Fraction(float(scale)) for scale in scales[:, 0]))
    step = grid(weight.value)
    if step is None:
        raise RangeError(f"{scope.name} ({scope.op}): the weights lie on no grid of 24 bits: quantise them")
    return (weight.value.astype(np.float64) / float(step)).astype(np.int64), (step,)


def _sums(whole: Array, largest: int, of: Type) -> list[int]:
    """Per output, a bound on every partial sum in the units that float32 counts in; 0 where there are none."""
    each = np.abs(whole).reshape(len(whole), -1).sum(axis=1)
    scales = of.scale * (len(whole) // len(of.scale))
    return [odd(scale) * max(int(total), 1) * largest for scale, total in zip(scales, each, strict=True)]


def _check_sums(scope: ReadScope, whole: Array, largest: int, of: Type) -> None:
    sums = _sums(whole, largest, of)
    if largest and (min(sums) == 0 or max(sums) > EXACT):
        scope.may_round(f"its sums need up to {max(sums).bit_length()} bits of mantissa" if min(sums) else "its scale "
                        "is no multiple of a power of two that float32 has")  # fmt: skip


def _matmul(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    a, b = inputs
    if isinstance(a, Constant):
        raise scope.fail("the constant is the first factor: transpose the product")
    return _dense(scope, scope.wire(a), _matrix(scope.constant(b, "weight")).map(np.transpose))


def _matrix(weight: Constant) -> Constant:
    if weight.value.ndim != 2:
        raise ShapeError(f"weight {weight.value.shape} is no matrix")
    return weight


def _dense(scope: ReadScope, x: ReadWire, weight: Constant) -> ReadWire:
    """weight (O, I)."""
    if x.shape != weight.value.shape[1:]:
        raise ShapeError(
            f"weight {weight.value.shape[::-1]} does not fit input (batch, {str(x.shape)[1:]}: "
            "flatten to (batch, features) first"
        )
    x = scope.on_grid(scope.integers(x))
    whole, scale = _weights(scope, weight)
    node = scope.add(MatMul(whole, scale), x.node)
    result = ReadWire((len(whole),), node=node)
    _check_sums(scope, whole, scope.type(x).largest, scope.type(result))
    return result


def _gemm(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    settings = [node.get("alpha", 1.0), node.get("beta", 1.0), node.get("transA", 0)]
    if settings != [1, 1, 0]:
        raise scope.fail(f"alpha, beta, transA = {settings}; only 1, 1, 0 are supported: fold them into the weights")
    weight = _matrix(scope.constant(inputs[1], "weight"))
    weight = weight if node.get("transB", 0) else weight.map(np.transpose)
    result = _dense(scope, scope.wire(inputs[0]), weight)
    if len(inputs) < 3 or inputs[2] is None:
        return result
    bias = channel_constant(scope.reals(inputs[2], "bias"), result.shape)
    # onnxruntime begins with the bias and adds the products in blocks: every block may round.
    if not _on_grid(bias, scope.type(result)):
        scope.may_round("its bias is on no grid with the products, whose order is not known")
    return result.then(BinaryStep("Add", bias))


def _on_grid(bias: Floats, of: Type) -> bool:
    """Whether float32 adds the bias to every sum of that Type without rounding."""
    count = max(len(bias), len(of.scale))
    scales, values = of.scale * (count // len(of.scale)), bias.tolist() * (count // len(bias))
    steps = [(Fraction(value) / scale, scale) for value, scale in zip(values, scales, strict=True)]
    return all(
        ratio.denominator == 1 and odd(scale) > 0 and odd(scale) * (of.largest + abs(ratio)) <= EXACT
        for ratio, scale in steps
    )


def _conv(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, weight = scope.wire(inputs[0]), scope.constant(inputs[1], "weight")
    axes = len(x.shape) - 1
    if axes not in (1, 2) or weight.value.ndim != axes + 2:
        raise ShapeError(f"weight {weight.value.shape} on shape {x.shape}: give (channels, length) or an image")
    x = scope.integers(x)
    if weight.value.shape[1] > 1:
        x = scope.on_grid(x)
    whole, scale = _weights(scope, weight)
    whole = whole.reshape(*whole.shape[:2], whole.shape[2], -1)
    window = window_of(scope, node, x.shape, (whole.shape[2], whole.shape[3]))
    x, window, value = _bordered(scope, x, window)
    scope.state.spend(prod(whole.shape[:2]) * prod(_grown(window)))
    window, whole = _symmetric(scope, window, whole)
    op = Conv2d(
        whole, scale, window.stride, (window.pads[0], window.pads[1]), window.dilation, node.get("group", 1), value
    )
    made = scope.add(op, x.node)
    shape = scope.state.builder.type(made).shape
    result = ReadWire(shape[: axes + 1], node=made)
    _check_sums(scope, whole, max(scope.type(x).largest, abs(value)), scope.type(result))
    if len(inputs) < 3 or inputs[2] is None:
        return result
    # onnxruntime adds the bias to the finished sum: one more rounding, which the step repeats.
    bias = scope.reals(inputs[2], "bias")
    if bias.shape != (len(whole),):
        raise ShapeError(f"bias of shape {bias.shape} for {len(whole)} output channels")
    return result.then(BinaryStep("Add", bias))


def _bordered(scope: ReadScope, x: ReadWire, window: FileWindow) -> tuple[ReadWire, FileWindow, int]:
    """The window with the sides of a Pad before it, and the integer that stands for what pads."""
    border = x.border
    if border is None:
        return x, window, 0
    if border.value and any(window.pads):
        raise scope.fail(f"pads with zeros what was padded with {border.value:g}: only one of them is supported")
    scope.ordinary(border)
    if border.value:
        x = scope.on_grid(x, abs(Fraction(border.value)))
    pads = [own + side for own, side in zip(window.pads, border.sides, strict=True)]
    return x, window.padded(pads), int(Fraction(border.value) / scope.type(x).scale[0])


def _grown(window: FileWindow) -> list[int]:
    """An upper bound on the sizes of the kernel that `_symmetric` makes."""
    return [size + abs(window.pads[axis] - window.pads[axis + 2]) for axis, size in enumerate(window.kernel)]


def _symmetric(scope: ReadScope, window: FileWindow, whole: Array) -> tuple[FileWindow, Array]:
    """Equal padding on both sides: a kernel with taps of zero on the side that has less."""
    pads = list(window.pads)
    for axis in (0, 1):
        before, after = pads[axis], pads[axis + 2]
        extra, left = divmod(abs(after - before), window.dilation[axis])
        if left:
            raise scope.fail(f"pads {before} and {after}: the difference must be a multiple of the dilation")
        grow = [(0, 0)] * 4
        grow[axis + 2] = (extra, 0) if before < after else (0, extra)
        whole = np.pad(whole, grow)
        pads[axis] = pads[axis + 2] = max(before, after)
    return window.padded(pads), whole


STANDARD: dict[str, Handler] = {"MatMul": _matmul, "Gemm": _gemm, "Conv": _conv}
