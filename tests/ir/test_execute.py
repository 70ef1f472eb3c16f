"""Execution at the limits of every dtype, against Python integers: sums over channel ranges, flat rows, shifts."""

from fractions import Fraction

import numpy as np
import pytest

from intaglio.ir import Builder, Graph, Op, Type, execute
from intaglio.ir.errors import DataError
from intaglio.ir.ops import Conv2d, Input, MatMul, Requantize
from intaglio.ir.ops.products import channel_parts

Rng = np.random.Generator


def alone(op: Op, kind: Type) -> Graph:
    builder = Builder()
    return builder.graph([builder.add("y", op, builder.add("x", Input(kind)))])


def convolved(op: Conv2d, x: np.ndarray) -> np.ndarray:
    """The definition, in Python integers, vectorised over the batch: x (N, C, H, W)."""
    (down, across), (rows, columns) = op.stride, op.padding
    edges = ((0, 0), (0, 0), (rows, rows), (columns, columns))
    padded = np.pad(x.astype(object), edges, constant_values=op.pad_value)
    height, width = op.window.output(Type(x.shape[1:], (0, 1)))
    members, each = op.weight.shape[1], len(op.weight) // op.groups
    result = np.zeros((len(x), len(op.weight), height, width), dtype=object)
    for o, c, j, i in np.ndindex(*op.weight.shape):
        top, left = j * op.dilation[0], i * op.dilation[1]
        seen = padded[:, o // each * members + c, top::down, left::across][:, :height, :width]
        result[:, o] += int(op.weight[o, c, j, i]) * seen
    return result


def extremes(rng: Rng, kind: Type, batch: int) -> np.ndarray:
    """Ends of the range, at random, and images of one end each."""
    low, high = kind.range
    x = rng.choice([low, high, high - 1], (batch, *kind.shape))
    x[0], x[-1] = low, high
    return x


def at(magnitude: int, op: Op, kind: Type) -> Type:
    """The Type whose bound makes the operation's magnitude the largest that is at most this."""
    unit = op.magnitude(Type(kind.shape, (-1, 1)))
    return Type(kind.shape, (-(magnitude // unit), magnitude // unit))


LIMITS = [2**24 - 1, 2**24 + 2**13, 2**27, 2**53 - 1, 2**53 + 2**20]
CONVOLUTIONS = [
    ((8, 70, 3, 3), {"padding": (1, 1), "pad_value": 1}),
    ((8, 70, 3, 3), {"stride": (2, 3), "dilation": (2, 1)}),
    ((4, 128, 1, 1), {"stride": (2, 2)}),
    ((40, 3, 2, 3), {"padding": (0, 2)}),
    ((6, 1, 3, 3), {"groups": 6, "padding": (1, 1), "pad_value": -1}),
    ((6, 1, 3, 2), {"groups": 3, "stride": (2, 1), "dilation": (1, 2), "padding": (2, 1)}),
    ((6, 1, 3, 3), {"groups": 6, "stride": (3, 2), "padding": (1, 1)}),
    ((6, 2, 3, 3), {"groups": 3, "padding": (1, 0)}),
    ((5, 64, 4, 1), {"padding": (3, 0)}),
]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("shape", "settings"), CONVOLUTIONS)
@pytest.mark.parametrize("batch", [1, 2, 19])
def test_convolutions_at_the_limits(shape: tuple[int, ...], settings: dict, limit: int, batch: int) -> None:
    """Every form, dtype and batch; weights of one sign as well, so that sums reach their bound."""
    rng = np.random.default_rng(batch)
    weight = rng.integers(-127, 128, shape)
    weight[0] = 127
    op = Conv2d(weight, **settings)
    kind = at(limit, op, Type((shape[1] * op.groups, 7, 6), (0, 1)))
    x = extremes(rng, kind, batch)
    np.testing.assert_array_equal(alone(op, kind)(x)[0], convolved(op, x).astype(np.int64))


@pytest.mark.parametrize("limit", LIMITS)
def test_matrix_products_at_the_limits(limit: int) -> None:
    rng = np.random.default_rng(3)
    weight = rng.integers(-127, 128, (5, 400))
    weight[0], weight[1] = 127, -127
    op = MatMul(weight)
    kind = at(limit, op, Type((400,), (0, 1)))
    x = extremes(rng, kind, 9)
    expected = x.astype(object) @ weight.T.astype(object)
    np.testing.assert_array_equal(alone(op, kind)(x)[0], expected.astype(np.int64))


def test_ranges_of_channels_stay_below_the_limit() -> None:
    """Every range is exact in float32 by the proved bound, they cover all channels, and none where that is no gain."""
    rng = np.random.default_rng(5)
    weight = rng.integers(-127, 128, (6, 90, 3, 3))
    parts = channel_parts(weight, 255, 2**21)
    assert [c for part in parts for c in range(90)[part]] == list(range(90)) and len(parts) > 2
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert 255 * np.abs(weight[:, part]).sum(axis=(1, 2, 3)).max() < 2**21
        if after is not None:
            more = slice(part.start, after.start + 1)
            assert 255 * np.abs(weight[:, more]).sum(axis=(1, 2, 3)).max() >= 2**21
    assert channel_parts(weight, 2**14) == []
    assert channel_parts(weight[:, :, :1, :1], 2**17) == []
    assert channel_parts(np.zeros((2, 200), dtype=np.int64), 2**24) == []


def steps(graph: Graph) -> list[execute.ProgramStep]:
    return graph._plan.steps


def test_dtypes_of_a_step_and_of_its_wire() -> None:
    """A wide sum is taken in parts; a shift in int32 gives a float32 wire; from 2**31 on it runs in float64."""
    x = Type((300,), (0, 255))
    wide = alone(MatMul(np.full((2, 300), 400)), x)
    (step,) = steps(wide)
    assert (step.dtype, step.wire, len(step.parts)) == (np.float64, np.float64, 2)
    for bits, dtype in ((9, np.float32), (20, np.int32), (23, np.int32), (24, np.float64)):
        op = Requantize(np.array([2**bits - 1]), np.array([1]), bits, 0, 255)
        (step,) = steps(alone(op, x))
        assert (step.dtype, step.wire, step.parts) == (dtype, np.float32, [])


@pytest.mark.parametrize("bits", [23, 24, 30, 31, 52, 53, 60])
@pytest.mark.parametrize("bounds", [(0, 255), (-(2**62) + 1, 2**62 - 1), (-3, 2**40), (5, 5)])
def test_requantize_at_the_limits(bits: int, bounds: tuple[int, int]) -> None:
    """Multipliers and offsets so that x * m + o stays just below and just reaches 2**bits, of either sign."""
    x = Type((4, 3, 1), (-1021, 1021))
    m = 2**bits // 1021 - 1
    for extra in (0, 2 * 1021):
        offsets = [0, 2**bits - 1 - m * 1021 + extra, -(2**bits) + 1 + m * 1021, -1]
        op = Requantize(np.array([m, m, -m, 1]), np.array(offsets), 7, *bounds)
        values = np.random.default_rng(bits).choice([-1021, 1021, 1020, 0, 1, -1], (40, 4, 3, 1))
        exact = [(values[:, c].astype(object) * p + o) >> 7 for c, (p, o) in enumerate(op.pairs())]
        expected = np.clip(np.stack(exact, axis=1), *bounds).astype(np.int64)
        np.testing.assert_array_equal(alone(op, x)(values)[0], expected)


def test_a_wide_wire_with_several_readers() -> None:
    """What one reader takes in float32, in parts, another takes in int32 and a third whole."""
    b = Builder()
    x = b.add("x", Input(Type((256,), (-2047, 2047), (Fraction(1, 8),))))
    w = np.random.default_rng(0).integers(-127, 128, (256, 256))
    y = b.add("y", MatMul(w), x)
    z = b.add("z", Requantize(np.array([5]), np.array([1]), 9, -2047, 2047), y)
    graph = b.graph([y, z, b.add("t", MatMul(w), z)])
    values = extremes(np.random.default_rng(1), graph.input_types[0], 33)
    first = values.astype(object) @ w.T.astype(object)
    second = np.clip((first * 5 + 1) >> 9, -2047, 2047)
    expected = (first, second, second @ w.T.astype(object))
    for found, right in zip(graph(values), expected, strict=True):
        np.testing.assert_array_equal(found, right.astype(np.int64))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.5])
def test_floats_that_are_no_integers_are_named(bad: float) -> None:
    graph = alone(MatMul(np.ones((1, 2))), Type((2,), (-4, 4)))
    with pytest.raises(DataError, match=f"input x holds {bad}, not an integer"):
        graph([[1.0, bad]])
