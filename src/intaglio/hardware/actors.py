"""Units unrolled in time: what a unit lets happen when, as equations between the beat times of its streams.

A beat of a stream has two times: `offers`, the cycle from which its producer presents it, and `moved`, the cycle in
which it is taken. An actor writes `moved` of its inputs and `offers` of its outputs; each of them is a maximum of
earlier times plus constants. `update` solves an actor's own equations for all beats behind the first one that others
changed. Every time depends on earlier beats alone, so unless the network deadlocks exactly one assignment satisfies
all actors: whatever it was started from, a round of updates that changes nothing has found it.

`reach` answers the same question without times, in numbers of beats: how far an actor comes with what it is given.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil

import numpy as np

from intaglio.hardware.memory import IntArray

UNSIZED = 1 << 62  # depth of a FIFO that is not sized yet: without limit


class Link:
    """Beat times of one stream, `beats` for each of the frames unrolled so far.

    `fresh_offers` and `fresh_moved` are the first beats whose times changed since their reader last looked.
    """

    def __init__(self, beats: int) -> None:
        self.beats, self.end = beats, 0
        self.offers, self.moved = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.fresh_offers = self.fresh_moved = 0

    def extend(self, frames: int) -> None:
        """Room for `frames` more, as if each came as long after the one before as the last one did."""
        start, self.end = self.end, self.end + frames * self.beats
        self.offers, self.moved = (_with_room(times, self.end) for times in (self.offers, self.moved))
        for times in (self.offers, self.moved):
            distance = times[start - 1] - times[start - self.beats - 1] if start > self.beats else 0
            self._guess(times, start, frames, int(distance))
        self.fresh_offers = self.fresh_moved = start

    def restart(self, frames: int) -> None:
        """Forget the times of the last `frames`: no earlier than those of the frame before."""
        start = self.end - frames * self.beats
        for times in (self.offers, self.moved):
            self._guess(times, start, frames, 0)
        self.fresh_offers = self.fresh_moved = start

    def _guess(self, times: IntArray, start: int, frames: int, distance: int) -> None:
        last = times[start - self.beats : start] if start else np.zeros(self.beats, dtype=np.int64)
        times[start : self.end] = (last + distance * np.arange(1, frames + 1)[:, None]).ravel()

    def offer(self, first: int, times: IntArray) -> None:
        """Write the times from beat `first` on."""
        change = _first_change(self.offers[first : self.end], times)
        if change < len(times):
            self.offers[first + change : self.end] = times[change:]
            self.fresh_offers = min(self.fresh_offers, first + change)

    def move(self, first: int, times: IntArray) -> None:
        """Write the times from beat `first` on."""
        change = _first_change(self.moved[first : self.end], times)
        if change < len(times):
            self.moved[first + change : self.end] = times[change:]
            self.fresh_moved = min(self.fresh_moved, first + change)


def _with_room(times: IntArray, end: int) -> IntArray:
    room = np.zeros(max(end, 2 * len(times)) - len(times), dtype=np.int64)
    return np.concatenate([times, room]) if end > len(times) else times


def _first_change(old: IntArray, new: IntArray) -> int:
    changed = old != new
    first = int(changed.argmax()) if len(changed) else 0
    return first if len(changed) and changed[first] else len(new)


def one_after_another(earliest: IntArray, before: int, distance: int = 1) -> IntArray:
    """At most one beat per `distance` cycles, each at the earliest; `before` is when the one before the first moved."""
    position = distance * np.arange(len(earliest))
    slack = earliest - position
    if len(slack):
        slack[0] = max(slack[0], before + distance)
    return np.maximum.accumulate(slack, out=slack) + position


def wait(earliest: IntArray, first: int, slots: IntArray, depth: int, lag: int = 1) -> None:
    """Beat j waits for the slot of beat j - depth; `earliest` is of the beats from `first` on."""
    held = max(first, depth)
    if held < first + len(earliest):
        part = earliest[held - first :]
        np.maximum(part, slots[held - depth : held - depth + len(part)] + lag, out=part)


class Actor(ABC):
    """A unit between the streams that it takes from and those that it offers to."""

    def __init__(self, inputs: Sequence[Link], outputs: Sequence[Link]) -> None:
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    @property
    def stale(self) -> bool:
        """Whether times that this actor reads have changed."""
        return any(i.fresh_offers < i.end for i in self.inputs) or any(o.fresh_moved < o.end for o in self.outputs)

    def _seen(self) -> None:
        for link in self.inputs:
            link.fresh_offers = link.end
        for link in self.outputs:
            link.fresh_moved = link.end

    @property
    def memory(self) -> int:
        """Frames that an equation of this actor looks back at most; without buffers not sized yet."""
        return 1

    def operations(self, frames: int) -> IntArray:
        """(start, duration) of every operation of so many frames; here one for every beat that is taken."""
        link = self.inputs[0]
        starts = link.moved[: frames * link.beats]
        return np.stack([starts, np.ones_like(starts)], axis=1)

    @abstractmethod
    def update(self) -> None:
        """Solve this actor's equations for the beats that depend on changed ones."""

    @abstractmethod
    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        """Beats (taken of each input, offered on each output), given those offered to it and those taken from it."""


def frames_of(beats: int, link: Link) -> int:
    """Frames that so many beats of a stream may reach back."""
    return ceil(beats / link.beats) + 1


