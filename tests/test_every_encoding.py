"""Every encoding: exact both ways, real bytes, honest bits; the cheapest one is chosen."""

import numpy as np
import pytest

from intaglio.ir.encodings import ENCODINGS, Dense, Encoding, Sparse, cheapest
from intaglio.ir.encodings.bits import lengths, pack, packed_bytes, read_numbers, unpack, write_numbers
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
    result += [matrix for seed in range(40) for matrix in structured(np.random.default_rng(seed)).values()]
    return [matrix.astype(np.int64) for matrix in result]


def structured(rng: np.random.Generator, rows: int = 0) -> dict[str, np.ndarray]:
    """A matrix of every structure, by the name of the encoding made for it."""
    shape = (rows or int(rng.integers(1, 30)), 4 * int(rng.integers(1, 17)))
    low, units = int(rng.integers(0, 4)), rng.integers(1, 50, 2)
    signs = rng.choice([-1, 1], shape) if rng.random() < 0.8 else np.ones(shape, dtype=np.int64)
    kept = rng.random(shape) >= [0, 0.1, 0.5][rng.integers(3)]
    mantissas = rng.integers(0, 2 ** int(rng.integers(2, 5)), shape)
    shifts = rng.integers(0, int(rng.integers(4, 13)), shape)
    planes = [rng.choice([-c, c], shape) for c in rng.integers(1, 200, int(rng.integers(2, 6)))]
    block = int(rng.choice([b for b in (4, 8, 16, 32, 64) if shape[1] % b == 0]))
    return {
        "Dense": rng.integers(-100, 101, shape),
        "Sparse": rng.integers(-100, 101, shape) * (rng.random(shape) < 0.2),
        "Bipolar": signs * units[0],
        "Ternary": rng.choice([-units[0], 0, units[1]], shape, p=rng.dirichlet([1, 2, 1])),
        "PowersOfTwo": signs * kept << low + shifts,
        "Float": signs * mantissas << low + shifts,
        "Bases": np.sum(planes, axis=0),
        "BlockExponent": signs * mantissas << np.repeat(shifts[:, ::block], block, axis=1),
    }


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


def examples(kind: type[Encoding]) -> list[Encoding]:
    """Forms of a kind, large enough that every part has bytes."""
    matrices = [structured(np.random.default_rng(seed), rows=30)[kind.__name__] for seed in range(12)]
    forms = [form for form in map(kind.encode, matrices) if form is not None]
    assert len(forms) > 6
    return forms


@every_encoding
def test_damaged_bytes_are_refused(kind: type[Encoding]) -> None:
    for form in examples(kind):
        data = form.to_bytes()
        for damaged in (data[:-1], data[:3], data + b"\0", b""):
            with pytest.raises(DataError, match="damaged"):
                kind.from_bytes(damaged)


@every_encoding
def test_a_changed_byte_never_fails_otherwise(kind: type[Encoding]) -> None:
    """A changed byte of the header is refused or read as something else; no other error, no endless loop."""
    refused = 0
    for form in examples(kind):
        data = form.to_bytes()
        for place in range(20):
            for byte in (0, 1, 2, 64, 127, 128, 255, data[place] ^ 1, data[place] ^ 2):
                try:
                    assert kind.from_bytes(data[:place] + bytes([byte]) + data[place + 1 :]).decode().ndim == 2
                except DataError as error:
                    refused += "damaged" in str(error)
    assert refused > 100


