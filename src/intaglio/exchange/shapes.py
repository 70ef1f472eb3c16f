"""Nodes that move values or compute shapes: constants are folded, tensors keep their order."""

import math
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from onnx import TensorProto, helper

from intaglio.exchange.elementwise import Handler, Inputs
from intaglio.exchange.file import FileNode
from intaglio.exchange.scope import MOST_ENTRIES, ReadScope
from intaglio.exchange.stairs import table
from intaglio.exchange.steps import Round
from intaglio.exchange.values import FLOAT, INDEX, Constant, Live, ReadBorder, ReadWire, Value, grid
from intaglio.ir.errors import GraphError, RangeError, ShapeError
from intaglio.ir.ops import Concat
from intaglio.ir.types import Array


def _full(scope: ReadScope, x: Live) -> tuple[int, ...]:
    """The file's shape, with the batch axis."""
    return (scope.state.batch, *x.shape)


def _moved(scope: ReadScope, x: Live, shape: Sequence[int]) -> Value:
    """A tensor under another full shape."""
    if not shape or shape[0] != scope.state.batch:
        raise ShapeError(f"shape {tuple(shape)} does not begin with the batch axis of {scope.state.batch}")
    if prod(shape) != prod(_full(scope, x)):
        raise ShapeError(f"cannot reshape {_full(scope, x)} to {tuple(shape)}: the sizes differ")
    return scope.reshaped(x, tuple(shape[1:]))


