"""Exact cycles of a Design, without simulating it.

Every unit has a closed form: when an input beat may enter (buffer space), when an operation may start (the rows it
waits for, a credit), how long it runs, when its result leaves. All are maxima of earlier times plus constants, so
composing them over the network is a max-plus recurrence over the beats of a few frames. It is exact for a source that
is always valid and a sink that is always ready, and since the units form a Kahn network with bounded buffers, a frame
that finishes here finishes under any stalls: a deadlock shows up as a recurrence that stops.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from intaglio.hardware.issuers import Add, Concat, Gate, Window
from intaglio.hardware.units import AnyUnit, Fork, Stream, Unit, Width

PERIOD = 12  # distances between frames that are looked at once the pipeline is full


def longest_interval(last_out: Iterable[int]) -> int:
    """The longest of the last `PERIOD` distances between consecutive entries (cycle numbers, at least two)."""
    recent = [int(cycle) for cycle in last_out][-PERIOD - 1 :]
    return max(b - a for a, b in pairwise(recent))


@dataclass
class _Link:
    """Beat times of one stream: `offers[j]` the producer can present beat j from, `moved[j]` it is transferred in."""

    offers: list[int] = field(default_factory=list[int])
    moved: list[int] = field(default_factory=list[int])


class _Actor(ABC):
    """A unit unrolled in time. `step` goes as far as the known times allow and says whether it went anywhere."""

    def __init__(self, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)

    @abstractmethod
    def step(self) -> bool: ...


class _WindowActor(_Actor):
    def __init__(self, unit: Unit, window: Window, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        super().__init__(inputs, outputs)
        self.window, self.depth, self.latency = window, unit.depth, unit.latency
        self.row_durations = window.durations * window.out_width
        self.complete: list[int] = []  # cycle in which each input row's last beat moved
        self.free: list[int] = []  # first cycle in which each input row's space counts as free
        self.row = self.operation = self.clock = 0
        self.starts: list[int] = []

    def step(self) -> bool:
        return self._load() | self._run()

    def _load(self) -> bool:
        link, per_row, rows = self.inputs[0], self.window.row_beats, self.window.rows
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for beat in range(first, len(link.offers)):
            row = beat // per_row
            if row - rows >= len(self.free):
                break
            last = max(link.offers[beat], last + 1, self.free[row - rows] if row >= rows else 0)
            link.moved.append(last)
            if (beat + 1) % per_row == 0:
                self.complete.append(last)
        return len(link.moved) > first

    def _run(self) -> bool:
        progress = False
        while self._run_row():
            progress = True
        return progress

    def _run_row(self) -> bool:
        """Advance within one output row; True when the row was finished."""
        window = self.window
        frame, oy = divmod(self.row, window.out_height)
        needed = frame * window.height + window.needed[oy]
        if len(self.complete) < needed:
            return False
        clock = max(self.clock, self.complete[needed - 1] + 1) if needed else self.clock
        offers, moved = self.outputs[0].offers, self.outputs[0].moved
        emitted, credit_lag, tail = len(offers), self.depth, self.latency + 1
        for index in range(self.operation, len(self.row_durations)):
            if emitted >= credit_lag:
                if emitted - credit_lag >= len(moved):
                    self.operation, self.clock = index, clock
                    return False
                clock = max(clock, moved[emitted - credit_lag] + 1)
            self.starts.append(clock)
            clock += self.row_durations[index]
            offers.append(clock - 1 + tail)
            emitted += 1
        self.operation, self.clock = 0, clock
        released = window.released
        self.free += [clock] * (released[oy] - (released[oy - 1] if oy else 0))
        self.row += 1
        return True


class _GateActor(_Actor):
    def __init__(self, unit: Unit, gate: Gate, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        super().__init__(inputs, outputs)
        self.beats, self.depth, self.latency = gate.beats, unit.depth, unit.latency

    def step(self) -> bool:
        link, out = self.inputs[0], self.outputs[0]
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for beat in range(first, len(link.offers)):
            group, position = divmod(beat, self.beats)
            earliest = max(link.offers[beat], last + 1)
            if position == 0 and group >= self.depth:
                if group - self.depth >= len(out.moved):
                    break
                earliest = max(earliest, out.moved[group - self.depth] + 1)
            last = earliest
            link.moved.append(last)
            if position == self.beats - 1:
                out.offers.append(last + self.latency + 1)
        return len(link.moved) > first


class _JoinActor(_Actor):
    """`ig_add` takes a beat from both streams at once; `ig_concat` from one of them, in a fixed pattern."""

    def __init__(
        self, unit: Unit, pattern: Sequence[tuple[int, ...]], inputs: Sequence[_Link], outputs: Sequence[_Link]
    ) -> None:
        super().__init__(inputs, outputs)
        self.pattern, self.depth, self.latency = pattern, unit.depth, unit.latency
        self.clock = 0

    def step(self) -> bool:
        out = self.outputs[0]
        first = len(out.offers)
        while True:
            beat = len(out.offers)
            links = [self.inputs[i] for i in self.pattern[beat % len(self.pattern)]]
            if any(len(link.offers) <= len(link.moved) for link in links):
                break
            earliest = max(self.clock, *(link.offers[len(link.moved)] for link in links))
            if beat >= self.depth:
                if beat - self.depth >= len(out.moved):
                    break
                earliest = max(earliest, out.moved[beat - self.depth] + 1)
            for link in links:
                link.moved.append(earliest)
            self.clock = earliest + 1
            out.offers.append(earliest + self.latency + 1)
        return len(out.offers) > first


class _ForkActor(_Actor):
    def __init__(self, fork: Fork, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        super().__init__(inputs, outputs)
        self.depths = fork.depths

    def step(self) -> bool:
        link = self.inputs[0]
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for beat in range(first, len(link.offers)):
            earliest = max(link.offers[beat], last + 1)
            waits = [(out.moved, beat - depth) for out, depth in zip(self.outputs, self.depths, strict=True)]
            if any(slot >= len(moved) for moved, slot in waits):
                break
            last = max(earliest, *(moved[slot] + 1 if slot >= 0 else 0 for moved, slot in waits))
            link.moved.append(last)
            for out in self.outputs:
                out.offers.append(last + 1)
        return len(link.moved) > first


class _WidenActor(_Actor):
    """`ig_width` upwards: the last beat of a word waits until the output register is empty."""

    def __init__(self, ratio: int, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        super().__init__(inputs, outputs)
        self.ratio = ratio

    def step(self) -> bool:
        link, out = self.inputs[0], self.outputs[0]
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for beat in range(first, len(link.offers)):
            word, position = divmod(beat, self.ratio)
            earliest = max(link.offers[beat], last + 1)
            if position == self.ratio - 1:
                if word - 1 >= len(out.moved):
                    break
                last = max(earliest, out.moved[word - 1] + 1) if word else earliest
                out.offers.append(last + 1)
            else:
                last = earliest
            link.moved.append(last)
        return len(link.moved) > first


class _NarrowActor(_Actor):
    """`ig_width` downwards: a FIFO of two words, then one slice per beat."""

    def __init__(self, ratio: int, inputs: Sequence[_Link], outputs: Sequence[_Link]) -> None:
        super().__init__(inputs, outputs)
        self.ratio = ratio

    def step(self) -> bool:
        link, out = self.inputs[0], self.outputs[0]
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for beat in range(first, len(link.offers)):
            slot = (beat - 1) * self.ratio - 1
            if slot >= len(out.moved):
                break
            last = max(link.offers[beat], last + 1, out.moved[slot] + 1 if slot >= 0 else 0)
            link.moved.append(last)
            out.offers += [last + 1] * self.ratio
        return len(link.moved) > first


class _SinkActor(_Actor):
    def step(self) -> bool:
        link = self.inputs[0]
        first = len(link.moved)
        last = link.moved[-1] if link.moved else -1
        for offer in link.offers[first:]:
            last = max(offer, last + 1)
            link.moved.append(last)
        return len(link.moved) > first


def _actor(unit: AnyUnit, links: Sequence[_Link], streams: Sequence[Stream]) -> _Actor:
    if isinstance(unit, Fork):
        return _ForkActor(unit, [links[unit.input]], [links[i] for i in unit.outputs])
    if isinstance(unit, Width):
        ends = [links[unit.input]], [links[unit.output]]
        wide, narrow = streams[unit.output].lanes, streams[unit.input].lanes
        return _WidenActor(wide // narrow, *ends) if wide > narrow else _NarrowActor(narrow // wide, *ends)
    ends = [links[i] for i in unit.inputs], [links[unit.output]]
    match unit.issuer:
        case Window():
            return _WindowActor(unit, unit.issuer, *ends)
        case Gate():
            return _GateActor(unit, unit.issuer, *ends)
        case Add():
            return _JoinActor(unit, [(0, 1)], *ends)
        case Concat(words=(a, b)):
            return _JoinActor(unit, [(0,)] * a + [(1,)] * b, *ends)


@dataclass(frozen=True)
class Timing:
    """Times of a saturated run from reset: cycle numbers, the first input beat being accepted in cycle `first_in[0]`.

    `activity` holds (start, duration) of every operation; `occupancy[s]` is the most beats that ever waited in
    stream s between being offered and being taken.
    """

    first_in: tuple[int, ...]
    last_out: tuple[int, ...]
    activity: dict[str, tuple[tuple[int, int], ...]]
    occupancy: tuple[int, ...]
    finished: bool

    @property
    def latency(self) -> int:
        """Cycles from the first input beat to the last output beat of the first frame."""
        return self.last_out[0] - self.first_in[0]

    @property
    def interval(self) -> int:
        """Longest distance between the last beats of consecutive frames, over the last `PERIOD` of them.

        A pipeline whose FIFOs are too shallow can alternate between short and long intervals; only the longest is safe
        to promise.
        """
        return longest_interval(self.last_out)


def schedule(units: Sequence[AnyUnit], streams: Sequence[Stream], source: int, sink: int, frames: int) -> Timing:
    """Unroll `frames` frames of the network formed by `units`, always fed and always drained."""
    links = [_Link() for _ in streams]
    beats = streams[source].beats
    links[source].offers = [0] * (beats * frames)
    actors = [_actor(unit, links, streams) for unit in units] + [_SinkActor([links[sink]], [])]
    while sum(actor.step() for actor in actors):
        pass
    out, per_frame = links[sink].moved, streams[sink].beats
    done = len(out) // per_frame
    activity = {
        unit.name: _activity(actor) for unit, actor in zip(units, actors, strict=False) if isinstance(unit, Unit)
    }
    return Timing(
        tuple(links[source].moved[::beats][:done]),
        tuple(out[per_frame - 1 :: per_frame]),
        activity,
        tuple(_occupancy(link) for link in links),
        done == frames,
    )


def _occupancy(link: _Link) -> int:
    """Most beats waiting at once: beat j, taken in moved[j], waits with all those offered until then."""
    most, offered = 0, 0
    for taken, time in enumerate(link.moved):
        while offered < len(link.offers) and link.offers[offered] <= time:
            offered += 1
        most = max(most, offered - taken)
    return most


def _activity(actor: _Actor) -> tuple[tuple[int, int], ...]:
    """(start, duration) of every operation of an actor."""
    if isinstance(actor, _WindowActor):
        durations = actor.row_durations
        return tuple((start, durations[i % len(durations)]) for i, start in enumerate(actor.starts))
    return tuple((time, 1) for time in actor.inputs[0].moved)
