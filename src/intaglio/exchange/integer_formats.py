"""QuantizeLinear and DequantizeLinear: how ONNX itself, and QCDQ exports, write integers."""

import numpy as np
from onnx import TensorProto, helper

from intaglio.exchange.elementwise import Handler, Inputs
from intaglio.exchange.file import FileNode
from intaglio.exchange.scope import Levels, ReadScope
from intaglio.exchange.steps import BinaryStep, Clamp, Floats, Round
from intaglio.exchange.values import Constant, Live, Value, channel_constant
from intaglio.ir.errors import GraphError, RangeError, ShapeError
from intaglio.ir.types import Array


def _parameters(scope: ReadScope, node: FileNode, inputs: Inputs, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Scale and zero point, shaped to fit a tensor of that full shape; the zero point keeps its type."""
    scale, zero = scope.reals(inputs[1], "scale"), _zero(scope, node, inputs)
    if not (scale > 0).all():
        raise RangeError("its scale is not positive and finite in float32")
    if scale.size == 1:
        scale = scale.reshape(())
    if zero.size == 1:
        zero = np.broadcast_to(zero.reshape(()), scale.shape)
    if node.get("block_size", 0) or scale.ndim > 1 or zero.shape != scale.shape:
        raise scope.fail(f"scale {scale.shape}, zero point {zero.shape}: give one, or one per channel")
    if scale.ndim == 0:
        return scale, zero
    axis = int(node.get("axis", 1))
    if not -len(shape) <= axis < len(shape) or shape[axis] != scale.size:
        raise ShapeError(f"{scale.size} scales for axis {axis} of shape {shape}")
    wide = [1] * len(shape)
    wide[axis] = -1
    return scale.reshape(wide), zero.reshape(wide)


def _zero(scope: ReadScope, node: FileNode, inputs: Inputs) -> Array:
    """The zero point; its type is that of the integers, which `output_dtype` says where there is none."""
    x, kind = inputs[0], int(node.get("output_dtype", 0))
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(kind)) if kind else None
    if node.op == "DequantizeLinear":
        wanted = x.value.dtype if isinstance(x, Constant) else scope.live(x).dtype
    if len(inputs) < 3 or inputs[2] is None:
        return np.zeros((), wanted or np.uint8)
    zero = scope.constant(inputs[2], "zero point").value
    if wanted not in (None, zero.dtype):
        raise GraphError(f"its zero point is of {zero.dtype}, its integers are of {wanted}: export them alike")
    return zero


def _check_precision(scope: ReadScope, node: FileNode) -> None:
    """Divisions and products are those of float32."""
    names = {"QuantizeLinear": "precision", "DequantizeLinear": "output_dtype"}
    if node.get(names[node.op], 0) not in (0, TensorProto.FLOAT):
        raise scope.fail(f"computes in another type than float32 (attribute {names[node.op]}): leave it out")


def _live_parameters(scope: ReadScope, node: FileNode, inputs: Inputs, x: Live) -> tuple[Floats, Floats]:
    scale, zero = _parameters(scope, node, inputs, (1, *x.shape))
    return channel_constant(scale, x.shape), channel_constant(zero, x.shape)


def _quantize(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """Integers clip(round(x / scale) + zero), to the range of the zero point's type."""
    x = inputs[0]
    _check_precision(scope, node)
    shape = x.value.shape if isinstance(x, Constant) else (1, *scope.live(x).shape)
    scale, zero = _parameters(scope, node, inputs, shape)
    kind = zero.dtype
    if kind.name not in ("int8", "uint8", "int16", "uint16"):
        raise scope.fail(f"quantises to {kind}: only int8, uint8, int16 and uint16 are supported")
    ends = Clamp(float(np.iinfo(kind).min), float(np.iinfo(kind).max))
    if isinstance(x, Constant):
        levels = np.rint(scope.reals(x, "constant") / scale) + zero.astype(np.float32)
        return Constant(np.asarray(ends(levels)).astype(kind))
    live = scope.live(x)
    scale, zero = channel_constant(scale, live.shape), channel_constant(zero, live.shape)
    result = scope.quantised(live, Levels((BinaryStep("Div", scale), Round("ROUND"), BinaryStep("Add", zero), ends)))
    return result.typed(kind)


def _dequantize(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """(x - zero) * scale."""
    x = inputs[0]
    _check_precision(scope, node)
    if isinstance(x, Constant):
        scale, zero = _parameters(scope, node, inputs, x.value.shape)
        if x.value.dtype.kind not in "iu" or x.value.dtype.itemsize > 2:
            raise scope.fail(f"takes integers of 8 or 16 bits, not {x.value.dtype}")
        whole = np.asarray(x.value.astype(np.float32) - zero.astype(np.float32))
        return Constant(np.asarray(whole * scale), whole, np.broadcast_to(scale, whole.shape))
    live = scope.live(x)
    scale, zero = _live_parameters(scope, node, inputs, live)
    if live.dtype.kind not in "iu":
        raise scope.fail(f"takes integers, not {live.dtype}")
    return live.typed(np.dtype(np.float32)).then(BinaryStep("Sub", zero), BinaryStep("Mul", scale))


STANDARD: dict[str, Handler] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
