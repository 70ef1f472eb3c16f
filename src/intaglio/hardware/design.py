"""A Design: which units carve a Graph into hardware, how far each is folded, and the streams between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from intaglio.cost.cycles import Timing, operations, pace, schedule
from intaglio.hardware.carver import Carver
from intaglio.hardware.fifos import Progress, Sizing, warm_up
from intaglio.hardware.memory import IntArray
from intaglio.hardware.units import AnyUnit, Fold, Fork, Stream
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph

__all__ = ["Design", "Fold", "carve"]

DEADLOCK = "the design deadlocks: a FIFO between a fork and its join is too shallow"


@dataclass(frozen=True)
class Design:
    """Units and streams in topological order.

    `input_order[i]` is the flat IR index of the i-th value that enters; `output_order` likewise for what leaves.
    """

    graph: Graph = field(repr=False)
    folding: Mapping[str, Fold]
    units: tuple[AnyUnit, ...]
    streams: tuple[Stream, ...]
    source: int
    sink: int
    input_order: IntArray = field(repr=False, compare=False)
    output_order: IntArray = field(repr=False, compare=False)

    def timing(self, frames: int) -> Timing:
        """Exact times of `frames` frames, source always valid and sink always ready."""
        return schedule(self.units, self.streams, self.source, self.sink, frames)

    @cached_property
    def warm_up(self) -> int:
        """Frames of a run that shows the interval: as many as all buffers can hold, and then some."""
        return warm_up(self.units, self.streams)

    @cached_property
    def latency(self) -> int:
        """Cycles from the first input beat to the last output beat of one isolated frame."""
        timing = self.timing(1)
        if not timing.finished:
            raise DesignError(DEADLOCK)
        return timing.latency

    @cached_property
    def interval(self) -> int:
        """Cycles between the last output beats of consecutive frames under saturation."""
        found = pace(self.units, self.streams, self.source, self.sink, self.warm_up)
        if found is None:
            raise DesignError(DEADLOCK)
        return found

    def operations(self, frames: int) -> dict[str, IntArray]:
        """(start, duration) of every operation of every Unit in `frames` frames, by the unit's name."""
        return operations(self.units, self.streams, self.source, self.sink, frames)

    def with_depths(self, depths: Mapping[str, tuple[int, ...]]) -> "Design":
        """The same design with other FIFO depths in the named forks."""
        units = tuple(
            replace(u, depths=depths[u.name]) if isinstance(u, Fork) and u.name in depths else u for u in self.units
        )
        return replace(self, units=units)

    @property
    def forks(self) -> tuple[Fork, ...]:
        """The forks, whose FIFOs need sizing."""
        return tuple(unit for unit in self.units if isinstance(unit, Fork))


def carve(
    graph: Graph,
    folding: Mapping[str, Fold] | None = None,
    dsp: bool = True,
    spare_luts: bool = False,
    progress: Progress | None = None,
) -> Design:
    """Choose units for `graph`; `folding` maps node names to a Fold (default: one lane).

    `dsp` allows hard multipliers; `spare_luts` puts even shallow row buffers and tables into block RAM.
    `progress` is told which fork's FIFOs are sized next, how many are done and of how many.
    Fork FIFOs come out as shallow as full rate allows. Raises DesignError where the Graph has no hardware form.
    """
    carver = Carver(graph, dict(folding or {}), dsp, spare_luts)
    source, sink = carver.carve()
    streams = tuple(carver.streams)
    units = Sizing(carver.units, streams, source.stream, progress).size()
    return Design(graph, carver.folding, units, streams, source.stream, sink.stream, source.order, sink.order)
