"""write_qonnx: a Graph as a QONNX file. Every tensor is float32 and carries the Graph's integers, never rounded."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from intaglio.exchange.file import PRODUCER, QONNX
from intaglio.exchange.scope import MOST_ENTRIES
from intaglio.exchange.values import EXACT
from intaglio.ir.errors import RangeError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.ir.node import Node
from intaglio.ir.op import Op
from intaglio.ir.ops import (
    Add,
    Align,
    ArgMax,
    Concat,
    Conv2d,
    Input,
    Lookup,
    MatMul,
    MaxPool,
    Pad,
    Requantize,
    Reshape,
    SumPool,
    Threshold,
)
from intaglio.ir.passes.requantize_to_threshold import to_threshold
from intaglio.ir.types import Array, Type, width
from intaglio.ir.window import Pair

OPSET, IR_VERSION = 13, 7
"""Old enough for every tool that reads QONNX."""

MOST_LEVELS = 1 << 10
"""Up to so many levels, a Requantize that multiplies beyond 24 bits is written as comparisons."""


def write_qonnx(graph: Graph, path: Path | str, batch: int | None = 1) -> None:
    """Write a Graph as a QONNX file, whole or not at all.

    Inputs and outputs are the Graph's integers as float32, with a batch axis (None: of any size) before their
    shapes. Weights and activations go through Quant nodes that tell their widths; Threshold becomes MultiThreshold.

    Raises RangeError where float32 would round an integer (magnitudes of 2**24 and more), UnsupportedLayer for an
    operation that QONNX cannot express; both name the node, and nothing is written.
    """
    path = Path(path)
    data = to_model(graph, batch).SerializeToString()
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def to_model(graph: Graph, batch: int | None = 1) -> onnx.ModelProto:
    """The model that `write_qonnx` writes."""
    writer = Writer(batch)
    inputs: list[onnx.ValueInfoProto] = []
    for node in graph.nodes:
        types = [graph.nodes[wire].type for wire in node.inputs]
        node = _narrow(node, types)
        if isinstance(node.op, Input):
            inputs.append(writer.port(node.name, node.type))
        writer.wires.append(writer.write(node, types))
    outputs = [writer.port(writer.output(position), graph.nodes[position].type) for position in graph.outputs]
    whole = helper.make_graph(writer.nodes, "intaglio", inputs, outputs, list(writer.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(QONNX[0], 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)


def _narrow(node: Node, types: list[Type]) -> Node:
    """The node, if float32 holds all its integers; a Requantize that multiplies too far as comparisons."""
    op: Op | None = node.op
    if op.magnitude(*types) >= EXACT and isinstance(op, Requantize):
        op = to_threshold(op, types[0], MOST_LEVELS)
    if op is None or op.magnitude(*types) >= EXACT:
        raise RangeError(
            f"{node.name}: integers up to {node.op.magnitude(*types)} do not fit the 24 bits of float32: use fewer "
            "bits for weights or activations, or requantise earlier"
        )
    return replace(node, op=op)


class Writer:
    """ONNX nodes and constants so far; `wires[i]` is the tensor of the Graph's node i."""

    def __init__(self, batch: int | None) -> None:
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.wires: list[str] = []
        self._outputs: set[str] = set()
        self.node_name = ""

    def write(self, node: Node, types: Sequence[Type]) -> str:
        """Add the nodes of one operation; the tensor of its result."""
        self.node_name, before = node.name, len(self.nodes)
        result = express(node.op, self, [self.wires[wire] for wire in node.inputs], types, node.type)
        if len(self.nodes) > before and not isinstance(node.op, Input):
            self.nodes[-1].output[0] = result = node.name
        return result

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output."""
        name = f"{self.node_name}/{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, values: npt.ArrayLike, kind: str = "<f4") -> str:
        """An initialiser; equal ones are stored once."""
        array: Array = np.asarray(values, order="C").astype(kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"constant_{len(self.constants)}")
        return self.constants[key].name

    def per_channel(self, values: Array, axes: int) -> str:
        """Constants along axis 1 of a tensor with so many axes behind the batch."""
        return self.constant(values if len(values) == 1 else values.reshape(1, -1, *[1] * (axes - 1)))

    def quantised(self, x: str, span: Pair) -> str:
        """A Quant of scale 1 that holds the span; a sign alone has no place in fewer than 2 bits."""
        bits = self.constant(np.float32(max(width(*span), 2)))
        one, zero = self.constant(np.float32(1)), self.constant(np.float32(0))
        return self.add(
            "Quant", x, one, zero, bits, domain=QONNX[0], signed=int(span[0] < 0), narrow=0, rounding_mode="FLOOR"
        )

    def clipped(self, x: str, span: Pair) -> str:
        """A Clip to a span that is not all that its bits can hold."""
        bits = max(width(*span), 2)
        if span in ((0, 2**bits - 1), (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)):
            return x
        return self.add("Clip", x, *(self.constant(np.float32(end)) for end in span))

    def weights(self, whole: Array) -> str:
        """Integer weights behind the quantiser that tells their width."""
        values = self.constant(whole)
        if (np.abs(whole) == 1).all():
            return self.add("BipolarQuant", values, self.constant(np.float32(1)), domain=QONNX[0])
        return self.quantised(values, (int(whole.min()), int(whole.max())))

    def port(self, name: str, of: Type) -> onnx.ValueInfoProto:
        """An input or output of the file."""
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [self.batch or "batch", *of.shape])

    def output(self, position: int) -> str:
        """A tensor of its own for an output of the file."""
        name = self.wires[position]
        if name in self._outputs or not any(name in node.output for node in self.nodes):
            self.node_name = name
            name = self.add("Identity", name)
        self._outputs.add(name)
        return name


@singledispatch
def express(op: Op, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    """Add ONNX nodes for an operation and give its last tensor.

    Raises UnsupportedLayer when QONNX has no nodes for it.
    """
    raise unsupported(writer, op, "QONNX has no nodes for it")


def unsupported(writer: Writer, op: Op, problem: str) -> UnsupportedLayer:
    """The error that names the node being written."""
    return UnsupportedLayer(f"{writer.node_name} ({op.__class__.__name__}): {problem}")


@express.register
def _input(op: Input, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return writer.quantised(writer.clipped(writer.node_name, result.range), result.range)


@express.register
def _matmul(op: MatMul, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return writer.add("MatMul", inputs[0], writer.weights(op.weight.T))


@express.register
def _conv2d(op: Conv2d, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    x, padding = inputs[0], op.padding
    if op.pad_value and any(padding):
        x, padding = _bordered(writer, x, padding, op.pad_value), (0, 0)
    window: dict[str, Any] = {"strides": op.stride, "dilations": op.dilation, "pads": padding * 2, "group": op.groups}
    return writer.add("Conv", x, writer.weights(op.weight), kernel_shape=op.weight.shape[2:], **window)


def _bordered(writer: Writer, x: str, padding: Pair, value: int) -> str:
    pads = writer.constant([0, 0, *padding] * 2, "<i8")
    return writer.add("Pad", x, pads, writer.constant(np.float32(value)), mode="constant")


@express.register
def _pad(op: Pad, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return _bordered(writer, inputs[0], op.padding, op.value)


@express.register
def _add(op: Add, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return writer.add("Add", *_multiplied(writer, inputs, op.multipliers))


@express.register
def _concat(op: Concat, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return writer.add("Concat", *_multiplied(writer, inputs, op.multipliers), axis=1)


def _multiplied(writer: Writer, inputs: Sequence[str], multipliers: Sequence[int]) -> list[str]:
    return [
        x if m == 1 else writer.add("Mul", x, writer.constant(np.float32(m)))
        for x, m in zip(inputs, multipliers, strict=True)
    ]


@express.register
def _requantize(op: Requantize, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    """Mul, Add, Mul by 2**-shift, Clip, and a Quant that rounds down; what would change nothing is left out."""
    (x,), (of,) = inputs, types
    axes = len(of.shape)
    if (op.multiplier != 1).any():
        x = writer.add("Mul", x, writer.per_channel(op.multiplier, axes))
    if op.offset.any():
        x = writer.add("Add", x, writer.per_channel(op.offset, axes))
    if op.shift:
        x = writer.add("Mul", x, writer.constant(np.float32(2.0**-op.shift)))
    low, high = result.range
    binds = any(least < low or most > high for least, most in op.unclipped(of.range))
    if not op.shift and not binds:
        return writer.add("Identity", x)
    return writer.quantised(writer.clipped(x, (low, high)) if binds else x, (low, high))


@express.register
def _threshold(op: Threshold, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    (of,) = types
    limits = writer.constant(np.clip(op.thresholds, of.range[0], of.range[1] + 1))
    attributes: dict[str, Any] = {"out_dtype": _datatype(result.range), "out_scale": 1.0, "out_bias": float(op.base)}
    layout = "NC" if len(of.shape) == 1 else "NCHW"
    return writer.add("MultiThreshold", inputs[0], limits, domain=QONNX[0], data_layout=layout, **attributes)


def _datatype(span: Pair) -> str:
    """The name that QONNX has for integers of that span."""
    return f"{'INT' if span[0] < 0 else 'UINT'}{max(width(*span), 2)}"


@express.register
def _lookup(op: Lookup, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    """Gather from the rows of the table, one after the other; the Clip says what a reader may not prove again."""
    (of,) = types
    count, entries = op.table.shape
    if op.table.size >= EXACT:
        raise unsupported(writer, op, f"a table of {op.table.size} entries cannot be indexed in float32")
    first = np.array([row * entries - op.low for row in range(count)])
    x = writer.add("Clip", inputs[0], *(writer.constant(np.float32(end)) for end in of.range))
    x = writer.add("Add", x, writer.per_channel(first, len(of.shape)))
    index = writer.add("Cast", x, to=TensorProto.INT64)
    return writer.add("Gather", writer.constant(op.table.reshape(-1)), index, axis=0)


@express.register
def _align(op: Align, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    """Alone in its block, a value decides its exponent itself: a table."""
    low, high = types[0].range
    if op.block > 1:
        raise unsupported(writer, op, f"QONNX has no exponents that {op.block} channels share: use blocks of 1")
    if high - low >= MOST_ENTRIES:
        raise unsupported(writer, op, f"a table of {low}..{high} is too large: requantise to 16 bits before it")
    table = op.execute(np.arange(low, high + 1)[:, None]).T
    return express(Lookup(table, low, result.scale), writer, inputs, types, result)


@express.register
def _max_pool(op: MaxPool, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    if any(pad >= size for pad, size in zip(op.padding, op.kernel, strict=True)):
        raise unsupported(writer, op, f"padding {op.padding} is not smaller than the kernel {op.kernel}")
    window: dict[str, Any] = {"strides": op.stride, "dilations": op.dilation, "pads": op.padding * 2}
    return writer.add("MaxPool", inputs[0], kernel_shape=op.kernel, **window)


@express.register
def _sum_pool(op: SumPool, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    """A convolution of every channel with ones: an AveragePool would round."""
    channels = types[0].shape[0]
    ones = writer.quantised(writer.constant(np.ones((channels, 1, *op.kernel))), (0, 1))
    window: dict[str, Any] = {"strides": op.stride, "pads": op.padding * 2, "group": channels}
    return writer.add("Conv", inputs[0], ones, kernel_shape=op.kernel, **window)


@express.register
def _reshape(op: Reshape, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    return writer.add("Reshape", inputs[0], writer.constant([0, *op.shape], "<i8"))


@express.register
def _argmax(op: ArgMax, writer: Writer, inputs: Sequence[str], types: Sequence[Type], result: Type) -> str:
    flat = inputs[0] if len(types[0].shape) == 1 else writer.add("Flatten", inputs[0], axis=1)
    return writer.add("Cast", writer.add("ArgMax", flat, axis=1, keepdims=1), to=TensorProto.FLOAT)
