"""What can become hardware is known before any training: a network is quantised, lowered and carved on trial."""

import copy

from torch import Tensor, nn

from intaglio.hardware.carver import Carver
from intaglio.hardware.emit import require_parameters
from intaglio.ir import ops
from intaglio.ir.errors import DesignError, IntaglioError
from intaglio.ir.graph import Graph
from intaglio.twin import replacements as use
from intaglio.twin.capture import capture, one_tensor
from intaglio.twin.layers import in_precision_of
from intaglio.twin.lower import lower, shapes_of
from intaglio.twin.network import Network
from intaglio.twin.quantise import on_trial
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.refuse import located, refusal, require_one_stream

TRIAL_BITS = 8

IN_THE_NETWORK = {
    ops.Concat: use.SUM_PARTS, ops.Reshape: use.KEEP_VECTOR, ops.Pad: use.PADDED_LAYER, ops.ArgMax: use.VECTOR,
}  # fmt: skip
"""What to write instead of operations that hardware lacks a form for at the place where they stand."""


def check(model: nn.Module, example: Tensor) -> None:
    """Raise what `lower` and the default carving would raise, before any training: tries a quantised copy.

    Takes about as long as a few forward passes, one lowering and one carving without sizes of FIFOs. `Recipe.apply`
    asks the same of its calibration data.
    """
    if isinstance(model, Network):
        _try(model, example)
    else:
        checked(model, example)


def checked(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `model` that can become hardware for inputs like `example` (N, ...): what methods may change.

    A network that was not traced before is traced, and computes the same in float64 on the example.

    Raises:
        IntaglioError: as `check`.
    """
    if isinstance(model, Network):
        return copy.deepcopy(model)
    gm = capture(model, example)
    _try(gm, example)
    return gm


def _try(network: Network, example: Tensor) -> None:
    """Quantise a copy, lower it and carve it."""
    gm, example = copy.deepcopy(network).eval(), one_tensor(example)
    require_one_stream(gm)
    shapes_of(gm, example)
    tried = gm
    if not any(isinstance(module, ActivationQuantizer) for module in gm.modules()):
        tried = on_trial(copy.deepcopy(gm), in_precision_of(gm, example), TRIAL_BITS)
    try:
        carve_on_trial(lower(tried, example))
    except IntaglioError as error:
        raise located(error, gm) from error


def carve_on_trial(graph: Graph) -> None:
    """Raise DesignError where the default carving has no hardware for a Graph; sizes no FIFO.

    Where the remedy lies in the network, the message says it in its words.
    """
    carver = Carver(graph, {}, dsp=True, spare_luts=False)
    try:
        carver.carve()
        require_parameters(carver.units, tuple(carver.streams))
    except DesignError as error:
        name, _, problem = str(error).partition(": ")
        op = next((type(node.op) for node in graph.nodes if node.name == name), None)
        remedy = IN_THE_NETWORK.get(op) if op is not None else None
        if remedy is None:
            raise
        raise refusal(name, problem.partition(";")[0], remedy) from error
