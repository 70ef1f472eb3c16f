"""Constants that hardware keeps in memories, as content-addressed `$readmemh` files."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from intaglio.hardware.rtl import memory_name
from intaglio.hardware.technology import ECP5, Technology
from intaglio.ir.types import signed_bits as signed_bits

_WORD = 64
"""Words of fewer bits are packed and printed as arrays, wider ones one by one."""
IntArray = npt.NDArray[np.int64]


def pack_lanes(values: IntArray, bits: int) -> tuple[int, ...]:
    """Pack rows of lane values, shape (words, lanes), into one integer per row; lane 0 is lowest."""
    mask = (1 << bits) - 1
    if bits >= _WORD:
        return tuple(sum((v & mask) << bits * lane for lane, v in enumerate(row)) for row in values.tolist())
    together = max((_WORD - 1) // bits, 1)  # lanes that fit into a machine word
    words: list[int] = [0] * len(values)
    for first in range(0, values.shape[1], together):
        part: IntArray = values[:, first : first + together] & mask
        places: IntArray = bits * np.arange(part.shape[1], dtype=np.int64)
        packed: list[int] = np.sum(part << places, axis=1).tolist()
        words = [w | p << bits * first for w, p in zip(words, packed, strict=True)] if first else packed
    return tuple(words)


def join(low: tuple[int, ...], bits: int, high: tuple[int, ...]) -> tuple[int, ...]:
    """Words of `bits` bits with other words above them."""
    return tuple(h << bits | w for w, h in zip(low, high, strict=True))


@dataclass(frozen=True)
class Memory:
    """A constant memory: `words` of `width` bits, written one hexadecimal word per line."""

    role: str
    width: int
    words: tuple[int, ...]

    @cached_property
    def text(self) -> str:
        """Content of the file; every word has the same number of digits, so that files diff well."""
        digits = -(-self.width // 4)
        if self.width >= _WORD:
            return "".join(f"{word:0{digits}x}\n" for word in self.words)
        words = np.array(self.words, dtype=">u8").tobytes().hex().encode()
        lines = np.full((len(self.words), digits + 1), ord("\n"), dtype=np.uint8)
        lines[:, :digits] = np.frombuffer(words, dtype=np.uint8).reshape(-1, _WORD // 4)[:, -digits:]
        return lines.tobytes().decode("ascii")

    @cached_property
    def name(self) -> str:
        """File name `<role>_<sha16>.mem`: the name tells whether the content was altered."""
        return memory_name(self.role, self.text)

    @property
    def depth(self) -> int:
        """Number of words."""
        return len(self.words)

    @property
    def bits(self) -> int:
        """Bits of all words."""
        return self.depth * self.width

    def in_block_ram(self, spare_luts: bool = False, technology: Technology = ECP5) -> bool:
        """Whether a block RAM of the technology is worth it; never where it has none."""
        rule = technology.memory
        return rule is not None and rule.table_in_block(self.depth, self.width, spare_luts)
