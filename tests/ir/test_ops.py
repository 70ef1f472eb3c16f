"""Rules of the operations by hand: scales, ranges with padding, and counted work."""

from fractions import Fraction

import numpy as np
import pytest

from intaglio.ir import Op, Type, Work
from intaglio.ir import op as op_module
from intaglio.ir.encodings import Encoding, cheapest
from intaglio.ir.errors import IntaglioError, RangeError, ShapeError
from intaglio.ir.ops import (
    Add,
    Align,
    ArgMax,
    Concat,
    Conv2d,
    Lookup,
    MatMul,
    MaxPool,
    Pad,
    Requantize,
    Reshape,
    SumPool,
    Threshold,
    products,
)  # fmt: skip
from intaglio.ir.ops.products import RowSums


def F(*values: int) -> tuple[Fraction, ...]:
    """Fractions 1/value."""
    return tuple(Fraction(1, value) for value in values)


IMAGE = Type((2, 3, 3), (1, 10), F(2, 4))
WEIGHT = np.ones((4, 1, 2, 2), dtype=int)


@pytest.mark.parametrize(
    ("op", "inputs", "scale"),
    [
        (MatMul(np.ones((2, 3)), F(8, 16)), [Type((3,), (0, 1), F(2))], F(16, 32)),
        (MatMul(np.ones((2, 3)), F(8, 8)), [Type((3,), (0, 1), F(2, 2, 2))], F(16)),
        (Conv2d(WEIGHT, F(1, 1, 2, 4), groups=2), [IMAGE], F(2, 2, 8, 16)),
        (MaxPool((1, 1), (1, 1)), [IMAGE], F(2, 4)),
        (SumPool((1, 1), (1, 1)), [IMAGE], F(2, 4)),
        (Reshape((6, 3)), [IMAGE], F(2, 2, 2, 4, 4, 4)),
        (Reshape((18,)), [Type((2, 3, 3), (0, 1), F(7))], F(7)),
        (Concat((1, 2)), [IMAGE, Type((1, 3, 3), (0, 1), F(3))], F(2, 4, 6)),
        (Add((1, 2)), [Type((2,), (0, 1), F(6)), Type((2,), (0, 1), F(3))], F(6)),
        (Requantize(np.ones(1), np.ones(1), 0, 0, 9, F(5)), [IMAGE], F(5)),
    ],
)
def test_scales(op: Op, inputs: list[Type], scale: tuple[Fraction, ...]) -> None:
    assert op.type(*inputs).scale == scale


@pytest.mark.parametrize(
    ("op", "inputs", "words"),
    [
        (MatMul(np.ones((2, 2))), [Type((2,), (0, 1), F(2, 4))], "different scales"),
        (Conv2d(np.ones((4, 2, 2, 2))), [IMAGE], "different scales"),
        (Conv2d(np.ones((4, 1, 2, 2))), [IMAGE], "does not fit 2 input channels"),
        (Conv2d(np.ones((4, 2, 4, 4))), [IMAGE], "does not fit into"),
        (Reshape((1, 18)), [IMAGE], "mixes scales"),
        (ArgMax(), [IMAGE], "different scales"),
        (Add(), [Type((2,), (0, 1), F(6)), Type((2,), (0, 1), F(3))], "different grids, 1/6 and 1/3"),
        (Add(), [Type((2,), (0, 1)), Type((3,), (0, 1))], "shapes"),
        (Concat((1, 1)), [Type((2,), (0, 1)), Type((2, 1), (0, 1))], "only axis 0"),
        (Concat((1,)), [Type((2,), (0, 1)), Type((2,), (0, 1))], "1 multipliers for 2"),
        (Lookup(np.ones((1, 3)), 1), [Type((2,), (0, 3))], r"covers 1..3, the input 0..3"),
        (MaxPool((1, 1), (1, 1), (1, 0)), [IMAGE], "padding .* alone"),
        (Pad((1, 1)), [Type((2,), (0, 1))], r"pads images .*got shape \(2,\)"),
        (Align(3, 2), [Type((4,), (0, 9))], "blocks of 3 do not divide 4 channels"),
        (Align(1, 2), [Type((2,), (0, 9), F(2, 4))], "different scales"),
        (Align(1, 2), [Type((2,), (0, 2**32))], "values of 33 bits, at most 32"),
    ],
)
def test_inputs_that_do_not_fit(op: Op, inputs: list[Type], words: str) -> None:
    with pytest.raises(IntaglioError, match=words) as caught:
        op.type(*inputs)
    assert isinstance(caught.value, ShapeError | RangeError)


