"""Weights from a constant memory, a word for each beat."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

from intaglio.hardware.memory import Memory, join, pack_lanes
from intaglio.hardware.products import WeightWords
from intaglio.hardware.stage import Parameters, parameters_of
from intaglio.hardware.supplies.supply import Supply, SupplyStage


@dataclass(frozen=True)
class RomSupply(Supply):
    """Codes as they are, and above them the shifts of their rows."""

    name: ClassVar[str] = "rom"
    about: ClassVar[str] = "a memory"
    needs: ClassVar[str] = "nothing"

    @classmethod
    def of(cls, words: WeightWords) -> Self:
        return cls(words)

    @cached_property
    def _memory(self) -> Memory:
        words, count = self.words, len(self.words.codes)
        packed = pack_lanes(words.codes.reshape(count, -1), words.bits)
        if words.shifts is not None:
            packed = join(packed, words.width, pack_lanes(words.shifts, words.shift_bits))
        return Memory("weights", words.beside + words.width, packed)

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (self._memory,)

    def stage(self, data_bits: int, data_side: int, repeat: int) -> "RomStage":
        words, memory = self.words, self._memory
        return RomStage(data_bits, data_side, words.width, words.beside, repeat, memory)


@dataclass(frozen=True)
class RomStage(SupplyStage):
    """`ig_supply_rom`."""

    file: Memory

    @property
    def module(self) -> str:
        return "ig_supply_rom"

    @property
    def latency(self) -> int:
        return 2

    def parameters(self) -> Parameters:
        found = parameters_of(self)
        words = found.pop("WORDS")
        return found | {"STEPS": words, "BLOCK": int(self.file.in_block_ram())}
