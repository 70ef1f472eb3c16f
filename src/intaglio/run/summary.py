"""From a Graph, a Design and what was measured to the plain values that the report shows."""

import re
from collections.abc import Iterable

import numpy as np

from intaglio.hardware.design import Design
from intaglio.hardware.memory import IntArray
from intaglio.hardware.unit import Unit
from intaglio.ir import ops
from intaglio.ir.encodings import Encoding
from intaglio.ir.graph import Graph, Node
from intaglio.ir.types import signed_bits
from intaglio.report.data import BusySpan, Histogram, LayerRow, RangeRow, UnitRow

SPANS_PER_UNIT = 80
BINS = 24


def layer_rows(design: Design, simulated: dict[str, int] | None = None) -> tuple[LayerRow, ...]:
    """One row per operation of the Graph; the hardware columns stand where a unit starts."""
    units = {unit.name: unit for unit in design.units if isinstance(unit, Unit)}
    rows: list[LayerRow] = []
    for node in design.graph.nodes:
        rows.append(_layer_row(design, node, units.get(node.name), (simulated or {}).get(node.name)))
    return tuple(rows)


def _words(encoding: Encoding) -> str:
    """The name of an encoding for people: PowersOfTwo is "powers of two"."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", type(encoding).__name__).lower()


def _layer_row(design: Design, node: Node, unit: Unit | None, simulated: int | None) -> LayerRow:
    inputs = [design.graph.nodes[i].type for i in node.inputs]
    work = node.op.work(*inputs)
    weights = encoding = zeros = None
    if isinstance(node.op, ops.MatMul | ops.Conv2d):
        chosen, matrix = node.op.encoded("weight"), node.op.weight
        weights, zeros, encoding = matrix.size, int((matrix == 0).sum()), _words(chosen)
        bits = chosen.bits()
    else:
        bits = work.weight_bits
    fold, plan = design.folding.get(node.name), design.plans.get(node.name)
    return LayerRow(
        name=node.name,
        op=type(node.op).__name__,
        shape="×".join(map(str, node.type.shape)),
        weight_format=_weight_format(node),
        activation_format=f"{'s' if node.type.signed else 'u'}{node.type.bits}",
        encoding=encoding or "",
        folding=f"{fold.simd} × {fold.pe}" if fold and unit else "",
        plan=plan.about if plan else "",
        weights=weights,
        zeros=zeros,
        bits=bits or None,
        ops=(work.multiplies + work.adds + work.shifts) or None,
        cycles_modelled=unit.issuer.busy if unit else None,
        cycles_simulated=simulated,
    )


def _weight_format(node: Node) -> str:
    if not isinstance(node.op, ops.MatMul | ops.Conv2d):
        return ""
    low, high = int(node.op.weight.min()), int(node.op.weight.max())
    return f"s{signed_bits(low, high)}"


def unit_rows(design: Design, frames: int = 3) -> tuple[UnitRow, ...]:
    """How busy every unit is, and when it works on the first few frames of a saturated run."""
    found = design.operations(frames)
    return tuple(_unit_row(design, unit, found[unit.name], frames) for unit in design.units if isinstance(unit, Unit))


def _unit_row(design: Design, unit: Unit, operations: IntArray, frames: int) -> UnitRow:
    per_frame = operations.reshape(frames, -1, 2)
    cycles = int(per_frame[0, :, 1].sum())
    spans = tuple(span for frame in range(frames) for span in _spans(per_frame[frame], frame, design.interval))
    return UnitRow(unit.name, unit.issuer.module, cycles, min(cycles / design.interval, 1.0), spans=spans)


def _spans(operations: IntArray, frame: int, interval: int) -> Iterable[BusySpan]:
    """Operations (start, duration) that follow each other closely, drawn as one bar."""
    gap = max(interval // SPANS_PER_UNIT, 1)
    starts, stops = operations[:, 0], operations.sum(axis=1)
    breaks = np.flatnonzero(starts[1:] - stops[:-1] > gap)
    for start, stop in zip(starts[[0, *breaks + 1]], stops[[*breaks, -1]], strict=True):
        yield BusySpan(int(start), int(stop), frame)


def weight_histograms(graph: Graph) -> tuple[Histogram, ...]:
    """Integer weights of every layer, one bin per value up to 8 bits, equal bins beyond."""
    rows: list[Histogram] = []
    for node in graph.nodes:
        if isinstance(node.op, ops.MatMul | ops.Conv2d):
            low, high = int(node.op.weight.min()), int(node.op.weight.max())
            edges = np.arange(low, high + 2) - 0.5 if high - low < 256 else np.linspace(low - 0.5, high + 0.5, 65)
            counts, _ = np.histogram(node.op.weight, edges)
            zeros = 100 * float((node.op.weight == 0).mean())
            rows.append(
                Histogram(node.name, float(edges[0]), float(edges[-1]), tuple(counts.tolist()), f"{zeros:.0f} % zero")
            )
    return tuple(rows)


def range_rows(graph: Graph, inputs: np.ndarray) -> tuple[RangeRow, ...]:
    """Proved range of every wire beside the values that `inputs` produce."""
    wires = graph.run(inputs)
    rows: list[RangeRow] = []
    for node in graph.nodes:
        values, (low, high) = np.asarray(wires[node.name]), node.type.range
        counts, _ = np.histogram(values, bins=min(BINS, high - low + 1), range=(low - 0.5, high + 0.5))
        rows.append(
            RangeRow(
                node.name, node.type.bits, (low, high), (int(values.min()), int(values.max())), tuple(counts.tolist())
            )
        )
    return tuple(rows)
