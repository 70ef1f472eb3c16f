"""`base + sum(x >= t_i)` per channel: all comparisons at once (`ig_threshold`) or by search (`ig_threshold_search`)."""

from dataclasses import dataclass, replace

import numpy as np

from intaglio.hardware.carving import Values, elementwise, without_bias
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray, Memory, pack_lanes
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.ir.errors import DesignError
from intaglio.ir.node import Node
from intaglio.ir.ops import Requantize, Threshold

SEARCHED = (6, 255)  # numbers of thresholds that are searched; fewer are compared at once


@dataclass(frozen=True)
class ThresholdStage(Stage):
    """All `count` thresholds of a channel at once."""

    source: Wire
    result: Wire
    count: int
    base: int
    table: Memory

    @property
    def module(self) -> str:
        return "ig_threshold"

    @property
    def latency(self) -> int:
        return 4

    @property
    def out(self) -> Wire:
        return self.result

    def parameters(self) -> Parameters:
        return _parameters(self) | {"WORDS": self.table.depth, "FILE": self.table}


@dataclass(frozen=True)
class ThresholdSearchStage(Stage):
    """One comparator and one memory for each bit of the count."""

    source: Wire
    result: Wire
    count: int
    base: int
    tables: tuple[Memory, ...]

    @property
    def module(self) -> str:
        return "ig_threshold_search"

    @property
    def latency(self) -> int:
        """Memory and comparison of each level, then the base."""
        return 2 * len(self.tables) + 1

    @property
    def out(self) -> Wire:
        return self.result

    def parameters(self) -> Parameters:
        blocks = sum(1 << level for level, table in enumerate(self.tables) if table.in_block_ram())
        files: Parameters = {f"LEVEL{level}_FILE": table for level, table in enumerate(self.tables)}
        return _parameters(self) | {"WORDS": self.tables[0].depth, "BLOCK": blocks} | files


def _parameters(stage: ThresholdStage | ThresholdSearchStage) -> Parameters:
    return {
        "LANES": stage.source.lanes, "IN_BITS": stage.source.bits, "IN_SIGNED": int(stage.source.signed),
        "COUNT": stage.count, "BASE": stage.base, "OUT_BITS": stage.result.bits,
        "OUT_SIGNED": int(stage.result.signed),
    }  # fmt: skip


@elementwise.register(Threshold)
def _(op: Threshold, node: Node, values: Values, code: FloatCode | None) -> Stage:
    wire, out, channels = values.wire, node.type, values.channels
    if out.range[0] == out.range[1]:  # a unit has at least one threshold
        constant = Requantize(np.array([0]), np.array([out.range[0]]), 0, *out.range, op.scale)
        return elementwise(constant, replace(node, op=constant), values, code)
    levels, base = _levels(node, op, values)
    count, result = levels.shape[1], Wire(wire.lanes, out.bits, out.signed)
    rows = np.broadcast_to(levels, (channels.size, count))[channels] if len(levels) > 1 else levels[[0] * wire.lanes]
    if SEARCHED[0] <= count <= SEARCHED[1]:
        tables = search_tables(rows.reshape(-1, wire.lanes, count), wire.bits)
        return ThresholdSearchStage(wire, result, count, base, tables)
    words = pack_lanes(rows.reshape(-1, wire.lanes * count), wire.bits + 1)
    table = Memory("thresholds", wire.lanes * count * (wire.bits + 1), words)
    return ThresholdStage(wire, result, count, base, table)


@without_bias.register(Threshold)
def _(op: Threshold, node: Node, bias: IntArray) -> Node:
    return replace(node, op=replace(op, thresholds=op.thresholds + bias[:, None]))


def search_tables(rows: IntArray, in_bits: int) -> tuple[Memory, ...]:
    """Thresholds (words, lanes, count) as one memory per level of the search of `ig_threshold_search`."""
    words, lanes, count = rows.shape
    levels = count.bit_length()
    full = np.full((words, lanes, (1 << levels) - 1), (1 << in_bits) - 1, dtype=np.int64)
    full[:, :, :count] = rows
    tables: list[Memory] = []
    for level in range(levels):
        half = 1 << (levels - 1 - level)
        middle = full[:, :, half - 1 :: 2 * half].transpose(0, 2, 1).reshape(-1, lanes)
        tables.append(Memory("thresholds", lanes * (in_bits + 1), pack_lanes(middle, in_bits + 1)))
    return tuple(tables)


def _levels(node: Node, op: Threshold, values: Values) -> tuple[IntArray, int]:
    """The thresholds that lead to outputs of the proved range, and the base that the ones below them add up to.

    They are clipped to the range of the inputs, which is wider than what the range of the outputs was proved for where
    inputs exceed the true sums by constants.
    """
    (low, high), wire = values.span, values.wire
    first, last = (end - op.base for end in node.type.range)
    kept = op.thresholds[:, first:last]
    levels = np.clip(kept, low, high + 1)
    if not wire.signed and levels.max() >= 1 << wire.bits:
        raise DesignError(
            f"{node.name}: a threshold of some channels lies above every input, which has no sign; "
            "use the same thresholds for all channels, or a requantize"
        )
    return levels, op.base + first
