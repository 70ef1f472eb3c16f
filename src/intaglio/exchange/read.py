"""read_qonnx: an ONNX file with quantisers as a Graph of integers and the float32 steps that remain behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from intaglio.exchange import elementwise, integer_formats, pools, products, shapes
from intaglio.exchange.absorb import absorb_offsets, absorb_signs
from intaglio.exchange.elementwise import Handler, folded_size
from intaglio.exchange.file import QONNX, STANDARD, UNDEFINED, FileNode, OnnxFile, Port, check_shape, read_file
from intaglio.exchange.opsets import check, versions
from intaglio.exchange.outputs import ordered, settled
from intaglio.exchange.scope import FLOOR, PER_BYTE, Encoder, ReadScope, ReadState, named
from intaglio.exchange.steps import NOTHING, FloatStep
from intaglio.exchange.values import FLOAT, Constant, ReadWire, Real, Value, canonical, evaluate
from intaglio.ir.errors import GraphError, IntaglioError, ShapeError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.ir.ops import Input
from intaglio.ir.passes import optimise
from intaglio.ir.types import Array, Type

_STANDARD: dict[str, Handler] = (
    elementwise.STANDARD | shapes.STANDARD | products.STANDARD | pools.STANDARD | integer_formats.STANDARD
)
_QONNX: dict[str, Handler] = elementwise.QUANTISERS | pools.QUANTISED

_TAKES_BORDERS = ("Conv", "MaxPool", "GlobalMaxPool", "Relu", "Clip", "Neg", "Identity", "Dropout")
"""Operators that take a tensor and its border apart."""

_POINTWISE = (
    "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Identity", "Dropout",
    "Quant", "IntQuant", "BipolarQuant", "Trunc", "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip
"""Operators that treat every value alike, where their parameters are single numbers."""

_KINDS = {"FLOAT": None, "UINT8": (0, 255), "INT8": (-128, 127)}
"""Element types of inputs, and the range of those that are integers."""


@dataclass(frozen=True)
class Tail:
    """What the file does with the integers of one output: steps(float32(integer * scale)), in the file's shape.

    Wherever it is exact, biases and scales behind the last sum are in the Graph, and there are no steps but a common
    scale. Steps are left where float32 rounds before the last of them, as a norm with arbitrary constants does.

    shape: without the batch axis.  dtype: of the file's output.
    """

    name: str
    wire: Type
    steps: tuple[FloatStep, ...]
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]" = FLOAT

    @property
    def ordered(self) -> bool:
        """Whether the integers alone are in the order of the outputs: the same in all channels, and never falling.

        If not, the class is that of the largest output, not of the largest integer.
        """
        return ordered(self.wire, NOTHING.then(*self.steps))

    def __call__(self, integers: npt.ArrayLike) -> Array:
        """The file's output (batch, *shape) for the Graph's output (batch, *wire.shape)."""
        whole = np.asarray(integers)
        values = evaluate(self.wire, self.steps, whole, len(self.wire.shape))
        return values.reshape(len(whole), *self.shape).astype(self.dtype)


@dataclass(frozen=True)
class Imported:
    """A file's network: `graph` on integers, and how the file's inputs and outputs are got from them.

    inputs: one Encoder per input of the Graph, in its order.  tails: one per output; see `Tail` for what the Graph
    may lack behind the last sum, biases and scales per channel among it.
    rounded: nodes of the file whose float32 sums may round, so that the Graph may differ from the file behind them.
    """

    graph: Graph
    inputs: tuple[Encoder, ...]
    tails: tuple[Tail, ...]
    rounded: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether Graph and file agree on every input, by proof."""
        return not self.rounded

    def encode(self, *values: npt.ArrayLike) -> list[Array]:
        """The Graph's inputs for the file's."""
        if len(values) != len(self.inputs):
            raise ShapeError(f"{len(values)} arrays for {len(self.inputs)} inputs ({[e.name for e in self.inputs]})")
        return [encoder(np.asarray(value)) for encoder, value in zip(self.inputs, values, strict=True)]

    def __call__(self, *integers: npt.ArrayLike) -> list[Array]:
        """The file's outputs for the Graph's inputs."""
        return [tail(wire) for tail, wire in zip(self.tails, self.graph(*integers), strict=True)]


def read_qonnx(path: Path | str, input_type: Type | Mapping[str, Type] | None = None, exact: bool = True) -> Imported:
    """Read a QONNX (or QCDQ) file as integers.

    Between two integer tensors the file computes in float32, element by element. Ranges are proved, so the staircase
    that these steps are is found by running them, rounding accidents included; the Graph equals the file as
    onnxruntime without optimisations and qonnx run it. Sums are exact where their integers, in units of their
    mantissas, stay below 2**24.

    input_type: what the inputs carry, by name if there are several: the file gets the float32 nearest to integer *
    scale. Without one, an input must be quantised before anything else but element-wise steps, and the Graph
    begins with the integers of that quantiser.
    exact: refuse sums that may round in float32; else they are taken as exact, and `Imported.rounded` names them.

    Raises DataError, GraphError, RangeError, ShapeError or UnsupportedLayer, naming the node of the file.
    """
    file = read_file(path)
    state = ReadState(versions(file.opsets), exact, left=FLOOR + PER_BYTE * file.size)
    values: dict[str, Value | None] = {name: Constant(value) for name, value in file.constants.items()}
    values |= _inputs(file, state, input_type)
    for node in file.nodes:
        scope, place = ReadScope(state, node.name, node.op), node.outputs[-1 if node.op == "TopK" else 0]
        try:
            results = _read_node(scope, node, [values.get(name) if name else None for name in node.inputs])
            shape = results.value.shape if isinstance(results, Constant) else results.full(state.batch)
            check_shape(repr(place), file.shapes.get(place), shape)
        except IntaglioError as error:
            raise named(scope, error) from error
        values |= dict.fromkeys(node.outputs) | {place: results}
    return _finished(file, state, values)


