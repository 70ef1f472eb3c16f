"""Every operation against slow Python integers on random instances; a new op adds one case."""

import copy
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from intaglio.ir import Builder, Graph, Op, Type
from intaglio.ir.execute import exact_dtype, fastest_dtype
from intaglio.ir.ops import (
    OPS,
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
)  # fmt: skip

Rng = np.random.Generator
Case = tuple[Op, list[Type]]
BATCH = 3


def interval(rng: Rng, largest: int = 127) -> tuple[int, int]:
    low, high = sorted(int(v) for v in rng.integers(-largest, largest + 1, 2))
    return [(low, high), (0, abs(high)), (low, low + 1)][rng.integers(3)]


def weights(rng: Rng, *shape: int) -> np.ndarray:
    size = [1, 7, 127, 30000][rng.integers(4)]
    return rng.integers(-size, size + 1, shape) * (rng.random(shape) < rng.random() + 0.2)


def scales(rng: Rng, count: int) -> tuple[Fraction, ...]:
    many = count if rng.random() < 0.5 else 1
    return tuple(Fraction(int(m), 64) for m in rng.integers(1, 9, many))


def sizes(rng: Rng, count: int, low: int, high: int) -> list[int]:
    return [int(v) for v in rng.integers(low, high + 1, count)]


def image(rng: Rng, channels: int | None = None) -> Type:
    c, h, w = sizes(rng, 3, 1, 6)
    if rng.random() < 0.2:
        w = 1
    return Type((channels or c, h, w), interval(rng))


# --- one case and one reference for every operation -------------------------------------------------


def input_case(rng: Rng) -> Case:
    return Input(image(rng)), []


def matmul_case(rng: Rng) -> Case:
    o, i = sizes(rng, 2, 1, 9)
    return MatMul(weights(rng, o, i), scales(rng, o)), [Type((i,), interval(rng), (Fraction(1, 8),))]


def matmul(op: MatMul, x: np.ndarray) -> Any:
    return [sum(int(w) * v for w, v in zip(row, x, strict=True)) for row in op.weight]


def conv2d_case(rng: Rng) -> Case:
    while True:
        groups, each, outputs, kh, kw = sizes(rng, 5, 1, 3)
        padding = tuple(sizes(rng, 2, 0, 2)) if rng.random() < 0.7 else (0, 0)
        x = image(rng, groups * each)
        op = Conv2d(
            weights(rng, groups * outputs, each, kh, kw),
            scales(rng, groups * outputs),
            tuple(sizes(rng, 2, 1, 3)),
            padding,
            tuple(sizes(rng, 2, 1, 2)),
            groups,
            int(rng.integers(-200, 200)) if rng.random() < 0.5 else 0,
        )
        if all(s + 2 * p >= e for s, p, e in zip(x.shape[1:], padding, op.window.extent, strict=True)):
            return op, [x]


def taps(op: Any, x: np.ndarray, v: int, u: int) -> list[tuple[int, int, int, int]]:
    """(j, i, row, column) of every tap of one window, outside positions included."""
    (kh, kw), (dh, dw) = op.window.kernel, op.window.dilation
    rows = [(j, v * op.stride[0] + j * dh - op.padding[0]) for j in range(kh)]
    columns = [(i, u * op.stride[1] + i * dw - op.padding[1]) for i in range(kw)]
    return [(j, i, row, column) for j, row in rows for i, column in columns]


def inside(x: np.ndarray, row: int, column: int) -> bool:
    return 0 <= row < x.shape[1] and 0 <= column < x.shape[2]


def outputs(op: Any, x: np.ndarray) -> tuple[int, int]:
    spans = [(k - 1) * d for k, d in zip(op.window.kernel, op.window.dilation, strict=True)]
    rows = list(range(-op.padding[0], x.shape[1] + op.padding[0] - spans[0], op.stride[0]))
    columns = list(range(-op.padding[1], x.shape[2] + op.padding[1] - spans[1], op.stride[1]))
    return len(rows), len(columns)


def conv2d(op: Conv2d, x: np.ndarray) -> Any:
    height, width = outputs(op, x)
    result = np.zeros((len(op.weight), height, width), dtype=object)
    members, per_group = op.weight.shape[1], len(op.weight) // op.groups
    for o, v, u in np.ndindex(*result.shape):
        for j, i, row, column in taps(op, x, v, u):
            for c in range(members):
                channel = o // per_group * members + c
                value = x[channel, row, column] if inside(x, row, column) else op.pad_value
                result[o, v, u] += int(op.weight[o, c, j, i]) * value
    return result


