"""Exact cycles of a Design, without simulating it.

Every unit has a closed form: when an input beat may enter (buffer space), when an operation may start (the rows it
waits for, a credit), how long it runs, when its result leaves. All are maxima of earlier times plus constants, so
composing them over the network is a max-plus recurrence over the beats of a few frames (`cost.actors`). It is exact for
a source that is always valid and a sink that is always ready, and since the units form a Kahn network with bounded
buffers, a frame that finishes here finishes under any stalls: a deadlock shows up as a recurrence that stops.

Frames are unrolled until they repeat. Maxima and sums do not expand distances: where, for as many frames as any
equation looks back, every beat came exactly as much later than the same beat `cycle` frames before, it will for ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from intaglio.cost.actors import Actor, Collect, Drain, Join, Link, Narrow, Operate, Split
from intaglio.hardware.issuers import Add, Concat, Gate, Window
from intaglio.hardware.memory import IntArray
from intaglio.hardware.units import UNSIZED, AnyUnit, Fork, Stream, Unit, Width, streams_of

PERIOD = 12  # distances between frames that are looked at once the pipeline is full
CHUNK = 256  # beats of the busiest stream that are worth unrolling at once
HOPE = 6  # rounds of updates from what may be too late; from too early they converge sooner
PATIENCE = 24  # rounds of updates before the network is suspected of a deadlock


def longest_interval(last_out: Iterable[int]) -> int:
    """The longest of the last `PERIOD` distances between consecutive entries (cycle numbers, at least two)."""
    recent = [int(cycle) for cycle in last_out][-PERIOD - 1 :]
    return max(b - a for a, b in pairwise(recent))


@dataclass(frozen=True)
class Timing:
    """Times of a saturated run from reset: cycle numbers, the first input beat being accepted in cycle `first_in[0]`.

    A run that deadlocks is not `finished` and holds the frames before.
    """

    first_in: tuple[int, ...]
    last_out: tuple[int, ...]
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
    """Times of `frames` frames of the network formed by `units`, always fed and always drained."""
    run = Unrolled(units, streams, source, sink)
    cycle = run.unroll_until_periodic(frames, run.actors)
    return Timing(
        tuple(_continued(run.first_in, cycle, frames)), tuple(_continued(run.last_out, cycle, frames)), not run.stuck
    )


def pace(units: Sequence[AnyUnit], streams: Sequence[Stream], source: int, sink: int, frames: int) -> int | None:
    """The interval that `schedule` finds over so many frames, or None for a deadlock.

    Sooner known than all times: units that run ahead of the sink, into buffers that fill slowly, do not matter.
    """
    run = Unrolled(units, streams, source, sink)
    cycle = run.unroll_until_periodic(frames, None)
    return None if run.stuck else longest_interval(_continued(run.last_out, cycle, frames))


def operations(
    units: Sequence[AnyUnit], streams: Sequence[Stream], source: int, sink: int, frames: int
) -> dict[str, IntArray]:
    """(start, duration) of every operation of every Unit over `frames` frames, by the unit's name."""
    run = Unrolled(units, streams, source, sink)
    run.unroll(frames)
    return {unit.name: run.operations(unit) for unit in units if isinstance(unit, Unit)}


def _continued(times: list[int], cycle: int | None, frames: int) -> list[int]:
    """`times` of all frames, of which the last `cycle` repeat as the ones before did."""
    if cycle is None:
        return times
    times = times.copy()
    shift = times[-1] - times[-1 - cycle]
    while len(times) < frames:
        times.append(times[-cycle] + shift)
    return times


