"""A Design: which units carve a Graph into hardware, how far each is folded, and the streams between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

from intaglio.cost.cycles import PERIOD, Timing, schedule
from intaglio.hardware.carver import Carver
from intaglio.hardware.issuers import Window
from intaglio.hardware.memory import IntArray
from intaglio.hardware.units import AnyUnit, Fold, Fork, Stream, Width
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph

__all__ = ["Design", "Fold", "carve", "size_fifos"]


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
        return PERIOD + 3 + sum(_capacity(unit, self.streams) for unit in self.units)

    @cached_property
    def latency(self) -> int:
        """Cycles from the first input beat to the last output beat of one isolated frame."""
        return self._finished(self.timing(1)).latency

    @cached_property
    def interval(self) -> int:
        """Cycles between the last output beats of consecutive frames under saturation."""
        return self._finished(self.timing(self.warm_up)).interval

    def _finished(self, timing: Timing) -> Timing:
        if not timing.finished:
            raise DesignError("the design deadlocks: a FIFO between a fork and its join is too shallow")
        return timing

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
    graph: Graph, folding: Mapping[str, Fold] | None = None, dsp: bool = True, spare_luts: bool = False
) -> Design:
    """Choose units for `graph`; `folding` maps node names to a Fold (default: one lane).

    `dsp` allows hard multipliers; `spare_luts` puts even shallow row buffers and tables into block RAM.
    Fork FIFOs come out as shallow as full rate allows. Raises DesignError where the Graph has no hardware form.
    """
    carver = Carver(graph, dict(folding or {}), dsp, spare_luts)
    source, sink = carver.carve()
    units, streams = tuple(carver.units), tuple(carver.streams)
    ends = source.stream, sink.stream, source.order, sink.order
    return size_fifos(Design(graph, carver.folding, units, streams, *ends))


def size_fifos(design: Design) -> Design:
    """Make every fork's FIFOs minimal: one word less would slow the design down or deadlock it."""
    if not design.forks:
        return design
    best = design.interval
    for fork in design.forks:
        for branch, stream in enumerate(fork.outputs):
            low, high = 1, design.timing(design.warm_up).occupancy[stream] + 1
            while low < high:
                middle = (low + high) // 2
                trial = _with_depth(design, fork.name, branch, middle)
                timing = trial.timing(design.warm_up)
                low, high = (low, middle) if timing.finished and timing.interval <= best else (middle + 1, high)
            design = _with_depth(design, fork.name, branch, low)
    return design


def _capacity(unit: AnyUnit, streams: tuple[Stream, ...]) -> int:
    """Frames that a unit can hold, rounded up; a fork not sized yet counts as two."""
    if isinstance(unit, Fork):
        return max(min(ceil(d / streams[unit.input].beats), 2) for d in unit.depths)
    if isinstance(unit, Width):
        return ceil(2 / streams[unit.output].beats)
    ring = ceil(unit.issuer.rows / unit.issuer.height) if isinstance(unit.issuer, Window) else 0
    return ring + ceil(unit.depth / streams[unit.output].beats)


def _with_depth(design: Design, name: str, branch: int, depth: int) -> Design:
    fork = next(f for f in design.forks if f.name == name)
    return design.with_depths({name: (*fork.depths[:branch], depth, *fork.depths[branch + 1 :])})
