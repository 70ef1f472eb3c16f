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

from intaglio.hardware.issuers import Window
from intaglio.hardware.memory import IntArray
from intaglio.hardware.units import UNSIZED


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


def _one_after_another(earliest: IntArray, before: int, distance: int = 1) -> IntArray:
    """At most one beat per `distance` cycles, each at the earliest; `before` is when the one before the first moved."""
    position = distance * np.arange(len(earliest))
    slack = earliest - position
    if len(slack):
        slack[0] = max(slack[0], before + distance)
    return np.maximum.accumulate(slack, out=slack) + position


def _wait(earliest: IntArray, first: int, slots: IntArray, depth: int, lag: int = 1) -> None:
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

    @abstractmethod
    def update(self) -> None:
        """Solve this actor's equations for the beats that depend on changed ones."""

    @abstractmethod
    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        """Beats (taken of each input, offered on each output), given those offered to it and those taken from it."""


def _frames(beats: int, link: Link) -> int:
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
        return _frames(self.depth, self.outputs[0])

    def update(self) -> None:
        link, out, size = self.inputs[0], self.outputs[0], self.size
        first = min(link.fresh_offers, (out.fresh_moved + self.depth) * size + self.gate)
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        group = -((self.gate - first) // size)
        _wait(earliest[group * size + self.gate - first :: size], group, out.moved, self.depth, self.lag)
        before = int(link.moved[first - 1]) if first else -1
        link.move(first, _one_after_another(earliest, before))
        group = first // size
        out.offer(group, link.moved[group * size + size - 1 : link.end : size] + self.delay)

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        taken = min(offered[0], (room[0] + self.depth) * self.size + self.gate)
        return [taken], [taken // self.size]


class Operate(Actor):
    """Operations on the rows of a window: row by row as they arrive, and as credits allow.

    Its input is the stream of rows that the ring collects; `moved` there is when the row's space is free again.
    """

    def __init__(self, window: Window, depth: int, latency: int, rows: Link, out: Link) -> None:
        super().__init__([rows], [out])
        self.depth, self.latency = depth, latency
        self.durations = np.array(window.durations * (window.out_width * window.out_height), dtype=np.int64)
        self.per_row, self.out_height = len(window.durations) * window.out_width, window.out_height
        self.elapsed = np.cumsum(self.durations) - self.durations
        self.busy = int(self.durations.sum())
        self.needed, self.released = np.array(window.needed), np.array(window.released)
        self.releaser = np.searchsorted(self.released, np.arange(window.height), "right")
        self.starts = np.zeros(0, dtype=np.int64)

    @property
    def memory(self) -> int:
        return max(_frames(self.depth, self.outputs[0]), 2)

    def update(self) -> None:
        rows, out = self.inputs[0], self.outputs[0]
        first = min(self._first_operation(rows.fresh_offers), out.fresh_moved + self.depth)
        self._seen()
        if first >= out.end:
            return
        if len(self.starts) < out.end:
            self.starts = np.concatenate([self.starts, np.zeros(len(out.offers) - len(self.starts), dtype=np.int64)])
        frame = first // out.beats
        span = slice(first - frame * out.beats, out.end - frame * out.beats)
        repeats = range(frame, out.end // out.beats)
        elapsed = np.concatenate([self.elapsed + k * self.busy for k in repeats])[span]
        durations = np.concatenate([self.durations for _ in repeats])[span]
        slack = self._earliest(first) - elapsed
        slack[0] = max(slack[0], int(self.starts[first - 1] + self._duration(first - 1)) - elapsed[0] if first else 0)
        starts = np.maximum.accumulate(slack, out=slack) + elapsed
        self.starts[first : out.end] = starts
        out.offer(first, starts + durations + self.latency)
        self._release(first)

    def _duration(self, operation: int) -> int:
        return int(self.durations[operation % len(self.durations)])

    def _first_operation(self, row: int) -> int:
        """The first operation that waits for input row `row` or a later one."""
        rows = self.inputs[0]
        frame, y = divmod(row, rows.beats)
        return (frame * self.out_height + int(np.searchsorted(self.needed, y + 1))) * self.per_row

    def _earliest(self, first: int) -> IntArray:
        """When each operation from `first` on has its rows and a credit."""
        rows, out = self.inputs[0], self.outputs[0]
        earliest = np.zeros(out.end - first, dtype=np.int64)
        top = -(-first // self.per_row)
        frame, y = np.divmod(np.arange(top, out.end // self.per_row), self.out_height)
        last = frame * rows.beats + self.needed[y] - 1
        ready = np.where(self.needed[y] > 0, rows.offers[last] + 1, 0)
        earliest[top * self.per_row - first :: self.per_row] = ready
        _wait(earliest, first, out.moved, self.depth)
        return earliest

    def _release(self, first: int) -> None:
        """Free the rows that no output row from the one of operation `first` on needs."""
        rows, out = self.inputs[0], self.outputs[0]
        frame, y = divmod(first // self.per_row, self.out_height)
        freed = frame * rows.beats + (int(self.released[y - 1]) if y else 0)
        frames, row = np.divmod(np.arange(freed, rows.end), rows.beats)
        last = ((frames * self.out_height + self.releaser[row]) + 1) * self.per_row - 1
        rows.move(freed, self.starts[last] + self.durations[last % out.beats])

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        rows = self.inputs[0]
        frame, y = divmod(offered[0], rows.beats)
        ready = (frame * self.out_height + int(np.searchsorted(self.needed, y, "right"))) * self.per_row
        operations = min(ready, room[0] + self.depth)
        frame, y = divmod(operations // self.per_row, self.out_height)
        return [frame * rows.beats + (int(self.released[y - 1]) if y else 0)], [operations]


class Join(Actor):
    """`ig_add` takes a beat from both streams at once; `ig_concat` `words[0]` of the first, then `words[1]`."""

    def __init__(
        self, words: tuple[int, int] | None, depth: int, latency: int, inputs: Sequence[Link], out: Link
    ) -> None:
        super().__init__(inputs, [out])
        self.words, self.depth, self.latency = words, depth, latency

    @property
    def memory(self) -> int:
        return _frames(self.depth, self.outputs[0])

    def update(self) -> None:
        a, b = self.inputs
        out = self.outputs[0]
        x, y = self.words or (1, 1)
        period = x + y if self.words else 1
        pixel = min(a.fresh_offers // x, b.fresh_offers // y, (out.fresh_moved + self.depth) // period)
        self._seen()
        first = pixel * period
        if first >= out.end:
            return
        pair = a.offers[pixel * x : a.end].reshape(-1, x), b.offers[pixel * y : b.end].reshape(-1, y)
        earliest = np.concatenate(pair, axis=1).ravel() if self.words else np.maximum(*pair).ravel()
        _wait(earliest, first, out.moved, self.depth)
        before = int(out.offers[first - 1]) - self.latency - 1 if first else -1
        times = _one_after_another(earliest, before)
        out.offer(first, times + self.latency + 1)
        split = times.reshape(-1, period)
        a.move(pixel * x, (split[:, :x]).ravel())
        b.move(pixel * y, (split[:, x:] if self.words else split).ravel())

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        if self.words is None:
            beats = min(*offered, room[0] + self.depth)
            return [beats, beats], [beats]
        x, y = self.words
        (p, i), (q, j) = divmod(offered[0], x), divmod(offered[1], y)
        beats = min(p * (x + y) + i, q * (x + y) + x + j, room[0] + self.depth)
        pixel, word = divmod(beats, x + y)
        return [pixel * x + min(word, x), pixel * y + max(word - x, 0)], [beats]


class Split(Actor):
    """`ig_fork`: a beat moves once every branch has room for it.

    With room for one word a branch takes a beat every other cycle. The equations of its reader say so, too, but knowing
    it here saves a round of updates per beat.
    """

    def __init__(self, depths: Sequence[int], source: Link, outputs: Sequence[Link]) -> None:
        super().__init__([source], outputs)
        self.depths = tuple(depths)

    @property
    def memory(self) -> int:
        return max(_frames(depth, self.inputs[0]) if depth < UNSIZED else 1 for depth in self.depths)

    def update(self) -> None:
        link = self.inputs[0]
        branches = list(zip(self.outputs, self.depths, strict=True))
        first = min(link.fresh_offers, *(out.fresh_moved + depth for out, depth in branches))
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        for out, depth in branches:
            _wait(earliest, first, out.moved, depth)
        distance = 2 if min(self.depths) == 1 else 1
        before = int(link.moved[first - 1]) if first else -distance
        link.move(first, _one_after_another(earliest, before, distance))
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
        return _frames(2, self.inputs[0])

    def update(self) -> None:
        link, out = self.inputs[0], self.outputs[0]
        first = min(link.fresh_offers, out.fresh_moved // self.ratio + 2)
        self._seen()
        if first >= link.end:
            return
        earliest = link.offers[first : link.end].copy()
        _wait(earliest, first, out.moved[self.ratio - 1 :: self.ratio], 2)
        before = int(link.moved[first - 1]) if first else -1
        link.move(first, _one_after_another(earliest, before))
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
            link.move(first, _one_after_another(link.offers[first : link.end], before))

    def reach(self, offered: Sequence[int], room: Sequence[int]) -> tuple[list[int], list[int]]:
        del room
        return list(offered), []
