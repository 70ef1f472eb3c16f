"""Units and how they lie between streams: the vocabulary of a Design."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from intaglio.hardware.actors import UNSIZED, Actor, Collect, Copy, Link, Narrow
from intaglio.hardware.memory import Memory
from intaglio.hardware.stage import Issuer, Stage
from intaglio.hardware.streams import Stream

Links = Mapping[int, Link]


class AnyUnit(ABC):
    """What takes from streams and offers to streams; they are numbers of the Design's."""

    name: str

    @property
    @abstractmethod
    def takes(self) -> tuple[int, ...]:
        """The streams that it takes from."""

    @property
    @abstractmethod
    def offers(self) -> tuple[int, ...]:
        """The streams that it offers to."""

    @abstractmethod
    def frames(self, streams: Sequence[Stream]) -> int:
        """Frames that it can hold, rounded up; FIFOs that are not sized yet count as two."""

    @abstractmethod
    def actors(self, links: Links) -> tuple[Actor, ...]:
        """Its equations of time; the last is that of its operations."""

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The constants that it keeps, one Memory for each that is made of them."""
        return ()


@dataclass(frozen=True)
class Unit(AnyUnit):
    """An issuer, its pulse pipeline and the outlet that ends it. `inputs` and `output` number the Design's streams."""

    name: str
    issuer: Issuer
    stages: tuple[Stage, ...]
    inputs: tuple[int, ...]
    output: int

    @property
    def takes(self) -> tuple[int, ...]:
        return self.inputs

    @property
    def offers(self) -> tuple[int, ...]:
        return (self.output,)

    @property
    def latency(self) -> int:
        """Cycles from the last beat of an operation to its pulse at the outlet."""
        return self.issuer.latency + sum(stage.latency for stage in self.stages)

    @property
    def depth(self) -> int:
        """Outlet words that keep the shortest operation at full rate: a credit is away for d + latency + 1 cycles."""
        return 1 + ceil((self.latency + 1) / self.issuer.shortest)

    def frames(self, streams: Sequence[Stream]) -> int:
        return self.issuer.frames + ceil(self.depth / streams[self.output].beats)

    def actors(self, links: Links) -> tuple[Actor, ...]:
        return self.issuer.actors([links[i] for i in self.inputs], links[self.output], self.depth, self.latency)

    @property
    def memories(self) -> tuple[Memory, ...]:
        values = [v for part in (self.issuer, *self.stages) for v in part.parameters().values()]
        return tuple(value for value in values if isinstance(value, Memory))


@dataclass(frozen=True)
class Fork(AnyUnit):
    """Copies a stream to several, each behind a FIFO of its own depth (`ig_fork`)."""

    name: str
    input: int
    outputs: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def takes(self) -> tuple[int, ...]:
        return (self.input,)

    @property
    def offers(self) -> tuple[int, ...]:
        return self.outputs

    @property
    def sized(self) -> bool:
        """Whether every FIFO has a depth."""
        return UNSIZED not in self.depths

    def frames(self, streams: Sequence[Stream]) -> int:
        return max(min(ceil(depth / streams[self.input].beats), 2) for depth in self.depths)

    def actors(self, links: Links) -> tuple[Actor, ...]:
        return (Copy(self.depths, links[self.input], [links[i] for i in self.outputs]),)


@dataclass(frozen=True)
class Width(AnyUnit):
    """Changes the lanes of a stream by a whole factor (`ig_width`)."""

    name: str
    input: int
    output: int

    @property
    def takes(self) -> tuple[int, ...]:
        return (self.input,)

    @property
    def offers(self) -> tuple[int, ...]:
        return (self.output,)

    def frames(self, streams: Sequence[Stream]) -> int:
        return ceil(2 / streams[self.output].beats)

    def actors(self, links: Links) -> tuple[Actor, ...]:
        source, out = links[self.input], links[self.output]
        if source.beats > out.beats:
            ratio = source.beats // out.beats
            return (Collect(source, out, ratio, depth=1, gate=ratio - 1, lag=1, delay=1),)
        return (Narrow(out.beats // source.beats, source, out),)
