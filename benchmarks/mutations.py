"""Seeded damage to files: bytes, text, plain data and ONNX models that are nearly what they were."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

Random = np.random.Generator

NUMBERS = (
    "0", "-1", "1", "2", "255", "65536", "1000000000", "-1000000000", "4294967296", "18446744073709551616", "9" * 40,
    "9" * 5000, "0.5", "1e9", "1e400", "-0.0", "nan", ".nan", ".inf", "NaN", "Infinity", "1/0", "1/3", "0x" + "f" * 400,
    "1_000", "1:59:59", "true", "null", "~", "2024-13-45",
)  # fmt: skip
PIECES = (
    "&a ", "*a ", "<<: *a\n", "[" * 300, "{" * 300, "(" * 300, "]", "}", ")", "\n", "\n\n", "\t", "\0", "\ufeff",
    "\u2028", "ü", '"', "'", "\\", ": ", " : ", ", ", "- ", "#",
    "!!python/object:os.system ", "!!binary ", "../", "/", "?", "|", ">", "%",
)  # fmt: skip
WHOLE = (
    0, -1, 1, 2, 3, 7, 127, 128, 255, 1 << 16, 10**9, -(10**9), (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1,
    -(1 << 63),
)  # fmt: skip
REAL = (
    0.0, -0.0, 1.0, -1.0, 0.1, 1e-45, 1e-30, 1e30, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"), 2.0**24,
)  # fmt: skip


def pick(random: Random, choices: Any) -> Any:
    """One of them."""
    return choices[int(random.integers(len(choices)))]


def span(random: Random, size: int) -> tuple[int, int]:
    """A stretch of something that long; short ones are frequent."""
    start = int(random.integers(size + 1))
    return start, min(size, start + int(2 ** (random.random() * 12)))


def damaged_bytes(random: Random, data: bytes) -> bytes:
    """Bits turned, bytes lost, doubled, moved, or set to all ones."""
    for _ in range(1 + int(random.integers(3))):
        (a, b), (c, d) = span(random, len(data)), span(random, len(data))
        match int(random.integers(7)):
            case 0 if data:
                place = int(random.integers(len(data)))
                data = data[:place] + bytes([data[place] ^ 1 << int(random.integers(8))]) + data[place + 1 :]
            case 1:
                data = data[:a]
            case 2:
                data = data[:a] + data[b:]
            case 3:
                data = data[:a] + data[c:d] + data[a:]
            case 4:
                data = data[:a] + random.bytes(b - a) + data[b:]
            case 5:
                data = data[:a] + b"\xff" * (b - a) + data[b:]
            case _:
                data = data[:a] + bytes(b - a) + data[b:]
    return data


def damaged_text(random: Random, text: str) -> bytes:
    """Numbers replaced, lines lost, doubled and swapped, pieces of syntax put in; at times bytes that are no text."""
    for _ in range(1 + int(random.integers(3))):
        lines = text.split("\n")
        i, j = (int(random.integers(len(lines))) for _ in range(2))
        match int(random.integers(7)):
            case 0 | 1:
                text = _renumbered(random, text)
            case 2:
                lines[i], lines[j] = lines[j], lines[i]
                text = "\n".join(lines)
            case 3:
                text = "\n".join(lines[:i] + lines[i + 1 :])
            case 4:
                text = "\n".join([*lines[:i], lines[j] * pick(random, (1, 1, 50)), *lines[i:]])
            case 5:
                a, b = span(random, len(text))
                text = text[:a] + text[b:]
            case _:
                a, _ = span(random, len(text))
                text = text[:a] + pick(random, PIECES) * pick(random, (1, 1, 1, 100)) + text[a:]
    data = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(random, data) if random.random() < 0.1 else data


def _renumbered(random: Random, text: str) -> str:
    found = list(re.finditer(r"-?\d+(\.\d+)?", text))
    if not found:
        return text
    match = pick(random, found)
    return text[: match.start()] + pick(random, NUMBERS) + text[match.end() :]


def damaged_json(random: Random, text: str) -> bytes:
    """A value of the tree replaced, renamed or nested; at times damaged as text."""
    if random.random() < 0.4:
        return damaged_text(random, text)
    tree = json.loads(text)
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return json.dumps(tree).encode()
        key = pick(random, keys)
        if isinstance(node[key], dict | list) and random.random() < 0.8:
            node = node[key]
            continue
        node[key] = pick(random, (None, True, "", "x", 10**9, 10**400, -1, 0.5, [], {}, [[[]]], node[key], [node[key]]))
        return json.dumps(tree).encode()


def damaged_onnx(random: Random, content: bytes) -> bytes:
    """Nodes, attributes, wires, dimensions and constants of a model changed; at times damaged as bytes."""
    if random.random() < 0.25:
        return damaged_bytes(random, content)
    model = onnx.ModelProto.FromString(content)
    for _ in range(1 + int(random.integers(2))):
        pick(random, _CHANGES)(random, model)
    return model.SerializeToString()


def _nodes(random: Random, model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    i, j = (int(random.integers(len(nodes))) for _ in range(2))
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(nodes[i])
    second.CopyFrom(nodes[j])
    match int(random.integers(5)):
        case 0:
            nodes[i].CopyFrom(second)
            nodes[j].CopyFrom(first)
        case 1:
            nodes.insert(j, first)
        case 2 if len(nodes) > 1:
            del nodes[i]
        case 3:
            nodes[i].op_type = pick(random, (second.op_type, "Transpose", "Neg", "Pad", "Clip", "Gather", "Loop", ""))
        case _:
            nodes[i].domain = pick(random, (second.domain, "", "ai.onnx", "elsewhere"))


def _wires(random: Random, model: onnx.ModelProto) -> None:
    node = pick(random, model.graph.node)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)] + [""]
    wires = pick(random, (node.input, node.output))
    match int(random.integers(3)):
        case 0 if len(wires):
            wires[int(random.integers(len(wires)))] = pick(random, names)
        case 1:
            wires.append(pick(random, names))
        case _:
            del wires[int(random.integers(len(wires) + 1)) :]


def _attributes(random: Random, model: onnx.ModelProto) -> None:
    with_some = [node for node in model.graph.node if node.attribute]
    if not with_some:
        return
    node = pick(random, with_some)
    item = pick(random, node.attribute)
    match int(random.integers(6)):
        case 0 if len(item.ints):
            item.ints[int(random.integers(len(item.ints)))] = pick(random, WHOLE)
        case 1:
            item.i = pick(random, WHOLE)
        case 2:
            item.f = pick(random, REAL)
        case 3:
            item.ints.append(pick(random, WHOLE))
        case 4:
            item.type = int(random.integers(15))
        case _:
            item.name = pick(random, ("axis", "pads", "perm", "signed", "kernel_shape", "value", "to", ""))


def _constants(random: Random, model: onnx.ModelProto) -> None:
    if not model.graph.initializer:
        return
    tensor = pick(random, model.graph.initializer)
    raw = tensor.raw_data
    match int(random.integers(5)):
        case 0 if len(tensor.dims):
            tensor.dims[int(random.integers(len(tensor.dims)))] = pick(random, WHOLE)
        case 1:
            tensor.data_type = int(random.integers(24))
        case 2 if len(raw) >= 4 and tensor.data_type == TensorProto.FLOAT:
            values = np.frombuffer(raw, np.float32).copy()
            values[int(random.integers(values.size))] = pick(random, REAL)
            tensor.raw_data = values.tobytes()
        case 3:
            tensor.dims.append(pick(random, (1, 1, 0, 2, 10**9)))
        case _:
            tensor.raw_data = damaged_bytes(random, raw)


def _ports(random: Random, model: onnx.ModelProto) -> None:
    port = pick(random, [*model.graph.input, *model.graph.output, *model.graph.value_info])
    kind = port.type.tensor_type
    match int(random.integers(4)):
        case 0 if len(kind.shape.dim):
            pick(random, kind.shape.dim).dim_value = pick(random, WHOLE)
        case 1:
            kind.elem_type = pick(random, (*range(24), 99, -1))
        case 2:
            port.name = pick(random, ("", "x", "y", "t0"))
        case _:
            kind.shape.dim.add(dim_value=pick(random, WHOLE))


def _opsets(random: Random, model: onnx.ModelProto) -> None:
    entry = pick(random, model.opset_import)
    entry.version = pick(random, (*WHOLE, 7, 9, 11, 12, 13, 18, 21))


_CHANGES: tuple[Callable[[Random, onnx.ModelProto], None], ...] = (
    _nodes, _wires, _attributes, _attributes, _constants, _constants, _ports, _opsets,
)  # fmt: skip
