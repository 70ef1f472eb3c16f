"""Sliding windows over images: what convolutions, pools and dense layers read (`ig_window`, `ig_window_sparse`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np

from intaglio.hardware.actors import Actor, Collect, Link, frames_of, wait
from intaglio.hardware.memory import IntArray, Memory
from intaglio.hardware.schedules import Steps
from intaglio.hardware.stage import Issuer, Parameters
from intaglio.hardware.streams import Stream, Wire
from intaglio.hardware.technology.ecp5 import ECP5
from intaglio.ir import ops
from intaglio.ir.errors import DesignError

WIDEST = 30  # bits of a value in ig_window, whose padding is a 32-bit parameter


@dataclass(frozen=True)
class WindowIssuer(Issuer):
    """Sliding window over a ring of image rows (`ig_window`, or `ig_window_sparse` when `steps` is given).

    For every output pixel, group and fold it issues the window's beats, `lanes` channels each. `steps` lists, for
    every (group, fold), the beats (ky, kx, word) whose block of weights is not all zero.
    """

    source: Wire
    height: int
    width: int
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    pad_value: int = 0
    groups: int = 1
    folds: int = 1
    steps: Steps | None = None
    spare_luts: bool = False
    repeat: int = 1

    @property
    def module(self) -> str:
        """The SystemVerilog module."""
        return "ig_window" if self.steps is None else "ig_window_sparse"

    @property
    def out(self) -> Wire:
        return self.source

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that a dilated kernel spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))  # type: ignore[return-value]

    @property
    def out_height(self) -> int:
        return (self.height + 2 * self.padding[0] - self.extent[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        return (self.width + 2 * self.padding[1] - self.extent[1]) // self.stride[1] + 1

    @property
    def rows(self) -> int:
        """Rows in the ring: a window, and what is refilled meanwhile: a stride, or the next frame's first window."""
        window = max(self.extent[0], self.stride[0])
        return max(window + self.stride[0], 2 * min(self.extent[0] - self.padding[0], self.height))

    @property
    def row_beats(self) -> int:
        """Input beats per image row."""
        return self.width * self.channels // self.source.lanes

    @property
    def block(self) -> bool:
        """Whether the ring lives in block RAM: when it is deep, or look-up tables are to be spared."""
        rule = ECP5.memory
        return rule is not None and rule.ring_in_block(self.rows * self.row_beats, self.spare_luts)

    @property
    def latency(self) -> int:
        """Cycles from issue to pulse: memory 2, padding multiplexer 1, step table 2."""
        return 2 + (max(self.padding) > 0) + 2 * (self.steps is not None)

    @property
    def shortest(self) -> int:
        return min(self.durations)

    @property
    def busy(self) -> int:
        return sum(self.durations) * self.out_width * self.out_height

    @property
    def frames(self) -> int:
        return ceil(self.rows / self.height)

    def actors(self, inputs: Sequence[Link], out: Link, depth: int, latency: int) -> tuple[Actor, ...]:
        rows = Link(self.height)
        ring = Collect(inputs[0], rows, self.row_beats, depth=self.rows, gate=0, lag=0, delay=0)
        return ring, Operate(self, depth, latency, rows, out)

    @cached_property
    def durations(self) -> tuple[int, ...]:
        """Cycles of each operation of one output pixel, in order (group, fold)."""
        if self.steps is not None:
            return tuple(len(fold) * self.repeat for fold in self.steps)
        beats = self.kernel[0] * self.kernel[1] * self.channels // self.groups // self.source.lanes * self.repeat
        return (beats,) * (self.groups * self.folds)

    @cached_property
    def released(self) -> tuple[int, ...]:
        """Rows of the frame that are free once each output row is done (cumulative)."""
        tops = [oy * self.stride[0] - self.padding[0] for oy in range(1, self.out_height)]
        return (*(min(max(top, 0), self.height) for top in tops), self.height)

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """Rows of the frame that must have arrived before each output row starts."""
        bottom = [oy * self.stride[0] - self.padding[0] + self.extent[0] for oy in range(self.out_height)]
        return tuple(max(min(b, self.height), r, 0) for b, r in zip(bottom, self.released, strict=True))

    def parameters(self) -> Parameters:
        common: Parameters = {
            "LANES": self.source.lanes,
            "BITS": self.source.bits,
            "SIGNED": int(self.source.signed),
            "HEIGHT": self.height,
            "WIDTH": self.width,
            "CHANNELS": self.channels,
            "KERNEL_H": self.kernel[0],
            "KERNEL_W": self.kernel[1],
            "STRIDE_H": self.stride[0],
            "STRIDE_W": self.stride[1],
            "DILATION_H": self.dilation[0],
            "DILATION_W": self.dilation[1],
            "PAD_H": self.padding[0],
            "PAD_W": self.padding[1],
            "GROUPS": self.groups,
            "FOLDS": self.folds,
            "PAD_VALUE": self.pad_value,
            "ROWS": self.rows,
            "BLOCK": int(self.block),
        }
        if self.repeat > 1:
            common["REPEAT"] = self.repeat
        return common | (self._sparse_parameters() if self.steps is not None else {})

    def _sparse_parameters(self) -> Parameters:
        assert self.steps is not None
        sizes = (self.kernel[0], self.kernel[1], self.channels // self.groups // self.source.lanes)
        ky_bits, kx_bits, word_bits = (max((n - 1).bit_length(), 1) for n in sizes)
        flat = [(ky << kx_bits | kx) << word_bits | word for fold in self.steps for ky, kx, word in fold]
        lengths = tuple(len(fold) for fold in self.steps)
        length_bits = max(lengths).bit_length()
        return {
            "STEPS": len(flat),
            "STEPS_FILE": Memory("steps", ky_bits + kx_bits + word_bits, tuple(flat)),
            "LENGTHS_FILE": Memory("lengths", length_bits, lengths),
            "LENGTH_BITS": length_bits,
        }


class Operate(Actor):
    """Operations on the rows of a window: row by row as they arrive, and as credits allow.

    Its input is the stream of rows that the ring collects; `moved` there is when the row's space is free again.
    """

    def __init__(self, window: WindowIssuer, depth: int, latency: int, rows: Link, out: Link) -> None:
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
        return max(frames_of(self.depth, self.outputs[0]), 2)

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

    def operations(self, frames: int) -> IntArray:
        durations = np.tile(self.durations, frames)
        return np.stack([self.starts[: len(durations)], durations], axis=1)

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
        wait(earliest, first, out.moved, self.depth)
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


def window(name: str, stream: Stream, shape: tuple[int, ...], op: ops.Op) -> WindowIssuer:
    """The window of a dense layer, a convolution or a pool named `name`, over a tensor of that shape.

    Raises DesignError where the module cannot take its values or its padding.
    """
    wire, (channels, height, width) = stream.wire, shape if len(shape) == 3 else (shape[0], 1, 1)
    if wire.bits > WIDEST:
        raise DesignError(
            f"{name}: its input has {wire.bits} bits, and a window carries at most {WIDEST}; requantise it first"
        )
    found = WindowIssuer(wire, height, width, channels)
    if not isinstance(op, ops.Conv2d | ops.MaxPool | ops.SumPool):
        return found
    taps = op.window
    found = replace(
        found, kernel=taps.kernel, stride=taps.stride, padding=taps.padding, dilation=taps.dilation
    )
    if any(p >= e for p, e in zip(op.padding, found.extent, strict=True)):
        raise DesignError(
            f"{name}: padding {op.padding} makes windows without any pixel of the image "
            f"({found.extent[0]} x {found.extent[1]}); pad less than the kernel's extent"
        )
    return _padded(name, found, op) if isinstance(op, ops.Conv2d) else found


def _padded(name: str, found: WindowIssuer, op: ops.Conv2d) -> WindowIssuer:
    low, high = found.source.span
    if max(op.padding) and not low <= op.pad_value <= high:
        raise DesignError(
            f"{name}: pad value {op.pad_value} does not fit the input's {found.source.bits} bits; "
            "widen the activation or pad with a value in its range"
        )
    return replace(found, groups=op.groups, pad_value=int(op.pad_value))
