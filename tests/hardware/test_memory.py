"""Words of a memory: packed and printed alike, narrow or wide."""

import numpy as np
import pytest

from intaglio.hardware.memory import Memory, pack_lanes


@pytest.mark.parametrize(("lanes", "bits"), [(1, 1), (1, 62), (3, 8), (7, 9), (8, 8), (9, 7), (21, 3), (16, 8)])
def test_words_hold_their_lanes_and_lines_their_words(lanes: int, bits: int) -> None:
    """Below, at and above 64 bits: two's complement lanes, lane 0 lowest, a line of hexadecimal digits per word."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = np.random.default_rng(0).integers(low, high, (50, lanes), endpoint=True)
    values[0], values[1], values[2] = low, high, -1
    words = pack_lanes(values, bits)
    for row, word in zip(values.tolist(), words, strict=True):
        assert [(word >> lane * bits) % 2**bits for lane in range(lanes)] == [value % 2**bits for value in row]
        assert 0 <= word < 2 ** (lanes * bits)
    lines = Memory("weights", lanes * bits, words).text.splitlines()
    assert {len(line) for line in lines} == {-(-lanes * bits // 4)}
    assert [int(line, 16) for line in lines] == list(words)


def test_a_memory_without_words_is_an_empty_text() -> None:
    assert Memory("weights", 8, ()).text == ""