def add_case(rng: Rng) -> Case:
    m0, m1 = sizes(rng, 2, 1, 9)
    shape = tuple(sizes(rng, int(rng.integers(1, 4)), 1, 4))
    grids = (Fraction(m0, 8),), (Fraction(m1, 8),)
    return Add((m0, m1)), [Type(shape, interval(rng), grid) for grid in grids]


def add(op: Add, a: np.ndarray, b: np.ndarray) -> Any:
    return a * op.multipliers[0] + b * op.multipliers[1]


def requantize_case(rng: Rng) -> Case:
    x = Type(
        tuple(sizes(rng, int(rng.integers(1, 4)), 1, 4)), interval(rng, [9, 900, 90000][rng.integers(3)])
    )
    counts = [x.shape[0] if rng.random() < 0.5 else 1 for _ in range(2)]
    multiplier = rng.integers(-200, 200, counts[0]) if rng.random() < 0.8 else np.ones(1, dtype=int)
    low, high = sorted(int(v) for v in rng.integers(-300, 300, 2))
    shift = int(rng.integers(0, 14))
    offset = rng.integers(-5000, 5000, counts[1])
    return Requantize(multiplier, offset, shift, low, high, scales(rng, x.shape[0])), [x]


def requantize(op: Requantize, x: np.ndarray) -> Any:
    def one(c: int, v: int) -> int:
        total = v * int(op.multiplier[c % len(op.multiplier)]) + int(op.offset[c % len(op.offset)])
        return min(max(total // 2**op.shift, op.low), op.high)

    return per_channel(one, x)


def per_channel(one: Callable[[int, int], int], x: np.ndarray) -> np.ndarray:
    result = np.empty(x.shape, dtype=object)
    for index in np.ndindex(*x.shape):
        result[index] = one(index[0], x[index])
    return result


def threshold_case(rng: Rng) -> Case:
    x = Type(tuple(sizes(rng, int(rng.integers(1, 4)), 1, 4)), interval(rng))
    rows = x.shape[0] if rng.random() < 0.5 else 1
    steps = np.sort(rng.integers(-150, 150, (rows, int(rng.integers(1, 12)))), axis=1)
    return Threshold(steps, int(rng.integers(-9, 9)), scales(rng, x.shape[0])), [x]


def threshold(op: Threshold, x: np.ndarray) -> Any:
    def one(c: int, v: int) -> int:
        return op.base + sum(v >= int(t) for t in op.thresholds[c % len(op.thresholds)])

    return per_channel(one, x)


def lookup_case(rng: Rng) -> Case:
    x = Type(tuple(sizes(rng, int(rng.integers(1, 4)), 1, 4)), interval(rng, 20))
    rows = x.shape[0] if rng.random() < 0.5 else 1
    before, after = sizes(rng, 2, 0, 3)
    table = rng.integers(-99, 99, (rows, x.range[1] - x.range[0] + 1 + before + after))
    return Lookup(table, x.range[0] - before, scales(rng, x.shape[0])), [x]


def lookup(op: Lookup, x: np.ndarray) -> Any:
    return per_channel(lambda c, v: int(op.table[c % len(op.table)][v - op.low]), x)


def max_pool_case(rng: Rng) -> Case:
    while True:
        x = image(rng)
        kernel, stride, dilation = (tuple(sizes(rng, 2, 1, 3)) for _ in range(3))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        try:
            (op := MaxPool(kernel, stride, padding, dilation)).type(x)
        except ValueError:
            continue
        return op, [x]


def max_pool(op: MaxPool, x: np.ndarray) -> Any:
    height, width = outputs(op, x)
    return [
        [[max(x[c, r, s] for _, _, r, s in taps(op, x, v, u) if inside(x, r, s)) for u in range(width)]
         for v in range(height)] for c in range(len(x))
    ]  # fmt: skip


def sum_pool_case(rng: Rng) -> Case:
    while True:
        x = image(rng)
        op = SumPool(*(tuple(sizes(rng, 2, 1, 3)) for _ in range(2)), tuple(sizes(rng, 2, 0, 1)))
        if all(s + 2 * p >= k for s, p, k in zip(x.shape[1:], op.padding, op.kernel, strict=True)):
            return op, [x]


def sum_pool(op: SumPool, x: np.ndarray) -> Any:
    height, width = outputs(op, x)
    return [
        [[sum(x[c, r, s] for _, _, r, s in taps(op, x, v, u) if inside(x, r, s)) for u in range(width)]
         for v in range(height)] for c in range(len(x))
    ]  # fmt: skip


def align_case(rng: Rng) -> Case:
    block, count, height, width = sizes(rng, 4, 1, 4)
    shape = [(block * count,), (block * count, height, width)][rng.integers(2)]
    return Align(block, int(rng.integers(1, 9))), [Type(shape, interval(rng, [9, 900, 90000][rng.integers(3)]))]


def align(op: Align, x: np.ndarray) -> Any:
    result = np.empty(x.shape, dtype=object)
    for index in np.ndindex(*x.shape):
        start = index[0] - index[0] % op.block
        members = [x[(c, *index[1:])] for c in range(start, start + op.block)]
        size = max((v if v >= 0 else ~v).bit_length() for v in members)
        exponent = max(0, size - op.mantissa)
        rounded = (x[index] + 2**exponent // 2) // 2**exponent
        result[index] = min(rounded, 2**op.mantissa - 1) * 2**exponent
    return result


def pad_case(rng: Rng) -> Case:
    return Pad(tuple(sizes(rng, 2, 0, 3)), int(rng.integers(-200, 200))), [image(rng)]


def pad(op: Pad, x: np.ndarray) -> Any:
    (rows, columns), (channels, height, width) = op.padding, x.shape
    result = np.full((channels, height + 2 * rows, width + 2 * columns), op.value, dtype=object)
    for c, row, column in np.ndindex(*x.shape):
        result[c, row + rows, column + columns] = x[c, row, column]
    return result


def concat_case(rng: Rng) -> Case:
    multipliers = sizes(rng, int(rng.integers(1, 4)), 1, 5)
    rest = tuple(sizes(rng, int(rng.integers(0, 3)), 1, 4))
    types = [Type((int(rng.integers(1, 4)), *rest), interval(rng), (Fraction(m, 4),)) for m in multipliers]
    return Concat(tuple(multipliers)), types


def concat(op: Concat, *inputs: np.ndarray) -> Any:
    return np.concatenate([x * m for m, x in zip(op.multipliers, inputs, strict=True)])


def reshape_case(rng: Rng) -> Case:
    x = image(rng)
    return Reshape([(x.size,), (x.size, 1, 1), x.shape[::-1]][rng.integers(3)]), [x]


def argmax_case(rng: Rng) -> Case:
    return ArgMax(), [Type(tuple(sizes(rng, int(rng.integers(1, 3)), 1, 4)), interval(rng, 3))]


def argmax(op: ArgMax, x: np.ndarray) -> Any:
    flat = list(x.ravel())
    return [flat.index(max(flat))]


CASES: dict[type[Op], tuple[Callable[[Rng], Case], Callable[..., Any]]] = {
    Input: (input_case, lambda op, x: x),
    MatMul: (matmul_case, matmul),
    Conv2d: (conv2d_case, conv2d),
    Add: (add_case, add),
    Requantize: (requantize_case, requantize),
    Threshold: (threshold_case, threshold),
    Lookup: (lookup_case, lookup),
    Align: (align_case, align),
    MaxPool: (max_pool_case, max_pool),
    SumPool: (sum_pool_case, sum_pool),
    Pad: (pad_case, pad),
    Concat: (concat_case, concat),
    Reshape: (reshape_case, lambda op, x: x.reshape(op.shape)),
    ArgMax: (argmax_case, argmax),
}
LINEAR = (MatMul, Conv2d, Add, SumPool)


def test_every_op_has_a_case() -> None:
    assert set(CASES) == set(OPS)


# --- what every operation must satisfy --------------------------------------------------------------


def cases(kind: type[Op], count: int = 80) -> list[tuple[Rng, Op, list[Type]]]:
    result = []
    for seed in range(count):
        rng = np.random.default_rng([seed, OPS.index(kind)])
        op, types = CASES[kind][0](rng)
        result.append((rng, op, types if types else [op.type()]))
    return result


def samples(rng: Rng, types: list[Type], batch: int = BATCH) -> list[np.ndarray]:
    return [rng.integers(t.range[0], t.range[1] + 1, (batch, *t.shape)) for t in types]


def reference(op: Op, arrays: list[np.ndarray]) -> np.ndarray:
    slow = CASES[type(op)][1]
    objects = [[np.array(a.tolist(), dtype=object) for a in sample] for sample in zip(*arrays, strict=True)]
    results = [slow(op, *(o.reshape(a.shape[1:]) for o, a in zip(s, arrays, strict=True))) for s in objects]
    return np.array([np.array(r, dtype=object) for r in results]).astype(np.int64)


def type_of(op: Op, types: list[Type]) -> Type:
    return op.type() if isinstance(op, Input) else op.type(*types)


def alone(op: Op, types: list[Type]) -> Graph:
    builder = Builder()
    if isinstance(op, Input):
        return builder.graph([builder.add("x", op)])
    wires = [builder.add(f"x{i}", Input(t)) for i, t in enumerate(types)]
    return builder.graph([builder.add("y", op, *wires)])


def batch_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)


every_op = pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)


@every_op
def test_execute_equals_the_reference(kind: type[Op]) -> None:
    """In every exact dtype, for both memory orders, without touching the inputs, and as a Graph."""
    for rng, op, types in cases(kind):
        arrays = samples(rng, types)
        expected = reference(op, arrays)
        narrow = exact_dtype(op.magnitude(*types))
        for dtype in {narrow, fastest_dtype(op, op.magnitude(*types)), np.dtype(np.float64), np.dtype(np.int64)}:
            for order in (np.ascontiguousarray, batch_last):
                given = [order(a.astype(dtype)) for a in arrays]
                kept = [a.copy() for a in given]
                found = op.execute(*given)
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, expected, err_msg=f"{op} {types} {dtype}")
                for before, after in zip(kept, given, strict=True):
                    np.testing.assert_array_equal(before, after)
        assert expected.shape[1:] == type_of(op, types).shape
        np.testing.assert_array_equal(alone(op, types)(*arrays)[0], expected)