def test_ranges_include_what_lies_outside_the_image() -> None:
    """Input 1..10, all weights 1, 2 x 2: 4..40 without padding; with it 0 and any pad value count."""
    image = Type((1, 3, 3), (1, 10))
    weight = np.ones((1, 1, 2, 2), dtype=int)
    assert Conv2d(weight, pad_value=99).type(image).range == (4, 40)
    assert Conv2d(weight, padding=(1, 0)).type(image).range == (0, 40)
    assert Conv2d(weight, padding=(0, 1), pad_value=-7).type(image).range == (-28, 40)
    assert Conv2d(weight, padding=(1, 1), pad_value=99).type(image).range == (4, 396)
    assert Conv2d(weight, padding=(1, 1), pad_value=99).magnitude(image) == 396
    assert SumPool((2, 2), (1, 1), (1, 1)).type(image).range == (1, 40)
    assert SumPool((2, 2), (1, 1)).type(image).range == (4, 40)


def test_requantize_range_is_mapped_then_clipped() -> None:
    """Per channel: -2 x and 3 x + 5 over -4..6, shifted by 1."""
    op = Requantize(np.array([-2, 3]), np.array([0, 5]), 1, -100, 100)
    x = Type((2,), (-4, 6))
    assert op.unclipped(x.range) == [(-6, 4), (-4, 11)]
    assert op.type(x).range == (-6, 11)
    assert Requantize(np.array([-2, 3]), np.array([0, 5]), 1, 20, 30).type(x).range == (20, 20)


def test_the_magnitude_of_requantize_counts_multiplier_and_offset_together() -> None:
    """Before the shift: |3| * 6 + |-1000|; an offset alone, and what comes out, can be larger still."""
    x = Type((2,), (-4, 6))
    assert Requantize(np.array([-2, 3]), np.array([0, -1000]), 8, -100, 100).magnitude(x) == 1018
    assert Requantize(np.array([2, 9]), np.array([1000, 0]), 8, -100, 100).magnitude(x) == 1012
    assert Requantize(np.array([1]), np.array([0]), 0, 50, 100).magnitude(x) == 50


def test_work_of_products_depends_on_the_weights() -> None:
    """0 is nothing, +-1 an add, a power of two a shift and an add, else a multiplication and an add."""
    weight = np.array([[0, 1, -1, 2, -8, 3, 0]])
    stored = cheapest(weight).bits()
    x = Type((7,), (0, 255))
    assert MatMul(weight).work(x) == Work(multiplies=1, adds=5, shifts=2, weight_bits=stored)
    assert MatMul(weight).work(Type((7,), (0, 1))).xnors == 2
    kernel = weight.reshape(1, 1, 1, 7)
    found = Conv2d(kernel).work(Type((1, 4, 8), (0, 255)))
    assert found == Work(multiplies=8, adds=40, shifts=16, weight_bits=stored)


def test_work_of_the_others() -> None:
    x = Type((2, 4, 4), (0, 15))
    assert SumPool((2, 2), (2, 2)).work(x) == MaxPool((2, 2), (2, 2)).work(x) == Work(adds=24)
    assert Add((1, 3)).work(x, x) == Work(multiplies=32, adds=32)
    assert Requantize(np.array([3, 4]), np.array([5, 0]), 0, 0, 9).work(x) == Work(
        multiplies=16, shifts=16, adds=16, weight_bits=2 * 3 + 2 * 3
    )
    assert Threshold(np.array([[1, 2, 3]])).work(x) == Work(adds=96, weight_bits=6)
    assert Lookup(np.arange(16)[None]).work(x) == Work(lookups=32, weight_bits=64)
    assert ArgMax().work(x) == Work(adds=31)
    assert Work(1, 2, 3, 4, 5, 6) + Work(weight_bits=1) == Work(1, 2, 3, 4, 5, 7)


@pytest.mark.parametrize("largest", [5, 2**40, 2**61])
@pytest.mark.parametrize("block", [1, 7, 1 << 17])
def test_row_sums_bound_every_dot_product(monkeypatch: pytest.MonkeyPatch, largest: int, block: int) -> None:
    """Positive and negative sums per row, in blocks of any size, also where int64 would overflow."""
    monkeypatch.setattr(products, "_BLOCK", block)
    weight = np.random.default_rng(block).integers(-largest, largest + 1, (9, 2, 1, 3))
    sums, rows = RowSums.of(weight), weight.reshape(9, 6).tolist()
    assert list(sums.positive) == [sum(v for v in row if v > 0) for row in rows]
    assert list(sums.negative) == [sum(v for v in row if v < 0) for row in rows]
    assert sums.totals == [sum(row) for row in rows]
    assert sums.magnitude(3) == 3 * max(sum(map(abs, row)) for row in rows)
    assert RowSums.of(np.zeros((2, 2), dtype=np.int64)).magnitude(3) == 3


def test_the_encoding_of_a_weight_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def count(matrix: np.ndarray) -> Encoding:
        calls.append(matrix.shape)
        return cheapest(matrix)

    monkeypatch.setattr(op_module, "cheapest", count)
    op, x = Conv2d(WEIGHT * 3, groups=2), Type((2, 3, 3), (1, 10))
    assert op.encoded("weight") is op.encoded("weight") and op.work(x) == op.work(x)
    assert calls == [(4, 4)] and (op.encoded("weight").decode() == 3).all()
