"""Units and the streams between them: the vocabulary of a Design."""

from dataclasses import dataclass
from math import ceil

from intaglio.hardware.issuers import Issuer, Window
from intaglio.hardware.stages import Stage

UNSIZED = 1 << 62  # depth of a fork's FIFO until it is sized: without limit


@dataclass(frozen=True)
class Fold:
    """Parallelism of one layer: `simd` input lanes and `pe` output lanes (pooling uses `simd` only).

    `serial` multiplies one bit of every activation per cycle: as many times the cycles, multipliers of one bit.
    """

    simd: int = 1
    pe: int = 1
    serial: bool = False


@dataclass(frozen=True)
class Stream:
    """What flows between two units: `pixels` x `channels` values per frame, `lanes` per beat, channels innermost."""

    lanes: int
    bits: int
    signed: bool
    pixels: int
    channels: int

    @property
    def beats(self) -> int:
        """Beats per frame."""
        return self.pixels * self.channels // self.lanes

    @property
    def width(self) -> int:
        """Bits per beat."""
        return self.lanes * self.bits


@dataclass(frozen=True)
class Unit:
    """An issuer, its pulse pipeline and the outlet that ends it. `inputs` and `output` index the Design's streams."""

    name: str
    issuer: Issuer
    stages: tuple[Stage, ...]
    inputs: tuple[int, ...]
    output: int

    @property
    def latency(self) -> int:
        """Cycles from the last beat of an operation to its pulse at the outlet."""
        return self.issuer.latency + sum(stage.latency for stage in self.stages)

    @property
    def depth(self) -> int:
        """Outlet words that keep the shortest operation at full rate: a credit is away for d + latency + 1 cycles."""
        return 1 + ceil((self.latency + 1) / self.shortest)

    @property
    def shortest(self) -> int:
        """Cycles of the shortest operation."""
        if isinstance(self.issuer, Window):
            return min(self.issuer.durations)
        return getattr(self.issuer, "beats", 1)


@dataclass(frozen=True)
class Fork:
    """Copies a stream to several, each behind a FIFO of its own depth (`ig_fork`)."""

    name: str
    input: int
    outputs: tuple[int, ...]
    depths: tuple[int, ...]


@dataclass(frozen=True)
class Width:
    """Changes the lanes of a stream by a whole factor (`ig_width`)."""

    name: str
    input: int
    output: int


AnyUnit = Unit | Fork | Width


def streams_of(unit: AnyUnit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The streams that a unit takes from and those that it offers to."""
    if isinstance(unit, Fork):
        return (unit.input,), unit.outputs
    return ((unit.input,), (unit.output,)) if isinstance(unit, Width) else (unit.inputs, (unit.output,))
