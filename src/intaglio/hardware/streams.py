"""What flows between units, and what a beat of it carries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wire:
    """What a beat carries: `lanes` integers of `bits` bits, two's complement where `signed`; lane 0 lowest."""

    lanes: int
    bits: int
    signed: bool

    @property
    def width(self) -> int:
        """Bits per beat."""
        return self.lanes * self.bits

    @property
    def span(self) -> tuple[int, int]:
        """Lowest and highest integer that a lane can carry."""
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)


@dataclass(frozen=True)
class Stream:
    """A stream between two units: `pixels` x `channels` values per frame, channels innermost."""

    wire: Wire
    pixels: int
    channels: int

    @property
    def beats(self) -> int:
        """Beats per frame."""
        return self.pixels * self.channels // self.wire.lanes
