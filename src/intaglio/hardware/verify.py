"""Is the hardware the network? Outputs integer by integer, cycles one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.hardware.design import Design
from intaglio.hardware.memory import IntArray
from intaglio.hardware.rtl import Words, pack, unpack
from intaglio.hardware.simulate import Simulator, Trace
from intaglio.ir.errors import ShapeError


@dataclass(frozen=True)
class Comparison:
    """`mismatches` of `values` output integers differ in `frames` frames; `trace` holds the times."""

    frames: int
    values: int
    mismatches: int
    trace: Trace

    @property
    def equal(self) -> bool:
        """Every frame came out, every integer is right, and the handshake was kept."""
        return self.trace.finished and self.mismatches == 0 and not self.trace.violations


def to_beats(design: Design, inputs: IntArray) -> Words:
    """Network inputs (frames, *shape) as the words of the input port (frames, beats, words)."""
    stream = design.streams[design.sources[0]]
    shape = design.graph.input_types[0].shape
    if inputs.shape[1:] != shape:
        raise ShapeError(f"the design takes inputs of shape {shape}, not {inputs.shape[1:]}")
    flat = inputs.reshape(len(inputs), -1)[:, design.input_orders[0]]
    return pack(flat.reshape(len(inputs), stream.beats, stream.wire.lanes), stream.wire.bits)


def from_beats(design: Design, words: Words) -> IntArray:
    """Words of the output port (frames, beats, words) as network outputs (frames, *shape)."""
    stream = design.streams[design.sinks[0]]
    values = unpack(words, stream.wire.lanes, stream.wire.bits, stream.wire.signed).reshape(len(words), -1)
    result = np.empty_like(values)
    result[:, design.output_orders[0]] = values
    return result.reshape(len(words), *design.graph.output_types[0].shape)


def compare(design: Design, simulator: Simulator, inputs: IntArray, **conditions: Any) -> Comparison:
    """Run `inputs` through a simulator under `conditions` (stalls, resets, ...) and count the wrong integers."""
    expected = design.graph(inputs)[0]
    trace = simulator.run(to_beats(design, inputs), **conditions)
    wrong = int((from_beats(design, trace.words) != expected).sum())
    return Comparison(len(inputs), expected.size, wrong, trace)
