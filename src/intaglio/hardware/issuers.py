"""Issuers: they take beats from streams and start work on the pulse pipelines, one credit per operation.

An issuer knows how its SystemVerilog module behaves in time: which input rows an operation waits for, how many
cycles it runs, and when buffer space becomes free again. `cost.cycles` turns that into exact cycle counts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.hardware.memory import Memory
from intaglio.hardware.stages import Parameter

Steps = tuple[tuple[tuple[int, int, int], ...], ...]


@dataclass(frozen=True)
class Window:
    """Sliding window over a ring of image rows (`ig_window`, or `ig_window_sparse` when `steps` is given).

    For every output pixel, group and fold it issues the window's beats, `lanes` channels each. `steps` lists, for
    every (group, fold), the beats (ky, kx, word) whose block of weights is not all zero.
    """

    lanes: int
    bits: int
    signed: bool
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
    def out_bits(self) -> int:
        """Bits per lane of the pulses."""
        return self.bits

    @property
    def out_signed(self) -> bool:
        """Whether the pulses carry two's complement."""
        return self.signed

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
        return self.width * self.channels // self.lanes

    @property
    def block(self) -> bool:
        """Whether the ring lives in block RAM: when it is deep, or look-up tables are to be spared."""
        return self.spare_luts or self.rows * self.row_beats > 64

    @property
    def latency(self) -> int:
        """Cycles from issue to pulse: memory 2, padding multiplexer 1, step table 2."""
        return 2 + (max(self.padding) > 0) + 2 * (self.steps is not None)

    @property
    def frame_beats(self) -> int:
        """Input beats per frame."""
        return self.height * self.row_beats

    @cached_property
    def durations(self) -> tuple[int, ...]:
        """Cycles of each operation of one output pixel, in order (group, fold)."""
        if self.steps is not None:
            return tuple(len(fold) * self.repeat for fold in self.steps)
        beats = self.kernel[0] * self.kernel[1] * self.channels // self.groups // self.lanes * self.repeat
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

    def parameters(self) -> dict[str, Parameter]:
        common: dict[str, Parameter] = {
            "LANES": self.lanes,
            "BITS": self.bits,
            "SIGNED": int(self.signed),
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

    def _sparse_parameters(self) -> dict[str, Parameter]:
        assert self.steps is not None
        sizes = (self.kernel[0], self.kernel[1], self.channels // self.groups // self.lanes)
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


@dataclass(frozen=True)
class Gate:
    """Passes a stream on as pulses, `beats` of them per credit (`ig_gate`)."""

    lanes: int
    out_bits: int
    out_signed: bool
    beats: int = 1
    module: str = "ig_gate"
    latency: int = 0

    def parameters(self) -> dict[str, Parameter]:
        return {"WIDTH": self.lanes * self.out_bits, "BEATS": self.beats}


@dataclass(frozen=True)
class Add:
    """Joins two streams into `m0 * a + m1 * b` (`ig_add`)."""

    lanes: int
    bits: tuple[int, int]
    signed: tuple[bool, bool]
    multipliers: tuple[int, int]
    out_bits: int
    out_signed: bool = True
    module: str = "ig_add"
    latency: int = 1

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "A_BITS": self.bits[0],
            "A_SIGNED": int(self.signed[0]),
            "B_BITS": self.bits[1],
            "B_SIGNED": int(self.signed[1]),
            "A_MULTIPLIER": self.multipliers[0],
            "B_MULTIPLIER": self.multipliers[1],
            "OUT_BITS": self.out_bits,
        }


@dataclass(frozen=True)
class Concat:
    """Interleaves two streams pixel by pixel: the words of a, then those of b (`ig_concat`)."""

    lanes: int
    bits: tuple[int, int]
    signed: tuple[bool, bool]
    words: tuple[int, int]
    multipliers: tuple[int, int]
    out_bits: int
    out_signed: bool
    module: str = "ig_concat"
    latency: int = 1

    def parameters(self) -> dict[str, Parameter]:
        return {
            "LANES": self.lanes,
            "A_BITS": self.bits[0],
            "A_SIGNED": int(self.signed[0]),
            "A_WORDS": self.words[0],
            "B_BITS": self.bits[1],
            "B_SIGNED": int(self.signed[1]),
            "B_WORDS": self.words[1],
            "A_MULTIPLIER": self.multipliers[0],
            "B_MULTIPLIER": self.multipliers[1],
            "OUT_BITS": self.out_bits,
            "OUT_SIGNED": int(self.out_signed),
        }


Issuer = Window | Gate | Add | Concat


def nonzero_steps(blocks: np.ndarray, sizes: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    """Coordinates (ky, kx, word) of the True entries of one fold's flat `blocks`; the first beat if there are none."""
    chosen = np.flatnonzero(blocks)
    if chosen.size == 0:
        chosen = np.zeros(1, dtype=np.int64)
    ky, kx, word = np.unravel_index(chosen, sizes)
    return tuple(zip(ky.tolist(), kx.tolist(), word.tolist(), strict=True))
