"""Graphs as text: one line per node, large constants at the end in base64, exact both ways.

    intaglio graph 1
    "x" = Input(wire=Type(shape=(4,), range=(0, 255), scale=(1/256,))) : (4,) 0..255 * 1/256
    "fc" = MatMul("x", weight=[[1, -2, 0, 3]], scale=(1/64,)) : (1,) -510..1020 * 1/16384
    return "fc"

What follows " : " repeats the Type that the operation derives; parsing checks it.
"""

import ast
import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, cast

import numpy as np

from intaglio.ir.errors import GraphError, shown
from intaglio.ir.node import Node
from intaglio.ir.op import Op
from intaglio.ir.ops import OPS
from intaglio.ir.types import Array, Type

_MOST_BITS = 1 << 12
"""Bits of an integer; scales that were multiplied through a network have a few hundred."""

HEADER = "intaglio graph 1"
_INLINE = 16
"""Arrays of up to so many elements are printed as lists."""
_SHOWN = 4
_COLUMNS = 96
_NODE = re.compile(r'"([^"]+)" = (.+) : (.+)')
_RETURN = re.compile(r'return "[^"]+"(, "[^"]+")*')
_CONSTANT = re.compile(r"constant (\w+) (int\d+) \(([\d, ]+)\)(?: .*)?")


