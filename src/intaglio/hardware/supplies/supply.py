"""What a supply is: where the weights of a beat come from."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Self

from intaglio.hardware.memory import Memory
from intaglio.hardware.plan_part import PlanPart
from intaglio.hardware.products import WeightWords
from intaglio.hardware.stage import Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.technology.prices import Prices


@dataclass(frozen=True)
class Supply(PlanPart):
    """Gives every beat its word of weights. `words` are all of them, in the order of the beats."""

    words: WeightWords = field(repr=False)

    about: ClassVar[str]
    """Where weights come from, for people."""

    @classmethod
    @abstractmethod
    def of(cls, words: WeightWords) -> Self | None:
        """The supply of these words; None where they lack what it needs."""

    @abstractmethod
    def stage(self, data_bits: int, data_side: int, repeat: int) -> "SupplyStage":
        """The stage that puts weights above activations of `data_bits`, of which `data_side` more pass beside."""

    @property
    @abstractmethod
    def memories(self) -> tuple[Memory, ...]:
        """What is stored."""

    def luts(self, prices: Prices) -> float:
        """LUT4 equivalents, roughly."""
        return sum(prices.memory(m.width, m.depth, m.in_block_ram()) for m in self.memories)


@dataclass(frozen=True)
class SupplyStage(Stage):
    """Pulses of activations in, with their weights out: {word side, data side, word, data}, as `ig_supply_rom` does.

    Every word comes for `repeat` pulses.
    """

    data_bits: int
    data_side: int
    word_bits: int
    word_side: int
    repeat: int

    passes_end = True

    @property
    def out(self) -> Wire:
        return Wire(1, self.word_bits + self.data_bits, signed=False)

    @property
    def beside(self) -> int:
        return self.word_side + self.data_side
