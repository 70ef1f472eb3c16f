"""The file of constants: the Graph's integers come back, and no constant of any operation is left out of it."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from intaglio.ir import Graph, Type
from intaglio.ir.encodings import Dense
from intaglio.ir.errors import DataError
from intaglio.ir.node import Node
from intaglio.ir.op import Op
from intaglio.ir.ops import OPS, Conv2d, Input, MatMul, MaxPool, SumPool
from intaglio.run import storage
from tests.test_every_op import CASES


def alone(op: Op, inputs: list[Type]) -> Graph:
    """A Graph of an operation and its inputs."""
    nodes = [Node(f"x{i}", Input(of), (), of) for i, of in enumerate(inputs)]
    made = Node("y", op, tuple(range(len(inputs))), op.type(*inputs))
    return Graph((*nodes, made), (len(nodes),))


def changed(value: Any) -> Iterator[Any]:
    """Values that differ from a constant in one number each."""
    if isinstance(value, np.ndarray):
        for place in {0, value.size - 1}:
            other = value.copy()
            other.flat[place] += 1
            yield other
        yield np.concatenate([value, value])
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from ((*value[:place], other, *value[place + 1 :]) for other in changed(item))
        yield (*value, *value)
    elif isinstance(value, Fraction):
        yield from (value + 1, value / 3)
    elif is_dataclass(value):
        for field in fields(value):
            for other in changed(getattr(value, field.name)):
                yield from attempt(lambda other=other, name=field.name: replace(value, **{name: other}))
    else:
        yield from (value + 1, value + 1000)


def attempt(make) -> Iterator[Any]:
    """What can be made."""
    try:
        yield make()
    except ValueError:
        return


def variants(op: Op, field: str) -> list[Op]:
    """The operation with one of its constants changed, in as many ways as it allows."""
    found: list[Op] = []
    for value in changed(getattr(op, field)):
        found += attempt(lambda value=value: replace(op, **{field: value}))
    return [other for other in found if other != op]


@pytest.mark.parametrize("kind", OPS)
def test_every_constant_of_every_operation_changes_the_file(kind):
    """No range and no shape is looked at: what two operations differ in, their files differ in."""
    seen = set()
    for seed in range(12):
        op, inputs = CASES[kind][0](np.random.default_rng(seed))
        graph = alone(op, inputs)
        whole = storage.write(graph)
        for field in fields(op):
            for other in variants(op, field.name):
                node = replace(graph.nodes[-1], op=other)
                assert storage.write(Graph((*graph.nodes[:-1], node), graph.outputs)) != whole, field.name
                seen.add(field.name)
    assert seen == {field.name for field in fields(kind)}


def test_kinds_shapes_and_wires_are_in_the_file():
    """Pools of one geometry, weights of one matrix, and a sum of a and b or of a and a."""
    of = Type((2, 4, 4), (-8, 7))
    pools = [alone(kind((2, 2), (2, 2)), [of]) for kind in (MaxPool, SumPool)]
    weights = [alone(Conv2d(np.ones((1, 2, *kernel))), [of]) for kernel in ((2, 1), (1, 2))]
    inputs = [Node(name, Input(of), (), of) for name in "ab"]
    pool = alone(MaxPool((1, 1), (1, 1)), [of]).nodes[1]
    wired = [Graph((*inputs, replace(pool, inputs=(i,))), (2,)) for i in (0, 1)]
    ends = [Graph(tuple(inputs), (i,)) for i in (0, 1)]
    for a, b in (pools, weights, wired, ends):
        assert storage.write(a) != storage.write(b)
        storage.verify(a, storage.write(a))
        with pytest.raises(DataError, match="does not hold the integers"):
            storage.verify(a, storage.write(b))


def test_scales_of_any_length():
    """A scale as small as float32 has them needs more than 64 bits."""
    graph = alone(MatMul(np.ones((1, 1)), (Fraction(3, 2**149),)), [Type((1,), (0, 1))])
    storage.verify(graph, storage.write(graph))


def test_damaged_files():
    graph = alone(MatMul(np.arange(12).reshape(3, 4)), [Type((4,), (0, 3))])
    data = storage.write(graph)
    for wrong in (data[:-1], data[:3], b"", data + data, data + b"\0", bytes([99]) + data[1:]):
        with pytest.raises(DataError):
            storage.verify(graph, wrong)


def test_a_few_bytes_do_not_hold_millions_of_values():
    """Zeros take no bytes at all: what a header promises is bounded by the size of the file."""
    blob = Dense((1 << 12, 1 << 12), 0, 1, 0, b"").to_bytes()
    part = bytes([0]) + len(blob).to_bytes(4, "little") + blob
    total = 0
    with pytest.raises(DataError, match="damaged"):
        for matrix in storage.read(part * 100):
            total += matrix.size
    assert total <= 1 << 28
    with pytest.raises(DataError, match="a shape of"):
        Dense.from_bytes(Dense((1 << 14, 1 << 14), 0, 1, 0, b"").to_bytes())
