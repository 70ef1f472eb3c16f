"""A stream as pulses, as it is (`ig_gate`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.hardware.actors import Actor, Collect, Link
from intaglio.hardware.stage import Issuer, Parameters
from intaglio.hardware.streams import Wire


@dataclass(frozen=True)
class GateIssuer(Issuer):
    """Passes a stream on, `beats` beats per credit."""

    source: Wire
    beats: int = 1

    keeps_order = True

    @property
    def module(self) -> str:
        return "ig_gate"

    @property
    def latency(self) -> int:
        return 0

    @property
    def out(self) -> Wire:
        return self.source

    @property
    def shortest(self) -> int:
        return self.beats

    def actors(self, inputs: Sequence[Link], out: Link, depth: int, latency: int) -> tuple[Actor, ...]:
        return (Collect(inputs[0], out, self.beats, depth, gate=0, lag=1, delay=latency + 1),)

    def parameters(self) -> Parameters:
        return {"WIDTH": self.source.width, "BEATS": self.beats}