@every_op
def test_range_is_proved_and_attained(kind: type[Op]) -> None:
    """No input leaves the proved range or exceeds the magnitude; some input reaches both of its ends."""
    for rng, op, types in cases(kind, 60):
        arrays = adversaries(rng, op, types)
        found = op.execute(*arrays)
        low, high = type_of(op, types).range
        assert low <= found.min() and found.max() <= high, (op, types)
        assert np.abs(found).max() <= op.magnitude(*types)
        if tight(op):
            assert (found.min(), found.max()) == (low, high), (op, types)


def tight(op: Op) -> bool:
    """With padding the range assumes a window without padding; the ends of an Align need the right company."""
    return not isinstance(op, Align) and (not isinstance(op, Conv2d | SumPool) or op.padding == (0, 0))


def adversaries(rng: Rng, op: Op, types: list[Type]) -> list[np.ndarray]:
    """Random inputs, the two constant ones, and what reaches the ends of sums, tables and comparisons."""
    ends = [[np.full((1, *t.shape), t.range[k]) for t in types] for k in (0, 1)]
    rows = [samples(rng, types, 50), *ends]
    if isinstance(op, LINEAR):
        rows += steepest(op, types)
    if isinstance(op, Lookup):
        rows += [[np.full((1, *types[0].shape), v)] for v in range(types[0].range[0], types[0].range[1] + 1)]
    if isinstance(op, ArgMax) and types[0].range[0] < types[0].range[1]:
        spikes = np.eye(types[0].size, dtype=np.int64).reshape(-1, *types[0].shape)
        rows += [[spikes + types[0].range[0]]]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def steepest(op: Op, types: list[Type]) -> list[list[np.ndarray]]:
    """For a linear op, the inputs that make every output largest and smallest, from its response to units."""
    sizes_ = [t.size for t in types]
    units = np.eye(sum(sizes_), dtype=np.int64)
    zero = np.zeros((1, sum(sizes_)), dtype=np.int64)

    def split(flat: np.ndarray) -> list[np.ndarray]:
        parts = np.split(flat, np.cumsum(sizes_)[:-1], axis=1)
        return [part.reshape(len(flat), *t.shape) for part, t in zip(parts, types, strict=True)]

    slopes = (op.execute(*split(units)) - op.execute(*split(zero))).reshape(sum(sizes_), -1).T
    low, high = (np.concatenate([np.full(t.size, t.range[k]) for t in types]) for k in (0, 1))
    return [split(np.where(slopes > 0, a, b)) for a, b in ((low, high), (high, low))]


@every_op
def test_text_round_trip(kind: type[Op]) -> None:
    for _, op, types in cases(kind):
        graph = alone(op, types)
        again = Graph.parse(graph.text())
        assert again == graph
        assert again.text() == graph.text()


@every_op
def test_equal_by_content_and_immutable(kind: type[Op]) -> None:
    """A copy is equal with an equal hash; constants cannot be written; two random instances differ."""
    (_, op, _), (_, other, _) = cases(kind, 2)
    for same in (copy.deepcopy(op), pickle.loads(pickle.dumps(op))):
        assert same == op and hash(same) == hash(op)
        arrays = [v for v in same.values().values() if isinstance(v, np.ndarray)]
        assert not any(a.flags.writeable for a in arrays)
    assert op != other or kind in (ArgMax,)


@every_op
def test_work_counts_are_not_negative(kind: type[Op]) -> None:
    for _, op, types in cases(kind, 10):
        work = op.work(*types)
        assert min(vars(work).values()) >= 0
        assert all(isinstance(v, int) for v in vars(work).values())