def _constant(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    kinds = {"value": None, "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
             "value_ints": np.int64}  # fmt: skip
    for name, kind in kinds.items():
        if name in node.attributes:
            return Constant(np.asarray(node.attributes[name], kind))
    raise scope.fail(f"attributes {sorted(node.attributes)}: only numbers are read")


def _constant_of_shape(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    shape = _numbers(scope, inputs[0], "shape")
    return Constant(np.full(shape, np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)[0]))


def _numbers(scope: ReadScope, value: Value | None, what: str) -> list[int]:
    return [int(item) for item in scope.constant(value, what).value.reshape(-1)]


def _identity(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = inputs[0]
    if len(inputs) > 2 and inputs[2] is not None and scope.constant(inputs[2], "training_mode").value.any():
        raise scope.fail("is in training mode: export the network in evaluation mode")
    return x if isinstance(x, Constant) else scope.live(x)


def _shape(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    (x,) = inputs
    shape = x.value.shape if isinstance(x, Constant) else _full(scope, scope.live(x))
    return Constant(np.array(shape[node.get("start", 0) : node.get("end")], np.int64))


def _cast(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    (x,) = inputs
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(int(node.get("to", TensorProto.FLOAT))))
    if isinstance(x, Constant):
        return Constant(x.value.astype(kind))
    x = scope.live(x)
    if kind == x.dtype or kind == FLOAT:
        return x.typed(kind)
    if kind.kind != "i" or kind.itemsize < 4 or x.dtype != FLOAT:
        raise scope.fail(f"casts {x.dtype} to {kind}: only float32, int32 and int64 are supported")
    return x.then(Round("DOWN")).typed(kind)


def _gather(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """Elements of a constant; by integers of the network, a look-up."""
    data, index = scope.constant(inputs[0], "data"), inputs[1]
    axis = int(node.get("axis", 0))
    if isinstance(index, Constant):
        chosen = index.value.astype(np.int64)
        return data.map(lambda array: np.take(array, chosen, axis))
    x = scope.wire(index)
    if data.value.ndim != 1 or data.value.dtype != FLOAT or x.dtype not in (INDEX, np.int32):
        raise scope.fail("looks up rows; only single float32 values by an integer tensor are supported")
    return _look_up(scope, x, data.value)


def _look_up(scope: ReadScope, x: ReadWire, data: Array) -> ReadWire:
    places = scope.values(x).astype(np.int64)
    low, high = int(places.min()), int(places.max())
    if low < -len(data) or high >= len(data):
        raise RangeError(f"looks up places {low}..{high} of {len(data)}: extend the table or clip before it")
    values = data[places]
    step = grid(values)
    if step is None or values.size > MOST_ENTRIES:
        raise scope.fail(f"its {values.size} values lie on no common grid, or are more than {MOST_ENTRIES}")
    whole = (values.astype(np.float64) / float(step)).astype(np.float32)
    return ReadWire(x.shape, node=scope.add(table(whole, scope.type(x).range[0], (step,)), x.node))


def _concat(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    axis = int(node.get("axis", 0))
    if all(isinstance(x, Constant) for x in inputs):
        return Constant(np.concatenate([x.value for x in inputs if isinstance(x, Constant)], axis))
    wires = [scope.wire(x) for x in inputs]
    if axis % (len(wires[0].shape) + 1) != 1 or not wires[0].shape:
        raise scope.fail(f"joins along axis {axis}: only channels (axis 1) are supported")
    parts = [scope.integers(x) if x.steps else x for x in wires]
    joined = scope.add(Concat((1,) * len(parts)), *(part.node for part in parts))
    return replace(parts[0], shape=(sum(part.shape[0] for part in parts), *parts[0].shape[1:]), node=joined)


def _axes(scope: ReadScope, node: FileNode, inputs: Inputs) -> list[int] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return _numbers(scope, inputs[1], "axes")
    return [int(axis) for axis in node.attributes["axes"]] if "axes" in node.attributes else None


def _unsqueeze(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, axes = inputs[0], tuple(_axes(scope, node, inputs) or ())
    if isinstance(x, Constant):
        return x.map(lambda array: np.expand_dims(array, axes))
    x = scope.live(x)
    return _moved(scope, x, np.expand_dims(np.broadcast_to(np.False_, _full(scope, x)), axes).shape)


def _squeeze(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, axes = inputs[0], _axes(scope, node, inputs)
    chosen = None if axes is None else tuple(axes)
    if isinstance(x, Constant):
        return x.map(lambda array: np.squeeze(array, chosen))
    x = scope.live(x)
    return _moved(scope, x, np.squeeze(np.broadcast_to(np.False_, _full(scope, x)), chosen).shape)


def _reshape(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, wanted = inputs[0], _numbers(scope, inputs[1], "shape")
    before = x.value.shape if isinstance(x, Constant) else _full(scope, scope.live(x))
    shape = [
        before[axis] if size == 0 and not node.get("allowzero", 0) and axis < len(before) else size
        for axis, size in enumerate(wanted)
    ]
    if shape.count(-1) == 1:
        shape[shape.index(-1)] = prod(before) // max(-prod(shape), 1)
    if isinstance(x, Constant):
        return x.map(lambda array: array.reshape(shape))
    return _moved(scope, scope.live(x), shape)


def _flatten(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, axis = inputs[0], int(node.get("axis", 1))
    before = x.value.shape if isinstance(x, Constant) else _full(scope, scope.live(x))
    axis = axis % len(before) if axis < 0 else axis
    shape = (prod(before[:axis]), prod(before[axis:]))
    if isinstance(x, Constant):
        return x.map(lambda array: array.reshape(shape))
    return _moved(scope, scope.live(x), shape)


def _transpose(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    (x,) = inputs
    if isinstance(x, Constant):
        return x.map(lambda array: np.transpose(array, node.get("perm")))
    x = scope.live(x)
    before = (scope.state.batch, *x.shape)
    seen = x.order or tuple(range(len(before)))
    perm = [int(axis) for axis in node.get("perm", range(len(before))[::-1])]
    if sorted(perm) != list(range(len(before))):
        raise GraphError(f"perm {perm} does not name each of {len(before)} axes once")
    order = tuple(seen[axis] for axis in perm)
    kept = [axis for axis in order if before[axis] > 1]
    if order[0] != 0 or kept != sorted(kept):
        return replace(x, order=order)
    return _moved(scope, replace(x, order=()), [before[axis] for axis in order])


def _slice(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x = scope.constant(inputs[0], "input")
    names = ("starts", "ends", "axes", "steps")
    given = [
        _numbers(scope, inputs[place + 1], name) if len(inputs) > place + 1 else node.get(name)
        for place, name in enumerate(names)
    ]
    starts, ends = given[0] or [], given[1] or []
    axes, strides = given[2] or list(range(len(starts))), given[3] or [1] * len(starts)
    cut = [slice(None)] * x.value.ndim
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=True):
        cut[axis] = slice(start, end, stride)
    return x.map(lambda array: array[tuple(cut)])


def _pad(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """Kept beside the tensor, for a convolution behind it takes any border."""
    x = scope.wire(inputs[0])
    pads = [int(p) for p in node.get("pads", [])] if len(inputs) < 2 else _numbers(scope, inputs[1], "pads")
    value = float(node.get("value", 0.0))
    if len(inputs) > 2 and inputs[2] is not None:
        value = float(scope.constant(inputs[2], "value").value.reshape(-1)[0])
    axes = len(x.shape) + 1
    if len(inputs) > 3 and inputs[3] is not None:
        pads = _all_axes(pads, _numbers(scope, inputs[3], "axes"), axes)
    if node.text("mode", "constant") != "constant" or math.isnan(value):
        raise scope.fail("only constant padding by a number is supported")
    if len(pads) != 2 * axes or min(pads) < 0 or any(pads[:2] + pads[axes : axes + 2]) or len(x.shape) not in (2, 3):
        raise scope.fail(f"pads {pads} of shape {_full(scope, x)}: only borders of images and signals are supported")
    before, after = pads[2:axes], pads[axes + 2 :]
    shape = (x.shape[0], *(size + a + b for size, a, b in zip(x.shape[1:], before, after, strict=True)))
    (top, left), (bottom, right) = ((*side, 0)[:2] for side in (before, after))
    return replace(x, shape=shape, border=ReadBorder((top, left, bottom, right), value))


def _all_axes(pads: list[int], chosen: list[int], axes: int) -> list[int]:
    """Pads of some axes, beginnings and then ends, as pads of all."""
    places = [axis + axes if axis < 0 else axis for axis in chosen]
    if len(pads) != 2 * len(places) or len(set(places)) != len(places) or not set(places) <= set(range(axes)):
        raise GraphError(f"{len(pads)} pads for axes {chosen} of {axes}: give two for each, and each axis once")
    whole = [0] * (2 * axes)
    for place, before, after in zip(places, pads, pads[len(places) :], strict=False):
        whole[place], whole[axes + place] = before, after
    return whole


def _square_root(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    return Constant(np.sqrt(scope.constant(inputs[0], "input").value))


STANDARD: dict[str, Handler] = {
    "Constant": _constant, "ConstantOfShape": _constant_of_shape, "Identity": _identity, "Dropout": _identity,
    "Shape": _shape, "Cast": _cast, "Gather": _gather, "Concat": _concat, "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze, "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Slice": _slice,
    "Pad": _pad, "Sqrt": _square_root,
}  # fmt: skip
