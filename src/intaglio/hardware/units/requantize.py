"""`clip((x * m + o) >> shift, low, high)` per channel (`ig_requantize`)."""

from dataclasses import dataclass, replace

import numpy as np

from intaglio.hardware.carving import Values, elementwise, without_bias
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray, Memory, signed_bits
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.ir.node import Node
from intaglio.ir.ops import Requantize


@dataclass(frozen=True)
class RequantizeStage(Stage):
    """Words of the table: {offset, multiplier} of each lane; without multiplier bits all multipliers are 1."""

    source: Wire
    result: Wire
    multiplier_bits: int
    offset_bits: int
    shift: int
    low: int
    high: int
    table: Memory
    dsp: bool
    block: bool = False

    @property
    def module(self) -> str:
        return "ig_requantize"

    @property
    def latency(self) -> int:
        return 4

    @property
    def out(self) -> Wire:
        return self.result

    def parameters(self) -> Parameters:
        return {
            "LANES": self.source.lanes, "IN_BITS": self.source.bits, "IN_SIGNED": int(self.source.signed),
            "OUT_BITS": self.result.bits, "OUT_SIGNED": int(self.result.signed), "M_BITS": self.multiplier_bits,
            "O_BITS": self.offset_bits, "SHIFT": self.shift, "LOW": self.low, "HIGH": self.high,
            "WORDS": self.table.depth, "FILE": self.table, "DSP": int(self.dsp), "BLOCK": int(self.block),
        }  # fmt: skip


@elementwise.register(Requantize)
def _(op: Requantize, node: Node, values: Values, code: FloatCode | None) -> RequantizeStage:
    del code
    lanes, out = values.wire.lanes, node.type
    multiplier, offset = _per_channel(op.multiplier, op.offset, values.channels, lanes)
    multiplier_bits = 0 if (multiplier == 1).all() else _span(multiplier)
    offset_bits = _span(offset)
    fields = np.stack([multiplier, offset], axis=-1)
    words = tuple(_join(row, multiplier_bits, offset_bits) for row in fields.tolist())
    table = Memory("requantize", lanes * (multiplier_bits + offset_bits), words)
    return RequantizeStage(
        values.wire, Wire(lanes, out.bits, out.signed), multiplier_bits, offset_bits, op.shift, *out.range, table,
        values.dsp, table.in_block_ram(values.spare_luts),
    )  # fmt: skip


@without_bias.register(Requantize)
def _(op: Requantize, node: Node, bias: IntArray) -> Node:
    return replace(node, op=replace(op, offset=op.offset - op.multiplier * bias))


def _per_channel(multiplier: IntArray, offset: IntArray, channels: IntArray, lanes: int) -> tuple[IntArray, IntArray]:
    """Both constants as (words, lanes); a single word when all channels agree."""
    if len(multiplier) == 1 and len(offset) == 1:
        return np.repeat(multiplier, lanes)[None], np.repeat(offset, lanes)[None]
    full = [np.broadcast_to(a, (channels.size,))[channels].reshape(-1, lanes) for a in (multiplier, offset)]
    return full[0], full[1]


def _span(values: IntArray) -> int:
    return signed_bits(int(values.min()), int(values.max()))


def _join(row: list[list[int]], multiplier_bits: int, offset_bits: int) -> int:
    """One word of the table: lanes of {offset, multiplier}, the multiplier in the low bits."""
    word, shift = 0, 0
    for multiplier, offset in row:
        if multiplier_bits:
            word |= (multiplier & (1 << multiplier_bits) - 1) << shift
        word |= (offset & (1 << offset_bits) - 1) << (shift + multiplier_bits)
        shift += multiplier_bits + offset_bits
    return word
