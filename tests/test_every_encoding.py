"""Every encoding: exact both ways, real bytes, honest bits; the cheapest one is chosen."""

import numpy as np
import pytest

from intaglio.ir.encodings import ENCODINGS, Dense, Encoding, Sparse, cheapest
from intaglio.ir.encodings.bits import pack, packed_bytes, read_numbers, unpack, write_numbers
from intaglio.ir.errors import DataError

every_encoding = pytest.mark.parametrize("kind", ENCODINGS, ids=lambda kind: kind.__name__)


def matrices() -> list[np.ndarray]:
    """Random matrices of many densities, sizes, widths and grids, and the corner cases."""
    result = [np.zeros((3, 5)), np.ones((1, 1)), np.zeros((1, 1)), np.full((4, 4), -7), np.eye(40)]
    result += [np.array([[2**61 - 1, -(2**61), 0]]), np.array([[-1, 1], [1, -1]])]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shape = tuple(int(v) for v in rng.integers(1, 90, 2))
        size = int(2 ** rng.integers(0, 20))
        step = int(rng.integers(1, 5))
        mask = rng.random(shape) < [1, 0.9, 0.3, 0.1, 0.01][rng.integers(5)]
        result.append(rng.integers(-size, size + 1, shape) * step * mask)
    return [matrix.astype(np.int64) for matrix in result]


@every_encoding
def test_exact_both_ways_and_bits_are_real(kind: type[Encoding]) -> None:
    """decode(encode(w)) == w, also through bytes; bits() are the bytes but for the filling of each part."""
    seen = 0
    for matrix in matrices():
        form = kind.encode(matrix)
        if form is None:
            continue
        seen += 1
        data = form.to_bytes()
        again = kind.from_bytes(data)
        assert again == form
        for found in (form.decode(), again.decode()):
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, matrix)
        assert 0 <= 8 * len(data) - form.bits() < 16
    assert seen > 30


@every_encoding
def test_damaged_bytes_are_refused(kind: type[Encoding]) -> None:
    form = kind.encode(np.eye(30, dtype=np.int64) * 5 + np.eye(30, k=3, dtype=np.int64))
    assert form is not None
    data = form.to_bytes()
    for damaged in (data[:-1], data[:3], data + b"\0", b""):
        with pytest.raises(DataError, match="damaged"):
            kind.from_bytes(damaged)


def test_dense_takes_the_bits_of_its_grid() -> None:
    """8-bit weights take 8 bits, +-1 one bit, a constant none."""
    rng = np.random.default_rng(0)
    for values, width in (([-127, 127, 4], 8), ([-1, 1], 1), ([-1, 0, 1], 2), ([-4, -2, 0, 2], 2), ([9], 0)):
        matrix = rng.choice(np.array(values), (64, 64))
        matrix[0, : len(values)] = values
        assert Dense.encode(matrix).width == width
        assert len(Dense.encode(matrix).to_bytes()) <= 512 * width + 8


def test_sparse_is_smaller_where_there_are_zeros() -> None:
    """At 90 % zeros sparse wins by far, without zeros it is refused, and at 5 % it loses."""
    rng = np.random.default_rng(1)
    full = rng.integers(1, 128, (100, 200)) * rng.choice([-1, 1], (100, 200))
    ninety, five = (full * (rng.random(full.shape) >= share) for share in (0.9, 0.05))
    assert Sparse.encode(full) is None
    assert Sparse.encode(ninety).bits() < 0.2 * Dense.encode(ninety).bits()
    assert isinstance(cheapest(ninety), Sparse)
    assert isinstance(cheapest(five), Dense)
    assert cheapest(ninety).bits() == min(Sparse.encode(ninety).bits(), Dense.encode(ninety).bits())


def test_sparse_chooses_distances_for_few_values() -> None:
    """A bitmap at one zero in two; distances of several bits at one value in a hundred."""
    rng = np.random.default_rng(2)
    half, few = (rng.integers(1, 9, (80, 80)) * (rng.random((80, 80)) < share) for share in (0.5, 0.01))
    assert Sparse.encode(half).index == 0
    assert Sparse.encode(few).index >= 5


def test_distance_codes_by_hand() -> None:
    """2-bit distances: 3 means three zeros and no value. Zeros before: 0, 4 (3 + 1), 3 (3 + 0)."""
    row = np.array([[5, 0, 0, 0, 0, 6, 0, 0, 0, 7]])
    form = Sparse((1, 10), 5, 1, 2, 2, 5, 3, pack(np.array([0, 3, 1, 3, 0]), 2), pack(np.array([0, 1, 2]), 2))
    np.testing.assert_array_equal(form.decode(), row)


def test_packing_is_lowest_bit_first() -> None:
    assert pack(np.array([1, 2, 3]), 2) == bytes([0b111001])
    for width in (0, 1, 5, 13, 62):
        values = np.random.default_rng(width).integers(0, 2**width, 70001, dtype=np.int64)
        data = pack(values, width)
        assert len(data) == packed_bytes(width, values.size)
        np.testing.assert_array_equal(unpack(data, width, values.size), values)


def test_header_numbers() -> None:
    numbers = [0, 1, -1, 63, -64, 64, 2**61, -(2**61)]
    assert read_numbers(write_numbers(*numbers) + b"rest", len(numbers)) == (numbers, b"rest")
    assert len(write_numbers(63)) == 1
