"""How deep the FIFOs behind a fork are: as shallow as full rate allows.

One after the other is made minimal: the shallowest that does not slow the network down, those sized before as they
are and those behind still without limit. How a FIFO fills is a matter of what lies between its fork and its join, and
of the neighbours. So a trial unrolls only the part of the network around the fork; the parts are cut where a single
stream carries everything. What slows a part down slows the whole down; whether the whole keeps its pace is tried once
at the end, and if it does not, wider parts are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from intaglio.hardware.actors import UNSIZED
from intaglio.hardware.streams import Stream
from intaglio.hardware.timing import PERIOD, Dataflow, pace
from intaglio.hardware.unit import AnyUnit, Fork
from intaglio.ir.errors import DesignError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Part:
    """Consecutive units, `first` to before `stop`, between the streams that enter and those that leave."""

    first: int
    stop: int
    sources: tuple[int, ...]
    sinks: tuple[int, ...]


def warm_up(units: Sequence[AnyUnit], streams: Sequence[Stream]) -> int:
    """Frames of a run that shows the interval: as many as all buffers can hold, and then some."""
    return PERIOD + 3 + sum(unit.frames(streams) for unit in units)


def parts(flow: Dataflow) -> list[Part]:
    """The shortest parts of a network: between units where a single stream is open, besides those that leave it."""
    found: list[Part] = []
    first, entering, leaving = 0, flow.sources, tuple[int, ...]()
    open_streams = set(entering)
    for stop, unit in enumerate(flow.units, 1):
        leaving += tuple(s for s in unit.offers if s in flow.sinks)
        open_streams = (open_streams - set(unit.takes) | set(unit.offers)) - set(flow.sinks)
        if len(open_streams) == 1 or stop == len(flow.units):
            found.append(Part(first, stop, entering, (*open_streams, *leaving)))
            first, entering, leaving = stop, tuple(open_streams), ()
    return found


class Sizing:
    """The FIFOs of a network on the way to their depths."""

    def __init__(self, flow: Dataflow, progress: Progress | None = None) -> None:
        self.units, self.streams, self.progress = list(flow.units), flow.streams, progress
        self.parts = parts(flow)

    def size(self) -> tuple[AnyUnit, ...]:
        """The units with minimal FIFOs behind every fork.

        Raises DesignError where the network deadlocks with FIFOs of any depth.
        """
        if not any(isinstance(unit, Fork) for unit in self.units):
            return tuple(self.units)
        best, radius = self._pace(0, len(self.parts)), 1
        while not self._sized(radius, best):
            radius *= 2
        return tuple(self.units)

    def _sized(self, radius: int, best: int) -> bool:
        """Size every fork by trials of `radius` parts on either side; whether the whole then keeps its pace."""
        known = {unit.name: unit.depths for unit in self.units if isinstance(unit, Fork) and unit.sized}
        self.units = [_unsized(unit) for unit in self.units]
        places = [(n, i) for n, part in enumerate(self.parts) for i in range(part.first, part.stop)]
        forks = [(n, i) for n, i in places if isinstance(self.units[i], Fork)]
        guess: tuple[int, ...] = (1,)
        for done, (n, i) in enumerate(forks):
            name = self.units[i].name
            if self.progress is not None:
                self.progress(name, done, len(forks))
            guess = known.get(name, guess)
            guess = self._size_fork(i, max(n - radius, 0), n + radius + 1, guess, best)
        return radius >= len(self.parts) or self._keeps(0, len(self.parts), best)

    def _size_fork(self, i: int, first: int, stop: int, guess: tuple[int, ...], best: int) -> tuple[int, ...]:
        """Size the FIFOs behind unit `i` by trials of the parts from `first` to before `stop`."""
        fork = self.units[i]
        assert isinstance(fork, Fork)
        goal = max(best, self._pace(first, stop))
        depths = fork.depths
        for branch in range(len(depths)):

            def keeps(depth: int, branch: int = branch, depths: tuple[int, ...] = depths) -> bool:
                self.units[i] = replace(fork, depths=_with(depths, branch, depth))
                return self._keeps(first, stop, goal)

            depths = _with(depths, branch, least(keeps, guess[min(branch, len(guess) - 1)]))
            self.units[i] = replace(fork, depths=depths)
        return depths

    def _pace(self, first: int, stop: int) -> int:
        """The interval of the parts from `first` to before `stop`."""
        found = self._try(first, stop)
        if found is None:
            raise DesignError("the design deadlocks with FIFOs of any depth: its branches wait for each other")
        return found

    def _keeps(self, first: int, stop: int, goal: int) -> bool:
        found = self._try(first, stop)
        return found is not None and found <= goal

    def _try(self, first: int, stop: int) -> int | None:
        span = self.parts[first:stop]
        units = tuple(self.units[span[0].first : span[-1].stop])
        inner = {s for part in span[1:] for s in part.sources}
        leaving = tuple(s for part in span for s in part.sinks if s not in inner)
        return pace(Dataflow(units, self.streams, span[0].sources, leaving), warm_up(units, self.streams))


def _unsized(unit: AnyUnit) -> AnyUnit:
    return replace(unit, depths=(UNSIZED,) * len(unit.depths)) if isinstance(unit, Fork) else unit


def _with(depths: tuple[int, ...], branch: int, depth: int) -> tuple[int, ...]:
    return (*depths[:branch], depth, *depths[branch + 1 :])


def least(keeps: Callable[[int], bool], guess: int) -> int:
    """The least depth that `keeps`, as all deeper ones do; found soon where it is near `guess`."""
    low, high, step = 0, guess, 1
    if keeps(high):
        while high - step > 0 and keeps(high - step):
            high, step = high - step, 2 * step
        low = max(high - step, 0)
    else:
        while not keeps(high + step):
            step *= 2
        low, high = high + step // 2, high + step
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high