LONG = bytes([0x84, *[0x80] * 10, 0]) + write_numbers(2, 0, 1, 1) + b"\0"
SENSELESS = {  # header, then data of the length that it asks for
    "Dense": [(2, 2, 0, 0, 1, b"\0"), (2, 2, 0, -1, 1, b"\0"), (-2, -2, 0, 1, 1, b"\0"), (2**15, 2**15, 0, 1, 0, b"")],
    "Sparse": [(2, 2, 5, 1, 0, 25, 1, 1, b"\0" * 4), (2, 2, 2**63, 1, 0, 1, 1, 1, b"\0")],
    "Bipolar": [(2, 2, 0, b"\0"), (2, 2, -1, b"\0"), (2, 2, 2**62, b"\0")],
    "Ternary": [(2, 2, -1, 2, b"\0"), (2, 2, 1, -2, b"\0"), (2, 2, 1, 2**62, b"\0")],
    "PowersOfTwo": [(2, 2, 0, 1, 0, 1, 0, b"\0"), (2, 2, 0, 1, 2, 1, 0, b"\0"), (2, 2, -1, 1, 1, 2, 0, b"\0"),
                    (2, 2, 0, 1, 1, 2, 4, b"\0"), (2, 2, 62, 1, 1, 2, 0, b"\0"), (2, 2, 62, 1, 1, 1, 0, b"")],
    "Float": [(2, 2, 0, 0, 1, 2, 0, b"\0"), (2, 2, 0, 62, 1, 2, 0, b"\0"), (2, 2, 0, 2, 1, 2**62, 0, b"\0" * 31)],
    "Bases": [(2, 2, 1, 5, b"\0"), (2, 2, 6, 1, 2, 4, 8, 16, 32, b"\0" * 3), (2, 2, 2, 5, 0, b"\0"),
              (2, 2, 2, 2**31, 1, b"\0")],
    "BlockExponent": [(2, 4, 3, 1, 0, 0, 0, b"\0"), (2, 4, 0, 1, 0, 0, 0, b"\0"), (2, 4, 4, 1, 2, 0, 0, b"\0"),
                      (2, 4, 4, 0, 1, 0, 0, b""), (2, 4, 4, 63, 0, 0, 0, b"\0" * 63), (2, 4, 4, 1, 0, -1, 0, b"\0"),
                      (2, 4, 4, 1, 0, 63, 0, b"\0"), (2, 4, 4, 1, 0, 0, 7, b"\0" * 3)],
}  # fmt: skip


@every_encoding
def test_headers_without_sense_are_refused(kind: type[Encoding]) -> None:
    """Numbers that no matrix has, with as many bytes behind them as they ask for; a number of too many bytes."""
    for *numbers, data in SENSELESS[kind.__name__]:
        with pytest.raises(DataError, match="damaged"):
            kind.from_bytes(write_numbers(*numbers) + data)
    with pytest.raises(DataError, match="damaged"):
        kind.from_bytes(LONG)
    assert Dense.from_bytes(LONG[:1].replace(b"\x84", b"\4") + LONG[12:]).shape == (2, 2)


@every_encoding
def test_corner_cases_are_exact_or_refused(kind: type[Encoding]) -> None:
    """Nothing at all, one column, the widest integers, other integer types."""
    corners = [np.zeros((0, 4)), np.zeros((3, 0)), np.ones((7, 1)), np.full((2, 4), 2**61), np.full((2, 4), -(2**61))]
    whole = [np.array([[-(2**63), 2**63 - 1]]), np.array([[-(2**63)]])]
    small = [np.array([[-128, 127, 0, 64]], dtype=np.int8), np.array([[True, False, True, True]])]
    for matrix in [*(m.astype(np.int64) for m in corners), *whole, *small]:
        form = kind.encode(matrix)
        assert form is not None or kind is not Dense
        if form is not None:
            np.testing.assert_array_equal(kind.from_bytes(form.to_bytes()).decode(), matrix)


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


def test_bit_lengths() -> None:
    """Of every size, with the values that a float64 would round up to the next power of two."""
    values = [max(2**place + more, 0) for place in range(63) for more in (-1, 0, 1)]
    assert lengths(np.array(values)).tolist() == [value.bit_length() for value in values]


def test_header_numbers() -> None:
    numbers = [0, 1, -1, 63, -64, 64, 2**61, -(2**61)]
    assert read_numbers(write_numbers(*numbers) + b"rest", len(numbers)) == (numbers, b"rest")
    assert len(write_numbers(63)) == 1
