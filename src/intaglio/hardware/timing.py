"""Exact cycles of a Design, without simulating it.

Every unit has a closed form: when an input beat may enter (buffer space), when an operation may start (the rows it
waits for, a credit), how long it runs, when its result leaves. All are maxima of earlier times plus constants, so
composing them over the network is a max-plus recurrence over the beats of a few frames (`actors`). It is exact for
a source that is always valid and a sink that is always ready, and since the units form a Kahn network with bounded
buffers, a frame that finishes here finishes under any stalls: a deadlock shows up as a recurrence that stops.

Frames are unrolled until they repeat. Maxima and sums do not expand distances: where, for as many frames as any
equation looks back, every beat came exactly as much later than the same beat `cycle` frames before, it will for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from intaglio.hardware.actors import UNSIZED, Actor, Drain, Link
from intaglio.hardware.memory import IntArray
from intaglio.hardware.streams import Stream
from intaglio.hardware.unit import AnyUnit, Unit

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


@dataclass(frozen=True)
class Dataflow:
    """Units in topological order between the streams that enter (`sources`) and those that leave (`sinks`)."""

    units: tuple[AnyUnit, ...]
    streams: tuple[Stream, ...]
    sources: tuple[int, ...]
    sinks: tuple[int, ...]


def schedule(flow: Dataflow, frames: int) -> Timing:
    """Times of `frames` frames of a network that is always fed and always drained."""
    run = Unrolled(flow)
    cycle = run.unroll_until_periodic(frames, everything=True)
    return Timing(
        tuple(_continued(run.first_in, cycle, frames)), tuple(_continued(run.last_out, cycle, frames)), not run.stuck
    )


def pace(flow: Dataflow, frames: int) -> int | None:
    """The interval that `schedule` finds over so many frames, or None for a deadlock.

    Sooner known than all times: units that run ahead of the sinks, into buffers that fill slowly, do not matter.
    """
    run = Unrolled(flow)
    cycle = run.unroll_until_periodic(frames, everything=False)
    return None if run.stuck else longest_interval(_continued(run.last_out, cycle, frames))


def operations(flow: Dataflow, frames: int) -> dict[str, IntArray]:
    """(start, duration) of every operation of every Unit over `frames` frames, by the unit's name."""
    run = Unrolled(flow)
    run.unroll(frames)
    return {unit.name: run.operations(unit) for unit in flow.units if isinstance(unit, Unit)}


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

    def __init__(self, flow: Dataflow) -> None:
        ends = (*flow.sources, *flow.sinks)
        used = {*ends, *(s for unit in flow.units for s in (*unit.takes, *unit.offers))}
        self.links = {s: Link(flow.streams[s].beats) for s in used}
        self.sources, self.sinks = ([self.links[s] for s in some] for some in (flow.sources, flow.sinks))
        self.by_unit: dict[str, tuple[Actor, ...]] = {u.name: u.actors(self.links) for u in flow.units}
        self.actors = [*(a for actors in self.by_unit.values() for a in actors), *map(Drain, self.sinks)]
        self.all_links = list({id(link): link for a in self.actors for link in (*a.inputs, *a.outputs)}.values())
        self.memory = max(actor.memory for actor in self.actors)
        self.frames, self.stuck = 0, False

    def unroll(self, frames: int) -> None:
        """Solve `frames` more frames; `stuck` when they deadlock."""
        for link in self.all_links:
            link.extend(frames)
        self._feed()
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
        self._feed()

    def _feed(self) -> None:
        for source in self.sources:
            source.offers[:] = 0

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
        offered |= {id(source): source.end for source in self.sources}
        before, now = -1, 0
        while now > before:
            for actor in self.actors:
                given, room = [offered[id(link)] for link in actor.inputs], [taken[id(link)] for link in actor.outputs]
                for i, link in enumerate(actor.inputs):
                    taken[id(link)] = actor.reach([*given[:i], UNSIZED, *given[i + 1 :]], room)[0][i]
                for i, link in enumerate(actor.outputs):
                    offered[id(link)] = actor.reach(given, [*room[:i], UNSIZED, *room[i + 1 :]])[1][i]
            before, now = now, sum(offered.values()) + sum(taken.values())
        return all(offered[id(sink)] >= sink.end for sink in self.sinks)

    def unroll_until_periodic(self, frames: int, everything: bool) -> int | None:
        """Unroll until the rest of `frames` frames is known: in how many frames it repeats, or None for all of them.

        Without `everything` only the times of the sinks need repeat.
        """
        chunk = max(CHUNK // max(link.beats for link in self.all_links), 1)
        while self.frames < frames and not self.stuck:
            self.unroll(min(chunk, frames - self.frames))
            cycle = None if self.stuck else self._cycle(everything)
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
        """Cycles in which the last beats of the frames leave, whichever stream they leave by."""
        ends = [sink.moved[sink.beats - 1 : self.frames * sink.beats : sink.beats] for sink in self.sinks]
        return np.maximum.reduce(ends).tolist()

    @property
    def first_in(self) -> list[int]:
        """Cycles in which the first beats of the frames enter, whichever stream they enter by."""
        starts = [source.moved[: self.frames * source.beats : source.beats] for source in self.sources]
        return np.minimum.reduce(starts).tolist()

    def operations(self, unit: Unit) -> IntArray:
        """(start, duration) of every operation of `unit`."""
        return self.by_unit[unit.name][-1].operations(self.frames)