def _inputs(file: OnnxFile, state: ReadState, given: Type | Mapping[str, Type] | None) -> dict[str, Value | None]:
    types = given if isinstance(given, Mapping) else {} if given is None else {port.name: given for port in file.inputs}
    unknown = set(types) - {port.name for port in file.inputs} - set(file.unused)
    if unknown:
        raise GraphError(f"input_type names {sorted(unknown)}, the file has {[port.name for port in file.inputs]}")
    found: dict[str, Value | None] = {}
    for number, port in enumerate(file.inputs):
        shape = _fixed(port)
        batch = (port.shape or (None,))[0] or 1
        if number and batch != state.batch:
            raise ShapeError(f"input {port.name!r} has batch {batch}, the first one {state.batch}: they must be equal")
        state.batch = batch
        found[port.name] = _input(state, port, shape, types.get(port.name))
    return found


def _fixed(port: Port) -> tuple[int, ...]:
    """The shape of an input without its batch axis."""
    if port.kind not in _KINDS:
        raise UnsupportedLayer(f"input {port.name!r} is of type {port.kind}: only {', '.join(_KINDS)} are supported")
    if not port.shape or None in port.shape[1:]:
        raise ShapeError(f"input {port.name!r} has shape {port.shape}: fix every axis but the batch before export")
    return tuple(size for size in port.shape[1:] if size is not None)


def _input(state: ReadState, port: Port, shape: tuple[int, ...], given: Type | None) -> Value:
    span = _KINDS[port.kind]
    if given is None and span is None:
        return Real(shape, name=port.name, file_shape=shape)
    wire = given or Type(canonical(shape), span or (0, 0))
    if wire.shape != canonical(shape):
        raise ShapeError(f"input_type has shape {wire.shape}, input {port.name!r} of the file {canonical(shape)}")
    if span is not None and wire.scale != (1,):
        raise ShapeError(f"input {port.name!r} holds integers of type {port.kind}: its scale is 1")
    state.encoders.append(Encoder(port.name, wire, shape, whole=span is not None))
    node = state.builder.add(state.unique(port.name), Input(wire))
    return ReadWire(shape, dtype=FLOAT if span is None else np.dtype(port.kind.lower()), node=node)


def _read_node(scope: ReadScope, node: FileNode, inputs: Sequence[Value | None]) -> Value:
    tables = {**dict.fromkeys(STANDARD, _STANDARD), **dict.fromkeys(QONNX, _QONNX)}
    handler = tables.get(node.domain, {}).get(node.op)
    if handler is None:
        known = ", ".join(sorted({**_STANDARD, **_QONNX}))
        domain = f" of domain {node.domain!r}" if node.domain else ""
        raise scope.fail(f"operator{domain} is not supported; there are {known}")
    for name, value in zip(node.inputs, inputs, strict=True):
        if name and value is None:
            raise scope.fail(f"reads {name!r}, a second output that is not supported")
    check(node, scope.state.opsets)
    constants = [value.value for value in inputs if isinstance(value, Constant)]
    if any(value.dtype.kind in "OSU" for value in constants):
        raise scope.fail("computes with text: only numbers are supported")
    try:
        scope.state.spend(folded_size(node, constants))
        if node.op not in _TAKES_BORDERS:
            inputs = [scope.unbordered(value) if isinstance(value, ReadWire) else value for value in inputs]
        order = _order(scope, node, inputs)
        result = handler(scope, node, list(inputs))
    except (ArithmeticError, AssertionError, LookupError, MemoryError, TypeError, ValueError) as error:
        if isinstance(error, IntaglioError):
            raise
        raise GraphError(f"inputs or attributes are malformed ({error})") from error
    return replace(result, order=order) if order and not isinstance(result, Constant) else result


def _order(scope: ReadScope, node: FileNode, inputs: Sequence[Value | None]) -> tuple[int, ...]:
    """In which order the result stands; an operator on single values does not mind."""
    orders = {value.order for value in inputs if isinstance(value, ReadWire | Real)}
    if orders <= {()} or node.op == "Transpose":
        return ()
    alike = all(value.value.size == 1 for value in inputs if isinstance(value, Constant))
    if len(orders) > 1 or node.op not in _POINTWISE or not alike:
        raise scope.fail("reads a transposed tensor: only a Transpose back may follow; use channels first")
    return orders.pop()


def _finished(file: OnnxFile, state: ReadState, values: Mapping[str, Value | None]) -> Imported:
    wires: list[ReadWire] = []
    for port in file.outputs:
        value = values[port.name]
        if not isinstance(value, ReadWire):
            raise GraphError(f"output {port.name!r} is not computed from quantised inputs: nothing is left to carve")
        scope = ReadScope(state, port.name, "output")
        if value.order:
            raise scope.fail("is transposed: end with channels first")
        _check_kind(port, value)
        wires.append(settled(scope, scope.unbordered(value), file.whole))
    graph = optimise(absorb_offsets(absorb_signs(state.builder.graph(wire.node for wire in wires))))
    tails = tuple(
        Tail(port.name, of, tuple(wire.steps), wire.shape, wire.dtype)
        for port, wire, of in zip(file.outputs, wires, graph.output_types, strict=True)
    )
    return Imported(graph, tuple(state.encoders), tails, tuple(dict.fromkeys(state.rounded)))


def _check_kind(port: Port, value: ReadWire) -> None:
    found = TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(value.dtype))
    if port.kind not in (UNDEFINED, found):
        raise GraphError(f"output {port.name!r} is declared as {port.kind}, but is {found}: declare it so, or cast it")
