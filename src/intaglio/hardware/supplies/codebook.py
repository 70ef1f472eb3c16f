"""Weights of a few values: the memory has their numbers, and every lane a table of the values.

The stored form of weight sharing (Han et al. 2016, Deep Compression, section 3).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from intaglio.hardware.memory import IntArray, Memory, pack_lanes
from intaglio.hardware.products import WeightWords
from intaglio.hardware.stage import Parameters
from intaglio.hardware.supplies.supply import Supply, SupplyStage
from intaglio.hardware.technology.prices import Prices

MOST = 256
"""Values of a table; those of more are hardly ever shorter than the values themselves."""


@dataclass(frozen=True)
class CodebookSupply(Supply):
    """Numbers of codes, in fewer bits than the codes."""

    name: ClassVar[str] = "codebook"
    about: ClassVar[str] = "a memory of numbers and a table for every lane"
    needs: ClassVar[str] = "weights of few values, fewer than half of what their bits can hold, without shared shifts"

    @classmethod
    def of(cls, words: WeightWords) -> Self | None:
        if words.shifts is not None:
            return None
        found = cls(words)
        return found if 1 < len(found.values) <= MOST and found.index_bits < words.bits else None

    @cached_property
    def values(self) -> IntArray:
        """The values of the table, ascending."""
        return np.unique(self.words.codes)

    @property
    def index_bits(self) -> int:
        """Bits of a number."""
        return (len(self.values) - 1).bit_length()

    @cached_property
    def _memories(self) -> tuple[Memory, Memory]:
        codes, bits = self.words.codes.reshape(len(self.words.codes), -1), self.index_bits
        numbers = np.searchsorted(self.values, codes)
        table = Memory("codebook", self.words.bits, pack_lanes(self.values[:, None], self.words.bits))
        return Memory("weights", codes.shape[1] * bits, pack_lanes(numbers, bits)), table

    @property
    def memories(self) -> tuple[Memory, ...]:
        return self._memories

    def luts(self, prices: Prices) -> float:
        """Numbers as in a ROM, and a table for each lane: one level of LUT4 at least."""
        numbers, table = self._memories
        lanes = numbers.width // self.index_bits
        tables = lanes * max(prices.memory(table.width, table.depth, block=False), table.width)
        return prices.memory(numbers.width, numbers.depth, numbers.in_block_ram()) + tables

    def stage(self, data_bits: int, data_side: int, repeat: int) -> "CodebookStage":
        return CodebookStage(data_bits, data_side, self.words.width, 0, repeat, self)


@dataclass(frozen=True)
class CodebookStage(SupplyStage):
    """`ig_supply_codebook`."""

    codebook: CodebookSupply

    @property
    def module(self) -> str:
        return "ig_supply_codebook"

    @property
    def latency(self) -> int:
        return 3

    def parameters(self) -> Parameters:
        book = self.codebook
        numbers, table = book.memories
        return {
            "DATA_BITS": self.data_bits, "DATA_SIDE": self.data_side, "LANES": numbers.width // book.index_bits,
            "INDEX_BITS": book.index_bits, "VALUE_BITS": table.width, "ENTRIES": table.depth, "STEPS": numbers.depth,
            "FILE": numbers, "TABLE_FILE": table, "BLOCK": int(numbers.in_block_ram()), "REPEAT": self.repeat,
        }  # fmt: skip
