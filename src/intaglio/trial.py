"""What can become hardware is known before any training: a network is quantised, lowered and carved on trial."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.fx import Node

from intaglio.hardware.emit import require_parameters
from intaglio.hardware.units import Carving
from intaglio.ir import ops
from intaglio.ir.errors import DesignError, IntaglioError, ShapeError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.twin import replacements as use
from intaglio.twin.capture import capture
from intaglio.twin.flat import module_of
from intaglio.twin.layers import Inputs, in_precision_of, several
from intaglio.twin.lower import given, integers, lower, shapes_of
from intaglio.twin.modules import ArgMax
from intaglio.twin.network import Network
from intaglio.twin.prepare import inside
from intaglio.twin.quantise import on_trial
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.refuse import located, refusal, require_streams, results
from intaglio.twin.source import place

TRIAL_BITS, PROBE_BITS, MORE_BITS = 8, 12, 16
NEAR = 0.01
"""How far a probe may be from the float network, relative to the norm of the outputs."""

IN_THE_NETWORK = {
    ops.Concat: use.SUM_PARTS, ops.Reshape: use.KEEP_VECTOR, ops.Pad: use.PADDED_LAYER, ops.ArgMax: use.VECTOR,
}  # fmt: skip
"""What to write instead of operations that hardware lacks a form for at the place where they stand."""


def check(model: nn.Module, example: Inputs) -> None:
    """Raise what `lower` and the default carving would raise, before any training: tries a quantised copy.

    Takes about as long as a few forward passes, one lowering and one carving without sizes of FIFOs. `Recipe.apply`
    asks the same of its calibration data.
    """
    model = inside(model)
    if isinstance(model, Network):
        _try(model, example)
    else:
        checked(model, example)


def checked(model: nn.Module, example: Inputs) -> nn.Module:
    """A copy of `model` that can become hardware for inputs like `example` (N, ...): what methods may change.

    A network that was not traced before is traced, and computes the same in float64 on the example.

    Raises:
        IntaglioError: as `check`.
    """
    model = inside(model)
    if isinstance(model, Network):
        return copy.deepcopy(model)
    gm = capture(model, example)
    _try(gm, example)
    return gm


def _try(network: Network, example: Inputs) -> None:
    """Lower a copy and carve it; a float network is quantised for it, and compared with what becomes of it."""
    gm = copy.deepcopy(network).eval()
    example = given(gm, example)
    require_streams(gm)
    shapes_of(gm, example)
    try:
        if any(isinstance(module, ActivationQuantizer) for module in gm.modules()):
            carve_on_trial(lower(gm, example))
        else:
            _try_float(gm, in_precision_of(gm, example))
    except IntaglioError as error:
        raise located(error, gm) from error


def _try_float(gm: Network, example: Inputs) -> None:
    """The trial of a float network, at `PROBE_BITS`; at `TRIAL_BITS` where that needs wider words than there are."""
    try:
        graph = _lowered(gm, example, PROBE_BITS)
        carve_on_trial(graph)
    except IntaglioError:
        carve_on_trial(_lowered(gm, example, TRIAL_BITS))
    else:
        require_near(gm, graph, example)


def _lowered(gm: Network, example: Inputs, bits: int) -> Graph:
    """The Graph of a copy with `bits` bits everywhere, calibrated on the example."""
    return lower(on_trial(copy.deepcopy(gm), [(example,)], bits, len(several(example)[0])), example)


def require_near(gm: Network, graph: Graph, example: Inputs) -> None:
    """Raise UnsupportedLayer unless the Graph, of `PROBE_BITS`, gives what the float network gives on the example.

    Near is within 1 % of the norm of the outputs; or, for a network that needs more bits, an error that shrinks as
    rounding does: to a quarter or less with `MORE_BITS`.
    """
    error = _error(gm, graph, example)
    if error <= NEAR:
        return
    try:
        finer = _error(gm, _lowered(gm, example, MORE_BITS), example)
    except IntaglioError:  # wider words than there are: the error must have shrunk from fewer bits
        error, finer = _error(gm, _lowered(gm, example, TRIAL_BITS), example), error
    if not finer <= max(NEAR, error / 4):
        raise UnsupportedLayer(
            f"{type(gm).__name__}: as hardware its outputs differ from the network's by {100 * finer:.3g} % of their "
            f"norm, and more bits do not help ({100 * error:.3g} % with fewer); bring the sizes of weights nearer to "
            f"each other, with a norm behind each layer, and calibrate on data as they will come"
        )


def _error(gm: Network, graph: Graph, example: Inputs) -> float:
    """The distance of a Graph's outputs from the float network's, relative to their norm; the largest of several."""
    runner = fx.Interpreter(gm)
    runner.garbage_collect_values = False
    with torch.no_grad():
        runner.run(*several(example))
    (output,) = (node for node in gm.graph.nodes if node.op == "output")
    found = graph(*integers(graph, example))
    return max(
        _distance(gm, last, runner.env, wire.dequantize(some))
        for last, wire, some in zip(results(output), graph.output_types, found, strict=True)
    )


def _distance(gm: Network, last: Node, values: Mapping[Node, Any], found: NDArray[np.float64]) -> float:
    """The distance of one output; 0 for a class or zeros."""
    while isinstance(module_of(gm, last), nn.Softmax | nn.LogSoftmax):
        last = last.all_input_nodes[0]
    if isinstance(module_of(gm, last), ArgMax):
        return 0.0
    real = values[last].double().numpy().reshape(len(found), -1)
    if found.size != real.size:
        raise ShapeError(
            f"{place(gm, last)}: torch gives {real.shape[1]} values for each sample, hardware "
            f"{found.size // len(found)}: a layer takes an axis of its data for the batch; use layers for as many axes "
            f"as the data have"
        )
    return float(np.linalg.norm(found.reshape(real.shape) - real) / np.linalg.norm(real)) if real.any() else 0.0


def carve_on_trial(graph: Graph) -> None:
    """Raise DesignError where the default carving has no hardware for a Graph; sizes no FIFO.

    Where the remedy lies in the network, the message says it in its words.
    """
    carving = Carving(graph)
    try:
        carving.carve()
        require_parameters(carving.wiring.units, tuple(carving.wiring.streams))
    except DesignError as error:
        name, _, problem = str(error).partition(": ")
        op = next((type(node.op) for node in graph.nodes if node.name == name), None)
        remedy = IN_THE_NETWORK.get(op) if op is not None else None
        if remedy is None:
            raise
        raise refusal(name, problem.partition(";")[0], remedy) from error
