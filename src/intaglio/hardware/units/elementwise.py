"""Operations on single values that stand alone, behind no unit that they could be a stage of."""

from intaglio.hardware.carving import Carving, carve_node, elementwise
from intaglio.hardware.units.gate import GateIssuer
from intaglio.ir.ops import Lookup, Requantize, Threshold


@carve_node.register(Requantize)
@carve_node.register(Threshold)
@carve_node.register(Lookup)
def _(op: Requantize | Threshold | Lookup, carving: Carving, index: int) -> None:
    (source,), route, node = carving.sources(index), carving.take(index), carving.node(index)
    wire, code = carving.wiring.wire(route), carving.code(index)
    stage = elementwise(op, node, carving.values(node, wire, source.type.range, route.order), code)
    carving.finish(index, GateIssuer(wire), [stage], [route], code=code)