class Unrolled:
    """A network unrolled over more and more frames."""

    def __init__(self, units: Sequence[AnyUnit], streams: Sequence[Stream], source: int, sink: int) -> None:
        used = {source, sink, *(s for unit in units for ends in streams_of(unit) for s in ends)}
        self.links = {s: Link(streams[s].beats) for s in used}
        self.source, self.sink = self.links[source], self.links[sink]
        self.by_unit: dict[str, tuple[Actor, ...]] = {u.name: _actors(u, self.links) for u in units}
        self.actors = [a for actors in self.by_unit.values() for a in actors] + [Drain(self.sink)]
        self.all_links = list({id(link): link for a in self.actors for link in (*a.inputs, *a.outputs)}.values())
        self.memory = max(actor.memory for actor in self.actors)
        self.frames, self.stuck = 0, False

    def unroll(self, frames: int) -> None:
        """Solve `frames` more frames; `stuck` when they deadlock."""
        for link in self.all_links:
            link.extend(frames)
        self.source.offers[:] = 0
        rounds = 0
        while self._update_once():
            rounds += 1
            if rounds == HOPE:
                self._restart(frames)
            if rounds == PATIENCE and not self._alive():
                self.stuck = True
                return
        self.frames += frames

    def _restart(self, frames: int) -> None:
        for link in self.all_links:
            link.restart(frames)
        self.source.offers[:] = 0

    def _update_once(self) -> bool:
        """Update every actor that is stale, downstream and then upstream."""
        busy = False
        for order in (self.actors, reversed(self.actors)):
            for actor in order:
                if actor.stale:
                    actor.update()
                    busy = True
        return busy

    def _alive(self) -> bool:
        """Whether every beat gets through, whenever it may be.

        Counts, for each stream, the beats that are offered once all before them are taken, and those that are taken
        once they are offered.
        """
        offered, taken = ({id(link): self.frames * link.beats for link in self.all_links} for _ in range(2))
        offered[id(self.source)] = self.source.end
        before, now = -1, 0
        while now > before:
            for actor in self.actors:
                given, room = [offered[id(link)] for link in actor.inputs], [taken[id(link)] for link in actor.outputs]
                for i, link in enumerate(actor.inputs):
                    taken[id(link)] = actor.reach([*given[:i], UNSIZED, *given[i + 1 :]], room)[0][i]
                for i, link in enumerate(actor.outputs):
                    offered[id(link)] = actor.reach(given, [*room[:i], UNSIZED, *room[i + 1 :]])[1][i]
            before, now = now, sum(offered.values()) + sum(taken.values())
        return offered[id(self.sink)] >= self.sink.end

    def unroll_until_periodic(self, frames: int, everything: Sequence[Actor] | None) -> int | None:
        """Unroll until the rest of `frames` frames is known: in how many frames it repeats, or None for all of them.

        Without `everything` only the times of the sink need repeat.
        """
        chunk = max(CHUNK // max(link.beats for link in self.all_links), 1)
        while self.frames < frames and not self.stuck:
            self.unroll(min(chunk, frames - self.frames))
            cycle = None if self.stuck else self._cycle(everything is not None)
            if cycle is not None:
                return cycle
        return None

    def _cycle(self, everything: bool) -> int | None:
        last = np.array(self.last_out)
        for cycle in range(1, min(PERIOD, self.frames - self.memory - 1) + 1):
            recent = last[-self.memory - cycle :]
            shifts = set((recent[cycle:] - recent[:-cycle]).tolist())
            if len(shifts) == 1 and self._repeats(cycle, shifts.pop(), everything):
                return cycle
        return None

    def _repeats(self, cycle: int, shift: int, everything: bool) -> bool:
        """Whether each stream moves a constant time later every `cycle` frames: at most, or exactly, `shift`."""
        for link in self.all_links:
            span = self.memory * link.beats
            late = link.moved[link.end - span : link.end] - link.moved[link.end - span - cycle * link.beats :][:span]
            first = int(late[0])
            if first > shift or (everything and first != shift) or (late != first).any():
                return False
        return True

    @property
    def last_out(self) -> list[int]:
        """Cycles in which the last beats of the frames leave."""
        beats = self.sink.beats
        return self.sink.moved[beats - 1 : self.frames * beats : beats].tolist()

    @property
    def first_in(self) -> list[int]:
        """Cycles in which the first beats of the frames enter."""
        return self.source.moved[: self.frames * self.source.beats : self.source.beats].tolist()

    def operations(self, unit: Unit) -> IntArray:
        """(start, duration) of every operation of `unit`."""
        last = self.by_unit[unit.name][-1]
        if isinstance(last, Operate):
            durations = np.tile(last.durations, self.frames)
            return np.stack([last.starts[: len(durations)], durations], axis=1)
        starts = last.inputs[0].moved[: last.inputs[0].end]
        return np.stack([starts, np.ones_like(starts)], axis=1)


def _actors(unit: AnyUnit, links: dict[int, Link]) -> tuple[Actor, ...]:
    if isinstance(unit, Fork):
        return (Split(unit.depths, links[unit.input], [links[i] for i in unit.outputs]),)
    if isinstance(unit, Width):
        source, out = links[unit.input], links[unit.output]
        if source.beats > out.beats:
            ratio = source.beats // out.beats
            return (Collect(source, out, ratio, depth=1, gate=ratio - 1, lag=1, delay=1),)
        return (Narrow(out.beats // source.beats, source, out),)
    inputs, out, issuer = [links[i] for i in unit.inputs], links[unit.output], unit.issuer
    match issuer:
        case Window():
            rows = Link(issuer.height)
            ring = Collect(inputs[0], rows, issuer.row_beats, depth=issuer.rows, gate=0, lag=0, delay=0)
            return ring, Operate(issuer, unit.depth, unit.latency, rows, out)
        case Gate():
            return (Collect(inputs[0], out, issuer.beats, unit.depth, gate=0, lag=1, delay=unit.latency + 1),)
        case Add():
            return (Join(None, unit.depth, unit.latency, inputs, out),)
        case Concat():
            return (Join(issuer.words, unit.depth, unit.latency, inputs, out),)