class Collect(Actor):
    """One beat of the output for `size` of the input; at most `depth` outputs between the two.

    Beat `gate` of a group waits for its slot, which is free `lag` cycles after it was taken; the output is there
    `delay` cycles after the group's last beat. So works `ig_gate`, and `ig_width` upwards; and the ring of a window
    collects the beats of a row.
    """

    def __init__(self, source: Link, out: Link, size: int, depth: int, gate: int, lag: int, delay: int) -> None:
        super().__init__([source], [out])
        self.size, self.depth, self.gate, self.lag, self.delay = size, depth, gate, lag, delay

    @property
    def memory(self) -> int:
        return frames_of(self.depth, self.outputs[0])

    def update(self) -> None:
        link, out, size = self.inputs[0], self.outputs[0], self.size
        first = min(link.fresh_offers, (out.fresh_moved + self.depth) * size + self.gate)
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        group = -((self.gate - first) // size)
        wait(earliest[group * size + self.gate - first :: size], group, out.moved, self.depth, self.lag)
        before = int(link.moved[first - 1]) if first else -1
        link.move(first, one_after_another(earliest, before))
        group = first // size
        out.offer(group, link.moved[group * size + size - 1 : link.end : size] + self.delay)

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        taken = min(offered[0], (room[0] + self.depth) * self.size + self.gate)
        return [taken], [taken // self.size]


class Join(Actor):
    """Takes a beat of every stream at once (`ig_add`), or `words` of each in turn (`ig_concat`)."""

    def __init__(
        self, words: tuple[int, ...] | None, depth: int, latency: int, inputs: Sequence[Link], out: Link
    ) -> None:
        super().__init__(inputs, [out])
        self.depth, self.latency, self.turns = depth, latency, words is not None
        self.words = words or (1,) * len(inputs)
        self.period = sum(self.words) if self.turns else 1
        self.place = [sum(self.words[:k]) if self.turns else 0 for k in range(len(inputs))]

    @property
    def memory(self) -> int:
        return frames_of(self.depth, self.outputs[0])

    def update(self) -> None:
        out, ways = self.outputs[0], list(zip(self.inputs, self.words, self.place, strict=True))
        fresh = [link.fresh_offers // words for link, words, _ in ways]
        pixel = min(*fresh, (out.fresh_moved + self.depth) // self.period)
        self._seen()
        first = pixel * self.period
        if first >= out.end:
            return
        columns = [link.offers[pixel * words : link.end].reshape(-1, words) for link, words, _ in ways]
        earliest = (np.concatenate(columns, axis=1) if self.turns else np.maximum.reduce(columns)).ravel()
        wait(earliest, first, out.moved, self.depth)
        before = int(out.offers[first - 1]) - self.latency - 1 if first else -1
        times = one_after_another(earliest, before)
        out.offer(first, times + self.latency + 1)
        split = times.reshape(-1, self.period)
        for link, words, place in ways:
            link.move(pixel * words, split[:, place : place + words].ravel())

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        ways = list(zip(offered, self.words, self.place, strict=True))
        ready = [given // words * self.period + place + given % words for given, words, place in ways]
        beats = min(*ready, room[0] + self.depth)
        pixel, word = divmod(beats, self.period)
        if not self.turns:
            return [beats] * len(ways), [beats]
        return [pixel * words + min(max(word - place, 0), words) for _, words, place in ways], [beats]


class Copy(Actor):
    """`ig_fork`: a beat moves once every branch has room for it.

    With room for one word a branch takes a beat every other cycle. The equations of its reader say so, too, but knowing
    it here saves a round of updates per beat.
    """

    def __init__(self, depths: Sequence[int], source: Link, outputs: Sequence[Link]) -> None:
        super().__init__([source], outputs)
        self.depths = tuple(depths)

    @property
    def memory(self) -> int:
        return max(frames_of(depth, self.inputs[0]) if depth < UNSIZED else 1 for depth in self.depths)

    def update(self) -> None:
        link = self.inputs[0]
        branches = list(zip(self.outputs, self.depths, strict=True))
        first = min(link.fresh_offers, *(out.fresh_moved + depth for out, depth in branches))
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        for out, depth in branches:
            wait(earliest, first, out.moved, depth)
        distance = 2 if min(self.depths) == 1 else 1
        before = int(link.moved[first - 1]) if first else -distance
        link.move(first, one_after_another(earliest, before, distance))
        for out in self.outputs:
            out.offer(first, link.moved[first : link.end] + 1)

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        beats = min(offered[0], *(taken + depth for taken, depth in zip(room, self.depths, strict=True)))
        return [beats], [beats] * len(self.outputs)


class Narrow(Actor):
    """`ig_width` downwards: a FIFO of two words, then one slice per beat."""

    def __init__(self, ratio: int, source: Link, out: Link) -> None:
        super().__init__([source], [out])
        self.ratio = ratio

    @property
    def memory(self) -> int:
        return frames_of(2, self.inputs[0])

    def update(self) -> None:
        link, out = self.inputs[0], self.outputs[0]
        first = min(link.fresh_offers, out.fresh_moved // self.ratio + 2)
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        wait(earliest, first, out.moved[self.ratio - 1 :: self.ratio], 2)
        before = int(link.moved[first - 1]) if first else -1
        link.move(first, one_after_another(earliest, before))
        out.offer(first * self.ratio, np.repeat(link.moved[first : link.end] + 1, self.ratio))

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        beats = min(offered[0], room[0] // self.ratio + 2)
        return [beats], [beats * self.ratio]


class Drain(Actor):
    """A sink that is always ready."""

    def __init__(self, source: Link) -> None:
        super().__init__([source], [])

    def update(self) -> None:
        link = self.inputs[0]
        first = link.fresh_offers
        self._seen()
        if first < link.end:
            before = int(link.moved[first - 1]) if first else -1
            link.move(first, one_after_another(link.offers[first : link.end], before))

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        del room
        return list(offered), []
