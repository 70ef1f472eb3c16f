"""A Design: which units carve a Graph into hardware, how far each is folded, and the streams between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from intaglio.hardware.fifos import Progress, Sizing, warm_up
from intaglio.hardware.memory import IntArray, Memory
from intaglio.hardware.plan import Fold, Forced, Plan
from intaglio.hardware.streams import Stream
from intaglio.hardware.timing import Dataflow, Timing, operations, pace, schedule
from intaglio.hardware.unit import AnyUnit, Fork
from intaglio.hardware.units import Carving
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph

__all__ = ["Design", "Fold", "Forced", "carve"]

DEADLOCK = "the design deadlocks: a FIFO between a fork and its join is too shallow"


@dataclass(frozen=True)
class Design:
    """Units and streams in topological order; `plans` says how each layer with weights is carved.

    `sources` and `sinks` are the streams of the Graph's inputs and outputs. `input_orders[k][i]` is the flat IR index
    of the i-th value that enters by source k; `output_orders` likewise for what leaves.
    """

    graph: Graph = field(repr=False)
    folding: Mapping[str, Fold]
    units: tuple[AnyUnit, ...]
    streams: tuple[Stream, ...]
    sources: tuple[int, ...]
    sinks: tuple[int, ...]
    input_orders: tuple[IntArray, ...] = field(repr=False, compare=False)
    output_orders: tuple[IntArray, ...] = field(repr=False, compare=False)
    plans: Mapping[str, Plan] = field(default_factory=dict[str, Plan], repr=False, compare=False)

    @property
    def flow(self) -> Dataflow:
        """What takes time."""
        return Dataflow(self.units, self.streams, self.sources, self.sinks)

    def timing(self, frames: int) -> Timing:
        """Exact times of `frames` frames, sources always valid and sinks always ready."""
        return schedule(self.flow, frames)

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
        found = pace(self.flow, self.warm_up)
        if found is None:
            raise DesignError(DEADLOCK)
        return found

    def operations(self, frames: int) -> dict[str, IntArray]:
        """(start, duration) of every operation of every Unit in `frames` frames, by the unit's name."""
        return operations(self.flow, frames)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Every constant memory: weights, tables, lists of steps. Two of equal content are two."""
        return tuple(memory for unit in self.units for memory in unit.memories)

    @property
    def memory_bits(self) -> int:
        """Bits of all constant memories, counted on what is carved."""
        return sum(memory.bits for memory in self.memories)

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
    forced: Mapping[str, Forced] | None = None,
) -> Design:
    """Choose units for `graph`; `folding` maps node names to a Fold (default: one lane).

    `dsp` allows hard multipliers; `spare_luts` puts even shallow row buffers and tables into block RAM.
    `progress` is told which fork's FIFOs are sized next, how many are done and of how many. `forced` maps names of
    layers with weights to the parts of their plans that are given instead of chosen.
    Fork FIFOs come out as shallow as full rate allows. Raises DesignError where the Graph has no hardware form.
    """
    carving = Carving(graph, dict(folding or {}), dsp, spare_luts, dict(forced or {}))
    entering, leaving = carving.carve()
    units, streams = tuple(carving.wiring.units), tuple(carving.wiring.streams)
    sources, sinks = (tuple(route.stream for route in routes) for routes in (entering, leaving))
    units = Sizing(Dataflow(units, streams, sources, sinks), progress).size()
    came, left = (tuple(route.order for route in routes) for routes in (entering, leaving))
    return Design(graph, carving.folding, units, streams, sources, sinks, came, left, carving.plans)