@dataclass(frozen=True)
class TextLine:
    """One node as written: inputs by name."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    type: str


def dump(nodes: Sequence[Node], outputs: Iterable[int]) -> str:
    """The text of a Graph."""
    constants: dict[str, Array] = {}
    lines = [HEADER]
    for node in nodes:
        inputs = [f'"{nodes[i].name}"' for i in node.inputs]
        terms = inputs + [f"{name}={_value(value, constants)}" for name, value in node.op.values().items()]
        lines.append(f'"{node.name}" = {node.op.__class__.__name__}({", ".join(terms)}) : {show(node.type)}')
    lines.append("return " + ", ".join(f'"{nodes[i].name}"' for i in outputs))
    for name, array in constants.items():
        lines += ["", *_blob(name, array)]
    return "\n".join(lines) + "\n"


def show(type: Type) -> str:
    """A Type for people: shape range * scale; of many scales only the first."""
    scales = [str(scale) for scale in type.scale[:_SHOWN]]
    more = [f"... {len(type.scale)}"] if len(type.scale) > _SHOWN else []
    scale = scales[0] if len(type.scale) == 1 else f"({', '.join(scales + more)})"
    return f"{type.shape} {type.range[0]}..{type.range[1]} * {scale}"


def _value(value: Any, constants: dict[str, Array]) -> str:
    if isinstance(value, np.ndarray):
        return _array(cast(Array, value), constants)
    if isinstance(value, tuple):
        items: list[str] = [_value(item, constants) for item in value]  # pyright: ignore
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, Type):
        terms = (f"{f.name}={_value(getattr(value, f.name), constants)}" for f in fields(value))
        return f"Type({', '.join(terms)})"
    return str(value)


def _array(array: Array, constants: dict[str, Array]) -> str:
    if array.size <= _INLINE:
        return str(array.tolist())
    name = "c" + hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()[:16]
    constants[name] = array
    return name


def _blob(name: str, array: Array) -> list[str]:
    """A constant: little-endian two's complement of the narrowest of 8, 16, 32, 64 bits, in base64."""
    low, high = int(array.min()), int(array.max())
    dtype = next(d for d in ("int8", "int16", "int32", "int64") if _fits(low, high, d))
    zeros = 100 * int((array == 0).sum()) // array.size
    data = base64.b64encode(array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode()
    head = f"constant {name} {dtype} ({', '.join(map(str, array.shape))}) # {low}..{high}, {zeros} % zeros"
    return [head, *(data[start : start + _COLUMNS] for start in range(0, len(data), _COLUMNS))]


def _fits(low: int, high: int, dtype: str) -> bool:
    limits = np.iinfo(dtype)
    return int(limits.min) <= low and high <= int(limits.max)


def parse(text: str) -> tuple[list[TextLine], tuple[str, ...]]:
    """Nodes and output names of a text; GraphError, naming the line, when it is not a Graph."""
    body, *blobs = text.split("\n\n")
    first, *lines = body.strip("\n").split("\n")
    if first != HEADER:
        raise GraphError(f"the text starts with {first!r}, not {HEADER!r}: it is not a Graph of this version")
    if not lines or not lines[-1].startswith("return "):
        raise GraphError("the text has no final line 'return ...': it is cut off")
    constants = dict(_constant(blob) for blob in blobs)
    if _RETURN.fullmatch(lines[-1]) is None:
        raise GraphError(f"not a list of outputs: {shown(lines[-1])}")
    outputs = tuple(re.findall(r'"([^"]+)"', lines[-1]))
    return [_line(line, constants) for line in lines[:-1]], outputs


def _constant(blob: str) -> tuple[str, Array]:
    head, *data = blob.strip("\n").split("\n")
    match = _CONSTANT.fullmatch(head)
    if match is None:
        raise GraphError(f"not a constant: {head[:80]!r}")
    name, dtype, sizes = match.groups()
    try:
        shape = tuple(int(size) for size in sizes.split(",") if size.strip())
        flat = np.frombuffer(
            base64.b64decode("".join(data), validate=True), np.dtype(dtype).newbyteorder("<")
        )
        return name, flat.astype(np.int64).reshape(shape)
    except (ValueError, TypeError) as error:
        raise GraphError(f"constant {name} is damaged: {error}") from error


def _line(line: str, constants: dict[str, Array]) -> TextLine:
    match = _NODE.fullmatch(line)
    if match is None:
        raise GraphError(f"not a node: {line[:80]!r}")
    name, expression, declared = match.groups()
    try:
        call = ast.parse(expression, mode="eval").body
        return TextLine(name, *_call(call, constants), declared)
    except (SyntaxError, TypeError, ValueError, ArithmeticError, KeyError, RecursionError, MemoryError) as error:
        raise GraphError(f"{name}: cannot read {expression[:80]!r}: {error}") from error


def _call(call: ast.expr, constants: dict[str, Array]) -> tuple[Op, tuple[str, ...]]:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise TypeError("not an operation")
    known = {op.__name__: op for op in OPS}
    if call.func.id not in known:
        raise TypeError(f"unknown operation {call.func.id}; known are {', '.join(known)}")
    inputs = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if len(inputs) != len(call.args):
        raise TypeError("inputs are names in quotes")
    return known[call.func.id](**_words(call.keywords, constants)), tuple(inputs)


def _words(words: list[ast.keyword], constants: dict[str, Array]) -> dict[str, Any]:
    """Constants by name, each once; only a scale may be a fraction."""
    values = {word.arg or "": _read(word.value, constants) for word in words}
    if len(values) != len(words):
        raise TypeError("a constant stands twice")
    broken = [name for name, value in values.items() if name != "scale" and _has_fraction(value)]
    if broken:
        raise TypeError(f"{broken[0]} is not an integer")
    return values


def _has_fraction(value: Any) -> bool:
    return any(map(_has_fraction, value)) if isinstance(value, tuple) else isinstance(value, Fraction)  # pyright: ignore


def _read(node: ast.expr, constants: dict[str, Array]) -> Any:
    """A value: integer, fraction, tuple, list (an array), constant name or Type."""
    match node:
        case ast.Constant(value=int(value)):
            if value.bit_length() > _MOST_BITS:
                raise TypeError(f"an integer of {value.bit_length()} bits, more than {_MOST_BITS}")
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_read(operand, constants)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return Fraction(_read(left, constants), _read(right, constants))
        case ast.Tuple(elts=items):
            return tuple(_read(item, constants) for item in items)
        case ast.List():
            return np.array(ast.literal_eval(node))
        case ast.Name(id=name):
            return constants[name]
        case ast.Call(func=ast.Name(id="Type"), keywords=words):
            return Type(**_words(words, constants))
        case _:
            raise TypeError(f"cannot read {node.__class__.__name__}")
