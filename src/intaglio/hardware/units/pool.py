"""Maxima and sums over windows (`ig_pool`)."""

from dataclasses import dataclass, replace

from intaglio.hardware.carving import Carving, Option, carve_node, fold_options, reads_code
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.plan import Fold, Forced, divisors
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.technology.ecp5 import PRICES
from intaglio.hardware.units.window import window
from intaglio.ir.graph import Graph
from intaglio.ir.ops import MaxPool, SumPool


@dataclass(frozen=True)
class PoolStage(Stage):
    """Maximum or sum over the beats of one window."""

    source: Wire
    out_bits: int
    total: bool

    reduces = True

    @property
    def module(self) -> str:
        return "ig_pool"

    @property
    def latency(self) -> int:
        return 1

    @property
    def out(self) -> Wire:
        return replace(self.source, bits=self.out_bits)

    def parameters(self) -> Parameters:
        wire = self.source
        return {
            "LANES": wire.lanes, "IN_BITS": wire.bits, "SIGNED": int(wire.signed), "OUT_BITS": self.out_bits,
            "SUM": int(self.total),
        }  # fmt: skip


@carve_node.register(MaxPool)
@carve_node.register(SumPool)
def _(op: MaxPool | SumPool, carving: Carving, index: int) -> None:
    node, (source,) = carving.node(index), carving.sources(index)
    fold = carving.fold(node, source.type.shape[0], 1)
    route = carving.take(index, fold.simd)
    stream = carving.wiring.streams[route.stream]
    wire, total = stream.wire, isinstance(op, SumPool)
    found = window(node.name, stream, source.type.shape, op)
    issuer = replace(
        found, spare_luts=carving.spare_luts, groups=source.type.shape[0] // fold.simd,
        pad_value=0 if total else wire.span[0],
    )  # fmt: skip
    bits = node.type.bits + (wire.signed and not node.type.signed) if total else wire.bits
    code = None if total else route.code
    carving.finish(index, issuer, [PoolStage(wire, bits, total)], [route], code=code)


@fold_options.register(MaxPool)
@fold_options.register(SumPool)
def _(op: MaxPool | SumPool, graph: Graph, index: int, dsp: bool, forced: Forced) -> list[Option]:
    del dsp, forced
    node, source = graph.nodes[index], graph.nodes[graph.nodes[index].inputs[0]].type
    (channels, *size), taps = source.shape, op.kernel[0] * op.kernel[1]
    busy = max(node.type.shape[1] * node.type.shape[2] * taps, size[0] * size[1])
    fixed, each = PRICES.pool
    folds, bits = map(Fold, divisors(channels)), source.bits
    return [Option(fold, busy * channels // fold.simd, fixed + each * fold.simd * bits) for fold in folds]


@reads_code.register(MaxPool)
def _(op: MaxPool, code: FloatCode) -> bool | None:
    """Codes without a sign ascend with their values: the largest code is the largest value."""
    del op
    return False if code.signed else None
