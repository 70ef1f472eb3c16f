"""What an ONNX file holds, read and checked before anything is made of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from intaglio.ir.errors import DataError, GraphError, ShapeError, UnsupportedLayer, shown
from intaglio.ir.types import Array
from intaglio.reading import read_bytes

STANDARD = ("", "ai.onnx")
QONNX = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
"""Domains of the QONNX operators; the last two are older names of the first."""

PRODUCER = "intaglio"
"""The name in files of `write_qonnx`."""

UNDEFINED = "UNDEFINED"
"""The element type of a port that declares none."""

Shape = tuple[int | None, ...]
"""A declared shape; None where the file leaves an axis open."""


@dataclass(frozen=True)
class FileNode:
    """An operator of the file: tensors by name ("" where left out), attributes as Python values or arrays.

    kinds: the types of the attributes, as numbers of AttributeProto.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    kinds: Mapping[str, int] = field(default_factory=dict[str, int])

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default."""
        return self.attributes.get(name, default)

    def text(self, name: str, default: str) -> str:
        """An attribute that is text."""
        value = self.attributes.get(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Port:
    """An input or output of the file. kind: the name of its element type, such as FLOAT."""

    name: str
    kind: str
    shape: Shape | None


@dataclass(frozen=True)
class OnnxFile:
    """The nodes that the outputs need, in an order in which they can run, constants, ports, declared shapes.

    inputs: those that the outputs need.  unused: names of the others.  size: in bytes.
    whole: every tensor holds integers of scale 1, for `write_qonnx` made the file.
    """

    nodes: tuple[FileNode, ...]
    constants: Mapping[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    shapes: Mapping[str, Shape]
    opsets: tuple[onnx.OperatorSetIdProto, ...] = ()
    whole: bool = False
    unused: tuple[str, ...] = ()
    size: int = 0


def read_file(path: Path | str) -> OnnxFile:
    """Read an ONNX file.

    Raises:
        DataError: the file is missing, truncated or no ONNX model, has external data, or a constant is NaN.
        GraphError: a tensor that nothing produces, or two do, or that has no name; nodes in a circle.
        ShapeError: declared shapes that contradict each other or a constant.
    """
    path = Path(path)
    data = read_bytes(path, DataError, "give the path of an ONNX file")
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise DataError(f"{path}: truncated, or not an ONNX file ({error}); fetch or export it again") from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise DataError(f"{path}: holds no graph with nodes and outputs, or names no operators; export it again")
    return _parsed(model, len(data))


def _parsed(model: onnx.ModelProto, size: int) -> OnnxFile:
    graph = model.graph
    if graph.sparse_initializer or model.functions:
        raise UnsupportedLayer("sparse initialisers and local functions are not read: export dense and inlined")
    _check_text(*(tensor.name for tensor in graph.initializer), *(entry.domain for entry in model.opset_import))
    constants = {tensor.name: array(tensor, tensor.name) for tensor in graph.initializer}
    declared = _declared([*graph.input, *graph.value_info, *graph.output])
    for name, value in constants.items():
        check_shape(f"constant {name!r}", declared[name].shape if name in declared else None, value.shape)
    inputs = tuple(declared[value.name] for value in graph.input if value.name not in constants)
    outputs = tuple(declared[value.name] for value in graph.output)
    if len({port.name for port in inputs}) < len(inputs):
        raise GraphError(f"of the inputs {shown([port.name for port in inputs])} two have one name: export it again")
    if "" in {port.name for port in (*inputs, *outputs)}:
        raise GraphError("an input or output of the graph has no name: name it, or export the file again")
    nodes = [_node(node, number) for number, node in enumerate(graph.node)]
    known = {port.name for port in inputs} | set(constants)
    _check_producers(nodes, known)
    needed, read = _needed(nodes, [port.name for port in outputs], known)
    shapes = {name: port.shape for name, port in declared.items() if port.shape is not None}
    unused = tuple(port.name for port in inputs if port.name not in read)
    return OnnxFile(
        _sorted(needed, known), constants, tuple(port for port in inputs if port.name in read), outputs, shapes,
        tuple(model.opset_import), model.producer_name == PRODUCER, unused, size,
    )  # fmt: skip


def _declared(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Port]:
    """What the file says of its tensors, inputs and outputs among them."""
    found: dict[str, Port] = {}
    for port in map(_port, values):
        found[port.name] = _merged(found[port.name], port) if port.name in found else port
    return found


def _merged(a: Port, b: Port) -> Port:
    """Two declarations of one tensor as one; what either leaves open is as the other says."""
    kinds = {a.kind, b.kind} - {UNDEFINED}
    if len(kinds) > 1:
        raise GraphError(f"{a.name!r} is declared twice, as {a.kind} and as {b.kind}: correct one, or infer them again")
    kind = kinds.pop() if kinds else UNDEFINED
    if a.shape is None or b.shape is None:
        return Port(a.name, kind, b.shape if a.shape is None else a.shape)
    if not _agree(a.shape, b.shape):
        raise ShapeError(f"{a.name!r} is declared twice, with shapes {a.shape} and {b.shape}: infer the shapes again")
    shape = tuple(other if size is None else size for size, other in zip(a.shape, b.shape, strict=True))
    return Port(a.name, kind, shape)


def _agree(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(None in pair or pair[0] == pair[1] for pair in zip(a, b, strict=True))


def check_shape(name: str, declared: Shape | None, found: Sequence[int]) -> None:
    """The declared shape of a tensor, where there is one, must be the true one."""
    if declared is not None and not _agree(declared, tuple(found)):
        raise ShapeError(f"{name} is declared with shape {declared}, but is {tuple(found)}: infer the shapes again")


def array(tensor: onnx.TensorProto, name: str) -> Array:
    """A tensor's values; DataError when they lie outside the file, do not fit the shape, or are not numbers."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise DataError(f"constant {name!r} lies in another file: save the model with its data inside")
    if any(size < 0 for size in tensor.dims):
        raise DataError(f"constant {name!r} has shape {tuple(tensor.dims)}: no size is negative; export it again")
    try:
        values = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise DataError(f"constant {name!r} of shape {tuple(tensor.dims)} is damaged ({error})") from error
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(f"constant {name!r} holds a value that is not a number (NaN): train or export it again")
    return values


