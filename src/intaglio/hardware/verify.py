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


def to_beats(design: Design, inputs: IntArray, which: int = 0) -> Words:
    """Values of input `which` of the network (frames, *shape) as the words of its port (frames, beats, words)."""
    stream = design.streams[design.sources[which]]
    shape = design.graph.input_types[which].shape
    if inputs.shape[1:] != shape:
        name = design.graph.nodes[design.graph.inputs[which]].name
        raise ShapeError(f"the design takes inputs of shape {shape} by {name}, not {inputs.shape[1:]}")
    flat = inputs.reshape(len(inputs), -1)[:, design.input_orders[which]]
    return pack(flat.reshape(len(inputs), stream.beats, stream.wire.lanes), stream.wire.bits)


def from_beats(design: Design, words: Words, which: int = 0) -> IntArray:
    """Words of output port `which` (frames, beats, words) as values of the network's output (frames, *shape)."""
    stream = design.streams[design.sinks[which]]
    values = unpack(words, stream.wire.lanes, stream.wire.bits, stream.wire.signed).reshape(len(words), -1)
    result = np.empty_like(values)
    result[:, design.output_orders[which]] = values
    return result.reshape(len(words), *design.graph.output_types[which].shape)


def compare(design: Design, simulator: Simulator, *inputs: IntArray, **conditions: Any) -> Comparison:
    """Run the network's inputs, one array (frames, *shape) for each, through a simulator under `conditions` (stalls,
    resets, ...) and count the wrong integers of all outputs.
    """
    expected = design.graph(*inputs)
    trace = simulator.run(*(to_beats(design, some, which) for which, some in enumerate(inputs)), **conditions)
    found = [from_beats(design, stream.words, which) for which, stream in enumerate(trace.outputs)]
    wrong = sum(int((some != right).sum()) for some, right in zip(found, expected, strict=True))
    return Comparison(len(inputs[0]), sum(right.size for right in expected), wrong, trace)
