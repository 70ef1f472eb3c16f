"""`table[x - low]`, one table for all channels (`ig_lookup`)."""

from dataclasses import dataclass

from intaglio.hardware.carving import Values, code_of, elementwise
from intaglio.hardware.codes import FloatCode, float_code
from intaglio.hardware.memory import Memory, pack_lanes
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.ir.errors import DesignError
from intaglio.ir.node import Node
from intaglio.ir.ops import Lookup


@dataclass(frozen=True)
class LookupStage(Stage):
    """Values of the table, or their codes."""

    source: Wire
    result: Wire
    low: int
    table: Memory

    @property
    def module(self) -> str:
        return "ig_lookup"

    @property
    def latency(self) -> int:
        return 2

    @property
    def out(self) -> Wire:
        return self.result

    def parameters(self) -> Parameters:
        return {
            "LANES": self.source.lanes, "IN_BITS": self.source.bits, "IN_SIGNED": int(self.source.signed),
            "LOW": self.low, "OUT_BITS": self.result.bits, "DEPTH": self.table.depth, "FILE": self.table,
            "BLOCK": int(self.table.in_block_ram()),
        }  # fmt: skip


@elementwise.register(Lookup)
def _(op: Lookup, node: Node, values: Values, code: FloatCode | None) -> LookupStage:
    if len(op.table) > 1:
        raise DesignError(f"{node.name}: a look-up table per channel has no hardware unit; use one table")
    out = node.type if code is None else code
    found = None if code is None else float_code(op.table[0])
    written = op.table[0] if found is None else found[1]
    table = Memory("table", out.bits, pack_lanes(written[:, None], out.bits))
    return LookupStage(values.wire, Wire(values.wire.lanes, out.bits, out.signed), op.low, table)


@code_of.register(Lookup)
def _(op: Lookup) -> FloatCode | None:
    found = float_code(op.table[0])
    return None if found is None else found[0]
