"""QuantizeLinear and DequantizeLinear: how ONNX itself, and QCDQ exports, write integers."""

import numpy as np

from intaglio.exchange.elementwise import Handler, Inputs
from intaglio.exchange.file import FileNode
from intaglio.exchange.scope import Levels, Scope
from intaglio.exchange.steps import Binary, Clamp, Floats, Round
from intaglio.exchange.values import Constant, Live, Value, channel_constant
from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.types import Array


def _parameters(scope: Scope, node: FileNode, inputs: Inputs, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Scale and zero point, shaped to fit a tensor of that full shape; the zero point keeps its type."""
    scale = scope.constant(inputs[1], "scale").value
    default = np.zeros(scale.shape, np.uint8)
    zero = scope.constant(inputs[2], "zero point").value if len(inputs) > 2 and inputs[2] is not None else default
    if scale.dtype != np.float32 or not (np.isfinite(scale) & (scale > 0)).all():
        raise RangeError("its scale is not positive and finite in float32")
    if node.get("block_size", 0) or scale.ndim > 1 or zero.shape != scale.shape:
        raise scope.fail(f"scale {scale.shape}, zero point {zero.shape}: give one, or one per channel")
    if scale.ndim == 0 or scale.size == 1:
        return scale.reshape(()), zero.reshape(())
    axis = int(node.get("axis", 1)) % len(shape)
    if shape[axis] != scale.size:
        raise ShapeError(f"{scale.size} scales for axis {axis} of shape {shape}")
    wide = [1] * len(shape)
    wide[axis] = -1
    return scale.reshape(wide), zero.reshape(wide)


def _live_parameters(scope: Scope, node: FileNode, inputs: Inputs, x: Live) -> tuple[Floats, Floats, Array]:
    scale, zero = _parameters(scope, node, inputs, (1, *x.shape))
    return channel_constant(scale, x.shape), channel_constant(zero, x.shape), zero


def _quantize(scope: Scope, node: FileNode, inputs: Inputs) -> Value:
    """Integers clip(round(x / scale) + zero), to the range of the zero point's type."""
    x = scope.live(inputs[0])
    scale, zero, typed = _live_parameters(scope, node, inputs, x)
    if typed.dtype.kind not in "iu":
        raise scope.fail(f"quantises to {typed.dtype}: only integers are supported")
    ends = np.iinfo(typed.dtype)
    steps = (Binary("Div", scale), Round("ROUND"), Binary("Add", zero), Clamp(float(ends.min), float(ends.max)))
    result = scope.quantised(x, Levels(steps))
    return result.typed(typed.dtype)


def _dequantize(scope: Scope, node: FileNode, inputs: Inputs) -> Value:
    """(x - zero) * scale."""
    x = inputs[0]
    if isinstance(x, Constant):
        scale, zero = _parameters(scope, node, inputs, x.value.shape)
        whole = np.asarray(x.value.astype(np.float32) - zero.astype(np.float32))
        return Constant(np.asarray(whole * scale), whole, np.broadcast_to(scale, whole.shape))
    live = scope.live(x)
    scale, zero, _ = _live_parameters(scope, node, inputs, live)
    if live.dtype.kind not in "iu":
        raise scope.fail(f"takes integers, not {live.dtype}")
    return live.typed(np.dtype(np.float32)).then(Binary("Sub", zero), Binary("Mul", scale))


STANDARD: dict[str, Handler] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
