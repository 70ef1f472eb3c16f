"""Dense layers and convolutions: windows, weights, dot products, accumulators."""

from dataclasses import dataclass, replace

from intaglio.hardware.carving import (
    Carving,
    Option,
    carve_node,
    fold_options,
    reads_code,
    vector_order,
)
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray
from intaglio.hardware.plan import Fold, Forced, Layer, Plan, divisors, plan
from intaglio.hardware.products import Lane
from intaglio.hardware.stage import Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.technology.ecp5 import PRICES
from intaglio.hardware.technology.prices import Prices
from intaglio.hardware.units.align import AlignStage, mantissas
from intaglio.hardware.units.window import window
from intaglio.hardware.wiring import Route
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph
from intaglio.ir.ops import Conv2d, MatMul
from intaglio.ir.types import Type


@carve_node.register(MatMul)
@carve_node.register(Conv2d)
def _(op: MatMul | Conv2d, carving: Carving, index: int) -> None:
    node, (source,) = carving.node(index), carving.sources(index)
    groups = getattr(op, "groups", 1)
    fold = carving.fold(node, source.type.shape[0] // groups, op.weight.shape[0] // groups)
    route = carving.take(index, fold.simd)
    stream = carving.wiring.streams[route.stream]
    aligned = None if route.align is None else mantissas(route.align, stream.wire)
    lane = _lane(carving, fold, route, aligned)
    layer = layer_of(node.name, op, source.type, node.type, route.order, lane, carving.prices)
    chosen = plan(layer, fold, carving.forced.get(node.name))
    carving.plans[node.name] = chosen
    found = window(node.name, stream, source.type.shape, op)
    words = found.channels // groups // fold.simd
    issuer = replace(
        found, spare_luts=carving.spare_luts, folds=layer.outputs // fold.pe, repeat=lane.planes,
        steps=chosen.schedule.steps((*layer.kernel, words)),
    )  # fmt: skip
    front = [] if aligned is None else [aligned]
    stages = [*front, *stages_of(chosen, sum(stage.beside for stage in front))]
    carving.finish(index, issuer, stages, [route], chosen.bias)


def _lane(carving: Carving, fold: Fold, route: Route, aligned: AlignStage | None) -> Lane:
    """What the layer's lanes multiply with."""
    wire = carving.wiring.wire(route)
    if aligned is not None:
        return Lane(aligned.mantissa, wire.signed, carving.dsp, exact=True)
    if route.code is not None:
        return Lane(wire.bits, route.code.signed, carving.dsp, code=route.code)
    serial = fold.serial and wire.bits > 1
    return Lane(wire.bits, wire.signed, carving.dsp and not serial, serial)


def layer_of(
    name: str, op: MatMul | Conv2d, source: Type, result: Type, order: IntArray, lane: Lane, prices: Prices
) -> Layer:
    """What plans depend on, of the layer `name` that reads `source`."""
    pixels = result.shape[1] * result.shape[2] if len(result.shape) == 3 else 1
    return Layer(name, op, lane, order, pixels, source.size, result.range, prices)


def stages_of(chosen: Plan, shift_bits: int) -> list[Stage]:
    """The pipeline of a plan; `shift_bits` of the exponent of the activations come above them."""
    lane, fold, words = chosen.lane, chosen.fold, chosen.words
    supply = chosen.supply.stage(fold.simd * lane.cycle_bits, shift_bits, lane.planes)
    dot = chosen.product.dot(fold.simd, fold.pe, lane, words, supply.beside)
    total = Accumulate(fold.pe, dot.sum_bits, chosen.sum_bits, words.shift_bits, shift_bits)
    if not lane.serial:
        return [supply, dot, total]
    serial = Serial(fold.pe, dot.sum_bits, lane.planes, lane.signed, supply.beside)
    return [Planes(fold.simd, lane.planes), supply, dot, serial, replace(total, in_bits=serial.out.bits)]


@dataclass(frozen=True)
class Planes(Stage):
    """One bit of every activation in a cycle, the lowest first (`ig_planes`)."""

    lanes: int
    bits: int

    passes_end = True

    @property
    def module(self) -> str:
        return "ig_planes"

    @property
    def latency(self) -> int:
        return 0

    @property
    def out(self) -> Wire:
        return Wire(self.lanes, 1, signed=False)


@dataclass(frozen=True)
class Serial(Stage):
    """The sums of all planes of a beat become one sum (`ig_serial`)."""

    pe: int
    in_bits: int
    planes: int
    signed: bool
    side_bits: int

    passes_end = True

    @property
    def module(self) -> str:
        return "ig_serial"

    @property
    def latency(self) -> int:
        return 1

    @property
    def out(self) -> Wire:
        return Wire(self.pe, self.in_bits + self.planes, signed=True)

    @property
    def beside(self) -> int:
        return self.side_bits


@dataclass(frozen=True)
class Accumulate(Stage):
    """Sums of beats, shifted where they have an exponent, become the sums of an operation (`ig_accumulate`)."""

    pe: int
    in_bits: int
    acc_bits: int
    w_shift_bits: int
    a_shift_bits: int

    reduces = True

    @property
    def module(self) -> str:
        return "ig_accumulate"

    @property
    def latency(self) -> int:
        return 1 + (self.w_shift_bits + self.a_shift_bits > 0)

    @property
    def out(self) -> Wire:
        return Wire(self.pe, self.acc_bits, signed=True)


@fold_options.register(MatMul)
@fold_options.register(Conv2d)
def _(op: MatMul | Conv2d, graph: Graph, index: int, dsp: bool, forced: Forced) -> list[Option]:
    node, source = graph.nodes[index], graph.nodes[graph.nodes[index].inputs[0]].type
    lane = Lane(source.bits, source.signed, dsp)
    layer = layer_of(node.name, op, source, node.type, vector_order(graph, node.inputs[0]), lane, PRICES)
    folds = [Fold(simd, pe) for simd in divisors(layer.inputs) for pe in divisors(layer.outputs)]
    found, refused = list[Option](), list[DesignError]()
    for fold in folds:
        try:
            chosen = plan(layer, fold, forced)
            found.append(Option(fold, chosen.cycles, chosen.luts))
        except DesignError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return found


@reads_code.register(MatMul)
def _(op: MatMul, code: FloatCode) -> bool:
    del op, code
    return True


@reads_code.register(Conv2d)
def _(op: Conv2d, code: FloatCode) -> bool:
    """A zero of the padding is the code of zero, and no other value is."""
    del code
    return not any(op.padding) or op.pad_value == 0