def _node(node: onnx.NodeProto, number: int) -> FileNode:
    outputs = tuple(node.output)
    _check_text(node.name, node.op_type, node.domain, *node.input, *outputs, *(item.name for item in node.attribute))
    name = node.name or next((output for output in outputs if output), "") or f"{node.op_type}_{number}"
    attributes = {item.name: _attribute(item, name) for item in node.attribute}
    if len(attributes) != len(node.attribute):
        raise GraphError(f"{name} ({node.op_type}): has an attribute twice: export it again")
    kinds = {item.name: int(item.type) for item in node.attribute}
    return FileNode(name, node.op_type, node.domain, tuple(node.input), outputs, attributes, kinds)


def _attribute(item: onnx.AttributeProto, name: str) -> Any:
    if item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise UnsupportedLayer(f"{name}: control flow (attribute {item.name!r}) has no integer form: unroll it")
    if item.type == onnx.AttributeProto.TENSOR:
        return array(item.t, name)
    read = cast(Callable[[onnx.AttributeProto], Any], onnx.helper.get_attribute_value)
    try:
        return read(item)
    except (ValueError, TypeError) as error:
        raise GraphError(f"{name}: attribute {item.name!r} is damaged ({error}): export it again") from error


def _port(value: onnx.ValueInfoProto) -> Port:
    _check_text(value.name)
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)
    try:
        return Port(value.name, onnx.TensorProto.DataType.Name(kind.elem_type), shape)
    except ValueError as error:
        raise DataError(f"{value.name!r} is declared with an unknown type ({error}): export it again") from error


def _check_text(*names: object) -> None:
    """Names are text: what is no UTF-8 comes from protobuf as bytes."""
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise DataError(f"the name {shown(wrong[0])} is not UTF-8: rename it, or export the file again")


def _check_producers(nodes: Iterable[FileNode], known: set[str]) -> None:
    made = dict.fromkeys(known, "the inputs and constants")
    for node in nodes:
        for output in filter(None, node.outputs):
            if output in made:
                raise GraphError(f"{node.name}: makes {output!r}, as {made[output]} does: names must be unique")
            made[output] = node.name


def _needed(nodes: list[FileNode], outputs: list[str], known: set[str]) -> tuple[list[FileNode], set[str]]:
    """The nodes that the outputs depend on, and the names of all that is read."""
    makers = {output: number for number, node in enumerate(nodes) for output in node.outputs}
    found, read = set[int](), set[str]()
    waiting = [(name, "the outputs") for name in outputs]
    while waiting:
        name, reader = waiting.pop()
        if not name or name in read:
            continue
        read.add(name)
        if name in known:
            continue
        if name not in makers:
            raise GraphError(f"{reader} reads {name!r}, which nothing in the file makes")
        number = makers[name]
        if number not in found:
            found.add(number)
            waiting += [(wire, nodes[number].name) for wire in nodes[number].inputs]
    return [nodes[number] for number in sorted(found)], read


def _sorted(nodes: list[FileNode], known: set[str]) -> tuple[FileNode, ...]:
    """Nodes after what they read; in the file's own order where that will do."""
    missing = [set(node.inputs) - known - {""} for node in nodes]
    readers: dict[str, list[int]] = {}
    for number, names in enumerate(missing):
        for name in names:
            readers.setdefault(name, []).append(number)
    ready = [number for number, names in enumerate(missing) if not names]
    result: list[FileNode] = []
    while ready:
        node = nodes[heappop(ready)]
        result.append(node)
        for output in node.outputs:
            for number in readers.pop(output, ()):
                missing[number].discard(output)
                if not missing[number]:
                    heappush(ready, number)
    if len(result) < len(nodes):
        names = ", ".join([node.name for node, names in zip(nodes, missing, strict=True) if names][:4])
        raise GraphError(f"{names}: run in a circle; a network that feeds back must be unrolled")
    return tuple(result)
